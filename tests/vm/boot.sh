#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Boots a test machine and prints its progress: boot.sh NAME SECONDS KERNEL INITRD [QEMU-OPTION...]
# The machine's first serial line is the console, logged to target/vm/NAME.log; on the second it
# prints "-- STAGE", "ok TEST", "FAIL TEST: WHY", and finally "end". It has no network. At the stage
# "the power fails" it is killed at once and booted again. At the stage "set_link NIC on" or "off"
# the cable of that NIC is plugged in or pulled out.
#
# Succeeds if the machine printed "end" and no FAIL, and turned itself off in time. Status 2 means
# that it ran out of time without a FAIL and without a complaint of its kernel.
set -eu

name=$1 seconds=$2 kernel=$3 initrd=$4
shift 4
log=${CARGO_TARGET_DIR:-target}/vm/$name.log
said=${log%.log}.said
mkdir -p "${log%/*}"
: >"$log"
state=$(mktemp -d)
mkfifo "$state/monitor.in" "$state/monitor.out"
trap 'rm -rf "$state"' EXIT
begin=$(date +%s)
cr=$(printf '\r')

# Emulated by default, as kvm within a virtual machine can hang. The emulated clock counts
# instructions, so a busy host does not affect it, and idle time is skipped.
accel=${VM_ACCEL:-tcg}
[ "$accel" != tcg ] || set -- -icount shift=2,sleep=off "$@"
# Succeeds if the machine has turned itself off.
machine() {
    left=$((begin + seconds - $(date +%s)))
    [ "$left" -gt 0 ] || return 124
    timeout -k 5 "$left" qemu-system-x86_64 -accel "$accel" -m 512 -nodefaults -nographic \
        -kernel "$kernel/vmlinuz" -initrd "$initrd" -pidfile "$state/pid" \
        -append "console=ttyS0 quiet mitigations=off panic=-1 oops=panic ${VM_KERNEL:-}" \
        -chardev "file,id=console,path=$log,append=on" -serial chardev:console -serial stdio \
        -chardev "pipe,id=monitor,path=$state/monitor" -mon chardev=monitor "$@" \
        </dev/null 2>&1
}
{
    until machine "$@"; do
        status=$?
        if [ ! -e "$state/no-power" ]; then
            echo "-- not the end: qemu's status is $status, after at most $seconds s"
            break
        fi
        rm "$state/no-power"
    done
} | while IFS= read -r line; do
    line=${line%"$cr"}
    # The shell's message for a machine whose power has failed.
    [ "$line" != Killed ] || continue
    [ -z "$line" ] || printf '%4d s  %s\n' $(($(date +%s) - begin)) "$line"
    case $line in
    --*": the power fails") : >"$state/no-power" && kill -KILL "$(cat "$state/pid")" ;;
    --*": set_link "*) echo "${line#*: }" >"$state/monitor.in" ;;
    esac
done | tee "$said"

passed=$(grep -c '^ *[0-9]* s  ok ' "$said" || true)
failed=$(grep -c '^ *[0-9]* s  FAIL ' "$said" || true)
echo "$name machine: $passed passed, $failed failed, in $(($(date +%s) - begin)) s"
status=0
if [ "$(tail -n 1 "$said" | sed 's/^ *[0-9]* s  //')" != end ]; then
    status=1
    if grep -q "qemu's status is 124" "$said" && ! grep -qE 'Kernel panic|Oops|BUG:' "$log"; then status=2; fi
fi
if [ "$failed" != 0 ] || [ "$passed" = 0 ]; then status=1; fi
if [ "$status" != 0 ]; then
    echo "the end of its console, $log:" >&2
    tail -n 30 "$log" >&2
fi
exit "$status"

# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shared parts of the tests of init systems: checks of the daemon on a host of its own.

PIDFILE=/run/virtinterfaced.pid
CONFIG=/etc/libvirt/virtinterfaced.conf

# Reports a check that holds: fact TEXT COMMAND...; otherwise ends the test with its text.
fact() {
    text=$1
    shift
    "$@" || { echo "FAILED: $text ($*)" && exit 1; }
    echo "ok: $text"
}

# Whether a command ends with this status: ends STATUS COMMAND...
ends() {
    want=$1 rc=0
    shift
    "$@" || rc=$?
    [ "$rc" = "$want" ] || { echo "status $rc, not $want" && return 1; }
}

# Whether a command succeeds within ten seconds: soon COMMAND...
soon() {
    tries=100
    until "$@"; do
        [ "$tries" -gt 0 ] || return 1
        tries=$((tries - 1))
        sleep 0.1
    done
}

no() { ! "$@"; }
pid() { cat "$PIDFILE"; }
answers() { virsh -q -c interface:///system iface-list --all 2>&1 | grep -q '^ lo '; }
runs() { kill -0 "$1" 2>/dev/null && grep -q . "/proc/$1/cmdline"; }
another_than() { [ -s "$PIDFILE" ] && [ "$(pid)" != "$1" ] && answers; }
option_is_given() { tr '\0' ' ' <"/proc/$(pid)/cmdline" | grep -q -e "$1"; }
same_pid_as() { [ "$(pid)" = "$1" ]; }

# Whether this is the limit of clients, which the configuration sets and a reload applies.
clients_max_is() {
    virt-admin -q -c virtinterfaced:///system server-clients-info virtinterfaced |
        grep -q "^nclients_max *: $1\$"
}
configure() { echo "$1" >"$CONFIG"; }

# Performs `make uninstall` on the host itself.
uninstall() {
    DESTDIR='' RECORD=/usr/share/virtinterfaced/installed CONFDIRS=/etc SED='' PIDFILE=$PIDFILE \
        sh /tmp/install.sh uninstall >>/tmp/words 2>&1
}

virsh_does() { virsh -q -c interface:///system "$@" >>/tmp/words 2>&1; }

# Leaves the state of a host that lost its power during a transaction and was booted again: of three
# definitions one was edited, one removed and one added. No daemon runs.
interrupt_a_change() {
    for name in edited removed added; do
        echo "<interface type='ethernet' name='$name'><start mode='none'/><mtu size='1400'/></interface>" \
            >"/tmp/$name.xml"
    done
    virtinterfaced -d && virsh_does iface-define /tmp/edited.xml && virsh_does iface-define /tmp/removed.xml &&
        definitions_are >/tmp/before && virsh_does iface-begin &&
        sed -i s/1400/1300/ /tmp/edited.xml && virsh_does iface-define /tmp/edited.xml &&
        virsh_does iface-undefine removed && virsh_does iface-define /tmp/added.xml &&
        last=$(pid) && kill -KILL "$last" && soon no runs "$last" && boot_anew
}

# Changes the boot's id, as a reboot does.
boot_anew() {
    cat /proc/sys/kernel/random/uuid >/tmp/boot_id
    mount --bind /tmp/boot_id /proc/sys/kernel/random/boot_id
}

definitions_are() { (cd /etc/libvirt/interface && cksum ./*.xml && stat -c '%n %a %u' ./*.xml); }

# Whether the definitions are those from before the transaction, and no daemon runs.
is_rolled_back() {
    definitions_are | diff /tmp/before - >>/tmp/words && no pgrep -x virtinterfaced
}

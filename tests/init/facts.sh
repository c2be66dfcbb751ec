# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the tests of init systems have in common: facts about the daemon of a host of its own.

PIDFILE=/run/virtinterfaced.pid
CONFIG=/etc/libvirt/virtinterfaced.conf

# Says that something holds: fact TEXT COMMAND...; or ends the test with what does not.
fact() {
    text=$1
    shift
    "$@" || { echo "FAILED: $text ($*)" && exit 1; }
    echo "ok: $text"
}

# Does a command end with this status? ends STATUS COMMAND...
ends() {
    want=$1 rc=0
    shift
    "$@" || rc=$?
    [ "$rc" = "$want" ] || { echo "status $rc, not $want" && return 1; }
}

# Does something hold within ten seconds? soon COMMAND...
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

# Is this the most that may be connected? The configuration says so, and a reload reads it.
clients_max_is() {
    virt-admin -q -c virtinterfaced:///system server-clients-info virtinterfaced |
        grep -q "^nclients_max *: $1\$"
}
configure() { echo "$1" >"$CONFIG"; }

# Does on the host itself what `make uninstall` does.
uninstall() {
    DESTDIR='' RECORD=/usr/share/virtinterfaced/installed CONFDIRS=/etc SED='' PIDFILE=$PIDFILE \
        sh /tmp/install.sh uninstall >>/tmp/words 2>&1
}

virsh_does() { virsh -q -c interface:///system "$@" >>/tmp/words 2>&1; }

# Leaves what a host has that lost its power in an open change, and was booted anew: of three
# definitions one was edited since, one removed, and one is new. No daemon runs then.
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

# To whoever asks, this is another boot now.
boot_anew() {
    cat /proc/sys/kernel/random/uuid >/tmp/boot_id
    mount --bind /tmp/boot_id /proc/sys/kernel/random/boot_id
}

definitions_are() { (cd /etc/libvirt/interface && cksum ./*.xml && stat -c '%n %a %u' ./*.xml); }

# Are the definitions those of before the change, without a daemon?
is_rolled_back() {
    definitions_are | diff /tmp/before - >>/tmp/words && no pgrep -x virtinterfaced
}

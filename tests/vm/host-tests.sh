#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The tests of the test hosts, run inside as root: "enable" after the daemon was installed, "found
# SERVICE" when SERVICE is started, and without an argument at the end of each boot. They print
# their progress to the second serial line.
#
# Boot 1 tests an administrator's use of the service. Boot 2 tests that its state is the same after
# a reboot, parts of the network that are late, and DHCP clients of the host; then, on a sysvinit
# host, the package. On an OpenRC host the power fails in boots 2 to 4 in the middle of a
# transaction, and the next boot tests the result. Each host tests other network managers in its
# last boot.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
flavour=$(cat /vm/flavour)
boot=$(cat /vm/boots 2>/dev/null)
pid_file=/run/virtinterfaced.pid
sockets="virtinterfaced-sock virtinterfaced-sock-ro virtinterfaced-admin-sock"
configuration=/etc/libvirt/virtinterfaced.conf
output=/run/host-tests.output
# shellcheck source=tests/vm/host-network.sh
. /vm/host-network.sh
# shellcheck source=tests/vm/host-managers.sh
. /vm/host-managers.sh

# A failure does not stop the following tests: try NAME COMMAND...
try() {
    name=$1
    shift
    if "$@" >"$output" 2>&1 </dev/null; then
        echo "ok $name"
    else
        echo "FAIL $name: status $?: $(tail -n 3 "$output" | tr '\n' ' ')"
        # Shown on the console for a developer.
        { echo "== $name" && cat "$output" && tail -n 20 "$log" "$server/log"; } >/dev/console 2>&1
    fi
}

refused() { ! "$@"; }

ends_with() {
    wanted=$1
    shift
    "$@"
    status=$?
    echo "status $status, not $wanted"
    [ "$status" = "$wanted" ]
}

# Repeats a command until it succeeds, for ten seconds.
soon() {
    within 50 0.2 "$@"
}

# The same for slow events: a lease's end, a client's pause.
patiently() {
    within 300 1 "$@"
}

# within TRIES PAUSE COMMAND...: shows the output of the last try.
within() {
    tries=$1 pause=$2
    shift 2
    until "$@" >/run/last-try 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { cat /run/last-try && return 1; }
        sleep "$pause"
    done
}

daemon() {
    case $flavour in
    openrc) rc-service virtinterfaced "$1" ;;
    sysvinit) service virtinterfaced "$1" ;;
    esac
}

settings() {
    case $flavour in
    openrc) echo /etc/conf.d/virtinterfaced ;;
    sysvinit) echo /etc/default/virtinterfaced ;;
    esac
}

# The daemon's process number, if its file names a living one.
pid() {
    read -r pid <"$pid_file" && [ "$(cat "/proc/$pid/comm")" = virtinterfaced ] && echo "$pid"
}

# Ports of a bridge belong to its description.
kernel_names() {
    (cd /sys/class/net && for name in *; do [ -e "$name/brport" ] || echo "$name"; done) | sort
}

# virsh lists each interface of the kernel, and no other.
answers() {
    pid &&
        virsh -c interface:///system iface-list --all >/run/listed &&
        awk 'NR > 2 && NF { print $1 }' /run/listed | sort >/run/names &&
        cat /run/listed && kernel_names | diff - /run/names &&
        virt-admin -c virtinterfaced:///system server-list | grep virtinterfaced
}

same_pid() {
    before=$(pid) && "$@" && echo "$before, then $(pid)" && [ "$(pid)" = "$before" ] && answers
}

new_pid() {
    before=$(pid) && "$@" && echo "$before, then $(pid)" && pid && [ "$(pid)" != "$before" ] && answers
}

nothing_left() {
    for file in "$pid_file" /run/libvirt/interface/virtinterfaced.pid; do
        [ ! -e "$file" ] || { echo "$file is left" && return 1; }
    done
    for socket in $sockets; do
        [ ! -e "/run/libvirt/$socket" ] || { echo "$socket is left" && return 1; }
    done
    ! pidof virtinterfaced
}

limit_is() {
    virt-admin -c virtinterfaced:///system server-clients-info virtinterfaced | tee /dev/stderr |
        grep -q "^nclients_max *: $1\$"
}

# The first boot's tests.

service_is_used() {
    try "the services' order has no loop" refused loop
    try "reload holds a changed limit" changes_limit 27
    try "reload keeps the process" same_pid daemon reload

    try "stop" daemon stop
    try "stop leaves nothing" nothing_left
    try "status when stopped is 3" ends_with 3 daemon status
    try "a stopped daemon does not answer" refused virsh -c interface:///system iface-list
    try "stop when stopped succeeds" daemon stop
    try "reload when stopped fails" refused daemon reload
    try "start" daemon start
    try "the started daemon answers" answers
    try "status when running is 0" daemon status
    try "start when running keeps the process" same_pid daemon start
    try "restart makes a new process" new_pid daemon restart
    try "a restart keeps the configuration" limit_is 27
    try "networking can be restarted beneath it" same_pid networking restart

    try "settings are honoured" takes_settings
    daemon_is_killed
    [ "$flavour" = sysvinit ] || daemon_is_supervised
}

loop() {
    case $flavour in
    openrc) rc-update --update ;;
    sysvinit) insserv --dryrun ;;
    esac 2>&1 | grep loop
}

changes_limit() {
    limits "$1"
    same_pid daemon reload && soon limit_is "$1"
}

limits() {
    sed -i '/^max_clients/d' "$configuration"
    echo "max_clients = $1" >>"$configuration"
}

networking() {
    case $flavour in
    openrc) rc-service networking "$1" ;;
    sysvinit) service networking "$1" ;;
    esac
}

takes_settings() {
    echo 'VIRTINTERFACED_OPTS="--timeout 86400"' >>"$(settings)"
    daemon restart && answers && tr '\0' ' ' <"/proc/$(pid)/cmdline" | tee /dev/stderr | grep -q 'timeout 86400'
}

kill_daemon() {
    victim=$(pid) && kill -KILL "$victim" && soon refused kill -0 "$victim"
}

# The init script recovers, although files of the killed daemon remain.
daemon_is_killed() {
    crashed=1
    # OpenRC has a status of its own for a crashed service.
    [ "$flavour" = sysvinit ] || crashed=32
    try "the daemon is killed" kill_daemon
    try "status when killed is $crashed" ends_with "$crashed" daemon status
    try "restart after a kill" daemon restart
    try "the daemon answers after a kill and a restart" answers

    try "the daemon is killed again" kill_daemon
    sleep 600 &
    stranger=$!
    echo "$stranger" >"$pid_file"
    try "status does not take a stranger for the daemon" refused daemon status
    daemon stop >/dev/null 2>&1
    try "stop leaves a stranger alone" kill -0 "$stranger"
    try "start goes past a stranger's number" daemon start
    try "the daemon answers past a stranger's number" answers
    kill "$stranger"
}

# OpenRC's own supervisor recovers, if an administrator chooses it.
daemon_is_supervised() {
    daemon stop >/dev/null 2>&1
    echo 'supervisor=supervise-daemon' >>"$(settings)"
    try "start under supervise-daemon" daemon start
    try "the supervised daemon answers" soon answers
    try "the supervised daemon reloads" changes_limit 28
    try "a killed daemon is started by its supervisor" new_pid killed_and_back
    try "status under supervise-daemon is 0" daemon status
    try "stop under supervise-daemon" daemon stop
    try "stop under supervise-daemon leaves nothing" nothing_left
    sed -i '/^supervisor=/d' "$(settings)"
    limits 27
    try "start without supervise-daemon again" daemon start
}

killed_and_back() {
    kill_daemon && soon answers
}

# The kernel's default limit for init is 4,096.
may_open() {
    awk '/^Max open files/ { print $5 }' "/proc/$(pid)/limits" | tee /dev/stderr | { read -r limit && [ "$limit" -ge "$1" ]; }
}

# The first tests of each boot.

came_up() {
    try "the service came up at boot $boot" daemon status
    try "the daemon answers at boot $boot" answers
    try "it may open files for all clients at boot $boot" may_open 16384
    # In boot 5 the daemon starts after networking.
    [ "$boot" = 5 ] ||
        try "it was there before networking at boot $boot" refused grep "boot $boot start.*dummy0" /vm/hooks
}

# The daemon's hook records its starts and stops, and whether networking came first.
enable_service() {
    printf '%s\n' 'log_level = 2' "log_outputs = \"2:file:$log\"" >>"$configuration"
    mkdir -p /etc/libvirt/hooks
    cat >/etc/libvirt/hooks/daemon <<'END'
#!/bin/sh
echo "boot $(cat /vm/boots) $2 $(cd /sys/class/net && echo *)" >>/vm/hooks
END
    chmod +x /etc/libvirt/hooks/daemon
    case $flavour in
    openrc)
        # Debian's OpenRC has networking in this run level.
        rc-update add virtinterfaced sysinit
        sed -i '/pre-up/a\    pre-up /vm/host-tests.sh found networking' /etc/network/interfaces
        # A service by which a remote administrator logs in.
        cat >/etc/init.d/way-in <<'END'
#!/sbin/openrc-run
depend() { after networking virtinterfaced; }
start() { /vm/host-tests.sh found way-in; }
END
        chmod +x /etc/init.d/way-in
        rc-update add way-in default
        ;;
    sysvinit)
        update-rc.d virtinterfaced-rollback defaults
        update-rc.d virtinterfaced defaults
        ;;
    esac
}

stopped_in_order() {
    cat /vm/hooks
    [ "$(grep '^boot 1' /vm/hooks | tail -n 1 | cut -d ' ' -f 3)" = shutdown ]
}

answers_without_networking() {
    ifquery --list | grep nowhere0 && refused ifquery --state nowhere0 && answers
}

# Replaces the manual installation with the package.
package_is_used() {
    daemon stop >/dev/null 2>&1
    update-rc.d virtinterfaced remove >/dev/null 2>&1
    update-rc.d virtinterfaced-rollback remove >/dev/null 2>&1
    update-rc.d virtinterfaced-online remove >/dev/null 2>&1
    (cd /vm/tree && find . ! -type d) | while read -r file; do rm -f "/$file"; done
    rm -f "$configuration"
    try "the package is installed" dpkg -i /vm/virtinterfaced.deb
    try "the package's daemon is started and answers" answers
    try "the package's services will be started at boot" \
        ls /etc/rcS.d/S??virtinterfaced /etc/rcS.d/S??virtinterfaced-rollback
    limits 23
    try "the package over itself makes a new process" new_pid dpkg -i /vm/virtinterfaced.deb
    try "the package over itself keeps the configuration" limit_is 23
    try "the package is purged" dpkg -P virtinterfaced
    try "a purge leaves no process, socket or pid file" nothing_left
    try "a purge leaves no file" package_left_nothing
}

package_left_nothing() {
    ls -d /etc/rc?.d/*virtinterfaced* && return 1
    dpkg -s virtinterfaced && return 1
    while read -r file; do
        [ ! -e "$file" ] || { echo "$file is left" && return 1; }
    done </vm/package-files
}

# Changes of the network during which the power fails.

interface() {
    command=$1
    shift
    virsh -c interface:///system "iface-$command" "$@"
}

defines_nic() {
    cat >/run/eth0.xml <<'END'
<interface type='ethernet' name='eth0'>
  <start mode='onboot'/>
  <protocol family='ipv4'>
    <ip address='198.51.100.2' prefix='24'/>
    <route gateway='198.51.100.1'/>
  </protocol>
</interface>
END
    interface define /run/eth0.xml && interface start eth0
}

bridges_nic() {
    interface bridge eth0 br0 --no-stp && is_carried_by br0 && refused is_carried_by eth0
}

unbridges_nic() {
    interface unbridge br0 && is_carried_by eth0 && [ ! -e /sys/class/net/br0 ]
}

# The definitions, byte for byte, with modes and owners.
definitions() {
    (cd /etc/libvirt/interface && cksum ./* && stat -c '%n %a %u %g' ./*)
}

# The seconds of a lease count down meanwhile.
network() {
    ip -o -4 address | sed 's/ [0-9]*sec/ SECONDS/g' && ip route
}

# Records the state that a service finds when it is started.
found() {
    network >"/run/found-by-$1.network"
    definitions >"/run/found-by-$1.definitions"
}

# is_carried_by LINK [FILE]: the link has the host's address and the default route, now or in a
# recorded state.
is_carried_by() {
    [ "$#" = 2 ] || { network >/run/the-network && set -- "$1" /run/the-network; }
    cat "$2" && grep -q " $1 .*inet 198.51.100.2/24 " "$2" &&
        grep -q "^default via 198.51.100.1 dev $1 " "$2"
}

has_found() {
    is_carried_by "$2" "/run/found-by-$1.network" &&
        [ "$(grep -c 'inet 198' "/run/found-by-$1.network")" = 1 ]
}

has_found_definitions() {
    diff "/vm/definitions.$2" "/run/found-by-$1.definitions"
}

# Records the state that a rollback must restore. From here on the tests do not sync the disk, so
# data that the daemon does not sync itself is lost with the power.
remembers_definitions() {
    definitions | tee "/vm/definitions.$1"
    sync
}

power_fails() {
    echo "-- boot $boot: the power fails"
    exec sleep 1000
}

change_is_left_open() {
    try "a NIC is defined and started" defines_nic
    try "its definition is remembered" remembers_definitions nic
    try "a change begins" interface begin
    try "in the change, the NIC becomes a port of a bridge" bridges_nic
    power_fails
}

change_was_undone() {
    try "a remote login finds the NIC restored" has_found way-in eth0
    try "a remote login finds the definitions restored" has_found_definitions way-in nic
    try "the bridge is gone" test ! -e /sys/class/net/br0
    try "there is no change to commit" refused interface commit
}

change_is_committed() {
    try "a change begins after one was rolled back" interface begin
    try "in that change, the NIC becomes a port of a bridge" bridges_nic
    try "the change is committed" interface commit
    power_fails
}

change_was_kept() {
    try "a remote login finds the bridge" has_found way-in br0
    try "the bridge's definition is there" test -s /etc/libvirt/interface/br0.xml
    try "the NIC has none" test ! -e /etc/libvirt/interface/eth0.xml
    try "the committed change cannot be rolled back" refused interface rollback
}

# The daemon starts after the network, and the rollback service before it.
daemon_comes_late() {
    rc-update del virtinterfaced sysinit && rc-update add virtinterfaced default &&
        rc-update add virtinterfaced-rollback sysinit
}

change_is_left_to_a_late_daemon() {
    try "the daemon is to come late" daemon_comes_late
    try "the services' order has no loop then either" refused loop
    try "the bridge's definition is remembered" remembers_definitions bridge
    try "a third change begins" interface begin
    try "in the third change, the NIC is taken from the bridge" unbridges_nic
    power_fails
}

change_was_undone_early() {
    try "networking finds the definitions as they were" has_found_definitions networking bridge
    try "the service that rolls back has done it" rc-service virtinterfaced-rollback status
    try "the late daemon brings the bridge up" soon is_carried_by br0
}

ends_bridge() {
    interface destroy br0
    interface undefine br0 && ip address flush dev eth0
}

case ${1-} in
enable) enable_service; services_note_times; exit ;;
found) found "$2"; exit 0 ;;
esac
exec >/dev/ttyS1 2>/dev/console
echo "-- boot $boot: the host is up"
came_up
case $boot in
1)
    service_is_used
    cp /etc/network/interfaces /vm
    printf 'auto nowhere0\niface nowhere0 inet static\n    address 192.0.2.2/32\n' >>/etc/network/interfaces
    network_is_late
    echo "-- boot 1: the host goes down"
    reboot
    exit
    ;;
2)
    network_comes_late
    try "the daemon was stopped before the reboot" stopped_in_order
    try "the configuration is that of before the reboot" limit_is 27
    try "the daemon is there though networking failed" answers_without_networking
    network_is_the_hosts
    [ "$flavour" != sysvinit ] || host_has_a_network
    [ ! -e /vm/virtinterfaced.deb ] || package_is_used
    [ "$flavour" != openrc ] || change_is_left_open
    ;;
3)
    change_was_undone
    change_is_committed
    ;;
4)
    change_was_kept
    change_is_left_to_a_late_daemon
    ;;
5)
    change_was_undone_early
    dhcp_server_starts
    try "the bridge is ended" ends_bridge
    host_has_a_network
    ;;
esac
echo end
poweroff

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the test hosts try, as root, from inside: once "enable" when the daemon was just installed, and
# then at the end of each boot. Boot 1 tries what an administrator does with a service, boot 2 whether
# all of it is as it was, and on a sysvinit host the package. Says how it goes on the second serial line.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
flavour=$(cat /vm/flavour)
boot=$(cat /vm/boots 2>/dev/null)
pid_file=/run/virtinterfaced.pid
sockets="virtinterfaced-sock virtinterfaced-sock-ro virtinterfaced-admin-sock"
configuration=/etc/libvirt/virtinterfaced.conf
output=/run/host-tests.output

# One failure does not hold up what follows: try NAME COMMAND...
try() {
    name=$1
    shift
    if "$@" >"$output" 2>&1 </dev/null; then
        echo "ok $name"
    else
        echo "FAIL $name: status $?: $(tail -n 3 "$output" | tr '\n' ' ')"
        # For whoever reads the console.
        { echo "== $name" && cat "$output"; } >/dev/console
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

# Until it holds, for ten seconds.
soon() {
    tries=50
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.2
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

# The daemon's process id, if its file names one that is alive.
pid() {
    read -r pid <"$pid_file" && [ "$(cat "/proc/$pid/comm")" = virtinterfaced ] && echo "$pid"
}

# virsh lists each interface of the kernel, and no other.
answers() {
    pid &&
        virsh -c interface:///system iface-list --all >/run/listed &&
        awk 'NR > 2 && NF { print $1 }' /run/listed | sort >/run/names &&
        cat /run/listed && (cd /sys/class/net && printf '%s\n' *) | sort | diff - /run/names &&
        virt-admin -c virtinterfaced:///system server-list | grep virtinterfaced
}

same_pid() {
    before=$(pid) && "$@" && echo "$before, then $(pid)" && [ "$(pid)" = "$before" ] && answers
}

new_pid() {
    before=$(pid) && "$@" && echo "$before, then $(pid)" && pid && [ "$(pid)" != "$before" ] && answers
}

nothing_left() {
    for file in "$pid_file" /run/libvirt/interface/driver.pid; do
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
    try "stop when stopped is no failure" daemon stop
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

# Recovery by the init script: the files of the killed daemon are in its way.
daemon_is_killed() {
    crashed=1
    # OpenRC has a status of its own for that.
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

# Recovery by OpenRC's own supervisor, for those who choose it.
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

# What both boots try first.

came_up() {
    try "the service came up at boot $boot" daemon status
    try "the daemon answers at boot $boot" answers
    try "it was there before networking at boot $boot" refused grep "boot $boot start.*dummy0" /vm/hooks
}

# The daemon's hook notes when it starts and stops, and whether networking came first.
enable_service() {
    mkdir -p /etc/libvirt/hooks
    cat >/etc/libvirt/hooks/daemon <<'END'
#!/bin/sh
echo "boot $(cat /vm/boots) $2 $(cd /sys/class/net && echo *)" >>/vm/hooks
END
    chmod +x /etc/libvirt/hooks/daemon
    case $flavour in
    # Debian's OpenRC has networking in this run level.
    openrc) rc-update add virtinterfaced sysinit ;;
    sysvinit) update-rc.d virtinterfaced defaults ;;
    esac
}

stopped_in_order() {
    cat /vm/hooks
    [ "$(grep '^boot 1' /vm/hooks | tail -n 1 | cut -d ' ' -f 3)" = shutdown ]
}

answers_without_networking() {
    ifquery --list | grep nowhere0 && refused ifquery --state nowhere0 && answers
}

# The package takes the place of what was installed by hand.
package_is_used() {
    daemon stop >/dev/null 2>&1
    update-rc.d virtinterfaced remove >/dev/null 2>&1
    (cd /vm/tree && find . ! -type d) | while read -r file; do rm -f "/$file"; done
    rm -f "$configuration"
    try "the package is installed" dpkg -i /vm/virtinterfaced.deb
    try "the package's daemon is started and answers" answers
    try "the package's service will be started at boot" ls /etc/rcS.d/S??virtinterfaced
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

if [ "${1-}" = enable ]; then
    enable_service
    exit
fi
exec >/dev/ttyS1 2>/dev/console
echo "-- boot $boot: the host is up"
came_up
if [ "$boot" = 1 ]; then
    service_is_used
    printf 'auto nowhere0\niface nowhere0 inet static\n    address 192.0.2.2/32\n' >>/etc/network/interfaces
    echo "-- boot 1: the host goes down"
    reboot
else
    try "the daemon was stopped before the reboot" stopped_in_order
    try "the configuration is that of before the reboot" limit_is 27
    try "the daemon is there though networking failed" answers_without_networking
    [ ! -e /vm/virtinterfaced.deb ] || package_is_used
    echo end
    poweroff
fi

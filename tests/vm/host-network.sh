# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# The files use each other's functions and variables.
# shellcheck disable=SC2034,SC2154
# Networks of the test hosts: parts that are late at boot, and DHCP clients and managers of the
# host. A part of host-tests.sh, which defines the functions used here.
#
# The NIC eth0 is wired to the NIC "beyond", which stands for the rest of the network: it is in a
# namespace of its own, with the DHCP server. A third NIC, eth1, has no driver until the tests add
# it.

server=/run/beyond
log=/var/log/virtinterfaced.log

# Stages for the machine: see boot.sh.
cable() {
    echo "-- boot $boot: set_link eth0 $1" >/dev/ttyS1
}

# Starts the rest of the network.
network_is_there() {
    [ -e /run/netns/beyond ] && return
    mkdir -p "$server"
    ip netns add beyond
    ip link set beyond netns beyond
    ip -n beyond address add 198.51.100.1/24 dev beyond
    ip -n beyond link set beyond up
}

dhcp_server_starts() {
    network_is_there
    ip netns exec beyond dnsmasq --conf-file=/dev/null --port=0 --interface=beyond --bind-interfaces \
        --dhcp-authoritative --dhcp-range=198.51.100.100,198.51.100.150,255.255.255.0,120 --no-ping \
        --dhcp-leasefile="$server/leases" --log-dhcp --log-facility="$server/log" --user=root \
        --pid-file="$server/pid"
}

dhcp_server_stops() {
    kill "$(cat "$server/pid")"
    rm "$server/pid"
}

# server_said PATTERN: the server's log contains this since the tests last cleared it.
server_said() {
    grep -E "$1" "$server/log"
}

# The leased addresses of a link.
leased() {
    ip -4 -o address show dev "$1" | sed -n 's/.* inet \(198\.51\.100\.1..\/24\) .*/\1/p'
}

has_lease() {
    [ "$(leased "$1" | wc -l)" = 1 ]
}

has_no_lease() {
    [ -z "$(leased "$1")" ]
}

is_default() {
    ip -4 route show default | tee /dev/stderr | grep -q "via 198.51.100.1 dev $1 "
}

has_address() {
    ip -4 -o address show dev "$1" | grep -q " $2 "
}

is_active() {
    interface list | tee /dev/stderr | grep -q "^ *$1 .* active"
}

# Parts of the network that are late at boot.

# Installs services that record their start: one that needs the network, and one that does not.
services_note_times() {
    case $flavour in
    openrc)
        printf '#!/sbin/openrc-run\ndepend() { need net; }\nstart() { cp /proc/uptime /run/started-with-network; }\n' \
            >/etc/init.d/with-network
        printf '#!/sbin/openrc-run\ndepend() { after virtinterfaced; }\nstart() { cp /proc/uptime /run/started-beside; }\n' \
            >/etc/init.d/beside
        chmod +x /etc/init.d/with-network /etc/init.d/beside
        for service in virtinterfaced-online with-network beside; do
            rc-update add "$service" default
        done
        ;;
    sysvinit)
        service_notes_time with-network "\$network" 2
        service_notes_time beside virtinterfaced S
        for service in virtinterfaced-online with-network beside; do
            update-rc.d "$service" defaults
        done
        ;;
    esac
    echo VIRTINTERFACED_ONLINE_TIMEOUT=20 >>"$(online_settings)"
}

# service_notes_time NAME NEEDS RUNLEVEL
service_notes_time() {
    cat >"/etc/init.d/$1" <<END
#!/bin/sh
### BEGIN INIT INFO
# Provides:          $1
# Required-Start:    $2
# Required-Stop:
# Default-Start:     $3
# Default-Stop:
# Short-Description: $1
### END INIT INFO
cp /proc/uptime /run/started-$1
END
    chmod +x "/etc/init.d/$1"
}

online_settings() {
    case $flavour in
    openrc) echo /etc/conf.d/virtinterfaced-online ;;
    sysvinit) settings ;;
    esac
}

# waited_for_network SECONDS: the service that needs the network started that much later than the
# other.
waited_for_network() {
    read -r beside _ </run/started-beside
    read -r after _ </run/started-with-network
    echo "$beside, then $after"
    [ $((${after%.*} - ${beside%.*})) -ge "$1" ]
}

network_is_late() {
    mkdir -p /etc/libvirt/interface
    cat >/etc/libvirt/interface/eth0.xml <<'END'
<interface type='ethernet' name='eth0'>
  <start mode='onboot'/>
  <protocol family='ipv4'><dhcp/></protocol>
</interface>
END
    cat >/etc/libvirt/interface/br1.xml <<'END'
<interface type='bridge' name='br1'>
  <start mode='onboot'/>
  <protocol family='ipv4'><ip address='203.0.113.1' prefix='24'/></protocol>
  <bridge stp='off'><interface type='ethernet' name='eth1'/></bridge>
</interface>
END
    cable off
}

has_no_carrier() {
    [ "$(cat "/sys/class/net/$1/carrier")" = 0 ]
}

# Binds the third NIC to its driver.
nic_appears() {
    for device in /sys/bus/virtio/devices/*; do
        [ -e "$device/driver" ] || echo "${device##*/}" >/sys/bus/virtio/drivers/virtio_net/bind
    done
    soon test -e /sys/class/net/eth1
}

is_port() {
    ip link show "$1" | tee /dev/stderr | grep -q "[<,]UP[,>].* master $2 "
}

server_is_away_for_long() {
    dhcp_server_stops
    patiently has_no_lease eth0
}

network_comes_late() {
    try "what needs the network waits for the lease up to the limit" patiently waited_for_network 18
    try "without cable and server, the NIC is up" is_active eth0
    try "it has no carrier" has_no_carrier eth0
    try "without its NIC, the bridge is up" has_address br1 203.0.113.1/24
    cable on
    try "the cable is plugged in" patiently refused has_no_carrier eth0
    try "without the server there is no lease" has_no_lease eth0
    try "the DHCP server comes" dhcp_server_starts
    try "the lease comes when the server does" patiently has_lease eth0
    try "so does its route" soon is_default eth0
    try "a NIC appears" nic_appears
    try "it becomes the bridge's port" soon is_port eth1 br1
    try "the server goes, and the lease ends" server_is_away_for_long
    try "the server is back" dhcp_server_starts
    try "the lease is back with it" patiently has_lease eth0
    try "the host's interfaces are ended" ends_interfaces
}

ends_interfaces() {
    # virsh 9.0 fails after it has destroyed a link that vanishes.
    for link in eth0 br1; do
        interface destroy "$link"
        interface undefine "$link" || return
    done
    ip link set eth1 down
    has_no_lease eth0 && refused interface dumpxml br1
}

# A DHCP client that the host's own scripts have started.

# The DHCP clients of the host, each with its command line, without child processes and parts of
# dhcpcd.
clients() {
    grep -lxE 'dhclient|udhcpc|busybox|dhcpcd' /proc/[0-9]*/comm 2>/dev/null | while read -r file; do
        tr '\0' ' ' <"${file%comm}cmdline"
        echo
    done 2>/dev/null | sed -e '/^dhcpcd: \[[^m]/d' -e '/^[^ ]*virtinterfaced-lease/d' -e '/^$/d' -e 's/ $//'
}

# Exactly one client runs, with this in its command line.
only_client() {
    clients | tee /dev/stderr >/run/clients
    [ "$(wc -l </run/clients)" = 1 ] && grep -qF -- "$1" /run/clients
}

# owns_lease COMMAND...: starts the host's own client, which gets a lease; records its command line.
owns_lease() {
    "$@" && soon has_lease eth0 && soon only_client eth0 && cp /run/clients /run/own-client &&
        leased eth0 >/run/own-lease
}

lease_is_at() {
    leased "$1" | diff /run/own-lease - && soon is_default "$1"
}

goes_on_at_bridge() {
    interface bridge eth0 br0 --no-stp
    soon only_client br0 && lease_is_at br0 && has_no_lease eth0 && is_renewed
}

# The new client renews the lease, which the server neither refuses nor gets back.
is_renewed() {
    : >"$server/log"
    # A client renews after half of the lease time.
    patiently server_said DHCPACK && refused server_said 'DHCPNAK|DHCPRELEASE'
}

is_given_back() {
    soon client_is_the_one_before && patiently lease_is_at eth0
}

client_is_the_one_before() {
    clients | diff /run/own-client -
}

unbridges() {
    interface unbridge br0 && [ ! -e /sys/class/net/br0 ] && is_given_back
}

is_rolled_back() {
    interface begin && interface bridge eth0 br0 --no-stp && soon only_client br0 &&
        interface rollback && [ ! -e /sys/class/net/br0 ] && is_given_back
}

# lease_of_the_host CLIENT COMMAND...: tests the client that the command starts.
lease_of_the_host() {
    client=$1
    shift
    try "the host has a lease by $client" owns_lease "$@"
    try "$client: the lease goes on at a bridge" goes_on_at_bridge
    try "$client: unbridge gives the client back" unbridges
    try "$client: a rollback gives the client back" is_rolled_back
}

network_is_the_hosts() {
    cp /vm/interfaces /etc/network
    dhcp_server_stops
    dhcp_server_starts
    printf 'auto eth0\niface eth0 inet dhcp\n' >>/etc/network/interfaces
    lease_of_the_host "ifup's dhclient" ifup eth0
    ifdown eth0 >/dev/null 2>&1
    lease_of_the_host udhcpc udhcpc -n -p /run/udhcpc.eth0.pid -i eth0
    kill "$(cat /run/udhcpc.eth0.pid)"
    ip address flush dev eth0
    lease_of_the_host dhcpcd dhcpcd eth0
    dhcpcd -k eth0 >/dev/null 2>&1
    ip address flush dev eth0
    cp /vm/interfaces /etc/network
}

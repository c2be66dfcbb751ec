# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# The files use each other's functions and variables.
# shellcheck disable=SC2034,SC2154
# Tests the manual's chapter "Your host already has a network" with the real programs on the test
# hosts. A part of host-tests.sh, after host-network.sh.
#
#   a topic of the chapter                is tested by
#   two managers undo each other's work   beneath_bridge
#   the warnings, and when they come      is_warned_of, at each manager
#   what to do, and that it helps         heeds_the_warning, at each manager
#   ifupdown, its files and its words     ifupdown_manages
#   ifup after a bridge, iface-start      beneath_bridge
#   netifrc                               netifrc_manages
#   BusyBox's ifup, its file              ifupdown_manages, after busybox_ifup_comes
#   dhcpcd                                dhcpcd_manages, newer_dhcpcd_manages
#   connman                               connman_manages
#   NetworkManager                        network_manager_manages
#   libvirtd                              libvirtd_is_beside
# systemd-networkd and netifd do not run on such hosts: tests/netns/managers.rs imitates their
# files.

# Defines a bridge over the NIC.
defines_bridge() {
    cat >/run/br0.xml <<'END'
<interface type='bridge' name='br0'>
  <protocol family='ipv4'><ip address='198.51.100.2' prefix='24'/></protocol>
  <bridge stp='off'><interface type='ethernet' name='eth0'/></bridge>
</interface>
END
    interface define /run/br0.xml
}

# Defines a VLAN of the NIC.
defines_vlan() {
    cat >/run/vlan.xml <<'END'
<interface type='vlan' name='eth0.5'><vlan tag='5'><interface name='eth0'/></vlan></interface>
END
    interface define /run/vlan.xml
}

# warned TEXT COMMAND...: the command adds a line with this text to the log.
warned() {
    text=$1
    shift
    before=$(grep -cF -- "$text" "$log")
    "$@"
    tail -n 5 "$log"
    [ "$(grep -cF -- "$text" "$log")" -gt "$before" ]
}

not_warned() {
    lines=$(wc -l <"$log")
    "$@" || return
    tail -n "+$((lines + 1))" "$log" | tee /dev/stderr | refused grep -q 'manages eth0'
}

# is_warned_of MANAGER TEXT: the daemon warns when a bridge or a VLAN over the NIC is defined, and
# when it starts. Another test covers the start of a bridge.
is_warned_of() {
    try "$1: a definition of a bridge warns" warned "$2" defines_bridge
    try "$1: a definition of a VLAN warns" warned "$2" defines_vlan
    try "$1: a start of the daemon warns" warned "$2" daemon restart
}

# To be called after the advice of the warning was followed.
heeds_the_warning() {
    try "$1: what the warning says helps" not_warned defines_bridge
    try "$1: the daemon does not warn then either" not_warned daemon restart
    undefines
}

undefines() {
    interface undefine eth0.5
    interface undefine br0
} >/dev/null 2>&1

# is_refused TEXT COMMAND...: the command is refused with this text, and changes nothing.
is_refused() {
    text=$1
    shift
    network >/run/network.before
    "$@" >/run/refusal 2>&1 && return 1
    cat /run/refusal
    network | diff /run/network.before - && grep -qF -- "$text" /run/refusal
}

bridges_with_lease() {
    interface bridge eth0 br0 --no-stp
    soon has_lease br0 && soon only_client br0
}

# Writes a stanza to a file that /etc/network/interfaces includes.
stanza() {
    mkdir -p /etc/network/interfaces.d
    cp /vm/interfaces /etc/network/interfaces
    echo 'source /etc/network/interfaces.d/lan' >>/etc/network/interfaces
    printf '%s\n' "$@" >/etc/network/interfaces.d/lan
}

ifupdown_manages() {
    ifupdown_is_found "$1"
    beneath_bridge
    stanza
    heeds_the_warning "$1"
}

# Tests the warnings for the file of ifupdown, which all of its variants share.
ifupdown_is_found() {
    who=$1
    place="(/etc/network/interfaces.d/lan"
    for line in 'allow-hotplug eth0' 'auto eth0' 'iface eth0 inet manual'; do
        stanza '# the lan' "$line"
        try "$who: a link counts by $line" warned "ifupdown manages eth0 $place:2): remove eth0 from" defines_bridge
    done
    stanza 'iface br7 inet manual' '    bridge_ports eth0'
    try "$who: a link counts as a port" warned "ifupdown manages eth0 $place:2): remove eth0 from" defines_bridge
    undefines
    stanza 'auto eth0' 'iface eth0 inet dhcp'
    is_warned_of "$who" "ifupdown manages eth0 $place:1): remove eth0 from that file"
    undefines
}

# Restarts the network as the host's service does it. That of the hosts with BusyBox is two commands.
network_restarts() {
    case $who in
    BusyBox) ifdown -a; ifup -a ;;
    *) networking restart ;;
    esac
}

has_both() {
    has_lease eth0 && has_lease br0
}

# Tests the effect of the network's service on a bridge that has taken its NIC.
beneath_bridge() {
    try "$who has a lease" owns_lease ifup eth0
    try "$who: a bridge takes it over, and its start warns" warned "ifupdown manages eth0 $place:1)" bridges_with_lease
    if [ "$who" = BusyBox ]; then
        try "$who: a restart of the network fails for the port" refused network_restarts
    else
        network_restarts >/dev/null 2>&1
    fi
    # ifupdown-ng notices that dhcpcd has left the NIC, and does nothing.
    if [ "$who" = ifupdown ]; then
        try "$who: a restart of the network gives the NIC the address a second time" patiently has_both
        try "$who: a start of the bridge takes it away" interface start br0
    fi
    try "$who: the bridge alone has it, by one client" alone_has br0
    stanza
    try "$who: without the stanza a restart of the network leaves the bridge alone" leaves_alone network_restarts
    interface destroy br0
    undefines
}

alone_has() {
    soon has_no_lease eth0 && soon has_lease "$1" && soon only_client "$1" && soon is_default "$1"
}

leaves_alone() {
    clients >/run/clients.before
    "$@"
    clients | diff /run/clients.before - && alone_has br0 && ip link show eth0 | grep -q 'master br0'
}

# netifrc's services and its file, with our script instead of its own.

netifrc_manages() {
    cat >/etc/init.d/net.eth0 <<'END'
#!/sbin/openrc-run
start() { ip link set eth0 up; }
END
    chmod +x /etc/init.d/net.eth0
    cp /etc/init.d/net.eth0 /etc/init.d/net.br7
    : >/etc/conf.d/net
    place='netifrc manages eth0 (/etc/'
    rc-update add net.eth0 default >/dev/null
    try "netifrc: a link counts whose service is in a runlevel" warned "${place}runlevels/default/net.eth0)" defines_bridge
    rc-update del net.eth0 default >/dev/null
    try "netifrc: no link counts whose service is in none" not_warned defines_bridge
    rc-service net.eth0 start >/dev/null 2>&1
    try "netifrc: a link counts whose service was started" warned "netifrc manages eth0 (/run/openrc/started/net.eth0)" defines_bridge
    rc-service net.eth0 stop >/dev/null 2>&1
    for variable in bridge slaves; do
        printf '\n%s_br7="eth1 eth0"\n' "$variable" >/etc/conf.d/net
        try "netifrc: $variable of a service in no runlevel does not count" not_warned defines_bridge
        rc-update add net.br7 default >/dev/null
        try "netifrc: a link counts in $variable" warned "${place}conf.d/net:2)" defines_bridge
        rc-update del net.br7 default >/dev/null
    done
    undefines
    rc-update add net.eth0 default >/dev/null
    printf 'config_eth0="dhcp"\n' >/etc/conf.d/net
    is_warned_of netifrc "${place}conf.d/net:1): remove eth0 from /etc/conf.d/net, and net.eth0 from its runlevel"
    rc-update del net.eth0 default >/dev/null
    : >/etc/conf.d/net
    heeds_the_warning netifrc
}

# A dhcpcd that manages all links.

dhcpcd_starts() {
    dhcpcd -b && soon pidof dhcpcd && patiently has_lease eth0
}

# Installs a dhcpcd that accepts commands, unlike the earlier one.
newer_dhcpcd_comes() {
    dpkg -i --force-depends --force-confold /packages/dhcpcd-base_*.deb && dhcpcd --version | grep '^dhcpcd 10'
}

newer_dhcpcd_manages() {
    try "dhcpcd 10 takes the place of dhcpcd 9" newer_dhcpcd_comes
    printf 'nodev\nduid\npersistent\ndenyinterfaces dummy0 eth1\n' >/etc/dhcpcd.conf
    dhcp_server_stops
    dhcp_server_starts
    try "dhcpcd 10 has a lease for the NIC" manager_owns_lease
    try "dhcpcd 10: the lease goes on at a bridge" goes_on_by_manager
    try "dhcpcd 10: a restart does not take the port for long" manager_is_restarted
    try "dhcpcd 10: unbridge gives it its link back" unbridges
    try "dhcpcd 10: a rollback gives it its link back" is_rolled_back_to_manager
    printf 'nodev\ndenyinterfaces dummy0 eth1 br*\n' >/etc/dhcpcd.conf
    # It has yet to request its lease again, and changes its routes then.
    sleep 5
    try "dhcpcd 10: a bridge that it must not have is refused" is_refused "configuration excludes br0" interface bridge eth0 br0 --no-stp
    undefines
    dhcpcd -x >/dev/null 2>&1
    soon refused pidof dhcpcd
    ip address flush dev eth0
    echo nodev >/etc/dhcpcd.conf
}

# As owns_lease, for a manager whose command line does not show its links.
manager_owns_lease() {
    dhcpcd_starts && soon only_client '[manager]' && cp /run/clients /run/own-client && leased eth0 >/run/own-lease
}

has_link() {
    dhcpcd -U "$1" | grep -q "interface='*$1"
}

is_managers() {
    soon has_link "$1" && soon refused has_link "$2" && client_is_the_one_before && patiently lease_is_at "$1" &&
        has_no_lease "$2"
}

# Every packet arrives, except while the manager replaces the address.
pings() {
    # Under a name that is not a DHCP client's.
    ln -sf /bin/busybox /run/ping
    /run/ping -q -c 200 -i 0.1 -W 2 198.51.100.1 >/run/pings 2>&1
}

goes_on_by_manager() {
    pings &
    pinging=$!
    interface bridge eth0 br0 --no-stp
    is_managers br0 eth0 && is_renewed || return
    wait "$pinging"
    cat /run/pings
    [ "$(sed -n 's/.* \([0-9]*\) packets received.*/\1/p' /run/pings)" -ge 195 ]
}

manager_is_restarted() {
    dhcpcd -x
    soon refused pidof dhcpcd
    dhcpcd -b
    patiently is_managers br0 eth0
}

is_rolled_back_to_manager() {
    interface begin && interface bridge eth0 br0 --no-stp && soon has_link br0 &&
        interface rollback && [ ! -e /sys/class/net/br0 ] && is_managers eth0 br0
}

dhcpcd_manages() {
    # Without this, it would wait for udev.
    printf '%s\n' nodev 'denyinterfaces dummy0 eth1' >/etc/dhcpcd.conf
    try "dhcpcd has a lease for the NIC" dhcpcd_starts
    is_warned_of dhcpcd "): add 'denyinterfaces eth0' to /etc/dhcpcd.conf and restart dhcpcd"
    undefines
    try "dhcpcd: a bridge over its NIC is refused" is_refused "denyinterfaces eth0" interface bridge eth0 br0 --no-stp
    printf 'nodev\nallowinterfaces eth1\n' >/etc/dhcpcd.conf
    try "dhcpcd: what it is not allowed does not count" not_warned defines_bridge
    printf 'nodev\ndenyinterfaces eth0\n' >/etc/dhcpcd.conf
    dhcpcd -x >/dev/null 2>&1
    soon refused pidof dhcpcd
    dhcpcd -b >/dev/null 2>&1
    heeds_the_warning dhcpcd
    try "dhcpcd: a bridge over a NIC that it leaves alone" bridges_nic_by_address
    dhcpcd -x >/dev/null 2>&1
    echo nodev >/etc/dhcpcd.conf
}

bridges_nic_by_address() {
    ip address flush dev eth0
    ip address add 198.51.100.2/24 dev eth0
    ip link set eth0 up
    interface bridge eth0 br0 --no-stp
    has_address br0 198.51.100.2/24 && interface unbridge br0 && has_address eth0 198.51.100.2/24
    status=$?
    interface undefine eth0
    ip address flush dev eth0
    return "$status"
}

bus_starts() {
    mkdir -p /run/dbus
    dbus-daemon --system && soon test -S /run/dbus/system_bus_socket
}

# keeps_lease MANAGER FIX: the manager has a lease for the NIC.
keeps_lease() {
    is_warned_of "$1" "$2"
    undefines
    try "$1: a bridge over its NIC is refused" is_refused "$2" interface bridge eth0 br0 --no-stp
    # virsh defined the bridge before it was refused.
    undefines
    defines_nic_by_dhcp >/dev/null 2>&1
    try "$1: a DHCP client on its NIC is refused" is_refused "$2" interface start eth0
    interface undefine eth0 >/dev/null 2>&1
}

defines_nic_by_dhcp() {
    # The manager has an IPv4 lease.
    cat >/run/eth0.xml <<'END'
<interface type='ethernet' name='eth0'>
  <protocol family='ipv4'><dhcp/></protocol>
  <protocol family='ipv6'><dhcp/></protocol>
</interface>
END
    interface define /run/eth0.xml
}

connman_starts() {
    connmand && patiently has_lease eth0
}

connman_manages() {
    connman_leaves vmnet,dummy,lo,br,eth1
    try "connman has a lease for the NIC" connman_starts
    keeps_lease connman "add eth0 to NetworkInterfaceBlacklist in section [General] of /etc/connman/main.conf"
    kill "$(pidof connmand)"
    soon refused pidof connmand
    connmand -I eth0 >/dev/null 2>&1
    soon pidof connmand >/dev/null
    try "connman: what its option leaves out does not count" not_warned defines_bridge
    kill "$(pidof connmand)"
    soon refused pidof connmand
    connman_leaves vmnet,dummy,lo,br,eth
    connmand >/dev/null 2>&1
    soon pidof connmand >/dev/null
    heeds_the_warning connman
    try "connman: a bridge over a NIC that it leaves alone" bridges_nic_by_address
    kill "$(pidof connmand)"
    soon refused pidof connmand
    try "connman: what does not run does not count" not_warned defines_bridge
    undefines
}

connman_leaves() {
    printf '[General]\nNetworkInterfaceBlacklist=%s\n' "$1" >/etc/connman/main.conf
}

# A read-only /sys makes it treat the host as one without udev.
network_manager_starts() {
    unshare -m sh -c 'mount -o remount,bind,ro /sys && exec NetworkManager' && soon pidof NetworkManager
}

network_manager_has_lease() {
    network_manager_starts && nmcli device connect eth0 && patiently has_lease eth0
}

network_manager_leaves() {
    printf '[main]\nplugins=keyfile\nauth-polkit=false\n[keyfile]\nunmanaged-devices=%s\n' "$1" \
        >/etc/NetworkManager/NetworkManager.conf
}

network_manager_manages() {
    network_manager_leaves 'interface-name:dummy0;interface-name:br*'
    try "NetworkManager has a lease for the NIC" network_manager_has_lease
    kill "$(pidof NetworkManager)"
    soon refused pidof NetworkManager
    try "NetworkManager has the NIC after a restart, too" network_manager_has_lease
    keeps_lease NetworkManager "add 'unmanaged-devices=interface-name:eth0' to section [keyfile] of /etc/NetworkManager/NetworkManager.conf"
    kill "$(pidof NetworkManager)"
    soon refused pidof NetworkManager
    network_manager_leaves 'interface-name:eth0'
    network_manager_starts >/dev/null 2>&1
    sleep 5
    heeds_the_warning NetworkManager
    try "NetworkManager: a bridge over a NIC that it leaves alone" bridges_nic_by_address
    kill "$(pidof NetworkManager)"
    soon refused pidof NetworkManager
    try "NetworkManager: what does not run does not count" not_warned defines_bridge
    undefines
}

# libvirt's own daemon, which runs guests.

libvirtd_lists() {
    virsh -c 'interface+unix:///system?socket=/run/libvirt/libvirt-sock' iface-list --all |
        tee /dev/stderr | grep -q "^ *$1 "
}

libvirtd_starts() {
    # A user that libvirt-daemon-system would create; that package requires systemd or elogind.
    id libvirt-qemu 2>/dev/null || useradd --system --user-group libvirt-qemu
    LIBVIRT_LOG_OUTPUTS=2:file:/run/libvirtd.log libvirtd -d && patiently libvirtd_lists lo && return
    tail -n 20 /run/libvirtd.log
    return 1
}

libvirtd_is_beside() {
    try "libvirtd starts beside the daemon" libvirtd_starts
    try "the daemon answers beside it" answers
    try "a bridge beside libvirtd" bridges_nic_by_address
    try "the daemon starts beside libvirtd" new_pid daemon restart
    kill "$(pidof libvirtd)"
    soon refused pidof libvirtd
}

# Replaces ifupdown's programs with BusyBox's own, as on older releases of Alpine. The originals
# return later.
busybox_ifup_comes() {
    for name in ifup ifdown; do
        mv "/sbin/$name" "/sbin/$name.before" && ln -s /vm/busybox "/sbin/$name" || return
    done
    ifup --help 2>&1 | grep -i busybox
}

busybox_ifup_goes() {
    for name in ifup ifdown; do
        mv -f "/sbin/$name.before" "/sbin/$name"
    done
}

# On Debian with OpenRC: as on Alpine, but with ifupdown's service.
ifupdown_ng_comes() {
    dpkg -r --force-depends ifupdown && dpkg -i /packages/ifupdown-ng_*.deb && ifup --version
}

host_has_a_network() {
    case $flavour in
    openrc)
        netifrc_manages
        dhcpcd_manages
        try "ifupdown-ng takes the place of ifupdown" ifupdown_ng_comes
        ifupdown_manages ifupdown-ng
        newer_dhcpcd_manages
        ;;
    sysvinit)
        ifupdown_manages ifupdown
        try "BusyBox's ifup takes the place of ifupdown's" busybox_ifup_comes
        ifupdown_manages BusyBox
        busybox_ifup_goes
        bus_starts
        connman_manages
        network_manager_manages
        libvirtd_is_beside
        ;;
    esac
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! The script that DHCP clients run for each event of a lease: it configures address, routes and
//! name servers.
//!
//! The host's own scripts are not used: they remove every address from the link before they set
//! one, which interrupts connections and removes addresses of the definition, and a host with only
//! a busybox has none. This script changes only what the lease brought. An address that is on the
//! link already, with the same prefix, only gets its new lifetime, so that a lease moves to a
//! bridge without a gap. Events that end a lease before its expiry (STOP, RELEASE) change nothing:
//! the plan decides what a link loses when it is taken down.
//!
//! Servers are not trusted: the script refuses a lease that no host should take, and routes that
//! would divert the traffic of another link. An address without a lifetime that no lease has
//! brought belongs to the host, and leases do not change it. The script writes what it refused, and
//! why, to a file for the daemon (`LINK.FAMILY.refused`).
//!
//! The host has one file of name servers, so the script records what each lease brought and what
//! the file had before. It removes only the lease's part: when a lease expires, and when the daemon
//! reports its end.
//!
//! The clients need an executable file, and no file below /run is executable where /run is mounted
//! noexec, as on Debian. So they get a symbolic link to the daemon's program, which under that name
//! ([`NAME`]) becomes a shell that reads [`TEXT`].

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The daemon's program name when a client runs it as the script.
pub const NAME: &str = "virtinterfaced-lease";

/// The environment variable with the prefix of the paths of a lease's files.
pub(super) const STATE_VARIABLE: &str = "VIRTINTERFACED_LEASE";

/// The environment variable that says whether to take over name servers: `yes` or `no`.
pub(super) const PEER_DNS_VARIABLE: &str = "VIRTINTERFACED_PEERDNS";

/// The event with which the daemon calls the script after a client has ended for good.
pub(super) const END_EVENT: &str = "end";

/// The suffix of the file in which the script states what it refused.
pub(super) const REFUSED_SUFFIX: &str = "refused";

/// The mark, in the script's file of an address, of an address without a lifetime that a lease
/// brought.
pub(super) const LASTING: &str = "lasting";

/// Returns whether `program`, the name of this process, is that of the script.
pub fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(NAME))
}

/// Becomes the script. Returns only if the host has no shell.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let mut shell = Command::new("/bin/sh");
    // The error cannot be reported: the client's standard streams are /dev/null.
    let _ = shell.args(["-c", TEXT, NAME]).args(arguments).exec();
    ExitCode::FAILURE
}

/// The script. It quotes everything that a server may have put into a lease, and writes only
/// characters of host names to resolv.conf.
pub const TEXT: &str = r##"
# shellcheck disable=SC2154
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
state=${VIRTINTERFACED_LEASE:?} peerdns=${VIRTINTERFACED_PEERDNS:-yes}
dir=${state%/*}
command -v ip >/dev/null 2>&1 || ip() { busybox ip "$@"; }

# The first line of a file, or nothing.
line_of() {
    line=
    [ ! -r "$1" ] || read -r line <"$1"
}

# refuse TEXT: the daemon logs it.
refuse() {
    refused=${refused:+$refused; }$1
    printf '%s\n' "$refused" >"$state.refused.new" && mv "$state.refused.new" "$state.refused"
}

# 192.0.2.1 as a number.
number_of() {
    case $1 in
    '' | *[!0-9.]* | .* | *. | *..* | 0[0-9]* | *.0[0-9]*) return 1 ;;
    esac
    whole=$IFS IFS=.
    # shellcheck disable=SC2086
    set -- $1
    IFS=$whole number=0
    [ $# = 4 ] || return 1
    for octet; do
        [ "$octet" -le 255 ] || return 1
        number=$((number * 256 + octet))
    done
}

# Whether this can be a host's address: not 0, loopback, multicast or above.
is_host() {
    number_of "$1" && [ $((number >> 24)) -gt 0 ] && [ $((number >> 24)) -lt 224 ] &&
        [ $((number >> 24)) != 127 ]
}

# 255.255.255.0 is 24. A mask with holes is 0.
length_of() {
    length=0
    number_of "$1" || return 0
    while [ $length -lt 32 ] && [ $((number >> (31 - length) & 1)) = 1 ]; do
        length=$((length + 1))
    done
    [ $((number & ((1 << (32 - length)) - 1))) = 0 ] || length=0
}

# The line for an address in a file of the daemon's; nothing if the file is about another.
of_file() {
    if [ -r "$1" ]; then
        { read -r line && read -r lasting; } <"$1"
        [ "${line%/*}" = "$2" ] || lasting=
    fi
}

# Whether the link has this address without a lifetime, and not from an endless lease.
is_own() {
    here=$(ip -o address show dev "$interface" | grep -F " $1/" | grep -v ' dynamic ') || return 1
    line='' lasting=''
    of_file "$state.bound" "$1"
    [ -n "$line" ] || of_file "$state.wanted" "$1"
    [ -n "$here" ] && [ "$lasting" != lasting ]
}

# check_lease ADDRESS LENGTH SECONDS: whether a host may take this lease.
check_lease() {
    case $3 in
    '' | 0 | *[!0-9]*) refuse "the lease of $1 lasts for ${3:-no} seconds" ;;
    *)
        if ! is_host "$1"; then
            refuse "$1 is not a host address"
        elif [ "$2" -lt 1 ]; then
            refuse "$1 comes without a network mask"
        elif host=$((number & ((1 << (32 - $2)) - 1))) && [ "$2" -lt 31 ] &&
            { [ $host = 0 ] || [ $host = $(((1 << (32 - $2)) - 1)) ]; }; then
            refuse "$1/$2 is a network or its broadcast address"
        elif is_own "$1"; then
            refuse "$1 is the host's own address"
        else
            return 0
        fi
        ;;
    esac
    return 1
}

# The same for IPv6: check_lease6 ADDRESS SECONDS.
check_lease6() {
    case $1 in
    ::* | [fF][eEfF]*) refuse "$1 is not a host address" ;;
    *[!0-9a-fA-F:]* | '') refuse "the lease has no address" ;;
    *)
        case $2 in
        '' | 0 | *[!0-9]*) refuse "the lease of $1 lasts for ${2:-no} seconds" ;;
        *)
            is_own "$1" || return 0
            refuse "$1 is the host's own address"
            ;;
        esac
        ;;
    esac
    return 1
}

# forget_address FAMILY ADDRESS/LENGTH: one of an earlier lease goes, unless it is the host's own.
forget_address() {
    is_own "${2%/*}" || ip "-$1" address del "$2" dev "$interface"
}

# set_address FAMILY ADDRESS/LENGTH VALID PREFERRED: old busyboxes know no lifetimes. Another address
# goes first: beside it the new one would be a secondary, and go along with it.
set_address() {
    # An own address that is secondary to one that expires would go along with it.
    if [ "$1" = 4 ] && ip -4 -o address show dev "$interface" | grep ' secondary ' | grep -qv dynamic
    then
        echo 1 >"/proc/sys/net/ipv4/conf/$interface/promote_secondaries"
    fi
    line_of "$state.bound"
    [ -n "$line" ] || line_of "$state.wanted"
    [ -z "$line" ] || [ "$line" = "$2" ] || forget_address "$1" "$line"
    broadcast='' lasting=''
    [ "$1" = 6 ] || [ "${2#*/}" -gt 30 ] || broadcast="broadcast +"
    [ "$3" != 4294967295 ] || lasting=lasting
    # shellcheck disable=SC2086
    ip "-$1" address replace "$2" $broadcast dev "$interface" valid_lft "$3" preferred_lft "$4" ||
        { lasting=lasting && ip "-$1" address replace "$2" $broadcast dev "$interface"; } || return
    printf '%s\n' "$2" $lasting >"$state.bound"
    rm -f "$state.wanted"
}

# Sets the lease's routes, one a line: removes the old ones, adds the new ones.
set_routes() {
    if [ -r "$state.routes" ]; then
        while read -r route; do
            # shellcheck disable=SC2086
            printf '%s\n' "$1" | grep -qxF -e "$route" ||
                ip -4 route del $route dev "$interface" proto 16
        done <"$state.routes"
    fi
    printf '%s' "$1" >"$state.routes"
    # An existing route is not changed; a gateway may be outside the link's network.
    while read -r route; do
        # shellcheck disable=SC2086
        ip -4 route add $route dev "$interface" proto 16 ||
            ip -4 route add $route dev "$interface" proto 16 onlink
    done <"$state.routes"
}

# routes_by GATEWAY...: default routes.
routes_by() {
    routes=
    # One metric has one default route: the first that is offered.
    [ $# = 0 ] || add_route 0.0.0.0/0 "$1"
}

# routes_to NETWORK GATEWAY...: classless routes, which replace the others (RFC 3442).
routes_to() {
    routes=
    while [ $# -gt 1 ]; do
        add_route "$1" "$2"
        shift 2
    done
}

# add_route NETWORK GATEWAY: adds a route, if a lease may set it. 0.0.0.0 stands for the link itself.
add_route() {
    case $1 in
    0.0.0.0/0) to=default ;;
    *)
        to=$1
        if ! is_host "${1%/*}" || is_anothers "$number" "${1#*/}"; then
            refuse "a route to $1, which a lease may not set"
            return
        fi
        ;;
    esac
    if [ "$2" = 0.0.0.0 ]; then
        via=
    elif is_host "$2"; then
        via=" via $2"
    else
        refuse "a route to $1 over $2, which is not a host address"
        return
    fi
    routes="$routes$to$via
"
}

# is_anothers NUMBER LENGTH: whether this network is part of one that another link is on.
is_anothers() {
    for other in $(ip -4 -o address show | grep -vF ": $interface " |
        sed -n 's/.* \([0-9.]*\/[0-9]*\) .*/\1/p'); do
        wanted=$1 length=${other#*/}
        number_of "${other%/*}" && [ "$length" -gt 0 ] && [ "$length" -le "$2" ] &&
            [ $((number >> (32 - length))) = $((wanted >> (32 - length))) ] && return 0
    done
    return 1
}

# The same as octets: 24 192 0 2 192 0 2 1 is 192.0.2.0/24 by 192.0.2.1.
networks_of() {
    networks=
    while [ $# -gt 4 ]; do
        length=$1 network='' count=0
        shift
        while [ $count -lt 4 ]; do
            if [ $((count * 8)) -lt "$length" ]; then
                network="$network${network:+.}$1"
                shift
            else
                network="$network${network:+.}0"
            fi
            count=$((count + 1))
        done
        [ $# -ge 4 ] || return
        networks="$networks $network/$length $1.$2.$3.$4"
        shift 4
    done
}

# Two families of one link are two entries of resolvconf's.
entry_of() {
    case $state in
    *.ipv6) entry=$interface.dhcp6 ;;
    *) entry=$interface.dhcp ;;
    esac
}

# are_ours TEXT: whether a lease of the daemon's has brought this. The link of a file may begin with
# a dot.
are_ours() {
    for file in "$dir"/*.names "$dir"/.*.names; do
        [ ! -r "$file" ] || [ "$(cat "$file")" != "$1" ] || return 0
    done
    return 1
}

# set_names SEARCH SERVERS
set_names() {
    [ "$peerdns" = yes ] && [ -n "$2" ] || return 0
    case $1$2 in
    *[!A-Za-z0-9.:%_\ -]*) return 0 ;;
    esac
    names=
    [ -z "$1" ] || names="search $1
"
    for server in $2; do
        names="${names}nameserver $server
"
    done
    if command -v resolvconf >/dev/null 2>&1; then
        entry_of
        printf '%s' "$names" | resolvconf -a "$entry"
    else
        now=$(cat /etc/resolv.conf 2>/dev/null)
        are_ours "$now" || printf '%s\n' "$now" >"$dir/resolv.conf.before"
        # In place: the file may be a link, or mounted.
        [ "$now" = "${names%?}" ] || printf '%s' "$names" >/etc/resolv.conf
    fi
    printf '%s' "$names" >"$state.names"
}

# Undoes set_names, unless another program has changed the name servers since.
unset_names() {
    [ -r "$state.names" ] || return 0
    names=$(cat "$state.names")
    rm -f "$state.names"
    if command -v resolvconf >/dev/null 2>&1; then
        entry_of
        resolvconf -d "$entry"
        return
    fi
    # Another lease may have brought the same.
    [ "$(cat /etc/resolv.conf 2>/dev/null)" = "$names" ] && ! are_ours "$names" || return 0
    for file in "$dir"/*.names "$dir"/.*.names "$dir/resolv.conf.before"; do
        if [ -r "$file" ]; then
            cat "$file" >/etc/resolv.conf
            return
        fi
    done
}

# The lease has ended.
give_up() {
    line_of "$state.bound"
    [ -n "$line" ] || return 0
    case $state in
    *.ipv6) forget_address 6 "$line" ;;
    *)
        set_routes ""
        forget_address 4 "$line"
        ;;
    esac
    rm -f "$state.bound"
    unset_names
}

case ${1:-${reason:-}} in
bound | renew)
    length_of "${subnet:-255.255.255.255}"
    check_lease "$ip" "$length" "$lease" || exit
    set_address 4 "$ip/$length" "$lease" "$lease" || exit
    # shellcheck disable=SC2086
    if [ -n "${staticroutes:-}" ]; then routes_to $staticroutes; else routes_by ${router:-}; fi
    set_routes "$routes"
    set_names "${search:-${domain:-}}" "${dns:-}"
    ;;
BOUND | RENEW | REBIND | REBOOT)
    length_of "${new_subnet_mask:-255.255.255.255}"
    time=${new_dhcp_lease_time:-}
    check_lease "$new_ip_address" "$length" "$time" || exit
    set_address 4 "$new_ip_address/$length" "$time" "$time" || exit
    # dhclient has these as octets, dhcpcd as networks.
    # shellcheck disable=SC2086
    networks_of ${new_rfc3442_classless_static_routes:-}
    networks=${networks:-${new_classless_static_routes:-}}
    # shellcheck disable=SC2086
    if [ -n "$networks" ]; then routes_to $networks; else routes_by ${new_routers:-}; fi
    set_routes "$routes"
    set_names "${new_domain_search:-${new_domain_name:-}}" "${new_domain_name_servers:-}"
    ;;
BOUND6 | RENEW6 | REBIND6 | REBOOT6)
    address=${new_ip6_address:-${new_dhcp6_ia_na1_ia_addr1:-}}
    [ -n "$address" ] || exit 0
    valid=${new_max_life:-${new_dhcp6_ia_na1_ia_addr1_vltime:-}}
    preferred=${new_preferred_life:-${new_dhcp6_ia_na1_ia_addr1_pltime:-}}
    check_lease6 "$address" "$valid" || exit
    set_address 6 "$address/128" "$valid" "$preferred" || exit
    set_names "${new_dhcp6_domain_search:-}" "${new_dhcp6_name_servers:-}"
    ;;
deconfig | EXPIRE | NAK | FAIL | EXPIRE6)
    give_up
    ;;
end)
    unset_names
    ;;
TIMEOUT)
    # An old lease that no server has confirmed.
    exit 1
    ;;
esac
exit 0
"##;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_wherever_the_link_stands() {
        for (program, want) in [
            (Some("/run/libvirt/interface/dhcp/virtinterfaced-lease"), true),
            (Some("virtinterfaced-lease"), true),
            (Some("/usr/sbin/virtinterfaced"), false),
            (Some("/virtinterfaced-lease/virtinterfaced"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_called(program.map(OsStr::new)), want, "{program:?}");
        }
    }

    #[test]
    fn the_script_names_the_variables_it_is_given() {
        for name in [STATE_VARIABLE, PEER_DNS_VARIABLE] {
            assert!(TEXT.contains(&format!("${{{name}:")), "{name}");
        }
        assert!(TEXT.contains(&format!("\n{END_EVENT})\n")));
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! The script that udhcpc and dhclient run for each event of a lease: it puts address, routes and
//! name servers where they belong.
//!
//! Not the host's own scripts: those take every address off the link before they set one, which
//! costs answers and what else the definition names, and a host of one busybox has none. Ours
//! touches nothing but what the lease brought. An address that is on the link already, with the
//! same prefix, is given its new lifetime and nothing else, so that a lease moves to a bridge
//! without a gap. Requests for an end without expiry (STOP, RELEASE) change nothing: what a link
//! loses when it is taken down is the plan's business.
//!
//! Name servers are one file for the whole host, so the script remembers what each lease has brought
//! and what was there before, and takes out nothing but that: when a lease runs out, and when the
//! daemon says that it is over.
//!
//! The clients want an executable file, and what stands below /run is none where /run is mounted
//! noexec, as it is on Debian. So they are given a symbolic link to the daemon itself, which under
//! that name ([`NAME`]) becomes a shell that reads [`TEXT`].

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// What the daemon is called when a client calls it.
pub const NAME: &str = "virtinterfaced-lease";

/// Where the script keeps what the lease brought: the beginning of its files' paths.
pub(super) const STATE_VARIABLE: &str = "VIRTINTERFACED_LEASE";

/// Whether name servers are taken over: `yes` or `no`.
pub(super) const PEER_DNS_VARIABLE: &str = "VIRTINTERFACED_PEERDNS";

/// What the daemon calls the script with, whose client has ended for good.
pub(super) const END_EVENT: &str = "end";

/// Whether `program`, as the process was called, is the script and not the daemon.
pub fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(NAME))
}

/// Becomes the script. Comes back only if the host has no shell.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let mut shell = Command::new("/bin/sh");
    // There is nobody to tell why: the client's standard streams lead nowhere.
    let _ = shell.args(["-c", TEXT, NAME]).args(arguments).exec();
    ExitCode::FAILURE
}

/// The script. Whatever a server may have written into a lease is quoted, and what goes to
/// resolv.conf has no character but those of a host's name.
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

# 255.255.255.0 is 24.
length_of() {
    length=0 rest=$1.
    while [ -n "$rest" ]; do
        case ${rest%%.*} in
        255) length=$((length + 8)) ;;
        254) length=$((length + 7)) ;;
        252) length=$((length + 6)) ;;
        248) length=$((length + 5)) ;;
        240) length=$((length + 4)) ;;
        224) length=$((length + 3)) ;;
        192) length=$((length + 2)) ;;
        128) length=$((length + 1)) ;;
        esac
        rest=${rest#*.}
    done
}

# set_address FAMILY ADDRESS/LENGTH VALID PREFERRED: old busyboxes know no lifetimes. Another address
# goes first: beside it the new one would be a secondary, and go along with it.
set_address() {
    line_of "$state.bound"
    [ -n "$line" ] || line_of "$state.wanted"
    [ -z "$line" ] || [ "$line" = "$2" ] || ip "-$1" address del "$line" dev "$interface"
    broadcast=
    [ "$1" = 6 ] || [ "${2#*/}" -gt 30 ] || broadcast="broadcast +"
    # shellcheck disable=SC2086
    ip "-$1" address replace "$2" $broadcast dev "$interface" valid_lft "$3" preferred_lft "$4" ||
        ip "-$1" address replace "$2" $broadcast dev "$interface" || return
    printf '%s\n' "$2" >"$state.bound"
    rm -f "$state.wanted"
}

# Routes, one a line: those that are not wanted any more go, those that are new come.
set_routes() {
    if [ -r "$state.routes" ]; then
        while read -r route; do
            # shellcheck disable=SC2086
            printf '%s\n' "$1" | grep -qxF -e "$route" ||
                ip -4 route del $route dev "$interface" proto 16
        done <"$state.routes"
    fi
    printf '%s' "$1" >"$state.routes"
    # A route that is there already stays as it is; a gateway may be outside the link's network.
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
    [ $# = 0 ] || routes="default via $1
"
}

# routes_to NETWORK GATEWAY...: what comes instead (RFC 3442).
routes_to() {
    routes=
    while [ $# -gt 1 ]; do
        via=" via $2"
        [ "$2" != 0.0.0.0 ] || via=
        routes="$routes$1$via
"
        shift 2
    done
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

# are_ours TEXT: whether this is what a lease of ours has brought. The link of a file may begin with
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

# What set_names has done is undone, unless somebody else has done something about it since.
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

# The lease is over.
give_up() {
    line_of "$state.bound"
    [ -n "$line" ] || return 0
    set_routes ""
    ip -4 address del "$line" dev "$interface"
    rm -f "$state.bound"
    unset_names
}

case ${1:-${reason:-}} in
bound | renew)
    length_of "${subnet:-255.255.255.255}"
    set_address 4 "$ip/$length" "$lease" "$lease" || exit
    # shellcheck disable=SC2086
    if [ -n "${staticroutes:-}" ]; then routes_to $staticroutes; else routes_by ${router:-}; fi
    set_routes "$routes"
    set_names "${search:-${domain:-}}" "${dns:-}"
    ;;
BOUND | RENEW | REBIND | REBOOT)
    length_of "${new_subnet_mask:-255.255.255.255}"
    set_address 4 "$new_ip_address/$length" "$new_dhcp_lease_time" "$new_dhcp_lease_time" || exit
    # shellcheck disable=SC2086
    networks_of ${new_rfc3442_classless_static_routes:-}
    # shellcheck disable=SC2086
    if [ -n "$networks" ]; then routes_to $networks; else routes_by ${new_routers:-}; fi
    set_routes "$routes"
    set_names "${new_domain_search:-${new_domain_name:-}}" "${new_domain_name_servers:-}"
    ;;
BOUND6 | RENEW6 | REBIND6)
    [ -n "${new_ip6_address:-}" ] || exit 0
    set_address 6 "$new_ip6_address/128" "$new_max_life" "$new_preferred_life" || exit
    set_names "${new_dhcp6_domain_search:-}" "${new_dhcp6_name_servers:-}"
    ;;
deconfig | EXPIRE | FAIL)
    give_up
    ;;
EXPIRE6)
    rm -f "$state.bound"
    ip -6 address del "$old_ip6_address/128" dev "$interface"
    unset_names
    ;;
end)
    unset_names
    ;;
TIMEOUT)
    # An old lease that nobody has confirmed.
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

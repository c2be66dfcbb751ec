// SPDX-License-Identifier: LGPL-2.1-or-later
//! The sysctls of a link: small files below /proc/sys. Netlink reports all of them, but sets only a
//! few.

use std::fs::File;
use std::io::Read;

use crate::host::survey::Sysctls;
use crate::limits::SYSCTL_LEN_MAX;
use crate::model::address::Family;
use crate::model::ipv6::Ipv6Sysctls;
use crate::model::name::IfName;
use crate::model::sysctl::Sysctl;
use crate::netlink::record::link::sysctls;
use crate::sys::file;

const NET: &str = "/proc/sys/net";

/// Reads all existing sysctls of links that are yet to be created: ninety files, for each change
/// that creates a link.
pub(crate) fn read_defaults() -> Sysctls {
    let folder = |family: Family| File::open(format!("{NET}/{}/conf/default", family.as_str()));
    let (ipv4, ipv6) = (folder(Family::Ipv4), folder(Family::Ipv6));
    let value = |sysctl: Sysctl| {
        let folder = match sysctl.family {
            Family::Ipv4 => &ipv4,
            Family::Ipv6 => &ipv6,
        };
        Some((sysctl, read_number(folder.as_ref().ok()?, sysctl.name)?))
    };
    sysctls::all().filter_map(value).collect()
}

/// Reads one sysctl of a link.
fn read(link: &IfName, sysctl: Sysctl) -> Option<i32> {
    let Sysctl { family, name } = sysctl;
    let folder = File::open(format!("{NET}/{}/conf/{link}", family.as_str())).ok()?;
    read_number(&folder, name)
}

/// Returns whether a link accepts addresses and routes from router advertisements.
pub(crate) fn hear_routers(link: &IfName) -> bool {
    let sysctls = Ipv6Sysctls {
        accept_ra: read(link, Sysctl::ACCEPT_RA),
        autoconf: read(link, Sysctl::AUTOCONF),
        disable_ipv6: read(link, Sysctl::DISABLE_IPV6),
        forwarding: read(link, Sysctl::FORWARDING_IPV6),
    };
    sysctls.hears_routers() && sysctls.autoconf.is_some_and(|autoconf| autoconf != 0)
}

/// Reads a number, which one read returns whole.
fn read_number(folder: &File, name: &str) -> Option<i32> {
    let mut text = [0; SYSCTL_LEN_MAX];
    let len = file::open_in(folder, name).ok()?.read(&mut text).ok()?;
    std::str::from_utf8(text.get(..len)?).ok()?.trim().parse().ok()
}

/// Returns the file of one sysctl.
pub fn path(link: &IfName, sysctl: Sysctl) -> String {
    let Sysctl { family, name } = sysctl;
    format!("{NET}/{}/conf/{link}/{name}", family.as_str())
}

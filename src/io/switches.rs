// SPDX-License-Identifier: LGPL-2.1-or-later
//! The sysctls of a link: small files below /proc/sys. Netlink tells them and sets few of them.

use std::path::PathBuf;

use crate::host::survey::Sysctls;
use crate::io::files;
use crate::model::name::IfName;
use crate::model::sysctl::Sysctl;
use crate::netlink::record::link::sysctls;

const NET: &str = "/proc/sys/net";
const LEN_MAX: u64 = 64;

/// All sysctls of links that are yet to be made, as far as there are any.
pub fn read_defaults() -> Sysctls {
    let value = |sysctl: Sysctl| {
        let path: PathBuf =
            [NET, sysctl.family.as_str(), "conf/default", sysctl.name].iter().collect();
        Some((sysctl, files::read_text(&path, LEN_MAX).ok()?.trim().parse().ok()?))
    };
    sysctls::all().filter_map(value).collect()
}

/// The file of one sysctl.
pub fn path(link: &IfName, switch: Sysctl) -> String {
    let Sysctl { family, name } = switch;
    format!("{NET}/{}/conf/{link}/{name}", family.as_str())
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! The sysctls of a link: small files below /proc/sys. Netlink tells them and sets few of them.

use std::fs;
use std::path::PathBuf;

use crate::error::HostError;
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

/// Sets one sysctl.
///
/// # Errors
/// `ENOENT` for a kernel without IPv6, else what the kernel says.
pub fn write(link: &IfName, switch: Sysctl, value: i32) -> Result<(), HostError> {
    let Sysctl { family, name } = switch;
    let path: PathBuf = [NET, family.as_str(), "conf", link.as_str(), name].iter().collect();
    fs::write(&path, value.to_string())
        .map_err(|err| HostError::new("write", path.display().to_string(), &err))
}

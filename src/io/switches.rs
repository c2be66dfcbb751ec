// SPDX-License-Identifier: LGPL-2.1-or-later
//! The sysctls of a link: small files below /proc/sys. Netlink tells them and sets few of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::io::files;
use crate::model::ipv6::Ipv6Switches;
use crate::model::name::IfName;
use crate::model::sysctl::Sysctl;

const NET: &str = "/proc/sys/net";
const IPV6: &str = "/proc/sys/net/ipv6/conf";
const LEN_MAX: u64 = 64;

/// The switches of `link`, or of links that are yet to be made (`default`). A kernel without IPv6
/// has none.
pub fn read(link: &str) -> Ipv6Switches {
    let dir = Path::new(IPV6).join(link);
    let value = |file: &str| files::read_text(&dir.join(file), LEN_MAX).ok()?.trim().parse().ok();
    Ipv6Switches {
        accept_ra: value(Sysctl::ACCEPT_RA.name),
        autoconf: value(Sysctl::AUTOCONF.name),
        disable_ipv6: value(Sysctl::DISABLE_IPV6.name),
        forwarding: value("forwarding"),
    }
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

// SPDX-License-Identifier: LGPL-2.1-or-later
//! The switches of a link's IPv6: small files below /proc/sys, which netlink has no word for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::io::files;
use crate::model::ipv6::Ipv6Switches;
use crate::model::name::IfName;
use crate::plan::step::Switch;

const DIR: &str = "/proc/sys/net/ipv6/conf";
const LEN_MAX: u64 = 64;

/// The switches of `link`, or of links that are yet to be made (`default`). A kernel without IPv6
/// has none.
pub fn read(link: &str) -> Ipv6Switches {
    let dir = Path::new(DIR).join(link);
    let value = |file: &str| files::read_text(&dir.join(file), LEN_MAX).ok()?.trim().parse().ok();
    Ipv6Switches {
        accept_ra: value(Switch::AcceptRa.file_name()),
        autoconf: value(Switch::Autoconf.file_name()),
        disable_ipv6: value(Switch::DisableIpv6.file_name()),
        forwarding: value("forwarding"),
    }
}

/// Sets one switch.
///
/// # Errors
/// `ENOENT` for a kernel without IPv6, else what the kernel says.
pub fn write(link: &IfName, switch: Switch, value: i32) -> Result<(), HostError> {
    let path: PathBuf = [DIR, link.as_str(), switch.file_name()].iter().collect();
    fs::write(&path, value.to_string())
        .map_err(|err| HostError::new("write", path.display().to_string(), &err))
}

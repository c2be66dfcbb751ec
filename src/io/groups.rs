// SPDX-License-Identifier: LGPL-2.1-or-later
//! Groups by name, from the group file alone.
//!
//! No name service is asked: a static binary has none, and a daemon that configures the network
//! must not wait for one that needs it. Numbers are taken as they are.

use std::path::Path;

use crate::error::HostError;
use crate::io::files;
use crate::limits::CONFIG_LEN_MAX;

const GROUP_FILE: &str = "/etc/group";

/// The number of the group that `name` names, or is; nothing if there is no such group.
///
/// # Errors
/// The group file cannot be read.
pub fn find(name: &str) -> Result<Option<libc::gid_t>, HostError> {
    if let Ok(gid) = name.parse() {
        return Ok(Some(gid));
    }
    let bytes = files::read(Path::new(GROUP_FILE), CONFIG_LEN_MAX)?;
    Ok(find_in(&String::from_utf8_lossy(&bytes), name))
}

/// Looks `name` up in the text of a group file (group(5)).
fn find_in(text: &str, name: &str) -> Option<libc::gid_t> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (found, _password, gid) = (fields.next()?, fields.next()?, fields.next()?);
        gid.parse().ok().filter(|_| found == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_name_or_number() {
        let text = "root:x:0:\nrubbish\nbad:x:many:\nlibvirt:x:112:ann,bob\n";
        assert_eq!(find_in(text, "libvirt"), Some(112));
        assert_eq!(find_in(text, "root"), Some(0));
        assert_eq!(find_in(text, "bad"), None);
        assert_eq!(find_in(text, "ann"), None);
        assert_eq!(find("4294967294"), Ok(Some(4_294_967_294)));
    }
}

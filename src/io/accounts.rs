// SPDX-License-Identifier: LGPL-2.1-or-later
//! Users and groups, read from the account files alone.
//!
//! Name services are not asked: a static binary cannot, and a daemon that configures the network
//! must not wait for a service that needs it. Numeric IDs are accepted as such.

use std::path::Path;

use crate::error::HostError;
use crate::io::files;
use crate::limits::CONFIG_LEN_MAX;

const GROUP_FILE: &str = "/etc/group";
const USER_FILE: &str = "/etc/passwd";

/// Returns the ID of the group that `name` names or is; `None` if there is no such group.
///
/// # Errors
/// The group file cannot be read.
pub(crate) fn group_id(name: &str) -> Result<Option<libc::gid_t>, HostError> {
    if let Ok(gid) = name.parse() {
        return Ok(Some(gid));
    }
    Ok(id_in(&read(GROUP_FILE)?, name))
}

/// Returns a group's name from the group file, if the file can be read and has one.
pub fn group_name(gid: libc::gid_t) -> Option<String> {
    name_in(&read(GROUP_FILE).ok()?, gid)
}

/// Returns a user's name from the user file, if the file can be read and has one.
pub fn user_name(uid: libc::uid_t) -> Option<String> {
    name_in(&read(USER_FILE).ok()?, uid)
}

fn read(file: &str) -> Result<String, HostError> {
    let bytes = files::read(Path::new(file), CONFIG_LEN_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn id_in(text: &str, name: &str) -> Option<u32> {
    accounts(text).find_map(|(found, id)| (found == name).then_some(id))
}

fn name_in(text: &str, id: u32) -> Option<String> {
    accounts(text).find_map(|(name, found)| (found == id).then(|| name.to_owned()))
}

/// Iterates over names and IDs: in both files the first and the third field of a line (passwd(5),
/// group(5)). Lines without an ID are skipped.
fn accounts(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, id.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "root:x:0:\nrubbish\nbad:x:many:\nlibvirt:x:112:ann,bob\nsecond:x:112:\n";

    #[test]
    fn a_group_is_found_by_name_or_number() {
        assert_eq!(id_in(GROUPS, "libvirt"), Some(112));
        assert_eq!(id_in(GROUPS, "root"), Some(0));
        assert_eq!(id_in(GROUPS, "bad"), None);
        assert_eq!(id_in(GROUPS, "ann"), None);
        assert_eq!(group_id("4294967294"), Ok(Some(4_294_967_294)));
    }

    #[test]
    fn a_number_has_the_first_name_that_is_given_to_it() {
        assert_eq!(name_in(GROUPS, 112).as_deref(), Some("libvirt"));
        assert_eq!(name_in(GROUPS, 113), None);
        let users = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:112::/home/ann:/bin/sh\n";
        assert_eq!(name_in(users, 1000).as_deref(), Some("ann"));
        assert_eq!(name_in(users, 112), None, "that is her group");
    }

    #[test]
    fn this_hosts_files_know_root() {
        assert_eq!(user_name(0).as_deref(), Some("root"));
        assert_eq!(group_name(0).and_then(|name| group_id(&name).unwrap()), Some(0));
    }
}

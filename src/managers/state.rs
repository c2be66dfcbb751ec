// SPDX-License-Identifier: LGPL-2.1-or-later
//! The files that NetworkManager and systemd-networkd write about each link while they run: lines
//! of `KEY=value`, in a file named after the link's index.

/// Returns the value of a key, within a section if one is given.
pub fn value<'a>(text: &'a str, section: Option<&str>, key: &str) -> Option<&'a str> {
    let mut is_within = section.is_none();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_within = section == Some(name);
        } else if let Some((name, value)) = line.split_once('=') {
            if is_within && name.trim_end() == key {
                return Some(value.trim_start());
            }
        }
    }
    None
}

/// Returns whether NetworkManager manages the link of this file in `/run/NetworkManager/devices`.
pub(crate) fn is_network_managers(text: &str) -> bool {
    value(text, Some("device"), "managed") == Some("true")
}

/// Returns the network file by which systemd-networkd manages the link of this file in
/// `/run/systemd/netif/links`.
pub(crate) fn network_file(text: &str) -> Option<&str> {
    let is_managed = value(text, None, "ADMIN_STATE").is_some_and(|state| state != "unmanaged");
    value(text, None, "NETWORK_FILE").filter(|_| is_managed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by NetworkManager 1.42 for a NIC with its own connection.
    const DEVICE: &str = "\
        [device]\n\
        managed=true\n\
        perm-hw-addr-fake=7A:BC:37:6B:1E:58\n\
        connection-uuid=f636974c-aff5-4ad0-959d-fb7a25b682f5\n\
        nm-owned=false\n\
        route-metric-default-effective=100\n";

    /// Written by systemd 252 for a NIC with a network file.
    const LINK: &str = "\
        # This is private data. Do not parse.\n\
        ADMIN_STATE=configured\n\
        OPER_STATE=routable\n\
        CARRIER_STATE=carrier\n\
        ADDRESS_STATE=routable\n\
        IPV4_ADDRESS_STATE=routable\n\
        ONLINE_STATE=online\n\
        REQUIRED_FOR_ONLINE=yes\n\
        ACTIVATION_POLICY=up\n\
        NETWORK_FILE=/etc/systemd/network/10-lan.network\n\
        DNS=192.0.2.53\n";

    #[test]
    fn the_managers_own_files_tell_what_they_have() {
        assert!(is_network_managers(DEVICE));
        assert!(!is_network_managers(&DEVICE.replace("true", "false")));
        assert!(!is_network_managers("[other]\nmanaged=true\n"));
        assert!(!is_network_managers(""));
        assert_eq!(network_file(LINK), Some("/etc/systemd/network/10-lan.network"));
        assert_eq!(network_file(&LINK.replace("=configured", "=configuring")), network_file(LINK));
        assert_eq!(network_file(&LINK.replace("=configured", "=unmanaged")), None);
        assert_eq!(network_file("ADMIN_STATE=unmanaged\n"), None);
        assert_eq!(network_file("ADMIN_STATE=initialized\n"), None);
    }
}

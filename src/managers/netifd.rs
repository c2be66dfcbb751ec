// SPDX-License-Identifier: LGPL-2.1-or-later
//! `/etc/config/network` of OpenWrt's netifd, and the links that its sections configure.

use crate::model::name::IfName;

/// The options that name links.
const LINK_OPTIONS: [&str; 4] = ["device", "ifname", "name", "ports"];

/// Returns the links that the file names, with their line numbers, counted from 1.
pub(crate) fn mentions(text: &str) -> Vec<(IfName, usize)> {
    let mut mentions = Vec::new();
    for (text, line) in text.lines().zip(1..) {
        let mut words = text.split_whitespace();
        let is_about_links = matches!(words.next(), Some("option" | "list"))
            && words.next().is_some_and(|option| LINK_OPTIONS.contains(&unquoted(option)));
        if is_about_links {
            let names = words.filter_map(|word| IfName::new(unquoted(word)).ok());
            mentions.extend(names.filter(|link| link.as_str() != "lo").map(|link| (link, line)));
        }
    }
    mentions
}

fn unquoted(word: &str) -> &str {
    word.trim_matches(['\'', '"'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_name_devices_and_ports() {
        let text = "\
config interface 'loopback'
\toption device 'lo'

config device
\toption name 'br-lan'
\toption type 'bridge'
\tlist ports 'lan1'
\tlist ports \"lan2\"

config interface wan
\toption ifname 'eth1 eth2'
\toption proto 'dhcp'
";
        let found: Vec<_> =
            mentions(text).into_iter().map(|(link, line)| (link.to_string(), line)).collect();
        let want = [("br-lan", 5), ("lan1", 7), ("lan2", 8), ("eth1", 11), ("eth2", 11)];
        assert_eq!(found, want.map(|(link, line)| (link.to_owned(), line)));
    }
}

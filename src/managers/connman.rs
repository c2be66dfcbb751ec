// SPDX-License-Identifier: LGPL-2.1-or-later
//! connman (connman.conf(5)): the links that it leaves alone. It takes every Ethernet device whose
//! name has no prefix listed in its configuration or on its command line, and writes no file about
//! them.

use super::state;
use crate::model::name::IfName;

/// connman's built-in list of prefixes, used if its configuration has none.
const LEFT_ALONE: &str = "vmnet,vboxnet,virbr,ifb,ve-,vb-";

/// Returns whether connman takes a link, by its configuration and its command line.
pub fn takes(configuration: &str, arguments: &[&str], link: &IfName) -> bool {
    let begins = |list: &str| {
        let mut prefixes = list.split([',', ';']).map(str::trim).filter(|it| !it.is_empty());
        prefixes.any(|prefix| link.as_str().starts_with(prefix))
    };
    let is = |list: Option<&str>| list.is_some_and(begins);
    let left_alone = state::value(configuration, Some("General"), "NetworkInterfaceBlacklist");
    let wanted = option(arguments, "-i", "--device");
    !begins(left_alone.unwrap_or(LEFT_ALONE))
        && !is(option(arguments, "-I", "--nodevice"))
        && (wanted.is_none() || is(wanted))
}

/// Returns the value of an option, in any of its spellings.
fn option<'a>(arguments: &[&'a str], short: &str, long: &str) -> Option<&'a str> {
    let mut arguments = arguments.iter().copied();
    while let Some(argument) = arguments.next() {
        if argument == short || argument == long {
            return arguments.next();
        }
        if let Some(value) = argument.strip_prefix(long) {
            return value.strip_prefix('=');
        }
        if let Some(value) = argument.strip_prefix(short) {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_and_the_command_line_say_what_it_leaves_alone() {
        let eth = "[General]\nNetworkInterfaceBlacklist = vmnet, eth0\n";
        for (configuration, arguments, link, takes_it) in [
            ("", &[][..], "eth0", true),
            ("", &[], "virbr0", false),
            ("", &[], "ve-guest", false),
            (eth, &[], "eth0", false),
            (eth, &[], "eth01", false),
            (eth, &[], "eth1", true),
            (eth, &[], "virbr0", true),
            ("# NetworkInterfaceBlacklist = eth0\n", &[], "eth0", true),
            ("", &["connmand", "-n", "-I", "eth"], "eth0", false),
            ("", &["connmand", "-Ieth", "-n"], "eth0", false),
            ("", &["connmand", "--nodevice=wlan"], "eth0", true),
            ("", &["connmand", "--device=wlan,usb"], "eth0", false),
            ("", &["connmand", "-i", "eth"], "eth0", true),
        ] {
            let link = IfName::new(link).unwrap();
            let found = takes(configuration, arguments, &link);
            assert_eq!(found, takes_it, "{link}: {configuration} {arguments:?}");
        }
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! The dialect of an `ifup` program, by the texts in its file.
//!
//! Nothing is executed: a program that hangs, or a link of the same name, cannot mislead the daemon.

use crate::ifupdown::Dialect;
use crate::limits::PROGRAM_TEXT_LEN_MAX;

/// Recognises the program with this content.
///
/// # Errors
/// It is none that the daemon knows, or a BusyBox that cannot read what the daemon would write.
pub fn recognise(content: &[u8]) -> Result<Dialect, &'static str> {
    let (mut is_busybox, mut has_inet, mut has_ifup) = (false, false, false);
    for text in content.split(|byte| *byte == 0).filter(|text| text.len() <= PROGRAM_TEXT_LEN_MAX) {
        if text.starts_with(b"ifupdown-ng ") {
            return Ok(Dialect::Ng);
        }
        // The name of a variable by which ifupdown recognises its own recursion.
        if text == b"IFUPDOWN_%s" {
            return Ok(Dialect::Classic);
        }
        is_busybox |= text.starts_with(b"BusyBox v");
        has_ifup |=
            text.ends_with(b"run-parts /etc/network/if-%s.d") || text.ends_with(b"/ifstate");
        has_inet |= text.starts_with(b"ip addr add %address%/%bnmask%")
            || text.starts_with(b"ifconfig %iface%[[ hw %hwaddress%]] %address% netmask");
    }
    match (is_busybox, has_ifup, has_inet) {
        (true, true, true) => Ok(Dialect::BusyBox),
        (true, _, _) => Err("this BusyBox is built without IPv4 in ifup"),
        (false, ..) => Err("it is neither ifupdown, nor ifupdown-ng, nor BusyBox"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn programs_of_the_distribution_are_recognised() {
        let of = |path: &str| recognise(&fs::read(path).unwrap());
        assert_eq!(of("/sbin/ifup"), Ok(Dialect::Classic));
        assert_eq!(of("/bin/busybox"), Ok(Dialect::BusyBox));
        assert!(of("/bin/sh").unwrap_err().starts_with("it is neither"));
    }

    #[test]
    fn texts_tell_the_programs_apart() {
        let ng = b"\x7fELF\0show this program's version\0ifupdown-ng 0.12.1\0";
        assert_eq!(recognise(ng), Ok(Dialect::Ng));
        let script = b"#!/usr/bin/python3\n# ifupdown2\n";
        assert!(recognise(script).is_err());
        let without =
            b"\x7fELF\0BusyBox v1.36.1 (2024)\0/var/run/ifstate\0ip link set %iface% up\0";
        assert!(recognise(without).unwrap_err().contains("without IPv4"));
        assert!(recognise(b"").is_err());
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Command lines of DHCP clients: recognizes the program, and the links that it obtains leases for.
//!
//! Each program has its own syntax: udhcpc and dhcpcd parse options as getopt(3) does, dhclient
//! word by word. dhcpcd overwrites its command line with a title (`dhcpcd: eth0 [ip4]`) where it
//! can. Pure: the caller passes the words in.

use crate::model::address::Family;
use crate::model::foreign::{ClientLinks, ClientProgram, LinkPatterns};
use crate::model::name::IfName;

/// Options of udhcpc with a value, and one whose value must be in the same word.
const UDHCPC_VALUED: &str = "AFHOPTVchilprstx";
const UDHCPC_ATTACHED: &str = "a";
const UDHCPC_LONG_VALUED: &[&str] = &[
    "client-port",
    "clientid",
    "fqdn",
    "hostname",
    "interface",
    "pidfile",
    "request",
    "request-option",
    "retries",
    "script",
    "timeout",
    "tryagain",
    "vendorclass",
];

const DHCPCD_VALUED: &str = "CFIOQSWXZcefhijlmorstuvyz";
const DHCPCD_LONG_VALUED: &[&str] = &[
    "allowinterfaces",
    "config",
    "denyinterfaces",
    "env",
    "fqdn",
    "hostname",
    "leasetime",
    "metric",
    "nohook",
    "nooption",
    "option",
    "reboot",
    "request",
    "require",
    "script",
    "static",
    "timeout",
    "userclass",
    "vendor",
    "vendorclassid",
];

/// Options of dhclient with a value, including those of Fedora's dhclient.
const DHCLIENT_VALUED: &[&str] = &[
    "--address-prefix-len",
    "--dad-wait-time",
    "--decline-wait-time",
    "--prefix-len-hint",
    "-4o6",
    "-C",
    "-D",
    "-F",
    "-H",
    "-V",
    "-cf",
    "-df",
    "-e",
    "-g",
    "-lf",
    "-p",
    "-pf",
    "-s",
    "-sf",
    "-timeout",
];

/// The meaning of a command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sighting {
    pub(super) program: ClientProgram,
    pub(super) links: ClientLinks,
    pub(super) families: Vec<Family>,
}

/// A parsed command line.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Parsed {
    /// With their values, and without leading dashes except for dhclient's.
    pub(super) options: Vec<(String, Option<String>)>,
    names: Vec<String>,
}

impl Parsed {
    pub(super) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| option == name)
    }

    /// Returns the value of the last of these options.
    pub(super) fn value(&self, names: &[&str]) -> Option<&str> {
        let mut options = self.options.iter().rev();
        options.find(|(option, _)| names.contains(&option.as_str()))?.1.as_deref()
    }
}

/// Recognizes the client of a command line. `None` for other programs, for a client that does not
/// keep running, and for a helper of one.
pub(super) fn recognize(arguments: &[Vec<u8>]) -> Option<Sighting> {
    let words = words(arguments);
    if let Some(title) = title(&words) {
        return of_title(title);
    }
    let (program, words) = program(&words)?;
    let parsed = parse(program, words);
    match program {
        ClientProgram::Udhcpc => of_udhcpc(&parsed),
        ClientProgram::Dhcpcd => of_dhcpcd(&parsed),
        ClientProgram::Dhclient => of_dhclient(&parsed),
    }
}

/// Returns whether this is the privileged process of a dhcpcd.
pub(super) fn is_privileged_part(arguments: &[Vec<u8>]) -> bool {
    title(&words(arguments)).is_some_and(|title| title.starts_with("[privileged "))
}

/// Returns the options of a command line; none if it is a title.
pub(super) fn options(arguments: &[Vec<u8>]) -> Parsed {
    let words = words(arguments);
    program(&words).map(|(program, words)| parse(program, words)).unwrap_or_default()
}

/// Returns the links that a dhcpcd takes, by its command line and its configuration.
pub(super) fn choice(arguments: &[Vec<u8>], configuration: &str) -> LinkPatterns {
    let patterns = |text: &str| {
        text.split([',', ' ', '\t'])
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut choice = LinkPatterns::default();
    let mut note = |word: &str, value: &str| match word {
        "allowinterfaces" | "z" => choice.allowed.extend(patterns(value)),
        "denyinterfaces" | "Z" => choice.denied.extend(patterns(value)),
        _ => {}
    };
    for line in configuration.lines().map(str::trim) {
        let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        note(word, value);
    }
    for (option, value) in options(arguments).options {
        note(&option, value.as_deref().unwrap_or_default());
    }
    choice
}

fn words(arguments: &[Vec<u8>]) -> Vec<String> {
    arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn title(words: &[String]) -> Option<&str> {
    words.first()?.strip_prefix("dhcpcd: ")
}

/// Returns the program, by its name on the command line, and its arguments. The first argument of a
/// busybox may be the name of the applet.
fn program(words: &[String]) -> Option<(ClientProgram, &[String])> {
    let (name, rest) = words.split_first()?;
    // A shell that leads a session has a dash before its name; so may other programs.
    let name = name.rsplit('/').next()?.trim_start_matches('-');
    let named = |name: &str| ClientProgram::ALL.into_iter().find(|program| program.name() == name);
    if name.starts_with("busybox") {
        let (applet, rest) = rest.split_first()?;
        return (named(applet)? == ClientProgram::Udhcpc).then_some((ClientProgram::Udhcpc, rest));
    }
    Some((named(name)?, rest))
}

fn parse(program: ClientProgram, words: &[String]) -> Parsed {
    match program {
        ClientProgram::Udhcpc => {
            by_getopt(words, UDHCPC_VALUED, UDHCPC_ATTACHED, UDHCPC_LONG_VALUED)
        }
        ClientProgram::Dhcpcd => by_getopt(words, DHCPCD_VALUED, "", DHCPCD_LONG_VALUED),
        ClientProgram::Dhclient => word_by_word(words),
    }
}

/// Parses as getopt_long(3) does: a word may contain several letters, and the value of the last
/// one.
fn by_getopt(words: &[String], valued: &str, attached: &str, long_valued: &[&str]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.names.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None if long_valued.contains(&long) => (long, words.next().cloned()),
                None => (long, None),
            };
            parsed.options.push((name.to_owned(), value));
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                let rest = letters.as_str();
                let rest = (!rest.is_empty()).then(|| rest.to_owned());
                let is_valued = valued.contains(letter);
                if is_valued || attached.contains(letter) {
                    let next = if rest.is_none() && is_valued { words.next() } else { None };
                    let value = rest.or_else(|| next.cloned());
                    parsed.options.push((letter.to_string(), value));
                    break;
                }
                parsed.options.push((letter.to_string(), None));
            }
        } else {
            parsed.names.push(word.clone());
        }
    }
    parsed
}

fn word_by_word(words: &[String]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            parsed.names.push(word.clone());
            continue;
        }
        let is_valued = DHCLIENT_VALUED.contains(&word.as_str());
        let value = is_valued.then(|| words.next().cloned()).flatten();
        parsed.options.push((word.clone(), value));
    }
    parsed
}

fn of_udhcpc(parsed: &Parsed) -> Option<Sighting> {
    if parsed.has("q") || parsed.has("quit") {
        return None;
    }
    let link = IfName::new(parsed.value(&["i", "interface"]).unwrap_or("eth0")).ok()?;
    let links = ClientLinks::One(link);
    Some(Sighting { program: ClientProgram::Udhcpc, links, families: vec![Family::Ipv4] })
}

fn of_dhcpcd(parsed: &Parsed) -> Option<Sighting> {
    let asks_another = ["k", "x", "n", "g", "U", "T", "P", "N", "1"];
    let asks_another_long =
        ["release", "exit", "rebind", "reconfigure", "dumplease", "test", "printpidfile", "renew"];
    if asks_another.iter().chain(&asks_another_long).any(|option| parsed.has(option)) {
        return None;
    }
    let has = |letter: &str, long: &str| parsed.has(letter) || parsed.has(long);
    let families = families(has("4", "ipv4only"), has("6", "ipv6only"));
    let links = match links(&parsed.names) {
        ClientLinks::One(_) if has("M", "manager") || has("M", "master") => all(),
        // With several links it is the manager.
        ClientLinks::Several(_) => all(),
        links @ (ClientLinks::One(_) | ClientLinks::All(_)) => links,
    };
    Some(Sighting { program: ClientProgram::Dhcpcd, links, families })
}

fn of_title(title: &str) -> Option<Sighting> {
    let mut words = title.split_ascii_whitespace();
    let links = match words.next()? {
        "[manager]" | "[master]" => all(),
        helper if helper.starts_with('[') => return None,
        link => ClientLinks::One(IfName::new(link).ok()?),
    };
    let (mut ipv4, mut ipv6) = (false, false);
    for word in words {
        ipv4 |= word == "[ip4]";
        ipv6 |= word == "[ip6]";
    }
    Some(Sighting { program: ClientProgram::Dhcpcd, links, families: families(ipv4, ipv6) })
}

fn of_dhclient(parsed: &Parsed) -> Option<Sighting> {
    if parsed.has("-r") || parsed.has("-x") || parsed.has("-n") {
        return None;
    }
    let family = if parsed.has("-6") { Family::Ipv6 } else { Family::Ipv4 };
    let links = links(&parsed.names);
    Some(Sighting { program: ClientProgram::Dhclient, links, families: vec![family] })
}

/// Returns all links; the configuration is not known here.
fn all() -> ClientLinks {
    ClientLinks::All(LinkPatterns::default())
}

/// Returns the families: naming one of them excludes the other.
fn families(ipv4: bool, ipv6: bool) -> Vec<Family> {
    let both = [(Family::Ipv4, ipv4), (Family::Ipv6, ipv6)];
    both.into_iter().filter(|(_, named)| *named || ipv4 == ipv6).map(|(family, _)| family).collect()
}

fn links(names: &[String]) -> ClientLinks {
    let names: Vec<_> = names.iter().filter_map(|name| IfName::new(name).ok()).collect();
    match names.as_slice() {
        [] => all(),
        [link] => ClientLinks::One(*link),
        _ => ClientLinks::Several(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(line: &str) -> Option<(ClientProgram, String, Vec<Family>)> {
        let arguments: Vec<_> = line.split('|').map(|word| word.as_bytes().to_vec()).collect();
        recognize(&arguments).map(|it| {
            let links = match it.links {
                ClientLinks::One(link) => link.to_string(),
                ClientLinks::Several(links) => format!("{}", links.len()),
                ClientLinks::All(_) => "all".to_owned(),
            };
            (it.program, links, it.families)
        })
    }

    #[test]
    fn clients_are_known_by_their_command_lines() {
        let (v4, v6) = (Family::Ipv4, Family::Ipv6);
        for (line, program, links, families) in [
            ("udhcpc|-b|-i|eth0|-p|/run/udhcpc.eth0.pid", ClientProgram::Udhcpc, "eth0", vec![v4]),
            ("/sbin/udhcpc|-Rbieth1", ClientProgram::Udhcpc, "eth1", vec![v4]),
            ("/bin/busybox|udhcpc|-f|--interface=br0", ClientProgram::Udhcpc, "br0", vec![v4]),
            ("busybox.static|udhcpc|--interface|br0", ClientProgram::Udhcpc, "br0", vec![v4]),
            ("udhcpc|-f", ClientProgram::Udhcpc, "eth0", vec![v4]),
            ("udhcpc|-x|0x3d:01|-a|-i|eth2", ClientProgram::Udhcpc, "eth2", vec![v4]),
            (
                "dhclient|-4|-v|-i|-pf|/run/d.pid|-lf|eth9|-I|eth0",
                ClientProgram::Dhclient,
                "eth0",
                vec![v4],
            ),
            ("/sbin/dhclient|-6|-D|LL|eth0", ClientProgram::Dhclient, "eth0", vec![v6]),
            ("dhclient|eth0|eth1", ClientProgram::Dhclient, "2", vec![v4]),
            ("dhclient", ClientProgram::Dhclient, "all", vec![v4]),
            ("dhcpcd: eth0 [ip4]||||", ClientProgram::Dhcpcd, "eth0", vec![v4]),
            ("dhcpcd: eth0 [ip4] [ip6]", ClientProgram::Dhcpcd, "eth0", vec![v4, v6]),
            ("dhcpcd: eth0", ClientProgram::Dhcpcd, "eth0", vec![v4, v6]),
            ("dhcpcd: [manager] [ip4] [ip6]", ClientProgram::Dhcpcd, "all", vec![v4, v6]),
            ("dhcpcd: [master] [ip6]", ClientProgram::Dhcpcd, "all", vec![v6]),
            ("/sbin/dhcpcd|-q|-h|box|eth0", ClientProgram::Dhcpcd, "eth0", vec![v4, v6]),
            ("dhcpcd|-B|-4|eth0", ClientProgram::Dhcpcd, "eth0", vec![v4]),
            ("dhcpcd|-M|eth0", ClientProgram::Dhcpcd, "all", vec![v4, v6]),
            ("dhcpcd|-w", ClientProgram::Dhcpcd, "all", vec![v4, v6]),
        ] {
            assert_eq!(seen(line), Some((program, links.to_owned(), families)), "{line}");
        }
    }

    #[test]
    fn dhcpcd_is_told_which_links_to_leave_alone() {
        let arguments: Vec<_> =
            ["dhcpcd", "-Z", "tap*"].map(|word| word.as_bytes().to_vec()).to_vec();
        let text =
            "hostname\n# denyinterfaces lo\ndenyinterfaces eth0,eth1  br*\nallowinterfaces e*\n";
        let choice = choice(&arguments, text);
        assert_eq!(choice.denied, ["eth0", "eth1", "br*", "tap*"]);
        assert_eq!(choice.allowed, ["e*"]);
    }

    #[test]
    fn nobody_else_is_taken_for_a_client() {
        for line in [
            "",
            "sh|-c|dhclient eth0",
            "busybox|sh|udhcpc",
            "busybox|dhclient",
            "busybox",
            "dhclient-script|eth0",
            "dhclient|-r|eth0",
            "udhcpc|-q|-i|eth0",
            "udhcpc|-i|a-name-that-is-too-long",
            "dhcpcd: [privileged proxy] eth0 [ip4]",
            "dhcpcd: [BPF ARP] eth0 192.0.2.1",
            "dhcpcd|-k|eth0",
        ] {
            assert_eq!(seen(line), None, "{line}");
        }
        let part = |line: &str| is_privileged_part(&[line.as_bytes().to_vec()]);
        assert!(part("dhcpcd: [privileged proxy] eth0 [ip4]"));
        assert!(part("dhcpcd: [privileged actioneer]"));
        assert!(!part("dhcpcd: [network proxy]"));
    }
}

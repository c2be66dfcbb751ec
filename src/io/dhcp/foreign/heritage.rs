// SPDX-License-Identifier: LGPL-2.1-or-later
//! The settings that a client inherits from another program's client whose lease it continues:
//! everything by which a server may recognize the client and give it the same address.
//!
//! udhcpc has these on its command line. dhclient has them there, in its configuration, and in its
//! lease file, which contains a generated identifier (`default-duid`). dhcpcd has them in its
//! configuration. Pure: the caller passes the texts in.

use std::ffi::OsString;
use std::path::PathBuf;

use super::arguments;
use crate::model::foreign::{ClientProgram, ForeignClient};
use crate::model::name::IfName;

/// Options of udhcpc by which a server may recognize it. `-C` disables the client identifier.
const UDHCPC_OPTIONS: [&str; 12] =
    ["B", "C", "F", "H", "V", "c", "h", "x", "clientid", "clientid-none", "fqdn", "vendorclass"];

/// Options of dhclient by which a server may recognize it, and those that choose its identifier.
const DHCLIENT_OPTIONS: [&str; 8] = ["-B", "-C", "-D", "-F", "-H", "-I", "-V", "-i"];

/// dhclient's default paths of its configuration and its leases.
const DHCLIENT_CONFIGURATIONS: [&str; 2] = ["/etc/dhcp/dhclient.conf", "/etc/dhclient.conf"];
const DHCLIENT_LEASES: [&str; 3] = [
    "/var/lib/dhcp/dhclient.leases",
    "/var/lib/dhclient/dhclient.leases",
    "/var/db/dhclient.leases",
];

/// Settings of dhcpcd by which a server may recognize it, or that affect its routes.
const DHCPCD_WORDS: [&str; 12] = [
    "anonymous",
    "broadcast",
    "clientid",
    "duid",
    "fqdn",
    "hostname",
    "hostname_short",
    "iaid",
    "metric",
    "userclass",
    "vendor",
    "vendorclassid",
];
const DHCPCD_CONFIGURATION: &str = "/etc/dhcpcd.conf";

/// A client of another program, and the content of its files.
#[derive(Debug)]
pub(in crate::io::dhcp) struct Heritage {
    pub(in crate::io::dhcp) before: ForeignClient,
    pub(in crate::io::dhcp) configuration: String,
    /// The line of dhclient's lease file with its generated identifier.
    pub(in crate::io::dhcp) number: String,
}

impl Heritage {
    /// Returns dhclient's configuration for another link. The daemon's script replaces its script.
    pub(in crate::io::dhcp) fn dhclient_configuration(&self, link: IfName) -> String {
        let is_script = |line: &&str| line.split_ascii_whitespace().next() == Some("script");
        let lines = self.configuration.lines().filter(|line| !is_script(line));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        renamed(&self.before, &text, link)
    }

    /// Returns the inherited lines of dhcpcd's configuration.
    pub(in crate::io::dhcp) fn dhcpcd_lines(&self) -> String {
        dhcpcd_lines(&self.before, &self.configuration)
    }
}

/// Returns the inherited options, with their values.
pub(in crate::io::dhcp) fn arguments(before: &ForeignClient) -> Vec<OsString> {
    let options = arguments::options(&before.command.arguments).options;
    let mut words = Vec::<OsString>::new();
    for (name, value) in options {
        let dashes = match before.program {
            ClientProgram::Udhcpc if !UDHCPC_OPTIONS.contains(&name.as_str()) => continue,
            ClientProgram::Dhclient if !DHCLIENT_OPTIONS.contains(&name.as_str()) => continue,
            ClientProgram::Dhcpcd => continue,
            ClientProgram::Udhcpc if name.len() == 1 => "-",
            ClientProgram::Udhcpc => "--",
            ClientProgram::Dhclient => "",
        };
        words.push(format!("{dashes}{name}").into());
        words.extend(value.map(OsString::from));
    }
    words
}

/// Returns the possible paths of the configuration; the first existing file counts.
pub(in crate::io::dhcp) fn configurations(before: &ForeignClient) -> Vec<PathBuf> {
    let options = arguments::options(&before.command.arguments);
    let (named, usual) = match before.program {
        ClientProgram::Udhcpc => (None, [].as_slice()),
        ClientProgram::Dhcpcd => {
            (options.value(&["f", "config"]), [DHCPCD_CONFIGURATION].as_slice())
        }
        ClientProgram::Dhclient => (options.value(&["-cf"]), DHCLIENT_CONFIGURATIONS.as_slice()),
    };
    paths(named, usual)
}

/// Returns the files that may contain dhclient's identifier: its lease file, then the separate one.
pub(in crate::io::dhcp) fn leases(before: &ForeignClient) -> Vec<PathBuf> {
    if before.program != ClientProgram::Dhclient {
        return Vec::new();
    }
    let options = arguments::options(&before.command.arguments);
    let mut files = paths(options.value(&["-lf"]), &DHCLIENT_LEASES);
    files.extend(options.value(&["-df"]).map(PathBuf::from));
    files
}

/// Returns the last line with the identifier in a lease file.
pub(in crate::io::dhcp) fn number(leases: &str) -> Option<String> {
    let mut lines = leases.lines().rev();
    let line = lines.find(|line| line.starts_with("default-duid "))?;
    Some(format!("{line}\n"))
}

fn paths(named: Option<&str>, usual: &[&str]) -> Vec<PathBuf> {
    match named {
        Some(named) => vec![PathBuf::from(named)],
        None => usual.iter().map(PathBuf::from).collect(),
    }
}

/// Returns dhclient's configuration, changed for another link.
fn renamed(before: &ForeignClient, text: &str, link: IfName) -> String {
    match before.only_link() {
        Some(from) => text.replace(&format!("\"{from}\""), &format!("\"{link}\"")),
        None => text.to_owned(),
    }
}

/// Returns the inherited lines of dhcpcd's configuration and command line.
fn dhcpcd_lines(before: &ForeignClient, text: &str) -> String {
    let mut lines = String::new();
    let mut is_ours = true;
    for line in text.lines().map(str::trim) {
        let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if ["interface", "profile", "ssid"].contains(&word) {
            let link = IfName::new(value.trim());
            is_ours = word == "interface" && link.is_ok_and(|link| before.is_on(link));
        } else if is_ours && DHCPCD_WORDS.contains(&word) {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    let options = arguments::options(&before.command.arguments);
    for (letter, long) in [
        ("D", "duid"),
        ("I", "clientid"),
        ("h", "hostname"),
        ("i", "vendorclassid"),
        ("m", "metric"),
    ] {
        if options.has(letter) || options.has(long) {
            let value = options.value(&[letter, long]).unwrap_or_default();
            lines.push_str(format!("{long} {value}").trim_end());
            lines.push('\n');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::Family;
    use crate::model::foreign::{ClientLinks, CommandLine, Leaving};

    fn client(program: ClientProgram, line: &str) -> ForeignClient {
        let arguments = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        ForeignClient {
            program,
            links: ClientLinks::One(IfName::new("eth0").unwrap()),
            families: vec![Family::Ipv4],
            pid: 42,
            keeper: None,
            leaving: Leaving::Ended,
            command: CommandLine { arguments, ..CommandLine::default() },
        }
    }

    #[test]
    fn what_a_server_knows_a_client_by_goes_on() {
        let ifupdown = "/sbin/dhclient -4 -v -i -pf /run/dhclient.eth0.pid -lf /var/lib/eth0.leases \
                        -I -df /var/lib/eth0.6 eth0";
        for (program, line, want) in [
            (
                ClientProgram::Udhcpc,
                "udhcpc -b -i eth0 -p /run/p -C -x 0x3d:07 -R",
                "-C -x 0x3d:07",
            ),
            (
                ClientProgram::Udhcpc,
                "busybox udhcpc -i eth0 --fqdn=box -V shop",
                "--fqdn box -V shop",
            ),
            (ClientProgram::Udhcpc, "udhcpc -i eth0", ""),
            (ClientProgram::Dhclient, ifupdown, "-i -I"),
            (ClientProgram::Dhclient, "dhclient -4 -D LL eth0", "-D LL"),
            (ClientProgram::Dhcpcd, "dhcpcd -I box eth0", ""),
        ] {
            let words = arguments(&client(program, line));
            assert_eq!(words.join(&OsString::from(" ")).to_str(), Some(want), "{line}");
        }
        let dhclient = client(ClientProgram::Dhclient, ifupdown);
        assert_eq!(
            leases(&dhclient),
            ["/var/lib/eth0.leases", "/var/lib/eth0.6"].map(PathBuf::from)
        );
        assert_eq!(configurations(&dhclient)[0], PathBuf::from("/etc/dhcp/dhclient.conf"));
    }

    #[test]
    fn dhclient_has_its_configuration_and_its_number() {
        let (eth0, br0) =
            (client(ClientProgram::Dhclient, "dhclient eth0"), IfName::new("br0").unwrap());
        let text =
            "default-duid \"\\000a\";\nlease {\n  interface \"eth0\";\n}\ndefault-duid \"b\";\n";
        assert_eq!(number(text).as_deref(), Some("default-duid \"b\";\n"));
        assert_eq!(number("lease {\n}\n"), None);
        let configuration = "send host-name \"box\";\n  script \"/sbin/own\";\n\
                             interface \"eth0\" { send x; }\n";
        let (configuration, number) = (configuration.to_owned(), String::new());
        let heritage = Heritage { before: eth0, configuration, number };
        let want = "send host-name \"box\";\ninterface \"br0\" { send x; }\n";
        assert_eq!(heritage.dhclient_configuration(br0), want);
    }

    #[test]
    fn dhcpcds_lines_are_the_general_ones_and_the_links_own() {
        let text = "# a comment\nhostname\nduid\npersistent\nmetric 7\n\ninterface eth1\n\
                    clientid one\ninterface eth0\n\tclientid  two\nstatic ip_address=192.0.2.1/24\n\
                    ssid home\nuserclass three\n";
        let want = "hostname\nduid\nmetric 7\nclientid  two\n";
        assert_eq!(dhcpcd_lines(&client(ClientProgram::Dhcpcd, "dhcpcd: eth0 [ip4]"), text), want);
        let named = client(ClientProgram::Dhcpcd, "dhcpcd -h box -D -m 5 eth0");
        assert_eq!(dhcpcd_lines(&named, ""), "duid\nhostname box\nmetric 5\n");
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Shared parts of the tests for changes: calls that change the host, and the host's state, to be
//! compared with an earlier one.
//!
//! Only [`Scene::live`] and [`Scene::definition`] query the daemon.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::path::Path;

use crate::support::client::RawClient;
use crate::support::command::{command, ip, run, run_with_input};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::wire::{Arg, Fault, Reply, procedure};
use crate::{in_quiet_namespace, on_kernel_with};

pub(crate) const INTERFACE_DEFINE_XML: i32 = 131;
const INTERFACE_UNDEFINE: i32 = 132;
const INTERFACE_CREATE: i32 = 133;
const INTERFACE_DESTROY: i32 = 134;
/// `VIR_INTERFACE_DEFINE_VALIDATE`.
const VALIDATE: u32 = 1;
/// `VIR_INTERFACE_XML_INACTIVE`.
const INACTIVE: u32 = 1;

/// The directory of definitions.
pub(crate) const DEFINITIONS: &str = "/etc/libvirt/interface";

/// `VIR_ERR_SYSTEM_ERROR`, `VIR_ERR_OPERATION_INVALID`, `VIR_ERR_NO_INTERFACE`.
pub(crate) const SYSTEM_ERROR: u32 = 38;
pub(crate) const OPERATION_INVALID: u32 = 55;
pub(crate) const NO_INTERFACE: u32 = 57;

/// The error of creating an active interface.
const RUNNING: &str = "Requested operation is not valid: interface is already running";

/// Mounts an empty file system with these options over `place`.
pub(crate) fn cover(place: &str, options: &str) {
    run(command("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", place])).ok();
}

/// Runs `test` on a host of its own, whose /etc is empty.
pub(crate) fn on_host_with(modules: &[&str], test: impl FnOnce() + Send + 'static) {
    on_kernel_with(modules, || {
        prepare();
        test();
    });
}

/// As [`on_host_with`], for any kernel.
pub(crate) fn on_host(test: impl FnOnce() + Send + 'static) {
    in_quiet_namespace(|| {
        prepare();
        test();
    });
}

fn prepare() {
    cover("/etc", "mode=755");
    // Without duplicate address detection, comparisons need not wait.
    fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").unwrap();
}

/// A running daemon, and a client.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) client: RawClient,
}

impl Scene {
    pub(crate) fn start() -> Self {
        let daemon = Daemon::start();
        Self { daemon, client: RawClient::open() }
    }

    /// Kills the daemon, and starts another one.
    pub(crate) fn restart(self) -> Self {
        self.daemon.kill();
        Self::start()
    }

    /// Defines an interface whose XML must be valid by the schema.
    #[track_caller]
    pub(crate) fn define(&mut self, xml: &str) {
        self.call_define(xml).results();
    }

    pub(crate) fn call_define(&mut self, xml: &str) -> Reply {
        self.client.call(INTERFACE_DEFINE_XML, &[Arg::Text(xml), Arg::Word(VALIDATE)])
    }

    #[track_caller]
    pub(crate) fn undefine(&mut self, name: &str) {
        self.call_undefine(name).results();
    }

    pub(crate) fn call_undefine(&mut self, name: &str) -> Reply {
        self.client.call(INTERFACE_UNDEFINE, &[Arg::Text(name), Arg::Text("")])
    }

    #[track_caller]
    pub(crate) fn create(&mut self, name: &str) {
        self.call_create(name).results();
    }

    pub(crate) fn call_create(&mut self, name: &str) -> Reply {
        self.client.call(INTERFACE_CREATE, &[Arg::Text(name), Arg::Text(""), Arg::Word(0)])
    }

    #[track_caller]
    pub(crate) fn destroy(&mut self, name: &str) {
        self.call_destroy(name).results();
    }

    pub(crate) fn call_destroy(&mut self, name: &str) -> Reply {
        self.client.call(INTERFACE_DESTROY, &[Arg::Text(name), Arg::Text(""), Arg::Word(0)])
    }

    /// Asserts that create is refused, as the interface is active and matches its definition.
    #[track_caller]
    pub(crate) fn assert_running(&mut self, name: &str) {
        let fault = self.call_create(name).fault();
        assert_eq!((fault.code, fault.message.as_str()), (OPERATION_INVALID, RUNNING));
    }

    /// Asserts that create fails with these words, and leaves the host unchanged.
    #[track_caller]
    pub(crate) fn assert_create_fails(&mut self, name: &str, code: u32, words: &[&str]) {
        let before = picture();
        let fault = self.call_create(name).fault();
        assert_words(&fault, code, words);
        assert_unchanged(&before, &fault.message);
    }

    /// As [`Scene::assert_create_fails`], for destroy.
    #[track_caller]
    pub(crate) fn assert_destroy_fails(&mut self, name: &str, code: u32, words: &[&str]) {
        let before = picture();
        let fault = self.call_destroy(name).fault();
        assert_words(&fault, code, words);
        assert_unchanged(&before, &fault.message);
    }

    pub(crate) fn live(&mut self, name: &str) -> String {
        self.client.xml(name)
    }

    pub(crate) fn definition(&mut self, name: &str) -> String {
        let arguments = [Arg::Text(name), Arg::Text(""), Arg::Word(INACTIVE)];
        self.client.call(procedure::INTERFACE_GET_XML_DESC, &arguments).results().text()
    }

    /// Asserts that the live description equals the definition, apart from the order of ports and
    /// the elements that only a live description has.
    #[track_caller]
    pub(crate) fn assert_live_as_defined(&mut self, name: &str) {
        let (definition, live) = (self.definition(name), self.live(name));
        let live_lines = without_live_facts(&live, &definition);
        assert_eq!(live_lines, without_start(&definition), "{live}\n{definition}");
    }
}

/// Asserts the code of an error, and that its message contains these words in order.
#[track_caller]
pub(crate) fn assert_words(fault: &Fault, code: u32, words: &[&str]) {
    assert_eq!(fault.code, code, "{fault:?}");
    let mut rest = fault.message.as_str();
    for word in words {
        let found = rest.split_once(word);
        rest = found.unwrap_or_else(|| panic!("no {word:?} in {:?}", fault.message)).1;
    }
}

/// A live description without the optional lines that this definition does not have.
fn without_live_facts(live: &str, definition: &str) -> Vec<String> {
    let is_fact = |line: &str| {
        let line = line.trim_start();
        ["<link ", "<mac ", "<mtu "].iter().any(|element| line.starts_with(element))
            && !definition.lines().any(|defined| defined.trim_start() == line)
    };
    sorted(live.lines().filter(|line| !is_fact(line)))
}

fn without_start(definition: &str) -> Vec<String> {
    let is_start = |line: &str| line.trim_start().starts_with("<start ");
    sorted(definition.lines().filter(|line| !is_start(line)))
}

fn sorted<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<_> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Everything on the host that a change could affect, by topic.
pub(crate) type Picture = BTreeMap<String, Vec<String>>;

/// The state of the host when the daemon has nothing left to do, without values that the kernel may
/// still be changing.
pub(crate) fn picture() -> Picture {
    let is_discarded = |name: &String| name.starts_with("gone-");
    eventually("what was taken down is deleted", || !link_names().iter().any(is_discarded));
    let mut picture = Picture::new();
    // Dumping all links waits until a link that is gone from netlink is gone from sysfs too.
    let of_ip = run_with_input(
        command("ip").args(["-oneline", "-batch", "-"]),
        "address show\nroute show table all\n",
    );
    let lines = of_ip.ok();
    // The kernel's own multicast routes come and go with the carrier.
    let lasting = lines.lines().filter(|line| !line.starts_with("multicast ff00::/8 "));
    let mut lines: Vec<_> = lasting.map(settled).collect();
    lines.sort();
    picture.insert("addresses and routes".to_owned(), lines);
    for name in link_names() {
        picture.insert(format!("link {name}"), link_facts(&name));
    }
    picture
}

fn link_names() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").unwrap().map(Result::unwrap);
    // The bonding module has a file among the links.
    let is_link = |entry: &DirEntry| fs::metadata(entry.path()).is_ok_and(|it| it.is_dir());
    entries.filter(is_link).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// A line of `ip` without words that depend on the carrier.
fn settled(line: &str) -> String {
    let words = line.split_whitespace().filter(|word| *word != "linkdown");
    words.collect::<Vec<_>>().join(" ")
}

/// A link's flags, without promiscuity: a master passes that on to its active member, once it has
/// one.
fn flags(text: &str) -> String {
    const PROMISCUOUS: u32 = 0x300;
    let flags = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap();
    format!("{:#x}", flags & !PROMISCUOUS)
}

fn link_facts(name: &str) -> Vec<String> {
    const FILES: [&str; 15] = [
        "address",
        "flags",
        "mtu",
        "tx_queue_len",
        "bonding/mode",
        "bonding/slaves",
        "bonding/miimon",
        "bonding/updelay",
        "bonding/downdelay",
        "bonding/use_carrier",
        "bonding/arp_interval",
        "bonding/arp_ip_target",
        "bonding/arp_validate",
        "bridge/forward_delay",
        "bridge/stp_state",
    ];
    const SYSCTLS: [&str; 4] = ["accept_ra", "autoconf", "disable_ipv6", "forwarding"];
    let dir = Path::new("/sys/class/net").join(name);
    let sysctls = Path::new("/proc/sys/net/ipv6/conf").join(name);
    let files = FILES.map(|file| (file, dir.join(file)));
    let files = files.into_iter().chain(SYSCTLS.map(|file| (file, sysctls.join(file))));
    let fact = |(file, path): (&str, _)| {
        let value = fs::read_to_string(path).ok()?;
        let value = if file == "flags" { flags(&value) } else { value };
        // The kernel lists members in the order in which they joined.
        let mut words: Vec<_> = value.split_whitespace().collect();
        words.sort_unstable();
        Some(format!("{file} {}", words.join(" ")))
    };
    let mut facts: Vec<_> = files.filter_map(fact).collect();
    if let Some(master) = master(name) {
        facts.push(format!("master {master}"));
    }
    facts
}

/// The name of a link's bridge or bond.
pub(crate) fn master(name: &str) -> Option<String> {
    let master = fs::read_link(format!("/sys/class/net/{name}/master")).ok()?;
    Some(master.file_name()?.to_str()?.to_owned())
}

/// Whether there is a link of this name.
pub(crate) fn exists(name: &str) -> bool {
    run(command("ip").args(["link", "show", "dev", name])).status.success()
}

/// The addresses of a link, in the format of `ip`.
pub(crate) fn addresses(name: &str) -> Vec<String> {
    let text = ip(&format!("-oneline address show dev {name}"));
    let address = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
    text.lines().filter_map(address).collect()
}

/// The routes through a link in the format of `ip`, without the kernel's own.
pub(crate) fn routes(name: &str) -> Vec<String> {
    let family = |family: &str| ip(&format!("{family} route show dev {name}"));
    let text = ["-4", "-6"].map(family).concat();
    let is_own = |line: &&str| !line.contains("proto kernel");
    text.lines().filter(is_own).map(settled).collect()
}

/// Asserts that the host is unchanged; `why` names a possible reason for a change.
#[track_caller]
pub(crate) fn assert_unchanged(before: &Picture, why: &str) {
    let now = picture();
    let names: Vec<_> = before.keys().chain(now.keys()).collect();
    for name in names {
        let lines = |picture: &Picture| picture.get(name).cloned().unwrap_or_default();
        assert_eq!(lines(&now), lines(before), "{name} is another than before: {why}");
    }
}

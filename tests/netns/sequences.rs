// SPDX-License-Identifier: LGPL-2.1-or-later
//! A rollback restores the state at begin, whatever was done in the transaction, by any client or
//! by hand.
//!
//! Sequences have up to four operations, and each runs in namespaces of its own with a seed of its
//! own, which is printed on failure: `SEQUENCES=1 SEQUENCES_SEED=...` repeats it. `SEQUENCES=1000`
//! runs that many. [`Snapshot`] lists what may differ after a rollback. Links that the daemon has
//! renamed may still exist or be deleted.

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::full_host::{
    State, await_settled, lay_out, try_begin, try_call, try_commit, try_roll_back,
};
use crate::host::{FOLDER, bridge, definition_file, ip_json, ports, protocols, text};
use crate::random::{Chance, Rng, seed};
use crate::support::client::RawClient;
use crate::support::command::{command, ip_batch, run_with_input};
use crate::support::daemon::{Daemon, config_file, daemon_command};
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::in_namespace;
use crate::support::wire::{Arg, Fault, procedure};
use crate::transaction::Tree;

const SEQUENCE_COUNT: u64 = 100;
const LEN_MAX: usize = 4;

/// How many run at a time: mostly they wait.
const LANE_COUNT: usize = 4;

/// `change_timeout`, if the sequence has a deadline.
const TIMEOUT: Duration = Duration::from_secs(1);
/// An operation that ends within this time of the deadline may have been affected by it.
const MARGIN: Duration = Duration::from_millis(100);

/// How long the kernel may need to settle after a rollback, on a busy machine.
const SETTLING_TIME: Duration = Duration::from_secs(20);

const NICS: [&str; 3] = ["eth0", "eth1", "eth2"];
const BRIDGES: [&str; 3] = ["br0", "br1", "br8"];
/// The links that `ip` changes. Only `ip` creates `br9`.
const LINKS: [&str; 8] = ["br0", "br1", "br8", "br9", "eth0", "eth1", "eth2", "eth3"];

/// The error codes that may occur: the kernel's reasons, an invalid operation, no such interface,
/// an invalid definition.
const CODES: [u32; 5] = [27, 38, 55, 57, 62];

const PLUG_IN: &str = "\
link add eth3 address 52:54:00:00:00:04 type veth peer name far3 address 52:54:00:00:01:04
link set far3 up
link set eth3 up
address add 10.4.0.1/24 dev eth3
route add 10.44.0.0/16 via 10.4.0.9 dev eth3
";

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Deed {
    Begin,
    Commit,
    RollBack,
    Define,
    Undefine,
    Create,
    Destroy,
    EditFile,
    Ip,
    KillAndStart,
    PassDeadline,
}

const DEEDS: [Deed; 11] = [
    Deed::Begin,
    Deed::Commit,
    Deed::RollBack,
    Deed::Define,
    Deed::Undefine,
    Deed::Create,
    Deed::Destroy,
    Deed::EditFile,
    Deed::Ip,
    Deed::KillAndStart,
    Deed::PassDeadline,
];

/// Statistics of the sequences.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Sequences that were completed.
    told: u32,
    /// Sequences that ended early, as the deadline passed before its turn on a busy machine.
    late: u32,
    /// Transactions that were rolled back.
    rolled_back: u32,
    /// Those of them that had changed something.
    undone: u32,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.told += other.told;
        self.late += other.late;
        self.rolled_back += other.rolled_back;
        self.undone += other.undone;
    }
}

/// A sequence that is running.
struct Telling {
    rng: Rng,
    daemon: Option<Daemon>,
    client: RawClient,
    options: Vec<String>,
    /// The open transaction: the state at its beginning, and the times of the call and of its
    /// answer.
    open: Option<(State, Instant, Instant)>,
    /// The guests at that time.
    guests: Vec<(String, String)>,
    has_deadline: bool,
    counts: Counts,
    /// A list of the operations, for a failure.
    said: Vec<String>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("what was done:\n{}", self.said.join("\n"));
        }
    }
}

/// The whole state, without links that have yet to be deleted.
fn look() -> State {
    State { tree: Tree::take(), host: Snapshot::take().without(|name| name.starts_with("gone-")) }
}

/// Ports that no definition names, with their bridges: they belong to guests, so only their place
/// on the bridge is restored.
fn guests() -> Vec<(String, String)> {
    let files = fs::read_dir(FOLDER).into_iter().flatten();
    let bridges: String = files
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter(|xml| xml.contains("type='bridge'"))
        .collect();
    let links = ip_json("link show").into_iter().filter(|link| link.get("master").is_some());
    let pairs = links.map(|link| (text(&link["ifname"]), text(&link["master"])));
    pairs.filter(|(name, _)| !bridges.contains(&format!("name='{name}'"))).collect()
}

impl Telling {
    fn new(seed: u64) -> (Self, Vec<Deed>) {
        let mut rng = Rng::with_seed(seed);
        let len = rng.usize(1..=LEN_MAX).max(rng.usize(1..=LEN_MAX));
        let mut deeds: Vec<_> = (0..len).map(|_| *rng.pick(&DEEDS)).collect();
        // Without a transaction there is little to test.
        if !rng.once_in(4) {
            deeds[0] = Deed::Begin;
        }
        let has_deadline = deeds.contains(&Deed::PassDeadline);
        lay_out();
        ip_batch(PLUG_IN);
        if rng.once_in(2) {
            ip_batch("tuntap add vnet0 mode tap\nlink set vnet0 master br8 up\n");
        }
        let text = if has_deadline { "change_timeout = 1\n" } else { "" };
        let options = vec!["-f".to_owned(), config_file(text)];
        let daemon = Daemon::start_with(daemon_command().args(&options));
        let client = RawClient::open();
        let said = vec![format!("{deeds:?}")];
        let (daemon, counts) = (Some(daemon), Counts::default());
        (
            Self {
                rng,
                daemon,
                client,
                options,
                open: None,
                guests: Vec::new(),
                has_deadline,
                counts,
                said,
            },
            deeds,
        )
    }

    fn note(&mut self, text: impl Into<String>) {
        self.said.push(text.into());
    }

    /// Whether the deadline may have passed meanwhile.
    fn is_late(&self) -> bool {
        let begun = self.open.as_ref().map(|(_, asked, _)| *asked);
        self.has_deadline && begun.is_some_and(|begun| begun.elapsed() + MARGIN > TIMEOUT)
    }

    fn tell(&mut self, deeds: &[Deed]) {
        for deed in deeds {
            self.note(format!("{deed:?}"));
            match deed {
                Deed::Begin => self.begin(),
                Deed::Commit => self.commit(),
                Deed::RollBack => self.roll_back(),
                Deed::Define => self.define(),
                Deed::Undefine => self.undefine(),
                Deed::Create => self.activate(procedure::INTERFACE_CREATE),
                Deed::Destroy => self.activate(procedure::INTERFACE_DESTROY),
                Deed::EditFile => self.edit_file(),
                Deed::Ip => self.let_ip_loose(),
                Deed::KillAndStart => {
                    self.kill();
                    self.start();
                }
                Deed::PassDeadline => self.pass_deadline(),
            }
            if self.is_late() {
                self.counts.late += 1;
                return;
            }
        }
        if self.open.is_some() {
            self.note("in the end");
            self.roll_back();
        }
        self.counts.told += 1;
    }

    fn begin(&mut self) {
        await_settled();
        let state = look();
        let asked = Instant::now();
        let outcome = try_begin(&mut self.client).expect("an answer");
        match &self.open {
            None => {
                outcome.unwrap();
                self.open = Some((state, asked, Instant::now()));
                self.guests = guests();
            }
            Some(_) => self.assert_invalid(outcome),
        }
    }

    fn assert_invalid(&self, outcome: Result<(), Fault>) {
        if !self.is_late() {
            assert_eq!(outcome.unwrap_err().code, 55);
        }
    }

    fn commit(&mut self) {
        let outcome = try_commit(&mut self.client).expect("an answer");
        match self.open {
            None => self.assert_invalid(outcome),
            // The deadline may have passed.
            Some(_) if outcome.is_err() && self.is_late() => {}
            Some(_) => {
                outcome.unwrap();
                self.open = None;
            }
        }
    }

    fn roll_back(&mut self) {
        self.count_what_is_to_be_undone();
        let outcome = try_roll_back(&mut self.client).expect("an answer");
        match &self.open {
            None => self.assert_invalid(outcome),
            Some(_) if outcome.is_err() && self.is_late() => {}
            Some(_) => {
                outcome.unwrap();
                self.find_all_as_it_was("rolled back");
            }
        }
    }

    fn count_what_is_to_be_undone(&mut self) {
        let Some((begun, ..)) = &self.open else { return };
        let differences = begun.differences(&look(), Strictness::AlikeLinks);
        self.counts.rolled_back += 1;
        self.counts.undone += u32::from(!differences.is_empty());
    }

    /// Asserts that the open transaction was rolled back.
    fn find_all_as_it_was(&mut self, label: &str) {
        let (mut begun, ..) = self.open.take().expect("an open change");
        let guests = self.guests.clone();
        let is_guest = |name: &str| guests.iter().any(|(guest, _)| guest == name);
        begun.host = begun.host.without(is_guest);
        let deadline = Instant::now() + SETTLING_TIME;
        loop {
            let mut now = look();
            now.host = now.host.without(is_guest);
            let mut differences = begun.differences(&now, Strictness::AlikeLinks);
            for (guest, bridge) in &guests {
                if !ports(bridge).contains(guest) {
                    differences.push(format!("{guest} is not a port of {bridge}"));
                }
            }
            if differences.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{label}:\n{}", differences.join("\n"));
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A refused call must change nothing.
    fn call(&mut self, procedure: i32, arguments: &[Arg<'_>]) {
        let tree = Tree::take();
        let outcome = try_call(&mut self.client, procedure, arguments).expect("an answer");
        if let Err(fault) = outcome {
            self.note(format!("    refused: {}", fault.message));
            if !self.is_late() {
                assert!(CODES.contains(&fault.code), "{fault:?}");
                assert_eq!(Tree::take(), tree, "{fault:?}");
            }
        }
    }

    fn define(&mut self) {
        let xml = definition(&mut self.rng);
        self.note(format!("    {xml}"));
        self.call(procedure::INTERFACE_DEFINE_XML, &[Arg::Text(&xml), Arg::Word(0)]);
    }

    fn undefine(&mut self) {
        let name = defined_name(&mut self.rng);
        self.note(format!("    {name}"));
        self.call(procedure::INTERFACE_UNDEFINE, &[Arg::Text(name), Arg::Text("")]);
    }

    fn activate(&mut self, procedure: i32) {
        let name = defined_name(&mut self.rng);
        self.note(format!("    {name}"));
        self.call(procedure, &[Arg::Text(name), Arg::Text(""), Arg::Word(0)]);
    }

    fn edit_file(&mut self) {
        let rng = &mut self.rng;
        let names = ["br0", "br8", "eth0", "eth1", "eth5", "eth7"];
        let (path, other) =
            (definition_file(rng.pick::<&str>(&names)), definition_file(rng.pick::<&str>(&names)));
        let xml = definition(rng);
        let deed = rng.u8(..9);
        self.note(format!("    {deed}: {}, {}, {xml}", path.display(), other.display()));
        fs::create_dir_all(FOLDER).unwrap();
        // The file may not exist.
        let _ = match deed {
            0 => fs::remove_file(path),
            1 => fs::rename(path, other),
            2 => fs::set_permissions(path, Permissions::from_mode(0o604)),
            3 => chown(path, Some(1), Some(2)),
            4 => symlink(other, path),
            5 => fs::remove_dir_all(FOLDER),
            6 => fs::write(path, &xml[..xml.len() / 2]),
            7 => fs::write(path, ""),
            _ => fs::write(path, xml),
        };
    }

    fn let_ip_loose(&mut self) {
        for _ in 0..self.rng.usize(1..=8) {
            let link = *self.rng.pick(&LINKS);
            if self.rng.once_in(8) {
                let sysctl = *self.rng.pick(&["accept_ra", "autoconf", "disable_ipv6"]);
                let value = self.rng.pick(&["0", "1"]);
                self.note(format!("    {link}: {sysctl} = {value}"));
                // The link may not exist.
                let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{link}/{sysctl}"), value);
                continue;
            }
            let line = ip_line(link, &mut self.rng);
            let mut ip = command("ip");
            let output = run_with_input(ip.args(["-batch", "-"]), &line);
            let refused = if output.status.success() { "" } else { " (refused)" };
            self.note(format!("    ip {line}{refused}"));
        }
    }

    fn kill(&mut self) {
        self.daemon.take().expect("a daemon").kill();
    }

    fn start(&mut self) {
        self.daemon = Some(Daemon::start_with(daemon_command().args(&self.options)));
        self.client = RawClient::open();
    }

    fn pass_deadline(&mut self) {
        self.count_what_is_to_be_undone();
        let Some((.., answered)) = &self.open else { return };
        let over = *answered + TIMEOUT;
        let is_missed = self.rng.once_in(3);
        if is_missed {
            self.kill();
            thread::sleep((over + MARGIN).saturating_duration_since(Instant::now()));
            self.start();
        } else {
            thread::sleep(over.saturating_duration_since(Instant::now()));
        }
        self.find_all_as_it_was("the deadline has passed");
        // The state is restored, and the transaction must also be closed.
        self.commit();
    }
}

fn defined_name(rng: &mut Rng) -> &'static str {
    let names = ["br0", "br1", "br8", "eth0", "eth1", "eth2", "br0", "eth0", "eth7"];
    rng.pick::<&str>(&names)
}

fn definition(rng: &mut Rng) -> String {
    let all =
        ["192.0.2.2/24", "192.0.2.77/24", "10.7.0.1/16", "2001:db8::2/64", "2001:db8:7::7/64"];
    let addresses: Vec<_> = all.into_iter().filter(|_| rng.once_in(3)).collect();
    if rng.once_in(2) {
        let ports: Vec<_> = NICS.into_iter().filter(|_| rng.once_in(2)).collect();
        let attributes = rng.pick(&["stp='off'", "stp='off' delay='0'", "stp='off' delay='5'"]);
        return bridge(rng.pick::<&str>(&BRIDGES), attributes, &ports, &addresses);
    }
    let name = rng.pick(&NICS);
    let all = ["192.0.2.1", "2001:db8::1"];
    let gateways: Vec<_> = all.into_iter().filter(|_| rng.once_in(3)).collect();
    let mtu = if rng.once_in(3) { "<mtu size='1400'/>" } else { "" };
    let protocols = match rng.u8(..5) {
        0 => "<protocol family='ipv6'><autoconf/></protocol>".to_owned(),
        _ => protocols(&addresses, &gateways),
    };
    format!("<interface type='ethernet' name='{name}'>{mtu}{protocols}</interface>")
}

fn ip_line(link: &str, rng: &mut Rng) -> String {
    let bridge = *rng.pick(&["br0", "br1", "br8", "br9"]);
    let address = rng.pick(&[
        "192.0.2.2/24",
        "192.0.2.3/24",
        "192.0.2.50/24",
        "10.6.0.1/16",
        "10.8.0.1/24",
        "10.99.0.1/32",
        "2001:db8::2/64",
        "2001:db8:50::1/64",
    ]);
    let lines = [
        format!("address add {address} dev {link}"),
        format!("address del {address} dev {link}"),
        format!("address flush dev {link}"),
        format!("-6 address flush dev {link} scope global"),
        "address add 10.255.0.1/32 dev lo".to_owned(),
        format!("link set {link} down"),
        format!("link set {link} up"),
        format!("link set {link} mtu 1300"),
        format!("link set {link} address 52:54:00:00:09:09"),
        format!("link set {link} alias something"),
        format!("link set {link} txqueuelen 77"),
        format!("link set {link} group 5"),
        format!("link set {link} arp off"),
        format!("link set {link} multicast off"),
        format!("link set {link} promisc on"),
        format!("link set {link} allmulticast on"),
        format!("link set {bridge} type bridge stp_state 1"),
        format!("link set {bridge} type bridge priority 7"),
        format!("link set {bridge} type bridge mcast_snooping 0"),
        format!("link set {link} type bridge_slave learning off"),
        format!("link set {link} type bridge_slave priority 5"),
        format!("address change {address} dev {link} valid_lft 3000 preferred_lft 2000"),
        format!("address add 10.9.0.1 peer 10.9.0.2/32 dev {link}"),
        format!("address add 192.0.2.4/24 dev {link} label {link}:x"),
        format!("route append default via 192.0.2.7 dev {link} onlink metric 9"),
        "route add 203.0.116.0/24 nexthop via 192.0.2.9 nexthop via 10.6.0.2".to_owned(),
        format!("link set {link} addrgenmode none"),
        format!("link set {link} master {bridge}"),
        format!("link set {link} nomaster"),
        "link set vnet0 nomaster".to_owned(),
        "link del eth3".to_owned(),
        PLUG_IN.to_owned(),
        format!("link add {bridge} type bridge"),
        format!("link del {bridge}"),
        format!("link set {bridge} type bridge ageing_time 7700"),
        format!("link set {bridge} type bridge vlan_filtering 1"),
        format!("link set {bridge} type bridge forward_delay 700"),
        format!("link set {link} type bridge_slave cost 7"),
        format!("link set {link} type bridge_slave hairpin on"),
        "route del default".to_owned(),
        "-6 route del default".to_owned(),
        "route replace default via 192.0.2.9".to_owned(),
        "route del 203.0.113.0/24".to_owned(),
        "route add 203.0.113.128/25 via 192.0.2.8 metric 12".to_owned(),
        format!("route add 203.0.115.0/24 dev {link} table 100"),
        format!("-6 route add 2001:db8:ffff::/48 via 2001:db8::9 dev {link}"),
    ];
    rng.pick(&lines).clone()
}

#[test]
fn random_sequences_are_rolled_back() {
    let first = seed("SEQUENCES_SEED");
    let count = env::var("SEQUENCES").map_or(SEQUENCE_COUNT, |text| text.parse().unwrap());
    println!("SEQUENCES_SEED={first} SEQUENCES={count}");
    let begun = Instant::now();
    let seeds: Arc<Mutex<VecDeque<u64>>> =
        Arc::new(Mutex::new((0..count).map(|number| first.wrapping_add(number)).collect()));
    let counts: Arc<Mutex<Counts>> = Arc::default();
    thread::scope(|scope| {
        for _ in 0..LANE_COUNT {
            scope.spawn(|| {
                loop {
                    let seed = seeds.lock().unwrap().pop_front();
                    let Some(seed) = seed else { return };
                    let counts = counts.clone();
                    let _trial = Trial(seed);
                    in_namespace(move || {
                        let (mut telling, deeds) = Telling::new(seed);
                        telling.tell(&deeds);
                        counts.lock().unwrap().add(telling.counts);
                    });
                }
            });
        }
    });
    println!("{:?} in {:?}", counts.lock().unwrap(), begun.elapsed());
}

/// A sequence under test, whose seed is printed if it fails.
struct Trial(u64);

impl Drop for Trial {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("to repeat it: SEQUENCES_SEED={} SEQUENCES=1", self.0);
        }
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Concurrent changes: clients that change the same interfaces, files edited while the daemon runs,
//! links that come and go. The final state must be consistent.
//!
//! The scheduler decides the order: the seed repeats what each participant does, not when.
//! `SOAK=60` runs for a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use crate::host::{FOLDER, bridge, definition_file, ethernet, folder, ip_json, listed, text};
use crate::random::{Chance, Rng, seed};
use crate::support::StopOnDrop;
use crate::support::client::RawClient;
use crate::support::command::{command, ip_batch, run, run_with_input, virsh};
use crate::support::daemon::Daemon;
use crate::support::namespace::{in_namespace, is_installed};
use crate::support::wire::{Arg, procedure};

const CLIENT_COUNT: u64 = 16;
const SECONDS: u64 = 5;

const NICS: [&str; 4] = ["eth0", "eth1", "eth2", "eth3"];
const BRIDGES: [&str; 3] = ["br0", "br1", "br2"];

/// The error codes that may occur: the kernel's reasons, an invalid operation, no such interface.
const CODES: [u32; 3] = [38, 55, 57];

fn name(rng: &mut Rng) -> &'static str {
    let names: &[&str] = if rng.once_in(2) { &NICS } else { &BRIDGES };
    rng.pick::<&str>(names)
}

fn definition(name: &str, rng: &mut Rng) -> String {
    let address = format!("10.{}.0.{}/24", rng.u8(1..4), rng.u8(1..250));
    if NICS.contains(&name) {
        return ethernet(name, &[&address], &[]);
    }
    let ports: Vec<_> = NICS.into_iter().filter(|_| rng.once_in(3)).collect();
    let attributes = rng.pick(&["stp='off'", "stp='on' delay='0'", "stp='off' delay='0'"]);
    bridge(name, attributes, &ports, &[&address])
}

/// Makes random changes as one client; returns how many succeeded.
fn change(stop: &AtomicBool, seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let mut client = RawClient::open();
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        if rng.once_in(50) {
            // A client that does not wait for its answer.
            let name = name(&mut rng);
            let arguments = [Arg::Text(name), Arg::Text(""), Arg::Word(0)];
            client.send_call(procedure::INTERFACE_CREATE, &arguments);
            client = RawClient::open();
        }
        let name = name(&mut rng);
        let reply = match rng.u8(..4) {
            0 => {
                let xml = definition(name, &mut rng);
                let arguments = [Arg::Text(&xml), Arg::Word(0)];
                client.call(procedure::INTERFACE_DEFINE_XML, &arguments)
            }
            1 => client.call(procedure::INTERFACE_UNDEFINE, &[Arg::Text(name), Arg::Text("")]),
            2 => client
                .call(procedure::INTERFACE_CREATE, &[Arg::Text(name), Arg::Text(""), Arg::Word(0)]),
            _ => client.call(
                procedure::INTERFACE_DESTROY,
                &[Arg::Text(name), Arg::Text(""), Arg::Word(0)],
            ),
        };
        if reply.head.status == 0 {
            done += 1;
        } else {
            let fault = reply.fault();
            assert!(CODES.contains(&fault.code), "{fault:?}");
        }
    }
    done
}

/// Makes queries repeatedly; returns how many, and the longest time without an answer.
fn read(stop: &AtomicBool) -> (usize, Duration) {
    let mut client = RawClient::open();
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let names = client.list_all();
        assert!(names.contains(&"lo".to_owned()));
        longest = longest.max(asked.elapsed());
        count += 1;
    }
    (count, longest)
}

/// Edits files as editors and scripts do; the last edits leave valid definitions.
fn edit(stop: &AtomicBool, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    fs::create_dir_all(FOLDER).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let name = name(&mut rng);
        let file = definition_file(name);
        let xml = definition(name, &mut rng);
        match rng.u8(..5) {
            0 => fs::write(&file, xml).unwrap(),
            1 => {
                let temporary = format!("{FOLDER}/.{name}.swp");
                fs::write(&temporary, xml).unwrap();
                fs::rename(temporary, &file).unwrap();
            }
            // It may be gone already.
            2 => drop(fs::remove_file(&file)),
            3 => {
                fs::write(&file, &xml[..xml.len() / 2]).unwrap();
                thread::sleep(Duration::from_millis(rng.u64(..10)));
                fs::write(&file, &xml).unwrap();
            }
            _ => {
                let away = format!("{FOLDER}.away");
                if fs::rename(FOLDER, &away).is_ok() {
                    thread::sleep(Duration::from_millis(rng.u64(..5)));
                    // The daemon may have created a new directory meanwhile.
                    if fs::rename(&away, FOLDER).is_err() {
                        fs::remove_dir_all(&away).unwrap();
                    }
                }
                fs::create_dir_all(FOLDER).unwrap();
            }
        }
        thread::sleep(Duration::from_millis(rng.u64(..20)));
    }
}

/// Changes links by `ip`; most requests are refused, as the participants interfere.
fn pull_cables(stop: &AtomicBool, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    while !stop.load(Ordering::Relaxed) {
        let (nic, bridge) = (*rng.pick(&NICS), *rng.pick(&BRIDGES));
        let peer = nic.replace("eth", "far");
        let line = match rng.u8(..6) {
            0 => format!("link del {nic}"),
            1 | 2 => format!("link add {nic} type veth peer name {peer}"),
            3 => format!("link set {nic} master {bridge}"),
            4 => format!("link set {nic} nomaster up"),
            _ => format!("link del {bridge}"),
        };
        let mut ip = command("ip");
        let _ = run_with_input(ip.args(["-force", "-batch", "-"]), &line);
        let _ = run(command("ip").args(["link", "set", &peer, "up"]));
        thread::sleep(Duration::from_millis(rng.u64(..20)));
    }
}

/// The links that must be listed, with their states, according to `ip`; and the ports among them.
fn links() -> (BTreeMap<String, &'static str>, BTreeSet<String>) {
    let (mut shown, mut ports) = (BTreeMap::new(), BTreeSet::new());
    for link in ip_json("link show") {
        let name = text(&link["ifname"]);
        let is_up = link["flags"].as_array().unwrap().iter().any(|flag| flag == "UP");
        // One of our bridges that is about to be deleted.
        if name == format!("gone-{}", link["ifindex"]) {
            continue;
        }
        if link.get("master").is_some() {
            ports.insert(name.clone());
        }
        shown.insert(name, if is_up { "active" } else { "inactive" });
    }
    (shown, ports)
}

#[test]
fn concurrent_changes_leave_a_consistent_host() {
    if !is_installed(crate::host::VIRSH) {
        return;
    }
    in_namespace(|| {
        let seed = seed("RACES_SEED");
        let seconds = env::var("SOAK").map_or(SECONDS, |text| text.parse().unwrap());
        println!("RACES_SEED={seed} SOAK={seconds}");
        for nic in NICS {
            let peer = nic.replace("eth", "far");
            ip_batch(&format!("link add {nic} type veth peer name {peer}\nlink set {peer} up\n"));
        }
        // Each of the sixteen clients may have a second connection, whose answer is never read.
        let mut daemon = Daemon::start();
        let stop = AtomicBool::new(false);
        let (changes, reads) = thread::scope(|scope| {
            let stop_on_drop = StopOnDrop(&stop);
            let stop = &stop;
            let clients: Vec<_> = (0..CLIENT_COUNT)
                .map(|number| scope.spawn(move || change(stop, seed ^ number)))
                .collect();
            let reader = scope.spawn(|| read(stop));
            scope.spawn(|| edit(stop, seed ^ 100));
            scope.spawn(|| pull_cables(stop, seed ^ 101));
            let end = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < end && !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(50));
                assert!(daemon.is_running());
                let is_over = clients.iter().any(thread::ScopedJoinHandle::is_finished);
                assert!(!is_over, "a client has failed");
            }
            drop(stop_on_drop);
            let done: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
            (done, reader.join().unwrap())
        });
        println!("{changes} changes made; {} reads, the longest one {:?}", reads.0, reads.1);
        assert!(changes > 100, "most were refused");
        assert!(reads.0 > 100, "reads waited for changes");
        assert!(daemon.is_running());

        // Changes are completed even if their client has left.
        virsh("iface-undefine lo").failed();
        let mut defined = BTreeSet::new();
        // If the directory was moved during a write, its temporary file remains until the next
        // start.
        let is_begun = |file: &String| file.ends_with(".virtinterfaced-new");
        for file in folder().into_iter().filter(|file| !is_begun(file)) {
            let name = file.strip_suffix(".xml").unwrap_or_else(|| panic!("left behind: {file}"));
            let shown = virsh(&format!("iface-dumpxml --inactive {name}")).ok();
            assert!(shown.contains(&format!("name='{name}'>")), "{shown}");
            let file = fs::read_to_string(definition_file(name)).unwrap();
            let mtu = |text: &str| text.split("address='").nth(1).map(|rest| rest[..9].to_owned());
            assert_eq!(mtu(&file), mtu(&shown), "{name}: the file is what is shown");
            defined.insert(name.to_owned());
        }
        let (links, ports) = links();
        let mut want: BTreeMap<String, String> = BTreeMap::new();
        for (name, state) in &links {
            if !ports.contains(name) || defined.contains(name) {
                want.insert(name.clone(), (*state).to_owned());
            }
        }
        for name in defined {
            want.entry(name).or_insert_with(|| "inactive".to_owned());
        }
        assert_eq!(listed("--all").into_iter().collect::<BTreeMap<_, _>>(), want);
        assert!(daemon.stop().success());
        let _daemon = Daemon::start();
        let left: Vec<_> = folder().into_iter().filter(|file| !file.ends_with(".xml")).collect();
        assert_eq!(left, [""; 0], "left behind after a start");
    });
}

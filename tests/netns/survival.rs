// SPDX-License-Identifier: LGPL-2.1-or-later
//! Connections over a NIC are not interrupted when it becomes a bridge's port, nor when it ceases
//! to be one.
//!
//! The host and a peer in a network namespace of its own query each other once a millisecond, and
//! keep a TCP connection in each direction. The test measures the longest time without an answer.
//!
//! That time includes scheduling delays: tens of milliseconds on a busy machine. The measuring
//! threads therefore have real-time priority, and the daemon has the highest ordinary priority; and
//! the change is tried up to five times, of which the shortest time counts. The result is the time
//! that the daemon and the kernel need, without that of other load.

#![allow(unsafe_code, reason = "namespaces are entered, and priorities set, by system calls")]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::host::{
    addresses, await_addresses, find_link, link, ports, virsh_destroy, with_virsh_alone,
};
use crate::support::command::{command, ip, ip_batch, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::{DIR, is_installed};
use crate::support::{PATIENCE, StopOnDrop, eventually};

/// The longest interruption that is acceptable.
const SILENCE_MAX: Duration = Duration::from_millis(20);

/// How many times a change is tried until the machine is idle enough.
const TRIAL_COUNT: usize = 5;

const QUESTION_INTERVAL: Duration = Duration::from_millis(1);
const BYTE_INTERVAL: Duration = Duration::from_millis(10);

const ECHO_PORT: u16 = 7;

/// The addresses of the host and of the peer.
#[derive(Clone, Copy, Debug)]
struct Ends {
    host: &'static str,
    peer: &'static str,
}

const IPV4: Ends = Ends { host: "192.0.2.2", peer: "192.0.2.1" };
const IPV6: Ends = Ends { host: "2001:db8::2", peer: "2001:db8::1" };

/// The network namespace of a thread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Host,
    Peer,
}

/// Connects `eth0` to the namespace `peer`, which stands for another host.
pub(crate) fn lay_cable() {
    ip("netns add peer");
    ip_batch(
        "link add eth0 address 52:54:00:00:00:01 type veth peer name far0 netns peer\n\
         link set eth0 up\n\
         address add 192.0.2.2/24 dev eth0\n\
         address add 2001:db8::2/64 dev eth0 nodad\n",
    );
    for arguments in [
        "link set lo up",
        "link set far0 up",
        "address add 192.0.2.1/24 dev far0",
        "address add 2001:db8::1/64 dev far0 nodad",
    ] {
        ip(&format!("-netns peer {arguments}"));
    }
    ip("route add default via 192.0.2.1");
}

/// Moves the calling thread to a network namespace that `ip` has created.
pub(crate) fn enter_namespace(name: &str) {
    let namespace = File::open(format!("/run/netns/{name}")).unwrap();
    // SAFETY: setns takes an open descriptor and an integer; it moves this thread alone.
    let rc = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(rc, 0, "{}", io::Error::last_os_error());
}

/// Moves the calling thread to its side, and gives it real-time priority.
pub(crate) fn enter(side: Side) {
    if side == Side::Peer {
        enter_namespace("peer");
    }
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is the calling thread, and the pointer is to a live local.
    let rc = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    if rc != 0 {
        println!("the threads that measure are as any other: {}", io::Error::last_os_error());
    }
}

fn bind(address: &str, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((address.parse::<IpAddr>().unwrap(), port)).unwrap();
    // A read timeout would be rounded up to the kernel's ticks.
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Echoes what it receives.
fn echo(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            // An echo that cannot be sent counts as lost.
            let _ = socket.send_to(&buffer[..len], from);
        }
        thread::sleep(QUESTION_INTERVAL);
    }
}

/// Sends queries until `stop` is set; returns the longest time between two answers.
fn longest_silence(socket: &UdpSocket, server: SocketAddr, stop: &AtomicBool) -> Duration {
    let mut buffer = [0; 64];
    let mut longest = Duration::ZERO;
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        // A query that cannot be sent counts as lost.
        let _ = socket.send_to(b"there?", server);
        thread::sleep(QUESTION_INTERVAL);
        while socket.recv_from(&mut buffer).is_ok() {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    }
    longest.max(last.elapsed())
}

/// Sends single bytes over one connection, and expects each of them back.
fn keep_connection(server: SocketAddr, stop: &AtomicBool) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for byte in (0..=u8::MAX).cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        stream.write_all(&[byte]).expect("the connection is alive");
        let mut answer = [0];
        stream.read_exact(&mut answer).expect("the connection is alive");
        assert_eq!(answer, [byte]);
        thread::sleep(BYTE_INTERVAL);
    }
}

/// Echoes over one connection to its end.
fn serve_connection(listener: &TcpListener, stop: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if stop.load(Ordering::Relaxed) => return,
            Err(_) => thread::sleep(QUESTION_INTERVAL),
        }
    };
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|len| len > 0) {
        stream.write_all(&byte).expect("the connection is alive");
    }
}

/// Runs `change`, and returns the longest times without an answer: to the host's queries, and to
/// the peer's.
fn silences_during(ends: Ends, change: impl FnOnce()) -> [Duration; 2] {
    let stop = AtomicBool::new(false);
    let ready = AtomicUsize::new(0);
    let address = |side: Side, port: u16| {
        let text = if side == Side::Host { ends.host } else { ends.peer };
        SocketAddr::new(text.parse().unwrap(), port)
    };
    let (stop_now, count_ready) = (&stop, &ready);
    let note_ready = move || count_ready.fetch_add(1, Ordering::Relaxed);
    // IPv6 needs time to settle new addresses.
    await_addresses();
    thread::scope(|scope| {
        let stop = StopOnDrop(stop_now);
        let mut askers = Vec::new();
        let sides = [(Side::Host, Side::Peer), (Side::Peer, Side::Host)];
        for (side, _) in sides {
            scope.spawn(move || {
                enter(side);
                let socket = bind(&address(side, 0).ip().to_string(), ECHO_PORT);
                note_ready();
                echo(&socket, stop_now);
            });
            scope.spawn(move || {
                enter(side);
                let listener = TcpListener::bind(address(side, ECHO_PORT)).unwrap();
                note_ready();
                serve_connection(&listener, stop_now);
            });
        }
        eventually("both sides serve", || ready.load(Ordering::Relaxed) == 4);
        for (side, other) in sides {
            scope.spawn(move || {
                enter(side);
                keep_connection(address(other, ECHO_PORT), stop_now);
            });
            askers.push(scope.spawn(move || {
                enter(side);
                let socket = bind(&address(side, 0).ip().to_string(), 0);
                longest_silence(&socket, address(other, ECHO_PORT), stop_now)
            }));
        }
        thread::sleep(Duration::from_millis(100));
        change();
        // Losses after the call's answer count as well.
        thread::sleep(Duration::from_millis(300));
        drop(stop);
        let [host, peer] = askers.try_into().unwrap();
        [host.join().unwrap(), peer.join().unwrap()]
    })
}

/// Tries both changes in turn until each has been fast enough once, in both directions.
fn check(ends: Ends) {
    let mut best = [Duration::MAX; 2];
    await_addresses();
    let judge = Snapshot::take();
    for trial in 1..=TRIAL_COUNT {
        let idle = silences_during(ends, || thread::sleep(Duration::from_millis(200)));
        println!("trial {trial}: {idle:.1?} without an answer when nothing happens");
        for (change, best) in [BRIDGE, UNBRIDGE].iter().zip(&mut best) {
            *best = (*best).min(change.measure(ends));
        }
        judge.assert_unchanged(Strictness::AlikeLinks, "iface-bridge and iface-unbridge");
        if best.iter().all(|best| *best <= SILENCE_MAX) {
            return;
        }
    }
    panic!("never quick enough over {ends:?}: {best:?}");
}

/// A change that connections over the NIC must survive.
struct Change {
    make: fn(),
    verify: fn(),
    what: &'static str,
}

const BRIDGE: Change = Change {
    make: || drop(virsh("iface-bridge eth0 br0 --no-stp").ok()),
    verify: on_the_bridge,
    what: "iface-bridge",
};

const UNBRIDGE: Change = Change {
    make: || drop(virsh("iface-unbridge br0").ok()),
    verify: on_the_nic,
    what: "iface-unbridge",
};

impl Change {
    /// The longer of the two interruptions.
    fn measure(&self, ends: Ends) -> Duration {
        let [host, peer] = silences_during(ends, self.make);
        (self.verify)();
        println!("{}: {host:.1?} without an answer to the host, {peer:.1?} to the peer", self.what);
        host.max(peer)
    }
}

fn on_the_bridge() {
    assert_eq!(ports("br0"), ["eth0"]);
    assert!(addresses("br0").contains(&"192.0.2.2/24".to_owned()));
    assert!(addresses("br0").contains(&"2001:db8::2/64".to_owned()));
    assert_eq!(link("br0")["address"], "52:54:00:00:00:01");
}

fn on_the_nic() {
    assert!(find_link("br0").is_none());
    assert!(addresses("eth0").contains(&"192.0.2.2/24".to_owned()));
    assert!(addresses("eth0").contains(&"2001:db8::2/64".to_owned()));
    assert_eq!(link("eth0")["address"], "52:54:00:00:00:01");
}

fn with_cable(test: impl FnOnce() + Send + 'static) {
    with_virsh_alone(|| {
        lay_cable();
        let daemon = Daemon::start();
        run(command("renice").args(["-n", "-20", "-p", &daemon.pid().to_string()])).ok();
        test();
    });
}

#[test]
fn ipv4_connections_survive_iface_bridge_and_unbridge() {
    with_cable(|| check(IPV4));
}

/// For a new address the kernel performs duplicate address detection for a second; for an address
/// that moves the daemon prevents that.
#[test]
fn ipv6_connections_survive_iface_bridge_and_unbridge() {
    with_cable(|| check(IPV6));
}

/// The peer as a DHCP server that assigns the host's address of the other tests.
#[derive(Debug)]
struct Server(std::process::Child);

impl Server {
    fn start() -> Self {
        let mut server = command("ip");
        server.args(["netns", "exec", "peer", "dnsmasq", "--keep-in-foreground", "--port=0"]);
        server.args([
            "--conf-file=/dev/null",
            "--no-ping",
            "--interface=far0",
            "--bind-interfaces",
        ]);
        server.args(["--user=root", "--pid-file=", "--leasefile-ro", "--dhcp-authoritative"]);
        server.args(["--dhcp-range=192.0.2.2,192.0.2.9,255.255.255.0,3600"]);
        server.args(["--dhcp-host=52:54:00:00:00:01,192.0.2.2", "--dhcp-option=3,192.0.2.1"]);
        Self(server.stderr(std::process::Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn connections_survive_a_lease_that_moves_to_a_bridge() {
    for (program, client) in
        [("/sbin/udhcpc", "udhcpc"), ("/sbin/dhcpcd", "dhcpcd"), ("/sbin/dhclient", "dhclient")]
    {
        if !is_installed(program) || !is_installed("/usr/sbin/dnsmasq") {
            continue;
        }
        with_virsh_alone(move || {
            lay_cable();
            for line in
                ["address flush dev eth0 scope global", "address add 2001:db8::2/64 dev eth0 nodad"]
            {
                ip(line);
            }
            let _server = Server::start();
            let daemon = Daemon::configured(&format!("dhcp_client = '{client}'\n"));
            run(command("renice").args(["-n", "-20", "-p", &daemon.pid().to_string()])).ok();
            let text = "<interface type='ethernet' name='eth0'><protocol family='ipv4'><dhcp/>\
                </protocol><protocol family='ipv6'><ip address='2001:db8::2' prefix='64'/>\
                </protocol></interface>";
            let file = format!("{DIR}/eth0.xml");
            fs::write(&file, text).unwrap();
            virsh(&format!("iface-define {file}")).ok();
            virsh("iface-start eth0").ok();
            on_the_nic();
            println!("{client}:");
            check(IPV4);
            // The client would survive the daemon; it ends with the interface.
            virsh_destroy("eth0").unwrap();
        });
    }
}

/// A port of a bridge with STP forwards nothing while it listens and learns: for twice the delay,
/// which is at least two seconds. The connections wait, and continue.
#[test]
fn connections_outlast_the_time_that_stp_takes() {
    with_cable(|| {
        let silences = silences_during(IPV4, || {
            virsh("iface-bridge eth0 br0").ok();
            thread::sleep(Duration::from_secs(5));
        });
        on_the_bridge();
        println!("with STP: {silences:.1?} without an answer");
        assert!(silences.iter().all(|silence| *silence < Duration::from_secs(8)), "{silences:?}");
    });
}

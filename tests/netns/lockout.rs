// SPDX-License-Identifier: LGPL-2.1-or-later
//! The purpose of transactions: an administrator who has lost access to a host finds it restored,
//! guests are not interrupted, and leases continue.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use virtinterfaced::model::address::Family;

use crate::dhcp::{self, Scene, processes, with_each_client};
use crate::host::{
    TWO_NICS, addresses, bridge, define, ethernet, is_up, link, ports, text, virsh_destroy,
    with_virsh,
};
use crate::leases::{configured, defined};
use crate::support::command::{command, ip, ip_batch, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::link::Tunnel;
use crate::support::{StopOnDrop, assert_takes_less_than, eventually};
use crate::survival::{Side, enter, lay_cable};
use crate::transaction::{begin, roll_back};

/// How often a packet is sent over a bridge that the change does not affect.
const PACKET_INTERVAL: Duration = Duration::from_millis(1);

/// Whether the host answers a ping from the peer.
fn answers() -> bool {
    let mut ping = command("ip");
    ping.args("netns exec peer busybox ping -c 1 -W 1 192.0.2.2".split(' '));
    run(&mut ping).status.success()
}

/// Runs a shell on the host for one connection, until the client closes it.
fn serve_shell(listener: &TcpListener) {
    let (stream, _) = listener.accept().unwrap();
    let (input, output) = (stream.try_clone().unwrap(), stream);
    let mut shell = command("sh");
    let shell = shell.stdin(std::os::fd::OwnedFd::from(input));
    let shell = shell.stdout(std::os::fd::OwnedFd::from(output)).stderr(Stdio::null());
    shell.spawn().unwrap().wait().unwrap();
}

#[test]
fn a_host_that_was_cut_off_is_reachable_again() {
    assert_takes_less_than(Duration::from_secs(6), || {
        let (told, elapsed) = mpsc::channel();
        with_virsh(move || told.send(lock_oneself_out()).unwrap());
        // Zero if the test cannot run.
        elapsed.recv().unwrap_or_default()
    });
}

/// Begins a transaction with a timeout of five seconds and cuts the host off; returns the time
/// until it answers again.
fn lock_oneself_out() -> Duration {
    lay_cable();
    let _daemon = Daemon::configured("change_timeout = 5\n");
    define(&ethernet("eth0", &["192.0.2.2/24", "2001:db8::2/64"], &["192.0.2.1"]));
    assert!(answers());
    let listener = TcpListener::bind("192.0.2.2:2222").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| serve_shell(&listener));
        let client = scope.spawn(|| {
            enter(Side::Peer);
            let mut stream = TcpStream::connect("192.0.2.2:2222").unwrap();
            stream.write_all(b"virsh -c interface:///system iface-begin\n").unwrap();
            let mut said = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut said).unwrap();
            assert_eq!(said, "Network config change transaction started\n");
            let begun = Instant::now();
            stream.write_all(b"virsh -c interface:///system iface-destroy eth0\n").unwrap();
            while answers() {
                assert!(begun.elapsed() < Duration::from_secs(3), "never cut off");
            }
            while !answers() {
                assert!(begun.elapsed() < Duration::from_secs(10), "cut off for good");
            }
            let elapsed = begun.elapsed();
            println!("cut off, and answered again {elapsed:?} after the change began");
            assert!(elapsed >= Duration::from_secs(4));
            // The same connection continues.
            stream.write_all(b"exit\n").unwrap();
            elapsed
        });
        client.join().unwrap()
    })
}

/// Enlarges the queue for packets that arrive while the receiver does not run.
#[allow(unsafe_code, reason = "std has no word for it")]
fn enlarge_queue(socket: &UdpSocket) {
    let len: libc::c_int = 8 << 20;
    let size = libc::socklen_t::try_from(size_of_val(&len)).unwrap();
    let (fd, level) = (socket.as_raw_fd(), libc::SOL_SOCKET);
    // SAFETY: the pointer is to a live integer of the length that is said.
    let rc =
        unsafe { libc::setsockopt(fd, level, libc::SO_RCVBUFFORCE, (&raw const len).cast(), size) };
    assert_eq!(rc, 0, "SO_RCVBUFFORCE");
}

/// Sends a packet each millisecond from one guest to another while `change` runs; returns how many
/// were sent and received.
fn packets_during(change: impl FnOnce()) -> (u64, u64) {
    const PACKET: &[u8] = b"packet";
    let (is_met, stop, is_sent) =
        (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            crate::survival::enter_namespace("guest2");
            let socket = UdpSocket::bind("10.9.0.2:9").unwrap();
            enlarge_queue(&socket);
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let mut buffer = [0; 8];
            loop {
                let is_over = is_sent.load(Ordering::Relaxed);
                match socket.recv(&mut buffer) {
                    Ok(len) if buffer[..len] == *PACKET => {
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(_) => is_met.store(true, Ordering::Relaxed),
                    Err(_) if is_over => break,
                    Err(_) => {}
                }
            }
        });
        scope.spawn(|| {
            // Set also by a panic.
            let _is_sent = StopOnDrop(&is_sent);
            crate::survival::enter_namespace("guest1");
            let socket = UdpSocket::bind("10.9.0.1:9").unwrap();
            // Neighbour discovery must be complete before packets are counted.
            while !is_met.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                let _ = socket.send_to(b"first", "10.9.0.2:9");
                thread::sleep(Duration::from_millis(20));
            }
            while !stop.load(Ordering::Relaxed) {
                socket.send_to(PACKET, "10.9.0.2:9").unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
                thread::sleep(PACKET_INTERVAL);
            }
        });
        let stop = StopOnDrop(&stop);
        eventually("packets flow", || sent.load(Ordering::Relaxed) > 100);
        change();
        thread::sleep(Duration::from_millis(100));
        drop(stop);
    });
    (sent.into_inner(), received.into_inner())
}

#[test]
fn a_bridge_that_a_change_does_not_touch_loses_no_packet() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip("link add br9 type bridge");
        ip("link set br9 up");
        for (guest, address) in [("guest1", "10.9.0.1/24"), ("guest2", "10.9.0.2/24")] {
            ip(&format!("netns add {guest}"));
            ip_batch(&format!(
                "link add {guest} type veth peer name inner netns {guest}\n\
                 link set {guest} master br9 up\n"
            ));
            ip(&format!("-netns {guest} address add {address} dev inner"));
            ip(&format!("-netns {guest} link set inner up"));
        }
        ip_batch("link set eth0 up\naddress add 192.0.2.2/24 dev eth0\n");
        let _daemon = Daemon::start();
        define(&bridge("br1", "stp='off'", &["eth1"], &["198.51.100.1/24"]));
        let (sent, received) = packets_during(|| {
            for _ in 0..3 {
                begin();
                virsh("iface-bridge eth0 br0 --no-stp").ok();
                virsh("iface-start br1").ok();
                roll_back();
            }
        });
        println!("{received} of {sent} packets");
        assert!(sent > 300);
        assert_eq!(received, sent);
    });
}

#[test]
fn guests_are_on_their_bridge_whatever_has_happened() {
    const CASES: [(&str, &str); 5] = [
        ("nothing", ""),
        ("the bridge is gone", "link del br0"),
        ("the guest was taken off", "link set vnet0 nomaster"),
        ("the guest is on another", "link add br7 type bridge\nlink set vnet0 master br7"),
        ("the bridge is gone and another one is there", "link del br0\nlink add br0 type bridge"),
    ];
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let _taps = ["vnet0", "vnet1"].map(Tunnel::tap);
        let _daemon = Daemon::start();
        define(&bridge("br0", "stp='off' delay='0'", &["eth0"], &["192.0.2.2/24"]));
        virsh("iface-start br0").ok();
        ip_batch("link set vnet0 master br0 up\nlink set vnet1 master br0\n");
        for (label, lines) in CASES {
            begin();
            ip_batch(&format!("{lines}\n"));
            roll_back();
            assert_eq!(ports("br0"), ["eth0", "vnet0", "vnet1"], "{label}");
            assert_eq!(addresses("br0"), ["192.0.2.2/24"], "{label}");
            assert!(is_up("vnet0") && !is_up("vnet1"), "{label}");
            eventually("br7 is gone", || crate::host::find_link("br7").is_none());
        }
        let index = link("br0")["ifindex"].clone();
        begin();
        ip("address flush dev br0");
        roll_back();
        assert_eq!(link("br0")["ifindex"], index, "a bridge with guests is not made anew");
        assert_eq!(text(&link("vnet0")["master"]), "br0");
    });
}

#[test]
fn a_client_that_ran_runs_again_and_one_that_did_not_does_not() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve();
        let _daemon = configured(client, "");
        defined("<dhcp/>");
        virsh_destroy("eth0").unwrap();
        let idle = Snapshot::take();
        begin();
        virsh("iface-start eth0").ok();
        roll_back();
        idle.assert_unchanged(Strictness::AlikeLinks, "no lease again");
        eventually("the client has ended", || processes("eth0").is_empty());

        virsh("iface-start eth0").ok();
        let leased = dhcp::addresses("eth0", Family::Ipv4);
        begin();
        virsh_destroy("eth0").unwrap();
        fs::write("/etc/libvirt/interface/eth0.xml", "nonsense").unwrap();
        roll_back();
        assert_eq!(dhcp::addresses("eth0", Family::Ipv4), leased, "at once");
        eventually("the client runs", || !processes("eth0").is_empty());
        virsh_destroy("eth0").unwrap();
        eventually("the client has ended", || processes("eth0").is_empty());
    });
}

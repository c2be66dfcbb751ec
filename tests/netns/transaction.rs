// SPDX-License-Identifier: LGPL-2.1-or-later
//! `virsh iface-begin`, `iface-commit` and `iface-rollback`: a rollback undoes every change since
//! begin, files byte for byte and the network field by field, whether a client made it or an
//! administrator by hand.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use crate::host::{
    FOLDER, TWO_NICS, addresses, await_addresses, bridge, define, definition_file, ethernet,
    find_link, folder, ports, virsh_define, virsh_destroy, with_virsh,
};
use crate::scene::fact;
use crate::support::client::RawClient;
use crate::support::command::{Output, command, ip, ip_batch, run, virsh, virsh_read_only};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::link::Tunnel;
use crate::support::wire::{Arg, procedure};

/// The directory of the open transaction.
pub(crate) const CHANGE: &str = "/var/lib/libvirt/interface/change";

/// A NIC's configuration with everything that it may lose.
const BUSY: &str = "\
link set eth0 up
link set eth1 up
address add 192.0.2.2/24 dev eth0
address add 192.0.2.3/24 dev eth0
address add 192.0.2.4/24 dev eth0 label eth0:web
address add 198.51.100.1/32 dev eth0
address add 10.9.0.1 peer 10.9.0.2/32 dev eth0
address add 10.6.0.1/16 dev eth1
address add 2001:db8::2/64 dev eth0 nodad
route add default via 192.0.2.1 dev eth0
route add 203.0.113.0/24 via 192.0.2.9 dev eth0 src 192.0.2.3 mtu 1300
route add 203.0.114.0/24 dev eth0 scope link
route add 203.0.115.0/24 via 192.0.2.9 dev eth0 table 100
route add default via 2001:db8::1 dev eth0
route add 2001:db8:ffff::/48 via 2001:db8::9 dev eth0 metric 7
";

/// The definition files: names, modes, owners, and bytes or the target of a link.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Tree(Vec<(String, u32, u32, u32, Vec<u8>)>);

impl Tree {
    pub(crate) fn take() -> Self {
        // A file may vanish while others are read.
        let read = |name: String| {
            let path = Path::new(FOLDER).join(&name);
            let metadata = fs::symlink_metadata(&path).ok()?;
            let bytes = match metadata.is_symlink() {
                true => fs::read_link(&path).ok()?.into_os_string().into_encoded_bytes(),
                false => fs::read(&path).ok()?,
            };
            Some((name, metadata.mode(), metadata.uid(), metadata.gid(), bytes))
        };
        Self(folder().into_iter().filter_map(read).collect())
    }
}

pub(crate) fn begin() {
    assert_eq!(virsh("iface-begin").ok(), "Network config change transaction started\n\n");
}

pub(crate) fn commit() {
    assert_eq!(virsh("iface-commit").ok(), "Network config change transaction committed\n\n");
}

pub(crate) fn roll_back() {
    assert_eq!(virsh("iface-rollback").ok(), "Network config change transaction rolled back\n\n");
}

/// Takes a link down, and waits until its peer has noticed.
pub(crate) fn set_down(link: &str, peer: &str) {
    ip(&format!("link set {link} down"));
    eventually("the peer notices", || fact(peer, "operstate") == "lowerlayerdown");
}

fn on_busy_host(test: impl FnOnce(Daemon) + Send + 'static) {
    with_virsh(move || {
        ip_batch(TWO_NICS);
        ip_batch(BUSY);
        await_addresses();
        test(Daemon::start());
    });
}

#[test]
fn a_bridged_nic_is_as_it_was_after_a_rollback() {
    on_busy_host(|_daemon| {
        let before = Snapshot::take();
        begin();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_eq!(ports("br0"), ["eth0"]);
        roll_back();
        before.assert_unchanged(Strictness::AlikeLinks, "after iface-bridge");
        assert_eq!(folder(), [""; 0]);
    });
}

#[test]
fn a_committed_change_stays_and_a_later_one_is_rolled_back() {
    on_busy_host(|_daemon| {
        begin();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        commit();
        await_addresses();
        let (tree, before) = (Tree::take(), Snapshot::take());
        begin();
        virsh_destroy("br0").unwrap();
        virsh("iface-undefine br0").ok();
        assert!(find_link("br0").is_none());
        roll_back();
        before.assert_unchanged(Strictness::AlikeLinks, "after iface-destroy");
        assert_eq!(Tree::take(), tree);
    });
}

/// The message of a virsh command that must fail.
#[track_caller]
fn refused(command: &str) -> String {
    let said = virsh(command).failed();
    said.split_once("\nerror: ").unwrap_or_else(|| panic!("{said}")).1.trim_end().to_owned()
}

#[test]
fn a_change_begins_once_and_ends_once() {
    with_virsh(|| {
        let _daemon = Daemon::start();
        for (command, failure) in [
            ("iface-commit", "failed to commit transaction"),
            ("iface-rollback", "failed to rollback transaction"),
        ] {
            let want = format!("Requested operation is not valid: {failure}: none has been begun");
            assert_eq!(refused(command), want);
        }
        begin();
        let said = refused("iface-begin");
        let head = "Requested operation is not valid: failed to begin transaction: one is already \
                    open, begun at 20";
        assert!(said.starts_with(head), "{said}");
        assert!(said.contains(" UTC by uid 0, pid "), "{said}");
        assert!(said.ends_with(", without a deadline"), "{said}");
        commit();
        begin();
        roll_back();
        let want = "failed to rollback transaction: none has been begun";
        assert!(refused("iface-rollback").ends_with(want));
        assert!(!Path::new(CHANGE).join("snapshot").exists());
    });
}

#[test]
fn flags_and_read_only_clients_are_refused() {
    with_virsh(|| {
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for (procedure, function) in [
            (procedure::INTERFACE_CHANGE_BEGIN, "netcfInterfaceChangeBegin"),
            (procedure::INTERFACE_CHANGE_COMMIT, "netcfInterfaceChangeCommit"),
            (procedure::INTERFACE_CHANGE_ROLLBACK, "netcfInterfaceChangeRollback"),
        ] {
            let reply = client.call(procedure, &[Arg::Word(4)]);
            let fault = reply.fault();
            assert_eq!((fault.code, fault.domain), (8, 26), "{function}");
            assert!(fault.message.contains(&format!("(0x4) in function {function}")));
        }
        for (command, api) in [
            ("iface-begin", "virInterfaceChangeBegin"),
            ("iface-commit", "virInterfaceChangeCommit"),
            ("iface-rollback", "virInterfaceChangeRollback"),
        ] {
            let said = virsh_read_only(command).failed();
            assert!(said.contains(&format!("read only access prevents {api}")), "{said}");
        }
    });
}

/// The log names the caller of begin, and virt-admin shows the open transaction of a client.
#[test]
fn the_caller_of_begin_is_logged_and_shown() {
    const VIRT_ADMIN: &str = "/usr/bin/virt-admin";
    with_virsh(|| {
        let daemon = Daemon::configured("change_timeout = 600\nlog_level = 2\n");
        let mut client = RawClient::open();
        let info = || {
            let mut admin = command(VIRT_ADMIN);
            admin.args(["-c", "virtinterfaced:///system", "client-info", "virtinterfaced", "2"]);
            let Output { stdout, .. } = run(&mut admin);
            let line = stdout.lines().find(|line| line.starts_with("interface_change"));
            line.map(|line| line.split_once(':').unwrap().1.trim().to_owned())
        };
        assert_eq!(info(), None);
        client.call(procedure::INTERFACE_CHANGE_BEGIN, &[Arg::Word(0)]).results();
        let pid = std::process::id();
        let who = format!(" UTC by uid 0, pid {pid} (client 2), deadline 20");
        let said = info().unwrap();
        assert!(said.starts_with("begun at 20") && said.contains(&who), "{said}");
        assert!(daemon.stderr().contains(&format!("change {said}")));
        assert!(refused("iface-begin").ends_with(&said), "the same words everywhere");
        client.call(procedure::INTERFACE_CHANGE_COMMIT, &[Arg::Word(0)]).results();
        assert_eq!(info(), None);
        assert!(daemon.stderr().contains(&format!("committed the change {said}")));
    });
}

/// Other daemons of libvirt keep their state below the same directory, some of them as other users.
#[test]
fn libvirts_folder_is_for_all_of_its_daemons_and_ours_is_for_root() {
    with_virsh(|| {
        assert!(!Path::new("/var/lib/libvirt").exists());
        let _daemon = Daemon::start();
        begin();
        for (folder, mode) in
            [("/var/lib/libvirt", 0o755), ("/var/lib/libvirt/interface", 0o700), (CHANGE, 0o700)]
        {
            assert_eq!(fs::metadata(folder).unwrap().mode() & 0o7777, mode, "{folder}");
        }
    });
}

/// Each change of the host is logged at the default level, with the interface and the caller.
#[test]
fn each_change_is_logged_with_its_interface_and_its_caller() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let daemon = Daemon::start();
        let mut client = RawClient::open();
        let xml = ethernet("eth0", &["192.0.2.2/24"], &[]);
        client.call(procedure::INTERFACE_DEFINE_XML, &[Arg::Text(&xml), Arg::Word(0)]).results();
        let mut call = |procedure| {
            let arguments = [Arg::Text("eth0"), Arg::Text(""), Arg::Word(0)];
            client.call(procedure, &arguments).results();
        };
        call(procedure::INTERFACE_CREATE);
        call(procedure::INTERFACE_DESTROY);
        let said = daemon.stderr();
        let pid = std::process::id();
        for api in ["virInterfaceDefineXML", "virInterfaceCreate", "virInterfaceDestroy"] {
            let want = format!("(uid 0, pid {pid}): {api} of eth0: done");
            let line = said.lines().find(|line| line.contains(&want));
            assert!(line.is_some_and(|line| line.contains(" warning : ")), "{want}: {said}");
        }
    });
}

/// Writes definition files of every kind.
fn lay_files() {
    for name in ["eth0", "eth1", "eth2", "eth3", "eth4", "eth5"] {
        define(&ethernet(name, &["192.0.2.9/24"], &[]));
    }
    let path = |name| definition_file(name);
    fs::set_permissions(path("eth1"), fs::Permissions::from_mode(0o640)).unwrap();
    chown(path("eth1"), Some(7), Some(8)).unwrap();
    fs::write(path("eth2"), "by hand, and no definition\n").unwrap();
    fs::copy(path("eth3"), "/run/test/eth3.xml").unwrap();
    fs::remove_file(path("eth3")).unwrap();
    symlink("/run/test/eth3.xml", path("eth3")).unwrap();
    // One that is written through its link.
    fs::create_dir(Path::new(FOLDER).join("real")).unwrap();
    fs::rename(path("eth5"), linked()).unwrap();
    symlink("real/eth5", path("eth5")).unwrap();
    fs::set_permissions(linked(), fs::Permissions::from_mode(0o640)).unwrap();
    chown(linked(), Some(7), Some(8)).unwrap();
}

/// The file that a link leads to.
fn linked() -> PathBuf {
    Path::new(FOLDER).join("real/eth5")
}

#[test]
fn files_are_put_back_byte_for_byte_with_mode_and_owner() {
    with_virsh(|| {
        let _daemon = Daemon::start();
        lay_files();
        let linked_before = (fs::read(linked()).unwrap(), fs::metadata(linked()).unwrap().mode());
        let before = Tree::take();
        begin();
        let path = |name| definition_file(name);
        define(&ethernet("eth0", &["192.0.2.10/24"], &[]));
        virsh("iface-undefine eth1").ok();
        fs::write(path("eth2"), "by hand, and otherwise\n").unwrap();
        let said = virsh_define(&ethernet("eth3", &[], &[]), "").failed();
        let why = "eth3.xml, a symbolic link to /run/test/eth3.xml outside /etc/libvirt/interface";
        assert!(said.contains(why), "{said}");
        fs::remove_file(path("eth3")).unwrap();
        define(&ethernet("eth3", &[], &[]));
        define(&ethernet("eth5", &[], &[]));
        assert!(fs::symlink_metadata(path("eth5")).unwrap().is_symlink());
        let metadata = fs::metadata(linked()).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.uid(), metadata.gid()), (0o640, 7, 8));
        assert_ne!(fs::read(linked()).unwrap(), linked_before.0);
        fs::set_permissions(path("eth4"), fs::Permissions::from_mode(0o644)).unwrap();
        define(&ethernet("new0", &[], &[]));
        fs::write(path("new1"), "rubbish").unwrap();
        roll_back();
        assert_eq!(Tree::take(), before);
        let metadata = fs::metadata(linked()).unwrap();
        assert_eq!((fs::read(linked()).unwrap(), metadata.mode()), linked_before);
        assert_eq!((metadata.uid(), metadata.gid()), (7, 8));
        // Replaced content is kept; a change of mode alone keeps nothing.
        let set = Path::new(CHANGE).join("aside/1");
        let mut kept: Vec<_> = fs::read_dir(&set)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        kept.sort();
        assert_eq!(kept, ["eth0.xml", "eth2.xml", "eth3.xml", "eth5.xml", "new0.xml", "new1.xml"]);
        assert_eq!(fs::read(set.join("new1.xml")).unwrap(), b"rubbish");
        let mode = fs::metadata(CHANGE).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "definitions may be for few to read");
        // The daemon has read the restored files.
        assert!(virsh("iface-dumpxml --inactive eth0").ok().contains("192.0.2.9"));
        assert!(virsh("iface-dumpxml new0").failed().contains("couldn't find interface"));
    });
}

#[test]
fn the_newest_twenty_sets_are_kept() {
    with_virsh(|| {
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for number in 1..=23 {
            client.call(procedure::INTERFACE_CHANGE_BEGIN, &[Arg::Word(0)]).results();
            let xml = ethernet("eth0", &[&format!("192.0.2.{number}/24")], &[]);
            client
                .call(procedure::INTERFACE_DEFINE_XML, &[Arg::Text(&xml), Arg::Word(0)])
                .results();
            client.call(procedure::INTERFACE_CHANGE_ROLLBACK, &[Arg::Word(0)]).results();
        }
        let sets = fs::read_dir(Path::new(CHANGE).join("aside")).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut numbers: Vec<u32> =
            sets.map(|set| name(set).to_str().unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (4..=23).collect::<Vec<_>>());
        let newest = fs::read_to_string(Path::new(CHANGE).join("aside/23/eth0.xml")).unwrap();
        assert!(newest.contains("192.0.2.23"), "{newest}");
    });
}

/// Changes by `ip` that a rollback must undo.
#[test]
fn manual_changes_are_undone_too() {
    const CASES: [(&str, &str); 27] = [
        ("an address less", "address del 192.0.2.2/24 dev eth0"),
        ("all addresses", "address flush dev eth0"),
        ("an address more", "address add 192.0.2.77/24 dev eth0"),
        ("an IPv6 address less", "address del 2001:db8::2/64 dev eth0"),
        (
            "another broadcast address",
            "address del 10.6.0.1/16 dev eth1\naddress add 10.6.0.1/16 brd + dev eth1",
        ),
        (
            "an IPv6 address for a while",
            "address add 2001:db8:7::7/64 dev eth1 nodad valid_lft 3000 preferred_lft 2000",
        ),
        ("a bridge made anew by hand", "link del br0\nlink add br0 type bridge\nlink set br0 up"),
        ("no default route", "route del default dev eth0"),
        ("another default route", "route replace default via 192.0.2.9 dev eth0"),
        ("a second default route", "route add default via 192.0.2.9 dev eth0 metric 5"),
        ("no route", "route del 203.0.113.0/24 dev eth0"),
        ("down", "link set eth0 down"),
        ("down and up", "link set eth0 down\nlink set eth0 up"),
        ("up", "link set eth2 up"),
        ("MTU", "link set eth0 mtu 1300"),
        ("hardware address", "link set eth1 address 52:54:00:00:00:99"),
        ("queue and alias", "link set eth1 txqueuelen 17 alias foreign"),
        ("no ARP", "link set eth0 arp off"),
        ("what it listens to", "link set eth1 multicast off promisc on allmulticast on"),
        ("a bridge more", "link add br7 type bridge\nlink set br7 up"),
        ("a port of a bridge more", "link add br7 type bridge\nlink set eth1 master br7"),
        ("a bridge less", "link del br0"),
        ("a port less", "link set eth3 nomaster"),
        ("a bridge's timers", "link set br0 type bridge ageing_time 500 hello_time 300"),
        ("STP", "link set br0 type bridge stp_state 1 forward_delay 400"),
        ("a port's cost", "link set eth3 type bridge_slave cost 7 isolated on"),
        ("everything", "link del br0\nlink set eth0 down mtu 1300\naddress flush dev eth1"),
    ];
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(
            "link add eth2 type veth peer name far2\nlink set far2 up\n\
             link add eth3 type veth peer name far3\nlink set far3 up\nlink set eth3 up\n\
             link add br0 type bridge forward_delay 0 ageing_time 12000\n\
             link set eth3 master br0\nlink set br0 up\naddress add 10.7.0.1/24 dev br0\n\
             link set eth2 up\n",
        );
        await_addresses();
        // The link has been up, which leaves traces in the kernel.
        set_down("eth2", "far2");
        // The bridge's definition names its port, as other ports count as guests'.
        let _daemon = Daemon::start();
        define(&bridge("br0", "stp='off' delay='0'", &["eth3"], &["10.7.0.1/24"]));
        ip_batch(BUSY);
        await_addresses();
        let before = Snapshot::take();
        for (label, lines) in CASES {
            println!("{label}");
            begin();
            ip_batch(&format!("{lines}\n"));
            roll_back();
            before.assert_unchanged(Strictness::AlikeLinks, label);
        }
    });
}

/// Both links are queried again, but the route belongs to one of them.
#[test]
fn a_route_over_two_links_comes_back_when_both_were_down() {
    on_busy_host(|_daemon| {
        ip("route add 203.0.116.0/24 nexthop via 192.0.2.9 dev eth0 nexthop via 10.6.0.2 dev eth1");
        let before = Snapshot::take();
        begin();
        ip_batch("link set eth1 down\nlink set eth0 down\n");
        roll_back();
        before.assert_unchanged(Strictness::AlikeLinks, "both up again");
    });
}

#[test]
fn links_that_cannot_be_restored_are_named_and_the_rest_is_restored() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch("link set eth0 up\nlink set eth1 up\naddress add 192.0.2.2/24 dev eth0\n");
        // The near end of a cable to another namespace.
        let far = crate::dhcp::Scene::of("nic9");
        let daemon = Daemon::start();
        define(&ethernet("eth0", &["192.0.2.2/24"], &[]));
        let tree = Tree::take();
        begin();
        ip_batch("link del nic9\naddress flush dev eth0\n");
        virsh("iface-undefine eth0").ok();
        let said = refused("iface-rollback");
        let want = "failed to rollback transaction: not restored: nic9 is gone; the snapshot is \
                    kept in /var/lib/libvirt/interface/change/aside/";
        assert!(said.starts_with(want), "{said}");
        assert!(daemon.stderr().contains("nic9 is gone"), "the log says so too");
        drop(far);
        assert_eq!(addresses("eth0"), ["192.0.2.2/24"]);
        assert_eq!(Tree::take(), tree);
        // The transaction is closed all the same.
        begin();
        commit();
    });
}

/// Both ends are restored with all their attributes, even those of a cable between two bridges.
#[test]
fn a_veth_whose_ends_are_both_here_comes_back() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(
            "link set eth0 up\nlink set eth1 mtu 1300 up\n\
             link add name far5 numtxqueues 3 type veth peer name eth5 numrxqueues 2\n\
             link set eth5 address 52:54:00:00:00:55 alias patch\n\
             link add br0 type bridge\nlink add br1 type bridge\n\
             link set far1 master br0\nlink set eth1 master br1\n\
             link set eth1 type bridge_slave isolated on cost 9\n\
             link set br0 up\nlink set br1 up\nlink set eth5 up\nlink set far5 up\n\
             address add 192.0.2.2/24 dev eth0\naddress add 192.0.2.1/24 dev far0\n\
             address add 198.51.100.5/24 dev eth5\naddress add 2001:db8:5::5/64 dev eth5 nodad\n\
             route add 203.0.113.0/24 via 198.51.100.9 dev eth5\n",
        );
        await_addresses();
        let _daemon = Daemon::start();
        let before = Snapshot::take();
        for deed in
            ["link del eth1\n", "link del far0\n", "link del eth5\nlink del br1\nlink del far1\n"]
        {
            begin();
            ip_batch(deed);
            roll_back();
            before.assert_unchanged(Strictness::AlikeLinks, deed);
        }
    });
}

/// A new guest is not cut off, although its bridge did not exist at begin.
#[test]
fn a_bridge_that_a_guest_has_come_to_stays_without_what_was_the_hosts() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch("link set eth0 up\naddress add 192.0.2.2/24 dev eth0\n");
        let _daemon = Daemon::start();
        begin();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        let _tap = Tunnel::tap("vnet0");
        ip("link set vnet0 master br0 up");
        let said = refused("iface-rollback");
        assert!(said.contains("br0 is not restored, because guests use it: vnet0"), "{said}");
        assert_eq!(ports("br0"), ["vnet0"]);
        assert_eq!(
            (addresses("eth0"), addresses("br0")),
            (vec!["192.0.2.2/24".to_owned()], vec![])
        );
    });
}

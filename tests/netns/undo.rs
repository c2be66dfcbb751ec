// SPDX-License-Identifier: LGPL-2.1-or-later
//! A change that fails leaves the host unchanged, and its error names the step and the reason.

use std::fs;

use crate::host::{
    FOLDER, TWO_NICS, addresses, await_addresses, bridge, define, definition_file, ethernet,
    find_link, folder, ip_json, protocols, virsh_destroy, with_virsh,
};
use crate::support::command::{command, ip, ip_batch, run, run_with_input, virsh};
use crate::support::daemon::Daemon;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::is_installed;

/// A configuration of `eth0` with something of everything that could get lost.
const BUSY: &str = "\
link set eth0 up
link set eth1 up
address add 192.0.2.2/24 dev eth0
address add 192.0.2.3/24 dev eth0
address add 192.0.2.4/24 dev eth0 label eth0:web
address add 198.51.100.1/32 dev eth0
address add 10.9.0.1 peer 10.9.0.2/32 dev eth0
address add 10.5.0.1/16 dev eth0 valid_lft 3600 preferred_lft 1800
address add 10.6.0.1/16 dev eth1
address add 2001:db8::2/64 dev eth0 nodad
address add 2001:db8:5::5/64 dev eth0 nodad valid_lft 7200 preferred_lft 3600
route add default via 192.0.2.1 dev eth0
route add default via 192.0.2.9 dev eth0 metric 50
route add 203.0.113.0/24 via 192.0.2.9 dev eth0 src 192.0.2.3 mtu 1300
route add 203.0.114.0/24 dev eth0 scope link
route add 203.0.115.0/24 via 192.0.2.9 dev eth0 table 100
route add 203.0.116.0/24 nexthop via 192.0.2.9 dev eth0 nexthop via 10.6.0.2 dev eth1
route add 203.0.117.0/24 via 172.16.0.1 dev eth0 onlink
rule add from 10.0.0.0/8 table 100
route add default via 2001:db8::1 dev eth0
route add 2001:db8:ffff::/48 via 2001:db8::9 dev eth0 metric 7
route add 2001:db8:fffe::/48 via 2001:db8::9 dev eth0 table 100
";

fn on_busy_host(settings: &'static str, test: impl FnOnce() + Send + 'static) {
    with_virsh(move || {
        ip_batch(TWO_NICS);
        ip_batch(BUSY);
        await_addresses();
        let _daemon = Daemon::configured(settings);
        test();
    });
}

/// The message of a failed `iface-start`, which must not change the host.
#[track_caller]
fn failed_start(name: &str, label: &str) -> String {
    let before = Snapshot::take();
    let said = virsh(&format!("iface-start {name}")).failed();
    before.assert_unchanged(Strictness::SameLinks, label);
    let (head, detail) = said.split_once('\n').unwrap();
    assert_eq!(head, format!("error: Failed to start interface {name}"), "{label}");
    detail.strip_prefix("error: ").unwrap().to_owned()
}

/// A bridge that takes over the whole configuration of `eth0`, and then fails for another reason.
fn bridge_with(extra_of_bridge: &str, extra_of_protocol: &str) -> String {
    format!(
        "<interface type='bridge' name='br0'>{extra_of_bridge}<protocol family='ipv4'>\
         <ip address='192.0.2.2' prefix='24'/>{extra_of_protocol}</protocol>\
         <protocol family='ipv6'><ip address='2001:db8::2' prefix='64'/></protocol>\
         <bridge stp='off'><interface type='ethernet' name='eth0'/></bridge></interface>"
    )
}

#[test]
fn a_change_that_the_kernel_refuses_is_undone() {
    struct Case {
        label: &'static str,
        xml: String,
        name: &'static str,
        step: &'static str,
        reason: &'static str,
        end: &'static str,
    }
    const UNDONE: &str = "; the steps already done were undone";
    const NOTHING: &str = "; nothing has been changed";
    on_busy_host("", || {
        let cases = [
            Case {
                label: "a bridge's gateway that is the host itself",
                xml: bridge_with("", "<route gateway='10.6.0.1'/>"),
                name: "br0",
                step: "route add default via 10.6.0.1 onlink dev br0: ",
                reason: "Invalid argument",
                end: UNDONE,
            },
            Case {
                label: "a bridge's MTU that its port cannot have",
                xml: bridge_with("<mtu size='70000'/>", ""),
                name: "br0",
                step: "link set eth0 mtu 70000: ",
                reason: "Invalid argument",
                end: UNDONE,
            },
            Case {
                label: "a NIC's MTU",
                xml: ethernet("eth1", &["10.6.0.1/16"], &[])
                    .replace("</interface>", "<mtu size='70000'/></interface>"),
                name: "eth1",
                step: "link set eth1 mtu 70000: ",
                reason: "Invalid argument",
                end: NOTHING,
            },
            Case {
                label: "a NIC's gateway, after its addresses",
                xml: ethernet("eth0", &["192.0.2.77/24", "10.77.0.1/24"], &["10.6.0.1"])
                    .replace("</interface>", "<mtu size='1400'/></interface>"),
                name: "eth0",
                step: "route add default via 10.6.0.1 onlink dev eth0: ",
                reason: "Invalid argument",
                end: UNDONE,
            },
            Case {
                label: "an IPv6 gateway",
                xml: ethernet("eth0", &["192.0.2.2/24", "2001:db8::77/64"], &["2001:db8::77"]),
                name: "eth0",
                step: "route add default via 2001:db8::77 dev eth0: ",
                reason: "Invalid argument",
                end: UNDONE,
            },
        ];
        for Case { label, xml, name, step, reason, end } in cases {
            define(&xml);
            let said = failed_start(name, label);
            let want = format!("failed to create (start) interface {name}: {step}{reason}");
            assert!(said.starts_with(&want), "{label}: {said}");
            assert!(said.ends_with(end), "{label}: {said}");
            virsh(&format!("iface-undefine {name}")).ok();
        }
        assert!(find_link("br0").is_none());
    });
}

/// Everything has moved to the bridge when the lease fails to come.
#[test]
fn a_lease_that_never_comes_takes_everything_back() {
    on_busy_host("dhcp_timeout = 2\ndhcp_client = \"udhcpc\"\n", || {
        if !is_installed("/usr/sbin/udhcpc") {
            return;
        }
        define(&bridge_with("", "<dhcp/>"));
        // A leased address of eth0 would count as the expected lease.
        ip("address del 10.5.0.1/16 dev eth0");
        let before = addresses("eth0");
        let said = failed_start("br0", "no lease");
        assert_eq!(addresses("eth0"), before, "all of them went, and are back in their order");
        assert!(said.starts_with("failed to create (start) interface br0: "), "{said}");
        assert!(said.ends_with("; the steps already done were undone"), "{said}");
    });
}

#[test]
fn a_sysctl_that_cannot_be_written_undoes_what_came_before() {
    on_busy_host("", || {
        // The daemon shares the test's mount namespace, so this affects it too.
        run(command("mount").args(["--bind", "/proc/sys", "/proc/sys"])).ok();
        run(command("mount").args(["-o", "remount,ro,bind", "/proc/sys"])).ok();
        define(&bridge_with("", ""));
        let said = failed_start("br0", "read-only /proc/sys");
        let want = "failed to create (start) interface br0: sysctl net.ipv6.conf.br0.";
        assert!(said.starts_with(want), "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
        assert!(said.ends_with("; the steps already done were undone"), "{said}");
    });
}

/// The kernel disables a next hop while its link has no address, and enables it again by itself.
#[test]
fn a_route_over_several_links_outlasts_other_addresses() {
    on_busy_host("", || {
        let hops = || {
            let routes = ip_json("route show 203.0.116.0/24");
            let hops = routes.first().and_then(|route| route["nexthops"].as_array());
            hops.into_iter().flatten().map(|hop| hop["flags"].to_string()).collect::<Vec<_>>()
        };
        let ipv4 = || {
            let addresses = addresses("eth0").into_iter();
            addresses.filter(|address| !address.contains(':')).collect::<Vec<_>>()
        };
        assert_eq!(hops(), ["[]", "[]"]);
        for wanted in [&["192.0.2.2/24"][..], &["192.0.2.3/24"], &["192.0.2.4/25"]] {
            define(&ethernet("eth0", wanted, &[]));
            virsh("iface-start eth0").ok();
            assert_eq!(ipv4(), wanted);
            assert_eq!(hops(), ["[]", "[]"], "{wanted:?}");
        }
        define(&ethernet("eth0", &["10.77.0.1/24"], &[]));
        virsh("iface-start eth0").ok();
        assert_eq!(ipv4(), ["10.77.0.1/24"]);
    });
}

#[test]
fn impossible_changes_are_refused_before_anything_is_changed() {
    on_busy_host("", || {
        ip_batch(
            "link add br8 type bridge\nlink add nic8 type veth peer name far8\n\
             link add nic9 type veth peer name far9\nlink set nic9 up\n\
             link add br9 type veth peer name not-br9\n",
        );
        let invalid = "Requested operation is not valid: ";

        define(&bridge("br9", "stp='off'", &["nic8"], &[]));
        let said = failed_start("br9", "the name is another's");
        assert_eq!(said, format!("{invalid}br9 already exists and is not a bridge"));

        define(&bridge("br0", "stp='off'", &["nic9"], &[]));
        ip("link set nic9 master br8");
        let said = failed_start("br0", "enslaved elsewhere by hand");
        let want = format!("{invalid}nic9 is a port of br8: take it out of there first");
        assert_eq!(said, want);

        ip("link del nic9");
        let said = failed_start("br0", "the port has vanished");
        let want =
            "Interface not found: couldn't find interface named 'nic9', a port of bridge br0";
        assert_eq!(said, want);

        define(&ethernet("eth0", &["192.0.2.2/24"], &[]));
        ip("link set eth0 master br8");
        let said = failed_start("eth0", "a port by hand");
        assert_eq!(said, format!("{invalid}eth0 is a port of br8: take it out of there first"));
    });
}

/// Writing the file is the first step of a definition; if it fails, nothing has changed.
#[test]
fn a_folder_that_becomes_read_only_keeps_what_it_has() {
    on_busy_host("", || {
        define(&ethernet("eth0", &["192.0.2.2/24"], &[]));
        define(&ethernet("eth1", &[], &[]));
        let before = (folder(), fs::read(definition_file("eth0")).unwrap(), Snapshot::take());
        run(command("mount").args(["--bind", FOLDER, FOLDER])).ok();
        run(command("mount").args(["-o", "remount,ro,bind", FOLDER])).ok();
        let path = crate::host::file("br0.xml", &bridge("br0", "", &["eth0", "eth1"], &[]));
        let said = virsh(&format!("iface-define {path}")).failed();
        assert!(said.contains("Read-only file system; nothing has been changed"), "{said}");
        let said = virsh("iface-bridge eth0 br0").failed();
        assert!(said.contains("Read-only file system; nothing has been changed"), "{said}");
        let now = (folder(), fs::read(definition_file("eth0")).unwrap());
        assert_eq!((&now.0, &now.1), (&before.0, &before.1));
        before.2.assert_unchanged(Strictness::SameLinks, "only files");
    });
}

#[test]
fn a_destroy_that_is_refused_changes_nothing() {
    on_busy_host("", || {
        define(&bridge("br0", "stp='off'", &["eth1"], &["203.0.120.1/24"]));
        virsh("iface-start br0").ok();
        ip_batch("link add guest0 type veth peer name far9\nlink set guest0 master br0\n");
        await_addresses();
        let before = Snapshot::take();
        let said = virsh_destroy("br0").unwrap_err();
        let want = "Requested operation is not valid: br0 is in use, and these would be cut off: \
                    guest0";
        assert!(said.ends_with(want), "{said}");
        before.assert_unchanged(Strictness::SameLinks, "refused");
    });
}

/// The kernel's errno arrives in the same field as in libvirt's own system errors.
#[test]
fn a_binding_reads_the_kernels_number() {
    const SCRIPT: &str = "\
import libvirt, sys
libvirt.registerErrorHandler(lambda context, err: None, None)
connection = libvirt.open('interface:///system')
try:
    connection.interfaceLookupByName('eth0').create(0)
    sys.exit('it has succeeded')
except libvirt.libvirtError as err:
    got = (err.get_error_code(), err.get_error_domain(), err.get_int1(), err.get_int2(),
           err.get_error_level(), err.get_str1(), err.get_str2() == err.get_error_message())
    if got != (38, 26, 22, -1, 2, '%s', True):
        sys.exit(repr(got))
";
    on_busy_host("", || {
        let has_binding = command("/usr/bin/python3").args(["-c", "import libvirt"]).output();
        if !has_binding.is_ok_and(|output| output.status.success()) {
            return crate::support::namespace::skip("/usr/bin/python3 lacks its libvirt binding");
        }
        let xml = format!(
            "<interface type='ethernet' name='eth0'>{}</interface>",
            protocols(&["192.0.2.2/24"], &["10.6.0.1"])
        );
        define(&xml);
        let before = Snapshot::take();
        run_with_input(command("/usr/bin/python3").arg("-"), SCRIPT).ok();
        before.assert_unchanged(Strictness::SameLinks, "by a binding");
    });
}

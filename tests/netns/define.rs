// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions are added, changed and removed: by virsh, and by hand while the daemon runs.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::host::{
    FOLDER, TWO_NICS, addresses, bridge, define, definition_file, ethernet, file, find_link,
    folder, is_up, listed, listed_state, virsh_define, virsh_edit, with_virsh,
};
use crate::support::client::RawClient;
use crate::support::command::{command, ip_batch, run, virsh};
use crate::support::daemon::{Daemon, READ_ONLY_SOCKET};
use crate::support::wire::{Arg, Fault, procedure};

const ETH0: &str = "\
<interface type='ethernet' name='eth0'>
  <start mode='onboot'/>
  <mtu size='1400'/>
  <protocol family='ipv4'>
    <ip address='192.0.2.2' prefix='24'/>
    <route gateway='192.0.2.1'/>
  </protocol>
</interface>
";

fn with_daemon(test: impl FnOnce() + Send + 'static) {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let _daemon = Daemon::start();
        test();
    });
}

fn state(state: &str) -> Option<String> {
    Some(state.to_owned())
}

/// The definition of an interface, as virsh prints it.
#[track_caller]
fn inactive(name: &str) -> String {
    let xml = virsh(&format!("iface-dumpxml --inactive {name}")).ok();
    format!("{}\n", xml.trim_end())
}

#[test]
fn a_definition_is_stored_and_shown_and_leaves_the_kernel_alone() {
    with_daemon(|| {
        for options in ["", "--validate"] {
            let path = file("definition.xml", ETH0);
            let said = virsh_define(ETH0, options).ok();
            assert_eq!(said.trim_end(), format!("Interface eth0 defined from {path}"), "{options}");
            assert_eq!(fs::read_to_string(definition_file("eth0")).unwrap(), ETH0);
            assert_eq!(inactive("eth0"), ETH0);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(Path::new(FOLDER)), 0o755);
        assert_eq!(mode(&definition_file("eth0")), 0o600);
        assert_eq!(folder(), ["eth0.xml"]);
        assert!(!is_up("eth0"), "define does not touch the kernel");
        assert_eq!(addresses("eth0"), [""; 0]);
        assert_eq!(listed_state("eth0"), state("inactive"));

        // An interface without a link exists too.
        define(&bridge("br7", "stp='off'", &["nic7"], &["198.51.100.1/24"]));
        assert_eq!(listed_state("br7"), state("inactive"));
        assert!(listed("--inactive").contains(&("br7".to_owned(), "inactive".to_owned())));
        assert!(!listed("").iter().any(|(name, _)| name == "br7"));
        assert!(find_link("br7").is_none());
        assert_eq!(virsh("iface-dumpxml br7").ok(), virsh("iface-dumpxml --inactive br7").ok());
    });
}

#[test]
fn ignored_parts_of_a_definition_are_logged() {
    with_virsh(|| {
        let daemon = Daemon::start();
        let misspelt = "<interface type='ethernet' name='eth0'><mttu size='9000'/>\
                        <protocol family='ipv4'><ip address='192.0.2.2'/></protocol></interface>";
        define(misspelt);
        let warned = |place: &str, text: &str| {
            let line = format!("{place}: line 1: {text}");
            assert!(daemon.stderr().contains(&line), "no {line}:\n{}", daemon.stderr());
        };
        let of_eth0 = "the definition of eth0";
        warned(of_eth0, "<mttu> in <interface> is ignored");
        warned(of_eth0, "<ip address='192.0.2.2'/> has no prefix: /32 is used");
        virsh_define(misspelt, "--validate").failed();

        // The same for a file written by hand.
        fs::write(definition_file("eth1"), misspelt.replace("eth0", "eth1")).unwrap();
        assert_eq!(listed_state("eth1"), state("inactive"));
        let file = definition_file("eth1").display().to_string();
        warned(&file, "<mttu> in <interface> is ignored");
        let count = daemon.stderr().matches("<mttu>").count();
        listed("--all");
        assert_eq!(daemon.stderr().matches("<mttu>").count(), count, "once for each text");
    });
}

/// A case's name, the definition, virsh's options, and the message.
struct Refused(&'static str, &'static str, &'static str, &'static str);

/// Each message is the one of libvirt's own daemon, except the details of its schema validator.
const REFUSED: [Refused; 12] = [
    Refused(
        "another root",
        "<network/>",
        "",
        "XML error: expecting root element of 'interface', not 'network'",
    ),
    Refused(
        "no type",
        "<interface name='eth0'/>",
        "",
        "XML error: Missing required attribute 'type' in element 'interface'",
    ),
    Refused(
        "unknown type",
        "<interface type='wifi' name='eth0'/>",
        "",
        "XML error: Invalid value for attribute 'type' in element 'interface': 'wifi'.",
    ),
    Refused("no name", "<interface type='ethernet'/>", "", "XML error: interface has no name"),
    Refused(
        "start mode",
        "<interface type='ethernet' name='eth0'><start mode='never'/></interface>",
        "",
        "XML error: unknown interface startmode never",
    ),
    Refused(
        "MTU",
        "<interface type='ethernet' name='eth0'><mtu size='100001'/></interface>",
        "",
        "XML error: value of the 'size' attribute of 'mtu' element must be at most 100000",
    ),
    Refused(
        "family",
        "<interface type='ethernet' name='eth0'><protocol family='ipx'/></interface>",
        "",
        "XML error: unsupported protocol family 'ipx'",
    ),
    Refused(
        "no bridge element",
        "<interface type='bridge' name='br0'/>",
        "",
        "XML error: bridge interface misses the bridge element",
    ),
    Refused(
        "a bridge in a bridge",
        "<interface type='bridge' name='br0'><bridge>\
         <interface type='bridge' name='br1'/></bridge></interface>",
        "",
        "XML error: interface has unsupported type 'bridge'",
    ),
    Refused(
        "bond mode",
        "<interface type='bond' name='bond0'><bond mode='fast'/></interface>",
        "",
        "XML error: unknown bonding mode fast",
    ),
    Refused(
        "tag",
        "<interface type='vlan' name='eth0.1'><vlan><interface name='eth0'/></vlan></interface>",
        "",
        "XML error: vlan interface misses the tag attribute",
    ),
    Refused(
        "unknown to the schema",
        "<interface type='ethernet' name='eth0'><colour/></interface>",
        "--validate",
        "XML document failed to validate against schema: Unable to validate doc against \
         /usr/share/libvirt/schemas/interface.rng",
    ),
];

#[test]
fn invalid_definitions_are_refused_with_libvirts_messages() {
    with_daemon(|| {
        for Refused(label, xml, options, want) in REFUSED {
            let said = virsh_define(xml, options).failed();
            let mut lines = said.lines();
            let head = lines.next().unwrap();
            assert!(head.starts_with("error: Failed to define interface from "), "{label}: {said}");
            let detail = lines.next().unwrap();
            assert_eq!(detail, format!("error: {want}"), "{label}");
        }
        let said = virsh_define("<interface type='ethernet'\n  name=eth0/>", "").failed();
        assert!(said.contains("error: at line 2: "), "{said}");
        assert_eq!(folder(), [""; 0]);
        assert_eq!(listed("--all").len(), 5, "{:?}", listed("--all"));
        // Without --validate, content that the schema forbids is ignored.
        define("<interface type='ethernet' name='eth0'><colour/></interface>");
        assert_eq!(inactive("eth0"), "<interface type='ethernet' name='eth0'>\n</interface>\n");
        let said = virsh_define("<interface type='ethernet' name='.eth0'/>", "").failed();
        assert!(said.contains("its name begins with a dot"), "{said}");
    });
}

#[test]
fn a_bridge_takes_the_definitions_of_its_ports() {
    with_daemon(|| {
        define(ETH0);
        define(&ethernet("eth1", &[], &[]));
        define(&ethernet("far1", &[], &[]));
        define(&bridge("br0", "stp='off'", &["eth0", "eth1"], &[]));
        assert_eq!(folder(), ["br0.xml", "far1.xml"]);

        let taken = |name: &str| {
            format!(
                "error: Requested operation is not valid: interface '{name}' is a part of the \
                 definition of 'br0': undefine that first"
            )
        };
        for (xml, name) in
            [(ethernet("eth0", &[], &[]), "eth0"), (bridge("br1", "", &["eth1"], &[]), "eth1")]
        {
            let said = virsh_define(&xml, "").failed();
            assert_eq!(said.lines().last(), Some(taken(name).as_str()));
        }
        assert_eq!(folder(), ["br0.xml", "far1.xml"]);

        // A new definition of the same bridge may have other ports.
        define(&bridge("br0", "stp='off'", &["eth1", "far1"], &[]));
        assert_eq!(folder(), ["br0.xml"]);
        define(&ethernet("eth0", &[], &[]));
        virsh("iface-undefine br0").ok();
        define(&ethernet("eth1", &[], &[]));
        assert_eq!(folder(), ["eth0.xml", "eth1.xml"]);
    });
}

#[test]
fn undefining_removes_the_definition_and_nothing_else() {
    with_daemon(|| {
        define(&ethernet("eth0", &["192.0.2.2/24"], &[]));
        virsh("iface-start eth0").ok();
        let before = crate::host::link("eth0");
        assert_eq!(virsh("iface-undefine eth0").ok().trim_end(), "Interface eth0 undefined");
        assert_eq!(crate::host::link("eth0"), before);
        assert_eq!(addresses("eth0"), ["192.0.2.2/24"]);
        assert_eq!(listed_state("eth0"), state("active"));
        assert_eq!(folder(), [""; 0]);

        define(&bridge("br7", "", &[], &[]));
        virsh("iface-undefine br7").ok();
        assert_eq!(listed_state("br7"), None);

        let cases = [
            (
                "eth0",
                "error: Failed to undefine interface eth0\nerror: Requested operation is not \
                 valid: interface 'eth0' has no definition",
            ),
            (
                "nosuch0",
                "error: failed to get interface 'nosuch0'\nerror: Interface not found: couldn't \
                 find interface named 'nosuch0'",
            ),
        ];
        for (name, want) in cases {
            assert_eq!(virsh(&format!("iface-undefine {name}")).failed(), want);
        }
    });
}

#[test]
fn a_definition_is_edited_as_the_editor_leaves_it() {
    with_daemon(|| {
        define(ETH0);
        let said = virsh_edit("eth0", "sed -i s/1400/1300/ \"$1\"").ok();
        assert_eq!(said.trim_end(), "Interface eth0 XML configuration edited.");
        assert_eq!(inactive("eth0"), ETH0.replace("1400", "1300"));

        let said = virsh_edit("eth0", "exit 0").ok();
        assert_eq!(said.trim_end(), "Interface eth0 XML configuration not changed.");
        assert_eq!(inactive("eth0"), ETH0.replace("1400", "1300"));

        // Without a terminal, virsh cannot ask whether to try again; it prints no reason, and its
        // exit status is 0 all the same.
        let said = virsh_edit("eth0", "sed -i 's/family=.ipv4./family=\"ipx\"/' \"$1\"");
        assert_eq!(said.stderr, "error: Failed.\n", "{said:?}");
        assert_eq!(inactive("eth0"), ETH0.replace("1400", "1300"));

        // Editing an interface without a definition creates one.
        virsh_edit("eth1", "sed -i 's/1500/1450/' \"$1\"").ok();
        assert!(inactive("eth1").contains("<mtu size='1450'/>"));
        assert_eq!(folder(), ["eth0.xml", "eth1.xml"]);
    });
}

#[test]
fn manual_edits_of_files_are_seen_by_the_next_call() {
    with_daemon(|| {
        fs::create_dir_all(FOLDER).unwrap();
        fs::write(definition_file("br7"), bridge("br7", "", &[], &[])).unwrap();
        assert_eq!(listed_state("br7"), state("inactive"), "added");

        fs::write(definition_file("br7"), bridge("br7", "stp='on' delay='5'", &[], &[])).unwrap();
        assert!(inactive("br7").contains("<bridge stp='on' delay='5'>"), "written anew");

        let other = format!("{FOLDER}/other");
        fs::write(&other, bridge("br7", "stp='off' delay='9'", &[], &[])).unwrap();
        fs::rename(&other, definition_file("br7")).unwrap();
        assert!(inactive("br7").contains("<bridge stp='off' delay='9'>"), "replaced");

        let elsewhere = file("elsewhere", &bridge("br8", "stp='off'", &[], &[]));
        symlink(&elsewhere, definition_file("br8")).unwrap();
        assert_eq!(listed_state("br8"), state("inactive"), "a link to a file");
        fs::write(&elsewhere, bridge("br8", "stp='on'", &[], &[])).unwrap();
        assert!(inactive("br8").contains("<bridge stp='on'>"), "the file that a link leads to");

        fs::rename(definition_file("br7"), definition_file("br9")).unwrap();
        assert_eq!(listed_state("br7"), None, "moved away");
        assert_eq!(listed_state("br9"), None, "it still defines br7");
        fs::write(definition_file("br9"), bridge("br9", "", &[], &[])).unwrap();
        assert_eq!(listed_state("br9"), state("inactive"));

        fs::rename(FOLDER, "/etc/libvirt/away").unwrap();
        assert_eq!(listed_state("br9"), None, "the folder is gone");
        fs::rename("/etc/libvirt/away", FOLDER).unwrap();
        assert_eq!(listed_state("br9"), state("inactive"), "the folder is back");
        fs::remove_file(definition_file("br9")).unwrap();
        assert_eq!(listed_state("br9"), None, "removed");
    });
}

#[test]
fn other_files_in_the_directory_are_ignored() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        fs::create_dir_all(FOLDER).unwrap();
        let rubbish: [(&str, &[u8]); 9] = [
            ("README", b"see the wiki"),
            ("eth1.xml", b"<interface type='ether"),
            ("eth2.xml", b"\0\xff\xfe"),
            ("eth3.xml", b""),
            ("eth4.xml", b"<interface type='ethernet' name='eth9'/>"),
            ("far0.xml~", b"<interface type='ethernet' name='far0'/>"),
            (".far0.xml.swp", b"b0VIM 8.2"),
            ("a name with blanks.xml", b"<interface/>"),
            ("much-too-long-for-a-link.xml", b"<interface/>"),
        ];
        for (name, bytes) in rubbish {
            fs::write(format!("{FOLDER}/{name}"), bytes).unwrap();
        }
        fs::create_dir(definition_file("folder0")).unwrap();
        symlink("nowhere", definition_file("dangling0")).unwrap();
        symlink("/dev/zero", definition_file("device0")).unwrap();
        run(command("mkfifo").arg(definition_file("pipe0"))).ok();
        let before = folder();

        let daemon = Daemon::start();
        let names = |options| listed(options).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names("--all"), ["eth0", "eth1", "far0", "far1", "lo"]);
        for name in ["eth1", "eth2", "eth4", "folder0", "device0", "pipe0"] {
            let file = format!("{FOLDER}/{name}.xml");
            assert!(daemon.stderr().contains(&file), "{name}: {}", daemon.stderr());
        }
        define(ETH0);
        assert_eq!(inactive("eth0"), ETH0);
        // A broken definition may be replaced; its file is left alone until then.
        define(&ethernet("eth1", &[], &[]));
        let mut after = before;
        after.push("eth0.xml".to_owned());
        after.sort();
        assert_eq!(folder(), after);
    });
}

#[test]
fn a_folder_that_cannot_be_written_is_read_and_says_so() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        fs::create_dir_all(FOLDER).unwrap();
        let by_hand = ETH0.replace("onboot", "none");
        fs::write(definition_file("eth0"), &by_hand).unwrap();
        run(command("mount").args(["--bind", FOLDER, FOLDER])).ok();
        run(command("mount").args(["-o", "remount,ro,bind", FOLDER])).ok();
        let _daemon = Daemon::start();
        assert_eq!(inactive("eth0"), by_hand);
        let said = virsh_define(&ethernet("eth1", &[], &[]), "").failed();
        let want = "failed to define interface eth1: file write eth1.xml: ";
        assert!(said.contains(want) && said.contains("Read-only file system"), "{said}");
        assert!(said.contains("nothing has been changed"), "{said}");
        let said = virsh("iface-undefine eth0").failed();
        let want = "failed to undefine interface eth0: file remove eth0.xml: ";
        assert!(said.contains(want) && said.contains("Read-only file system"), "{said}");
        assert_eq!(inactive("eth0"), by_hand);
        assert_eq!(folder(), ["eth0.xml"]);
        virsh("iface-start eth0").ok();
        assert_eq!(addresses("eth0"), ["192.0.2.2/24"]);

        run(command("mount").args(["-o", "remount,rw,bind", FOLDER])).ok();
        define(&ethernet("eth1", &[], &[]));
        assert_eq!(folder(), ["eth0.xml", "eth1.xml"]);
    });
}

/// libvirt's clients refuse by themselves; for raw clients, our daemon refuses.
#[test]
fn the_read_only_socket_changes_nothing() {
    with_daemon(|| {
        let mut client = RawClient::connect_to(READ_ONLY_SOCKET).unwrap();
        client.call_open();
        let eth0 = [Arg::Text("eth0"), Arg::Text("")];
        let with_flags = [Arg::Text("eth0"), Arg::Text(""), Arg::Word(0)];
        let calls: [(i32, &[Arg<'_>], &str); 4] = [
            (
                procedure::INTERFACE_DEFINE_XML,
                &[Arg::Text(ETH0), Arg::Word(0)],
                "virInterfaceDefineXML",
            ),
            (procedure::INTERFACE_UNDEFINE, &eth0, "virInterfaceUndefine"),
            (procedure::INTERFACE_CREATE, &with_flags, "virInterfaceCreate"),
            (procedure::INTERFACE_DESTROY, &with_flags, "virInterfaceDestroy"),
        ];
        for (procedure, arguments, api) in calls {
            let message = format!("operation forbidden: read only access prevents {api}");
            let want = Fault { code: 29, domain: 26, message };
            assert_eq!(client.call(procedure, arguments).fault(), want);
        }
        assert_eq!(folder(), [""; 0]);
    });
}

#[test]
fn the_mac_of_a_definition_without_a_link_is_shown_listed_and_found() {
    const MAC: &str = "52:54:00:00:00:77";
    let xml = |name: &str| {
        format!("<interface type='ethernet' name='{name}'><mac address='{MAC}'/></interface>")
    };
    with_daemon(move || {
        let define = |client: &mut RawClient, name: &str| {
            let xml = xml(name);
            let arguments = [Arg::Text(&xml), Arg::Word(0)];
            let reply = client.call(procedure::INTERFACE_DEFINE_XML, &arguments);
            let mut results = reply.results();
            (results.text(), results.text())
        };
        let mut client = RawClient::open();
        let want = ("late0".to_owned(), MAC.to_owned());
        assert_eq!(define(&mut client, "late0"), want, "the answer");
        assert_eq!(virsh("iface-mac late0").ok().trim_end(), MAC);
        assert_eq!(virsh(&format!("iface-name {MAC}")).ok().trim_end(), "late0");
        let list = virsh("iface-list --all").ok();
        let row = list.lines().find(|line| line.contains("late0")).unwrap();
        assert!(row.ends_with(MAC), "{row}");

        assert_eq!(define(&mut client, "late1").1, MAC);
        let multiple = virsh(&format!("iface-name {MAC}")).failed();
        assert!(multiple.contains("matches multiple interfaces"), "{multiple}");
        // A link with the address has precedence.
        ip_batch(&format!("link set eth0 address {MAC}\n"));
        assert_eq!(virsh(&format!("iface-name {MAC}")).ok().trim_end(), "eth0");
    });
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of the clients' command lines and configurations, and of the choice of a client.

use std::fs;

use super::*;
use crate::model::address::IpPrefix;
use crate::model::name::IfName;

fn lease(family: Family, name_servers: NameServers, wanted: Option<&str>) -> Lease {
    let wanted = wanted.map(|address| IpPrefix::new(address.parse().unwrap(), 24).unwrap());
    Lease { link: IfName::new("br0").unwrap(), family, name_servers, wanted, like: None }
}

fn client(kind: Kind, confinement: Confinement) -> DhcpProgram {
    let program = Path::new("/sbin").join(kind.name());
    DhcpProgram { kind, program, applet: None, confinement }
}

fn line(client: &DhcpProgram, lease: &Lease) -> String {
    let files = Files::new(Path::new("/run/d"), lease);
    let command = client.command(lease, &files, Some("host"), None);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_client_is_called_so_that_it_stays_in_the_foreground() {
    let v4 = lease(Family::Ipv4, NameServers::Taken, None);
    let wanted = lease(Family::Ipv4, NameServers::Left, Some("192.0.2.5"));
    let v6 = lease(Family::Ipv6, NameServers::Left, None);
    let state = "VIRTINTERFACED_LEASE=/run/d/br0";
    let free = |kind| client(kind, Confinement::None);
    let applet = DhcpProgram {
        program: "/bin/busybox".into(),
        applet: Some("udhcpc"),
        ..free(Kind::Udhcpc)
    };
    let udhcpc = "-f -t 3 -T 3 -A 5 -i br0 -s /run/d/virtinterfaced-lease -O 121 -O 119";
    let cases = [
        (free(Kind::Udhcpc), v4, format!("/sbin/udhcpc {udhcpc} -x hostname:host")),
        (applet, v4, format!("/bin/busybox udhcpc {udhcpc} -x hostname:host")),
        (
            free(Kind::Udhcpc),
            wanted,
            format!("/sbin/udhcpc {udhcpc} -r 192.0.2.5 -x hostname:host"),
        ),
        (free(Kind::Dhcpcd), v4, "/sbin/dhcpcd -B -q -4 -f /run/d/br0.ipv4.conf br0".to_owned()),
        (free(Kind::Dhcpcd), v6, "/sbin/dhcpcd -B -q -6 -f /run/d/br0.ipv6.conf br0".to_owned()),
        (
            free(Kind::Dhclient),
            v4,
            format!(
                "/sbin/dhclient -d -q --no-pid -4 -lf /run/d/br0.ipv4.leases \
                 -cf /run/d/br0.ipv4.conf -sf /run/d/virtinterfaced-lease \
                 -e {state}.ipv4 -e VIRTINTERFACED_PEERDNS=yes br0"
            ),
        ),
        (
            free(Kind::Dhclient),
            v6,
            format!(
                "/sbin/dhclient -d -q --no-pid -6 -D LL -lf /run/d/br0.ipv6.leases \
                 -cf /run/d/br0.ipv6.conf -sf /run/d/virtinterfaced-lease \
                 -e {state}.ipv6 -e VIRTINTERFACED_PEERDNS=no br0"
            ),
        ),
        (
            client(Kind::Dhclient, Confinement::Profile),
            v4,
            "/sbin/dhclient -d -q --no-pid -4 -lf /run/dhclient-br0.ipv4.leases br0".to_owned(),
        ),
    ];
    for (client, lease, want) in cases {
        assert_eq!(line(&client, &lease), want);
    }
}

#[test]
fn a_client_has_no_environment_but_what_its_script_needs() {
    let lease = lease(Family::Ipv4, NameServers::Left, None);
    let files = Files::new(Path::new("/run/d"), &lease);
    let command = client(Kind::Udhcpc, Confinement::None).command(&lease, &files, None, None);
    let variables: Vec<_> = command.get_envs().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(variables, ["PATH", "VIRTINTERFACED_LEASE", "VIRTINTERFACED_PEERDNS"]);
}

#[test]
fn what_a_lease_asks_for_is_in_the_configuration() {
    struct Case(Kind, Lease, &'static str, bool);
    let plain = lease(Family::Ipv4, NameServers::Taken, None);
    let wanted = lease(Family::Ipv4, NameServers::Left, Some("192.0.2.5"));
    let v6 = lease(Family::Ipv6, NameServers::Left, Some("2001:db8::5"));
    let cases = [
        Case(Kind::Dhcpcd, plain, "\nnoconfigure\nscript /run/d/virtinterfaced-lease\n", true),
        Case(Kind::Dhcpcd, plain, "\nenv VIRTINTERFACED_LEASE=/run/d/br0.ipv4\n", true),
        Case(Kind::Dhcpcd, plain, "\nenv VIRTINTERFACED_PEERDNS=yes\n", true),
        Case(Kind::Dhcpcd, v6, "\nenv VIRTINTERFACED_PEERDNS=no\n", true),
        Case(Kind::Dhcpcd, plain, "request ", false),
        Case(Kind::Dhcpcd, wanted, "\nrequest 192.0.2.5\n", true),
        Case(Kind::Dhcpcd, v6, "request", false),
        Case(Kind::Dhcpcd, plain, "\nclientid\n", true),
        Case(Kind::Dhcpcd, v6, "\nia_na\n", true),
        Case(Kind::Dhclient, plain, "requested-address", false),
        Case(Kind::Dhclient, wanted, "requested-address", false),
        Case(Kind::Dhclient, v6, "requested-address", false),
        Case(Kind::Dhclient, plain, "send dhcp-client-identifier = hardware;", true),
    ];
    for Case(kind, lease, needle, want) in cases {
        let files = Files::new(Path::new("/run/d"), &lease);
        let text = client(kind, Confinement::None).configuration(&lease, &files, None).unwrap();
        assert_eq!(text.contains(needle), want, "{kind:?} {needle}:\n{text}");
    }
    let files = Files::new(Path::new("/run/d"), &wanted);
    assert_eq!(client(Kind::Udhcpc, Confinement::None).configuration(&wanted, &files, None), None);
}

#[test]
fn dhclient_finds_the_wanted_address_among_its_leases() {
    let wanted = lease(Family::Ipv4, NameServers::Left, Some("192.0.2.5"));
    let dhclient = client(Kind::Dhclient, Confinement::None);
    let text = dhclient.leases(&wanted).unwrap();
    for line in ["interface \"br0\";", "fixed-address 192.0.2.5;", "subnet-mask 255.255.255.0;"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let files = Files::new(Path::new("/run/d"), &wanted);
    let path = Path::new("/run/d/br0.ipv4.leases");
    assert_eq!(dhclient.lease_file(&wanted, &files), path);
    let confined = client(Kind::Dhclient, Confinement::Profile);
    assert_eq!(confined.lease_file(&wanted, &files), Path::new("/run/dhclient-br0.ipv4.leases"));
    let v6 = lease(Family::Ipv6, NameServers::Left, Some("2001:db8::5"));
    let unwanted = lease(Family::Ipv4, NameServers::Left, None);
    assert_eq!([dhclient.leases(&v6), dhclient.leases(&unwanted)], [None, None]);
    assert_eq!(client(Kind::Dhcpcd, Confinement::None).leases(&wanted), None);
}

#[test]
fn a_profile_is_the_programs_if_it_ends_with_its_name() {
    let dhclient = Path::new("/usr/sbin/dhclient");
    for (profiles, want) in [
        ("/{,usr/}sbin/dhclient (enforce)\n", true),
        ("lsb_release (enforce)\n/sbin/dhclient (enforce)\n", true),
        ("/{,usr/}sbin/dhclient (complain)\n", false),
        ("/usr/lib/NetworkManager/dhclient-helper (enforce)\n", false),
        ("/usr/bin/man//dhclient (enforce)\n", false),
        ("", false),
    ] {
        assert_eq!(is_enforced(profiles, dhclient), want, "{profiles}");
    }
    let confined = client(Kind::Dhclient, Confinement::Profile);
    assert_eq!(confined.check(&lease(Family::Ipv4, NameServers::Taken, None)), Ok(()));
    let refused = Err(DhcpError::Confined { client: "dhclient" });
    assert_eq!(confined.check(&lease(Family::Ipv4, NameServers::Left, None)), refused);
    // With the host's script, a lease from a server would remove the address.
    let address = IpPrefix::new("192.0.2.10".parse().unwrap(), 24).unwrap();
    let refused = confined.check_beside(Some(address)).unwrap_err().to_string();
    assert!(refused.contains("which could remove 192.0.2.10/24: install udhcpc"), "{refused}");
    assert_eq!(confined.check_beside(None), Ok(()));
    assert_eq!(client(Kind::Dhclient, Confinement::None).check_beside(Some(address)), Ok(()));
}

/// Creates a folder with programs of these names that contain `parts`, and that create the file
/// `ran` if they are executed.
fn folder(label: &str, programs: &[&str], parts: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("dhcp-program-{label}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    for program in programs {
        let (text, path) = (dir.join("text"), dir.join(program));
        let ran = dir.join("ran");
        fs::write(&text, format!("#!/bin/sh\n: >'{}'\nexit\n{parts}", ran.display())).unwrap();
        // A child process installs it: a program that another test starts would inherit this
        // process's descriptor, and the kernel executes no file that is open for writing.
        let copied = Command::new("install").args(["-m", "755"]).arg(&text).arg(&path).status();
        assert!(copied.unwrap().success());
    }
    dir
}

fn find(choice: DhcpClient, family: Family, dir: &PathBuf) -> Result<DhcpProgram, DhcpError> {
    let dirs = std::slice::from_ref(dir);
    let found = DhcpProgram::find(choice, family, dirs, &KnownPrograms::new(dirs));
    // A program that is installed after the choice was created is found as well.
    assert_eq!(DhcpProgram::find(choice, family, dirs, &KnownPrograms::default()), found);
    assert!(!dir.join("ran").exists(), "no program is run to find out its kind");
    found
}

#[test]
fn the_first_client_that_is_there_and_can_is_taken() {
    use DhcpClient::{Auto, Dhclient, Dhcpcd, Udhcpc};
    use Family::{Ipv4, Ipv6};
    struct Case(&'static str, &'static [&'static str], DhcpClient, Family, Result<Kind, DhcpError>);
    let not = |client| Err(DhcpError::NotInstalled { client });
    let cases = [
        Case("all", &["udhcpc", "dhcpcd", "dhclient"], Auto, Ipv4, Ok(Kind::Udhcpc)),
        Case("v6", &["udhcpc", "dhcpcd", "dhclient"], Auto, Ipv6, Ok(Kind::Dhcpcd)),
        Case("two", &["dhcpcd", "dhclient"], Auto, Ipv4, Ok(Kind::Dhcpcd)),
        Case("one", &["dhclient"], Auto, Ipv6, Ok(Kind::Dhclient)),
        Case("bb", &["busybox", "dhclient"], Auto, Ipv4, Ok(Kind::Udhcpc)),
        Case("named", &["udhcpc", "dhcpcd", "dhclient"], Dhclient, Ipv4, Ok(Kind::Dhclient)),
        Case("gone", &["udhcpc"], Dhcpcd, Ipv4, not("dhcpcd")),
        Case("none", &[], Auto, Ipv4, Err(DhcpError::NoneInstalled { family: Ipv4 })),
        Case("none6", &["udhcpc"], Auto, Ipv6, Err(DhcpError::NoneInstalled { family: Ipv6 })),
        Case("u6", &["udhcpc"], Udhcpc, Ipv6, Err(DhcpError::NoIpv6 { client: "udhcpc" })),
    ];
    for Case(label, programs, choice, family, want) in cases {
        let dir = folder(label, programs, "\0udhcpc\0udhcpd\0");
        let found = find(choice, family, &dir);
        assert_eq!(found.map(|found| found.kind), want, "{label}");
        fs::remove_dir_all(&dir).unwrap();
    }
    for parts in ["\0udhcpd\0xudhcpc\0", "\0udhcpc6\0"] {
        let dir = folder("without", &["busybox"], parts);
        let found = find(Auto, Ipv4, &dir);
        assert_eq!(found, Err(DhcpError::NoneInstalled { family: Ipv4 }), "{parts:?}");
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn what_was_read_of_a_program_is_not_read_again() {
    let dir = folder("known", &["busybox"], "\0udhcpc\0");
    let dirs = std::slice::from_ref(&dir);
    let known = KnownPrograms::new(dirs);
    // The new content would give another result.
    fs::write(dir.join("busybox"), "").unwrap();
    let found = DhcpProgram::find(DhcpClient::Auto, Family::Ipv4, dirs, &known);
    assert_eq!(found.map(|found| found.applet), Ok(Some("udhcpc")));
    // Whether the program exists is checked each time.
    fs::remove_file(dir.join("busybox")).unwrap();
    let found = DhcpProgram::find(DhcpClient::Auto, Family::Ipv4, dirs, &known);
    assert_eq!(found, Err(DhcpError::NoneInstalled { family: Family::Ipv4 }));
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_busybox_of_this_host_is_read_as_it_speaks() {
    let dirs = search_dirs(None);
    let Some(busybox) = program_in(&dirs, "busybox") else { return };
    let output = Command::new(&busybox).arg("--list").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(has_applet(&busybox), said.lines().any(|part| part == "udhcpc"));
}

#[test]
fn a_link_that_is_called_as_an_option_gets_no_client() {
    for (name, is_good) in [("-x", false), ("--", false), ("x-", true), ("a-b", true)] {
        let link = IfName::new(name).unwrap();
        let lease = Lease { link, ..lease(Family::Ipv4, NameServers::Taken, None) };
        for kind in Kind::ALL {
            let want = if is_good { Ok(()) } else { Err(DhcpError::LinkName { link }) };
            assert_eq!(client(kind, Confinement::None).check(&lease), want, "{kind:?} {name}");
        }
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests on hosts whose files are below a folder, with one manager each. `tests/netns/managers.rs`
//! tests the programs themselves, as far as they can run there.

use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;

/// A host's files, removed on drop.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let name = format!("managers-{}-{name}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir(&root).unwrap();
        Self(root)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Creates a process with this name and command line, in a network namespace.
    fn process(&self, pid: &str, program: &str, arguments: &[&str], namespace: &str) {
        self.write(&format!("proc/{pid}/comm"), &format!("{program}\n"));
        self.write(&format!("proc/{pid}/cmdline"), &format!("{}\0", arguments.join("\0")));
        let ns = self.0.join(format!("proc/{pid}/ns"));
        fs::create_dir_all(&ns).unwrap();
        symlink(namespace, ns.join("net")).unwrap();
    }

    /// Returns the holds on eth0 to eth3, with indexes 2 to 5, and on br0, which does not exist.
    fn holds(&self) -> Vec<String> {
        let target = |name: &str, index: Option<u32>| ManagerQuery {
            link: IfName::new(name).unwrap(),
            index: index.map(LinkIndex),
            is_bridge: name.starts_with("br"),
        };
        let nics = [2, 3, 4, 5].map(|index| target(&format!("eth{}", index - 2), Some(index)));
        let targets: Vec<_> = nics.into_iter().chain([target("br0", None)]).collect();
        let holds = find_below(&self.0, &targets).into_iter();
        holds.map(|hold| format!("{} {} {:?}", hold.link, hold.sign, hold.manager)).collect()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const OURS: &str = "net:[1]";

#[test]
fn a_host_without_other_managers_has_none() {
    assert!(Files::new("none").holds().is_empty());
}

#[test]
fn stanzas_are_found_wherever_they_are_included_from() {
    let host = Files::new("ifupdown");
    let main = "source /etc/network/interfaces.d/*\nsource-directory more\nauto eth0\niface eth0 inet dhcp\n\
                source /etc/network/interfaces\nsource missing\n";
    host.write("etc/network/interfaces", main);
    host.write("etc/network/interfaces.d/lan.cfg", "iface br0 inet manual\n bridge_ports eth1\n");
    host.write("etc/network/interfaces.d/.hidden", "iface eth3 inet dhcp\n");
    host.write("etc/network/more/wan", "\niface eth2 inet dhcp\niface eth1 inet manual\n");
    host.write("etc/network/more/wan.bak", "iface eth3 inet dhcp\n");
    assert!(host.holds().is_empty(), "without the program the file means nothing");
    host.write("sbin/ifup", "");
    assert_eq!(
        host.holds(),
        [
            "eth0 /etc/network/interfaces:3 Ifupdown",
            "br0 /etc/network/interfaces.d/lan.cfg:1 Ifupdown",
            "eth1 /etc/network/interfaces.d/lan.cfg:2 Ifupdown",
            "eth2 /etc/network/more/wan:2 Ifupdown",
        ]
    );
}

#[test]
fn files_are_read_up_to_a_number_and_a_length() {
    let host = Files::new("bounds");
    host.write("sbin/ifup", "");
    host.write("etc/network/interfaces", "source interfaces.d/*\n");
    // One of the files is the first.
    for number in 0..MANAGER_FILE_COUNT_MAX - 2 {
        host.write(&format!("etc/network/interfaces.d/{number:04}"), "");
    }
    host.write("etc/network/interfaces.d/8", "iface eth0 inet dhcp\n");
    host.write("etc/network/interfaces.d/9", "iface eth1 inet dhcp\n");
    assert_eq!(host.holds(), ["eth0 /etc/network/interfaces.d/8:1 Ifupdown"]);

    let len_max = usize::try_from(MANAGER_FILE_LEN_MAX).unwrap();
    let stanza = "iface eth0 inet dhcp\n";
    let full = format!("{stanza}{}", "#".repeat(len_max - stanza.len()));
    host.write("etc/network/interfaces", &full);
    assert_eq!(host.holds(), ["eth0 /etc/network/interfaces:1 Ifupdown"]);
    host.write("etc/network/interfaces", &format!("{full}#"));
    assert!(host.holds().is_empty());
}

#[test]
fn services_of_a_runlevel_and_started_ones_have_their_links() {
    let host = Files::new("netifrc");
    host.write("etc/conf.d/net", "config_eth0=\"dhcp\"\nbridge_br0=\"eth1\"\n");
    assert!(host.holds().is_empty(), "a file alone starts nothing");
    host.write("etc/runlevels/default/net.eth0", "");
    host.write("etc/runlevels/boot/net.lo", "");
    host.write("run/openrc/started/net.br0", "");
    host.write("etc/runlevels/default/network", "");
    assert_eq!(
        host.holds(),
        [
            "eth0 /etc/conf.d/net:1 Netifrc",
            "br0 /run/openrc/started/net.br0 Netifrc",
            "eth1 /etc/conf.d/net:2 Netifrc",
        ]
    );
}

#[test]
fn a_dhcpcd_has_all_links_that_it_is_not_told_to_leave() {
    let host = Files::new("dhcpcd");
    host.process("self", "tests", &[], OURS);
    host.write("etc/dhcpcd.conf", "denyinterfaces eth1\n");
    host.write("run/dhcpcd/pid", "77\n");
    assert!(host.holds().is_empty(), "the process has gone");
    host.process("77", "dhcpcd", &["dhcpcd: [manager] [ip4] [ip6]"], OURS);
    let all = ["eth0", "eth2", "eth3"].map(|link| format!("{link} process 77 Dhcpcd"));
    assert_eq!(host.holds(), all);
    host.write("proc/77/comm", "sh\n");
    assert!(host.holds().is_empty(), "its number is another's by now");
}

#[test]
fn managers_with_state_files_have_what_those_say_while_they_run() {
    let host = Files::new("state");
    host.process("self", "tests", &[], OURS);
    host.write("run/NetworkManager/devices/2", "[device]\nmanaged=true\n");
    host.write("run/NetworkManager/devices/3", "[device]\nmanaged=false\n");
    let network = "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/lan.network\n";
    host.write("run/systemd/netif/links/4", network);
    host.write("run/systemd/netif/links/5", "ADMIN_STATE=unmanaged\n");
    assert!(host.holds().is_empty(), "what is left of a manager that has ended means nothing");
    host.process("70", "NetworkManager", &["/usr/sbin/NetworkManager"], "net:[2]");
    assert!(host.holds().is_empty(), "it has another network");
    host.process("71", "NetworkManager", &["/usr/sbin/NetworkManager"], OURS);
    host.process("72", "systemd-network", &["/lib/systemd/systemd-networkd"], OURS);
    assert_eq!(
        sorted(host.holds()),
        [
            "eth0 /run/NetworkManager/devices/2 NetworkManager",
            "eth2 /etc/systemd/network/lan.network Networkd",
        ]
    );
    // NetworkManager was restarted, and has written the file of one of the two links since.
    let pid_file = "run/NetworkManager/NetworkManager.pid";
    host.write("run/NetworkManager/devices/3", "[device]\nmanaged=true\n");
    host.write(pid_file, "71\n");
    let modified = |path: &str, minutes: u64| {
        let file = fs::File::options().write(true).open(host.0.join(path)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minutes)).unwrap();
    };
    modified("run/NetworkManager/devices/2", 1);
    modified(pid_file, 2);
    let want = "eth1 /run/NetworkManager/devices/3 NetworkManager";
    assert_eq!(sorted(host.holds()), [want, "eth2 /etc/systemd/network/lan.network Networkd"]);
}

#[test]
fn connman_and_netifd_have_what_their_configuration_says_while_they_run() {
    let host = Files::new("others");
    host.process("self", "tests", &[], OURS);
    host.write("etc/connman/main.conf", "[General]\nNetworkInterfaceBlacklist=br,eth0,eth1\n");
    host.write("var/lib/connman/settings", "");
    host.write("etc/config/network", "config interface lan\n option device 'br0'\n");
    assert!(host.holds().is_empty());
    host.process("70", "connmand", &["/usr/sbin/connmand", "-n", "-I", "eth2"], OURS);
    assert_eq!(host.holds(), ["eth3 process 70 Connman"]);
    host.process("71", "netifd", &["/sbin/netifd"], OURS);
    let want = ["br0 /etc/config/network:2 Netifd", "eth3 process 70 Connman"];
    assert_eq!(sorted(host.holds()), want);
}

#[test]
fn processes_are_looked_at_up_to_a_number() {
    let host = Files::new("processes");
    host.process("self", "tests", &[], OURS);
    let count = || {
        let search = Search { root: &host.0, targets: &[], files_left: 0, holds: Vec::new() };
        search.programs().len()
    };
    let add = |pid: usize| symlink("self", host.0.join(format!("proc/{pid}"))).unwrap();
    (0..PROCESS_COUNT_MAX).for_each(add);
    assert_eq!(count(), PROCESS_COUNT_MAX);
    add(PROCESS_COUNT_MAX);
    assert_eq!(count(), PROCESS_COUNT_MAX);
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

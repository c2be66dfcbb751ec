// SPDX-License-Identifier: LGPL-2.1-or-later
//! The hosts that sequences start from, and the operations on each.

use std::rc::Rc;

use simulation::stanzas::Stanzas;
use simulation::value_kernel::ValueKernel;
use virtinterfaced::backend::Backend;
use virtinterfaced::backend::native::Native;
use virtinterfaced::definitions::files::FilePath;
use virtinterfaced::snapshot::files::{KeptFile, StoredFile, Target};

/// A host, and the operations of its sequences. Of several calls, the first that is not refused is
/// made. Manual changes are used in turn.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) host: &'static str,
    pub(crate) format: Format,
    pub(crate) files: Files,
    pub(crate) define: &'static [&'static str],
    pub(crate) undefine: &'static [&'static str],
    pub(crate) create: &'static [&'static str],
    pub(crate) destroy: &'static [&'static str],
    pub(crate) edits: &'static [Files],
    pub(crate) by_hand: &'static [&'static [&'static str]],
    /// Links that a rollback may be unable to restore.
    pub(crate) lost: &'static [&'static str],
}

/// Definition files, each to be written or removed. Of `LINK -> PATH` a symbolic link is written too.
#[derive(Debug)]
pub(crate) struct Files(&'static [(&'static str, Option<File>)]);

/// Content, mode, user and group.
#[derive(Debug)]
struct File(&'static str, u32, u32, u32);

impl Files {
    pub(crate) fn put(&self, kernel: &mut ValueKernel) {
        for (path, file) in self.0 {
            let (path, target) = match path.split_once(" -> ") {
                Some((path, target)) => (path, Some(target)),
                None => (*path, None),
            };
            let file = file.as_ref().map(|File(text, mode, uid, gid)| {
                let (bytes, mode, uid, gid) = (text.as_bytes().to_vec(), *mode, *uid, *gid);
                StoredFile { bytes, mode, uid, gid }
            });
            let file = file.map(|file| match target {
                None => KeptFile::File(file),
                Some(target) => {
                    let path = FilePath::new(target).unwrap();
                    let text = target.as_bytes().to_vec();
                    KeptFile::Link { text, target: Some(Target { path, file }) }
                }
            });
            kernel.put_file(FilePath::new(path).unwrap(), file);
        }
    }
}

/// Where the definitions of a scene are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Native,
    Stanzas,
}

impl Format {
    pub(crate) fn backend(self) -> Rc<dyn Backend> {
        match self {
            Self::Native => Rc::new(Native::new("/etc/libvirt/interface".into())),
            Self::Stanzas => Rc::new(Stanzas),
        }
    }
}

impl Scene {
    pub(crate) fn named(name: &str) -> &'static Self {
        let all = [&PLAIN, &PULLED, &BRIDGE, &NEW_GUEST, &BOND, &DHCP, &SHARED];
        all.into_iter().find(|scene| scene.name == name).unwrap()
    }
}

const ETH0: &str = "<interface type='ethernet' name='eth0'>
  <!-- by hand -->
  <protocol family='ipv4'>
    <ip address='192.0.2.1' prefix='24'/>
    <ip address='192.0.2.3' prefix='24'/>
    <ip address='192.0.2.2' prefix='24'/>
    <route gateway='192.0.2.254'/>
  </protocol>
</interface>
";
const ETH1: &str = "<interface type='ethernet' name='eth1'/>";
const BR0_OVER_ETH0: &str = "<interface type='bridge' name='br0'>
  <protocol family='ipv4'>
    <ip address='192.0.2.1' prefix='24'/>
    <route gateway='192.0.2.254'/>
  </protocol>
  <bridge stp='off'><interface type='ethernet' name='eth0'/></bridge>
</interface>";
const BR0_OVER_BOTH: &str = "<interface type='bridge' name='br0'>
  <mtu size='1400'/>
  <protocol family='ipv4'>
    <ip address='192.0.2.7' prefix='24'/>
  </protocol>
  <bridge stp='on' delay='4'>
    <interface type='ethernet' name='eth0'/>
    <interface type='ethernet' name='eth1'/>
  </bridge>
</interface>";
const ETH0_BY_DHCP: &str = "<interface type='ethernet' name='eth0'>
  <protocol family='ipv4'><dhcp/></protocol>
</interface>";

const PLAIN_HOST: &str = "
    link eth0 nic up
    addr eth0 192.0.2.1/24 brd 192.0.2.255
    addr eth0 192.0.2.3/24 secondary
    addr eth0 192.0.2.2/24 secondary
    addr eth0 198.51.100.1/24 finite 3000
    addr eth0 2001:db8::1/64
    addr eth0 2001:db8::2/64
    route eth0 default via 192.0.2.254
    route eth0 203.0.113.0/24 via 192.0.2.253 src 192.0.2.3
    route eth0 default via fe80::1 metric 1024
    link eth1 nic
    link eth2 nic up mtu 1400
    ipv6 eth2 accept_ra 0 disable_ipv6 1
";

const PLAIN_EDITS: &[Files] = &[
    Files(&[("eth0.xml", Some(File(ETH0, 0o600, 1000, 0)))]),
    Files(&[("eth0.xml", None), ("eth1.xml", Some(File("no XML", 0o644, 0, 0)))]),
];

/// A common server.
pub(crate) const PLAIN: Scene = Scene {
    name: "plain",
    host: PLAIN_HOST,
    format: Format::Native,
    files: Files(&[("eth0.xml", Some(File(ETH0, 0o644, 0, 27)))]),
    define: &[BR0_OVER_ETH0],
    undefine: &["br0", "eth0"],
    create: &["br0", "eth0", "eth1"],
    destroy: &["br0", "eth0"],
    edits: PLAIN_EDITS,
    by_hand: &[
        &[
            "addr del 192.0.2.1/24 dev eth0",
            "addr add 192.0.2.3/24 dev eth0",
            "addr add 192.0.2.1/24 dev eth0",
            "addr del 2001:db8::1/64 dev eth0",
            "route add default via 192.0.2.252 dev eth0",
            "link set eth2 mtu 1500",
            "link set eth1 address 02:00:00:00:00:99",
            "link add br1 type bridge",
            "link set eth1 master br1",
            "link set br1 up",
        ],
        &["link set eth0 down", "link set eth0 address 02:00:00:00:00:98", "link set eth0 up"],
    ],
    lost: &[],
};

/// The same, where hardware is removed meanwhile.
pub(crate) const PULLED: Scene = Scene {
    name: "pulled",
    host: PLAIN_HOST,
    format: Format::Native,
    files: Files(&[
        ("eth0.xml", Some(File(ETH0, 0o644, 0, 27))),
        ("eth1.xml", Some(File(ETH1, 0o644, 0, 0))),
    ]),
    define: &[BR0_OVER_BOTH],
    undefine: &["br0", "eth1"],
    create: &["br0", "eth1", "eth0"],
    destroy: &["br0", "eth1"],
    edits: PLAIN_EDITS,
    by_hand: &[&["pull eth1"], &["link set eth2 down", "link set eth0 mtu 1300"]],
    lost: &["eth1"],
};

const BRIDGE_HOST: &str = "
    bridge-vlans
    link br0 bridge up stp on delay 4
    addr br0 192.0.2.1/24
    addr br0 192.0.2.2/24 secondary
    route br0 default via 192.0.2.254
    link eth0 nic up master br0
    vlan br0 20
    vlan eth0 20
    vlan eth0 30 pvid untagged
    link vnet0 tun up master br0
    vlan vnet0 30 pvid untagged
    link vnet1 tun
    link eth1 nic up
    link eth1.5 vlan up parent eth1 tag 5
    addr eth1.5 198.51.100.1/24
";
const BR0: &str = "<interface type='bridge' name='br0'>
  <protocol family='ipv4'>
    <ip address='192.0.2.1' prefix='24'/>
    <ip address='192.0.2.2' prefix='24'/>
    <route gateway='192.0.2.254'/>
  </protocol>
  <bridge stp='on' delay='4'><interface type='ethernet' name='eth0'/></bridge>
</interface>";

/// A host with guests.
pub(crate) const BRIDGE: Scene = Scene {
    name: "bridge",
    host: BRIDGE_HOST,
    format: Format::Native,
    files: Files(&[("br0.xml", Some(File(BR0, 0o640, 0, 0)))]),
    define: &[BR0_OVER_BOTH],
    undefine: &["br0"],
    create: &["br0", "eth1.5", "eth0"],
    destroy: &["br0", "eth1.5"],
    edits: &[
        Files(&[("br0.xml", Some(File(BR0_OVER_ETH0, 0o640, 0, 0)))]),
        Files(&[("br0.xml", None), ("eth0.xml", Some(File(ETH0_BY_DHCP, 0o644, 0, 0)))]),
    ],
    by_hand: &[
        &[
            "link set br0 down",
            "link del br0",
            "link del eth1.5",
            "addr add 192.0.2.77/24 dev eth0",
        ],
        &[
            "link set eth1 nomaster",
            "link set eth1 down",
            "link add br0 type bridge",
            "link set eth1 master br0",
            "link set br0 up",
        ],
    ],
    lost: &[],
};

/// The same, where a guest starts meanwhile on a new bridge.
pub(crate) const NEW_GUEST: Scene = Scene {
    name: "new guest",
    host: BRIDGE_HOST,
    format: Format::Native,
    files: Files(&[("br0.xml", Some(File(BR0, 0o640, 0, 0)))]),
    define: &["<interface type='bridge' name='br1'>
      <protocol family='ipv4'><ip address='198.51.100.7' prefix='24'/></protocol>
      <bridge><interface type='vlan' name='eth1.5'>
        <vlan tag='5'><interface name='eth1'/></vlan>
      </interface></bridge>
    </interface>"],
    undefine: &["br1", "br0"],
    create: &["br1", "br0"],
    destroy: &["br1", "br0"],
    edits: &[
        Files(&[("br1.xml", Some(File("", 0o600, 0, 0)))]),
        Files(&[("br1.xml", Some(File("", 0o640, 0, 0)))]),
    ],
    by_hand: &[
        &[
            "guest on br1",
            "guest on br0",
            "link set br0 stp on",
            "vlan del 20 dev br0",
            "link set eth0 nomaster",
        ],
        &["link add br1 type bridge", "link set br1 up", "guest on br1", "link set eth1.5 down"],
    ],
    lost: &["br1"],
};

/// Two NICs in a bond, and a VLAN over it.
pub(crate) const BOND: Scene = Scene {
    name: "bond",
    host: "
        link bond0 bond up mode active-backup miimon 100 updelay 200 downdelay 200
        link eth0 nic up master bond0
        link eth1 nic up master bond0
        link eth2 nic
        link bond0.7 vlan up parent bond0 tag 7
        addr bond0 192.0.2.1/24
        addr bond0.7 198.51.100.1/24
        addr bond0.7 2001:db8:7::1/64
        route bond0 default via 192.0.2.254
    ",
    format: Format::Native,
    files: Files(&[(
        "bond0.xml",
        Some(File(
            "<interface type='bond' name='bond0'>
              <protocol family='ipv4'><ip address='192.0.2.1' prefix='24'/>
                <route gateway='192.0.2.254'/></protocol>
              <bond mode='active-backup'><miimon freq='100' updelay='200' downdelay='200'/>
                <interface type='ethernet' name='eth0'/><interface type='ethernet' name='eth1'/>
              </bond></interface>",
            0o644,
            0,
            0,
        )),
    )]),
    define: &["<interface type='bridge' name='br0'>
      <protocol family='ipv4'><ip address='192.0.2.1' prefix='24'/></protocol>
      <bridge><interface type='bond' name='bond0'><bond mode='balance-rr'>
        <miimon freq='50'/>
        <interface type='ethernet' name='eth0'/><interface type='ethernet' name='eth2'/>
      </bond></interface></bridge></interface>"],
    undefine: &["br0", "bond0"],
    create: &["br0", "bond0"],
    destroy: &["br0", "bond0", "bond0.7"],
    edits: &[
        Files(&[("bond0.xml", None), ("bond0.7.xml", Some(File("", 0o644, 5, 5)))]),
        Files(&[("bond0.7.xml", None), ("eth0.xml", Some(File(ETH0, 0o644, 0, 0)))]),
    ],
    by_hand: &[
        &["link set eth1 nomaster", "link set eth1 mtu 9000", "link set bond0 mtu 1400"],
        &[
            "link del bond0.7",
            "link del bond0",
            "link add br1 type bridge",
            "link set eth0 master br1",
        ],
    ],
    lost: &[],
};

/// A host that has its addresses from DHCP servers and routers.
pub(crate) const DHCP: Scene = Scene {
    name: "dhcp",
    host: "
        link eth0 nic up
        addr eth0 203.0.113.101/24 finite 3600
        route eth0 default via 203.0.113.1 proto dhcp
        dhcp eth0 ipv4
        addr eth0 2001:db8::77/64 finite 3600 origin 2
        route eth0 default via fe80::1 proto ra expires 1800
        link eth1 nic up
        addr eth1 198.51.100.1/24
    ",
    format: Format::Native,
    files: Files(&[("eth0.xml", Some(File(ETH0_BY_DHCP, 0o644, 0, 0)))]),
    define: &[
        ETH0,
        "<interface type='bridge' name='br0'>
      <protocol family='ipv4'><dhcp/></protocol><protocol family='ipv6'><autoconf/></protocol>
      <bridge><interface type='ethernet' name='eth0'/></bridge></interface>",
    ],
    undefine: &["eth0"],
    create: &["br0", "eth0"],
    destroy: &["br0", "eth0"],
    edits: &[
        Files(&[("eth0.xml", Some(File(ETH0, 0o644, 0, 0)))]),
        Files(&[
            ("eth0.xml", None),
            (
                "eth1.xml",
                Some(File(
                    "<interface type='ethernet' name='eth1'>
            <protocol family='ipv4'><dhcp/></protocol></interface>",
                    0o644,
                    0,
                    0,
                )),
            ),
        ]),
    ],
    by_hand: &[
        &[
            "addr del 203.0.113.101/24 dev eth0",
            "addr add 192.0.2.99/24 dev eth0",
            "link set eth1 down",
        ],
        &["link set eth0 down", "link set eth1 up"],
    ],
    lost: &[],
};

/// Definitions that share a file, which is a symbolic link and includes files of another folder;
/// those that are started at boot need a second file. By hand, an included file is added or edited,
/// and no longer included; and a file that was there before becomes one.
pub(crate) const SHARED: Scene = Scene {
    name: "shared",
    host: PLAIN_HOST,
    format: Format::Stanzas,
    files: Files(&[
        ("interfaces -> real/interfaces", Some(File(STANZAS, 0o640, 5, 6))),
        ("autostart", Some(File("eth0\n# by hand\neth1\n", 0o644, 0, 27))),
        ("rack/eth3", Some(File(ETH3_STANZA, 0o604, 7, 0))),
        ("spare/eth4", Some(File(ETH4_STANZA, 0o600, 0, 7))),
    ]),
    define: &[BR0_AT_BOOT],
    undefine: &["br0", "eth3", "eth1"],
    create: &["br0", "eth0", "eth1"],
    destroy: &["br0", "eth0"],
    edits: &[
        Files(&[
            ("interfaces -> real/interfaces", Some(File(STANZAS_BY_HAND, 0o600, 5, 0))),
            ("rack/eth3", Some(File("", 0o604, 7, 0))),
        ]),
        Files(&[("rack/eth5", Some(File("a new one\n", 0o644, 0, 0)))]),
        Files(&[("interfaces", Some(File(STANZAS, 0o644, 0, 0))), ("autostart", None)]),
    ],
    by_hand: PLAIN.by_hand,
    lost: &[],
};

const STANZAS: &str = "the servers' network\t\n---
<interface type='ethernet' name='eth0'>
  <!-- by hand -->
  <protocol family='ipv4'>
    <ip address='192.0.2.1' prefix='24'/>
    <route gateway='192.0.2.254'/>
  </protocol>
</interface>
---
<interface type='ethernet' name='eth1'/>   ---
<interface type='ethernet' name='eth2'><mtu size='1400'/></interface>
---
include rack/*
---
not XML, and without a line's end";
const ETH3_STANZA: &str = "<interface type='ethernet' name='eth3'/>\n---\n# by hand";
const ETH4_STANZA: &str = "<interface type='ethernet' name='eth4'/>\n";
const STANZAS_BY_HAND: &str = "<interface type='ethernet' name='eth1'>
  <protocol family='ipv4'><ip address='198.51.100.7' prefix='24'/></protocol>
</interface>
---
<interface type='ethernet' name='eth1'/>
---
include spare/eth4
---
<interface type='ether
---
";
const BR0_AT_BOOT: &str = "<interface type='bridge' name='br0'>
  <start mode='onboot'/>
  <protocol family='ipv4'>
    <ip address='192.0.2.1' prefix='24'/>
    <route gateway='192.0.2.254'/>
  </protocol>
  <bridge stp='off'><interface type='ethernet' name='eth0'/></bridge>
</interface>";

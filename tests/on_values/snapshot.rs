// SPDX-License-Identifier: LGPL-2.1-or-later
//! The snapshot of a transaction: it decodes to what was encoded, and is rejected if it was
//! altered.

use std::collections::BTreeSet;
use std::time::Duration;

use simulation::value_kernel::ValueKernel;
use virtinterfaced::definitions::files::FilePath;
use virtinterfaced::host::record::HostRecord;
use virtinterfaced::model::name::IfName;
use virtinterfaced::model::sorted::SortedMap;
use virtinterfaced::snapshot::files::{
    Files, KeptFile, KeptFiles, StoredFile, Target, restorations,
};
use virtinterfaced::snapshot::writer::SnapshotWriter;
use virtinterfaced::snapshot::{Network, Opening, Snapshot, SnapshotError};
use virtinterfaced::xdr::seal::{Magic, seal};

const MAGIC: &Magic = b"vifchg4\n";

const HOST: &str = "
    link br0 bridge up
    link eth0 nic up master br0
    addr br0 192.0.2.1/24
    route br0 default via 192.0.2.254
    link vnet0 tun up master br0
    link tap9 tun
    dhcp br0 ipv4 wanted 192.0.2.1/24 without-dns
    dhcp br0 ipv6
    foreign dhclient eth0
    foreign dhcpcd all runsv
";

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn path(path: &str) -> FilePath {
    FilePath::new(path).unwrap()
}

fn stored(text: &str) -> StoredFile {
    StoredFile { bytes: text.as_bytes().to_vec(), mode: 0o640, uid: 0, gid: 27 }
}

/// A link, and the file that is written through it.
fn link(text: &str, target: Option<(&str, &str)>) -> KeptFile {
    let target = target.map(|(of, text)| Target { path: path(of), file: stored(text) });
    KeptFile::Link { text: text.as_bytes().to_vec(), target }
}

fn file(text: &str) -> KeptFile {
    KeptFile::File(stored(text))
}

fn snapshot() -> Snapshot {
    let kernel: ValueKernel = HOST.parse().unwrap();
    Snapshot {
        opening: Opening {
            uid: 1000,
            pid: 77,
            client: 3,
            boot: "boot".to_owned(),
            at: Duration::from_millis(1_234_567),
            deadline: Some(Duration::from_secs(2_000)),
            since: "2026-11-27 20:35:34 UTC".to_owned(),
            until: Some("2026-11-27 20:40:34 UTC".to_owned()),
        },
        files: Files {
            root: b"/etc/network".to_vec(),
            by_path: KeptFiles::from([
                (path("br0.xml"), file("<interface/>")),
                (path("eth8.xml"), KeptFile::Unread),
                (path("interfaces.d/eth9"), link("/elsewhere", None)),
                (path("interfaces"), link("real/a", Some(("real/a", "auto eth0\n")))),
            ]),
        },
        network: Some(Network {
            foreign: kernel.foreign_clients().to_vec(),
            ..Network::new(
                kernel.record(),
                &BTreeSet::from([name("eth0")]),
                kernel.clients().to_vec(),
            )
        }),
    }
}

#[test]
fn a_snapshot_is_read_as_it_was_written() {
    let mut kept = snapshot();
    // The snapshot leaves out the indexes of unrelated links.
    if let Some(network) = &mut kept.network {
        let mut bytes = Vec::new();
        network.host.encode(&mut bytes);
        network.host = HostRecord::decode(&bytes).unwrap();
    }
    assert_eq!(Snapshot::decode(&kept.encode()), Ok(kept));
    let empty = Snapshot::default();
    assert_eq!(Snapshot::decode(&empty.encode()), Ok(empty));
}

#[test]
fn a_file_that_is_made_in_parts_is_the_same() {
    let kept = snapshot();
    for count in [1, 2] {
        let mut writer = SnapshotWriter::new(&kept);
        let mut part_count = 1;
        while !writer.poll(&kept, count) {
            part_count += 1;
        }
        assert!(part_count > 1, "{count} at a time");
        assert_eq!(writer.into_file(), kept.encode(), "{count} at a time");
    }
}

#[test]
fn guests_are_kept_by_what_they_are_on_and_nothing_else() {
    let network = snapshot().network.unwrap();
    assert_eq!(network.guests, SortedMap::from([(name("vnet0"), name("br0"))]));
    let links: Vec<_> = network.host.iter().map(|it| it.link().name.to_string()).collect();
    assert_eq!(links, ["br0", "eth0"]);
    assert_eq!(network.leases.len(), 2);
}

#[test]
fn every_damage_of_the_bytes_is_found() {
    let bytes = snapshot().encode();
    for at in 0..bytes.len() {
        let mut rotten = bytes.clone();
        rotten[at] ^= 0x10;
        let err = Snapshot::decode(&rotten).unwrap_err();
        let is_head = at < MAGIC.len();
        let want = if is_head { SnapshotError::Foreign } else { SnapshotError::Checksum };
        assert_eq!(err, want, "byte {at}");
        assert!(Snapshot::decode(&bytes[..at]).is_err(), "the first {at} bytes");
    }
    assert!(Snapshot::decode(&[bytes, vec![0]].concat()).is_err(), "a byte more");
}

#[test]
fn an_inconsistent_snapshot_with_a_correct_checksum_is_refused() {
    let whole = |body: &[u8]| seal(MAGIC, |file| file.extend_from_slice(body));
    let body = &snapshot().encode()[MAGIC.len() + 8..];
    assert_eq!(
        Snapshot::decode(&whole(body)),
        Ok(snapshot()).map(|_: Snapshot| { Snapshot::decode(&snapshot().encode()).unwrap() })
    );
    for len in 0..body.len() {
        assert!(Snapshot::decode(&whole(&body[..len])).is_err(), "{len} bytes of it");
    }
}

#[test]
fn another_release_s_format_is_named() {
    let bytes = snapshot().encode();
    let [older, newer] = [b"vifchg3\n", b"vifchg5\n"].map(|magic| {
        let mut file = bytes.clone();
        file[..MAGIC.len()].copy_from_slice(magic);
        Snapshot::decode(&file).unwrap_err()
    });
    assert_eq!(older, SnapshotError::Format('3'));
    assert_eq!(newer.to_string(), "another release wrote it in format 5, not 4");
}

#[test]
fn a_path_that_leads_out_of_the_root_is_not_believed() {
    let sound = snapshot().encode();
    let at = sound.windows(7).position(|bytes| bytes == b"br0.xml").unwrap();
    let mut body = sound[MAGIC.len() + 8..].to_vec();
    body[at - MAGIC.len() - 8..][..7].copy_from_slice(b"../.xml");
    let evil = seal(MAGIC, |file| file.extend_from_slice(&body));
    assert_eq!(Snapshot::decode(&evil), Err(SnapshotError::Content("path")));
}

#[test]
fn files_are_restored_that_are_not_as_they_were() {
    let then = KeptFiles::from([
        (path("a"), file("a")),
        (path("b"), file("b")),
        (path("c"), file("c")),
        (path("d"), link("x", None)),
        (path("i"), link("x", Some(("x", "1")))),
        (path("j"), link("x", Some(("x", "1")))),
        (path("f"), KeptFile::Unread),
        (path("g"), KeptFile::Unread),
        (path("h"), file("h")),
    ]);
    let other_mode = KeptFile::File(StoredFile { mode: 0o600, ..stored("c") });
    let now = KeptFiles::from([
        (path("a"), file("a")),
        (path("b"), file("other")),
        (path("c"), other_mode),
        (path("e"), file("new")),
        (path("f"), file("f")),
        (path("h"), KeptFile::Unread),
        (path("i"), link("x", Some(("x", "2")))),
        (path("j"), link("x", Some(("x", "1")))),
    ]);
    let restored = restorations(&then, &now);
    let found: Vec<_> = restored
        .iter()
        .map(|it| (it.path.to_string(), it.before.is_some(), it.after.is_some()))
        .collect();
    assert_eq!(
        found,
        [
            ("b".to_owned(), true, true),
            ("c".to_owned(), true, true),
            ("d".to_owned(), false, true),
            ("e".to_owned(), true, false),
            ("h".to_owned(), true, true),
            ("i".to_owned(), true, true)
        ]
    );
    assert_eq!(restorations(&then, &then), []);
}

#[test]
fn an_open_transaction_is_described_with_caller_and_time() {
    let opening = snapshot().opening;
    assert_eq!(
        opening.to_string(),
        "begun at 2026-11-27 20:35:34 UTC by uid 1000, pid 77 (client 3), deadline 2026-11-27 \
         20:40:34 UTC"
    );
    let endless = Opening { until: None, ..opening };
    assert!(endless.to_string().ends_with(", without a deadline"));
}

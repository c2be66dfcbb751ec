// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of which client runs for which lease, for the next daemon.
//!
//! There is one file for each lease, below the run directory. Its first line is the pid, as in a
//! pid file. As a pid may be reused, the process is checked too: its start time in ticks since
//! boot, and its name (proc_pid_stat(5)).

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::io::dhcp::stat::Stat;
use crate::io::files;
use crate::limits::DHCP_RECORD_LEN_MAX;
use crate::model::address::{Family, IpPrefix};
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;

/// The suffix of a record's file.
pub(super) const RECORD_SUFFIX: &str = "pid";

/// A process, distinguished from later ones with the same pid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ProcessId {
    pub(super) pid: libc::pid_t,
    /// Clock ticks between the boot and the process's start.
    started: u64,
    /// The kernel's name for the program: at most 15 bytes.
    program: String,
}

impl ProcessId {
    /// Returns the identity of a process; `None` if it does not exist, or is a zombie.
    pub(super) fn of(pid: libc::pid_t) -> Option<Self> {
        let Stat { program, has_ended, started, .. } = Stat::of(pid)?;
        (!has_ended).then_some(Self { pid, started, program })
    }
}

/// The content of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Record {
    pub(super) identity: ProcessId,
    pub(super) lease: Lease,
    /// Whether the process is the manager of all links, which serves the lease for the daemon.
    pub(super) is_manager: bool,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProcessId { pid, started, program } = &self.identity;
        writeln!(f, "{pid}\nstarted {started}\nprogram {program}")?;
        if self.is_manager {
            writeln!(f, "manager")?;
        }
        writeln!(f, "peerdns {}", self.lease.name_servers.as_str())?;
        self.lease.like.map_or(Ok(()), |like| writeln!(f, "like {like}"))
    }
}

impl Record {
    /// Writes the record of a started client.
    pub(super) fn write(&self, dir: &Path) -> Result<(), HostError> {
        let path = record_path(dir, &self.lease);
        replace(&path, &self.to_string(), 0o644)
    }

    /// Reads the record at a path; `None` if the file is not a complete record.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let (link, family) = lease_of(path, RECORD_SUFFIX)?;
        parse(link, family, &files::read_text(path, DHCP_RECORD_LEN_MAX).ok()?)
    }
}

fn parse(link: IfName, family: Family, text: &str) -> Option<Record> {
    let mut lines = text.lines();
    let pid = lines.next()?.parse().ok().filter(|pid| *pid > 1)?;
    let started = lines.next()?.strip_prefix("started ")?.parse().ok()?;
    let program = lines.next()?.strip_prefix("program ")?.to_owned();
    let is_manager = text.lines().any(|line| line == "manager");
    let mut lines = lines.skip(usize::from(is_manager));
    let name_servers = match lines.next()?.strip_prefix("peerdns ")? {
        "yes" => NameServers::Taken,
        "no" => NameServers::Left,
        _ => return None,
    };
    let like = lines.next().and_then(|line| IfName::new(line.strip_prefix("like ")?).ok());
    let lease = Lease { link, family, name_servers, wanted: None, like };
    Some(Record { identity: ProcessId { pid, started, program }, lease, is_manager })
}

/// Returns the files of one kind.
pub(super) fn paths(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    // The folder is missing before the first lease.
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == suffix));
    paths.sort_unstable();
    paths
}

/// Returns the path of a lease's record.
pub(super) fn record_path(dir: &Path, lease: &Lease) -> PathBuf {
    path_of(dir, lease, RECORD_SUFFIX)
}

/// Returns the link and family of a file, from its name.
pub(super) fn lease_of(path: &Path, suffix: &str) -> Option<(IfName, Family)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(suffix)?.strip_suffix('.')?;
    let (link, family) = stem.rsplit_once('.')?;
    let family = match family {
        "ipv4" => Family::Ipv4,
        "ipv6" => Family::Ipv6,
        _ => return None,
    };
    Some((IfName::new(link).ok()?, family))
}

/// Returns the prefix of the paths of all files of a lease.
pub(super) fn state_of(dir: &Path, link: IfName, family: Family) -> PathBuf {
    dir.join(format!("{link}.{}", family.as_str()))
}

/// Returns the path of a file of a lease.
pub(super) fn path_of(dir: &Path, lease: &Lease, suffix: &str) -> PathBuf {
    dir.join(format!("{}.{}.{suffix}", lease.link, lease.family.as_str()))
}

/// Reads the address in a file of the script.
pub(super) fn read_address(path: &Path) -> Option<IpPrefix> {
    let text = files::read_text(path, DHCP_RECORD_LEN_MAX).ok()?;
    let (address, len) = text.lines().next()?.split_once('/')?;
    IpPrefix::new(address.parse().ok()?, len.parse().ok()?)
}

/// Replaces a file atomically: a reader finds the old text or the whole new one.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), HostError> {
    replace_bytes(path, text.as_bytes(), mode)
}

/// Does the same with bytes.
pub(super) fn replace_bytes(path: &Path, bytes: &[u8], mode: u32) -> Result<(), HostError> {
    let refuse = |err: &std::io::Error| HostError::new("write", path.display().to_string(), err);
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(&name).map_err(|err| refuse(&err))?;
    file.write_all(bytes).map_err(|err| refuse(&err))?;
    fs::rename(&name, path).map_err(|err| refuse(&err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn a_process_has_one_identity() {
        let own = libc::pid_t::try_from(std::process::id()).unwrap();
        assert_eq!(ProcessId::of(own), ProcessId::of(own));
        assert!(ProcessId::of(own).is_some());
        assert_eq!(ProcessId::of(libc::pid_t::MAX), None);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while sys::process::end_of(&child).unwrap().is_none() {
            std::thread::yield_now();
        }
        let zombie = libc::pid_t::try_from(child.id()).unwrap();
        assert_eq!(ProcessId::of(zombie), None, "a zombie");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_record_is_read_as_it_was_written_or_not_at_all() {
        let link = IfName::new("br0.5").unwrap();
        for name_servers in [NameServers::Taken, NameServers::Left] {
            for family in [Family::Ipv4, Family::Ipv6] {
                let lease = Lease { link, family, name_servers, wanted: None, like: None };
                let identity = ProcessId { pid: 42, started: 777, program: "udhcpc".to_owned() };
                let is_manager = name_servers == NameServers::Left;
                let record = Record { identity, lease, is_manager };
                let text = record.to_string();
                assert!(text.starts_with("42\n"), "{text}");
                assert_eq!(parse(link, family, &text), Some(record));
                for len in 0..text.len() - 1 {
                    // A truncated word may still be valid.
                    let torn = parse(link, family, &text[..len]);
                    assert_eq!(torn, None, "{len}");
                }
            }
        }
        let text = "1\nstarted 7\nprogram init\npeerdns no\n";
        assert_eq!(parse(link, Family::Ipv4, text), None, "no client is process 1");
    }

    #[test]
    fn a_file_is_a_record_by_its_name() {
        let dir = std::env::temp_dir().join(format!("dhcp-record-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let text = "42\nstarted 7\nprogram udhcpc\npeerdns no\n";
        for (name, want) in [
            ("br0.5.ipv4.pid", Some(("br0.5", Family::Ipv4))),
            ("br0.ipv6.pid", Some(("br0", Family::Ipv6))),
            ("br0.pid", None),
            ("br0.ipv5.pid", None),
            ("a-name-too-long-for-a-link.ipv4.pid", None),
        ] {
            fs::write(dir.join(name), text).unwrap();
            let read = Record::read(&dir.join(name));
            let found = read.as_ref().map(|read| (read.lease.link.as_str(), read.lease.family));
            assert_eq!(found, want, "{name}");
            let path = read.map(|read| record_path(&dir, &read.lease));
            assert!(path.is_none_or(|path| path == dir.join(name)), "{name}");
        }
        assert_eq!(paths(&dir, RECORD_SUFFIX).len(), 5);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(paths(&dir, RECORD_SUFFIX), Vec::<PathBuf>::new());
    }
}

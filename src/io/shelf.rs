// SPDX-License-Identifier: LGPL-2.1-or-later
//! The stored configurations of links that were taken down without a definition ([`Shelved`]): one
//! file each below the run directory, for later daemons of this boot.
//!
//! A file is valid only as long as its link is down: a program that brings the link up also
//! configures it.

use std::fs;
use std::path::{Path, PathBuf};

use log::debug;

use crate::error::HostError;
use crate::host::Host;
use crate::host::shelf::Shelved;
use crate::io::{boot, boot_file, files};
use crate::limits::SHELVED_LEN_MAX;
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::link::LinkIndex;
use crate::sys::clock;

/// The stored links.
#[derive(Debug)]
pub struct Shelf {
    dir: PathBuf,
    links: SortedMap<IfName, LinkIndex>,
}

impl Shelf {
    /// Reads what earlier daemons of this boot have stored.
    pub fn within(driver_dir: &Path) -> Self {
        let mut shelf = Self { dir: driver_dir.join("down"), links: SortedMap::default() };
        // The folder is missing before the first link is stored.
        for entry in fs::read_dir(&shelf.dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            match entry.file_name().into_string().ok().and_then(|name| IfName::new(name).ok()) {
                Some(name) => {
                    let shelved = shelf.read(&name);
                    shelf.links.extend(shelved.map(|shelved| (name, shelved.index)));
                }
                // This is not a link's name.
                None => drop(fs::remove_file(entry.path())),
            }
        }
        shelf
    }

    /// Returns the stored configuration of a link.
    pub fn find(&self, link: &IfName) -> Option<Shelved> {
        self.links.get(link).and_then(|_| self.read(link))
    }

    /// Stores the configuration of a link that is about to be taken down.
    ///
    /// # Errors
    /// The kernel refused to write the file.
    pub fn put(&mut self, shelved: &Shelved) -> Result<(), HostError> {
        const MODE: u32 = 0o700;
        let now = clock::since_boot()
            .map_err(|err| HostError::new("find out", "the time since boot", &err))?;
        files::make_folder(&self.dir, MODE)?;
        let bytes = shelved.encode(&boot::id(), now);
        if u64::try_from(bytes.len()).is_ok_and(|len| len > SHELVED_LEN_MAX) {
            let err = std::io::Error::from_raw_os_error(libc::EFBIG);
            return Err(HostError::new(
                "write",
                self.path(&shelved.link).display().to_string(),
                &err,
            ));
        }
        files::replace_for_boot(&self.path(&shelved.link), &bytes)?;
        self.links.insert(shelved.link, shelved.index);
        Ok(())
    }

    /// Removes the files of links that are up, or gone.
    pub(crate) fn forget_others(&mut self, host: &Host) {
        let is_left = |name: &IfName, index: LinkIndex| {
            host.link(index).is_some_and(|link| link.name == *name && !link.up)
        };
        let dir = &self.dir;
        self.links.retain(|name, index| {
            let is_kept = is_left(name, *index);
            if is_kept {
                return true;
            }
            if let Err(err) = fs::remove_file(dir.join(name.as_str())) {
                debug!("cannot remove the kept settings of {name}: {err}");
            }
            false
        });
    }

    fn read(&self, link: &IfName) -> Option<Shelved> {
        let now = clock::since_boot().ok()?;
        let decode = |bytes: &[u8]| Shelved::decode(*link, bytes, &boot::id(), now);
        boot_file::read(&self.path(link), SHELVED_LEN_MAX, decode)
    }

    /// Returns a link's file. Every link name is a safe file name.
    fn path(&self, link: &IfName) -> PathBuf {
        self.dir.join(link.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::IpPrefix;
    use crate::netlink::address::Lifetime;
    use crate::netlink::link::LinkIndex;
    use crate::netlink::record::address::AddressRecord;
    use crate::netlink::record::route::RouteRecord;
    use std::net::Ipv4Addr;

    /// A driver's folder for one test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("shelf-{}-{name}", std::process::id()));
            fs::create_dir(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn shelved(link: &str, routes: usize) -> Shelved {
        let index = LinkIndex(2);
        let prefix = IpPrefix::new(Ipv4Addr::new(192, 0, 2, 1).into(), 24).unwrap();
        let mut address = AddressRecord::permanent(prefix);
        (address.address.link, address.address.lifetime) = (index, Lifetime::Finite);
        let route = RouteRecord::default_over(Ipv4Addr::new(192, 0, 2, 254).into());
        Shelved {
            link: IfName::new(link).unwrap(),
            index,
            addresses: vec![address],
            routes: vec![route; routes],
            leases: Vec::new(),
        }
    }

    #[test]
    fn the_next_daemon_of_the_boot_knows_it_too() {
        let folder = Folder::new("next");
        let eth0 = shelved("eth0", 1);
        let mut shelf = Shelf::within(&folder.0);
        assert_eq!(shelf.find(&eth0.link), None);
        shelf.put(&eth0).unwrap();
        assert_eq!(shelf.find(&eth0.link), Some(eth0.clone()));
        // A file of another boot, a corrupt one, and one left by a killed daemon.
        let of_another = eth0.encode("another boot", clock::since_boot().unwrap());
        fs::write(folder.0.join("down/eth1"), of_another).unwrap();
        fs::write(folder.0.join("down/eth2"), "torn").unwrap();
        fs::write(folder.0.join("down/.eth3.virtinterfaced-new"), "").unwrap();
        let mut shelf = Shelf::within(&folder.0);
        assert_eq!(shelf.find(&eth0.link), Some(eth0.clone()));
        let is_file = |entry: &fs::DirEntry| entry.file_type().unwrap().is_file();
        let names = || {
            let entries = fs::read_dir(folder.0.join("down")).unwrap();
            entries.map(Result::unwrap).filter(is_file).count()
        };
        assert_eq!(names(), 1);
        assert_eq!(fs::read(folder.0.join("down/damaged/eth2")).unwrap(), b"torn");
        // Its link is gone.
        shelf.forget_others(&Host::default());
        assert_eq!((shelf.find(&eth0.link), names()), (None, 0));
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        let folder = Folder::new("long");
        let mut shelf = Shelf::within(&folder.0);
        let one = shelved("eth0", 1).encode(&boot::id(), clock::since_boot().unwrap()).len();
        let two = shelved("eth0", 2).encode(&boot::id(), clock::since_boot().unwrap()).len();
        let room = usize::try_from(SHELVED_LEN_MAX).unwrap() - one;
        let fitting = 1 + room / (two - one);
        shelf.put(&shelved("eth0", fitting)).unwrap();
        assert!(shelf.find(&IfName::new("eth0").unwrap()).is_some());
        let err = shelf.put(&shelved("eth1", fitting + 1)).unwrap_err();
        assert_eq!(err.errno(), libc::EFBIG);
        assert_eq!(shelf.find(&IfName::new("eth1").unwrap()), None);
    }
}

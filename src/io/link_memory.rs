// SPDX-License-Identifier: LGPL-2.1-or-later
//! The file below the run directory that keeps [`LinkMemory`] for later daemons of this boot.

use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::host::removed::LinkMemory;
use crate::io::{boot, boot_file, files};
use crate::limits::LINK_MEMORY_FILE_LEN_MAX;

/// The file.
#[derive(Debug)]
pub struct LinkMemoryFile {
    path: PathBuf,
}

impl LinkMemoryFile {
    /// Returns the file in the driver's run directory.
    pub fn within(driver_dir: &Path) -> Self {
        Self { path: driver_dir.join("links") }
    }

    /// Reads what earlier daemons of this boot have stored.
    pub fn read(&self) -> LinkMemory {
        let decode = |bytes: &[u8]| LinkMemory::decode(bytes, &boot::id());
        boot_file::read(&self.path, LINK_MEMORY_FILE_LEN_MAX, decode).unwrap_or_default()
    }

    /// Writes the file for later daemons.
    ///
    /// # Errors
    /// The kernel refused to write the file.
    pub fn write(&self, memory: &LinkMemory) -> Result<(), HostError> {
        files::replace_for_boot(&self.path, &memory.encode(&boot::id()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::host;
    use crate::netlink::link::LinkIndex;

    #[test]
    fn what_is_damaged_is_set_aside_and_what_is_of_another_boot_is_removed() {
        let dir = std::env::temp_dir().join(format!("link-memory-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let names = || {
            let entries = fs::read_dir(&dir).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let (file, nothing) = (LinkMemoryFile::within(&dir), LinkMemory::default());
        let memory = LinkMemory { found: BTreeSet::from([LinkIndex(7)]), ..nothing.clone() };
        assert_eq!(file.read(), nothing, "there is no file");
        file.write(&memory).unwrap();
        assert_eq!(file.read(), memory);
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(&file.path, memory.encode("another boot")).unwrap();
        assert_eq!(file.read(), nothing);
        assert!(names().is_empty(), "{:?}", names());

        file.write(&memory).unwrap();
        let bytes = fs::read(&file.path).unwrap();
        fs::write(&file.path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(file.read(), nothing, "torn");
        assert_eq!(names(), ["damaged"]);
        assert_eq!(fs::read(dir.join("damaged/links")).unwrap(), bytes[..bytes.len() - 1]);

        // An unreadable one.
        fs::remove_dir_all(dir.join("damaged")).unwrap();
        fs::create_dir(&file.path).unwrap();
        assert_eq!(file.read(), nothing);
        assert!(!file.path.exists() && dir.join("damaged/links").is_dir());
        // The maximum length, and more.
        let len = usize::try_from(LINK_MEMORY_FILE_LEN_MAX).unwrap();
        // Bytes after the last field are ignored.
        let with_tail = |tail: usize| {
            host::boot_file::encode(&boot::id(), |out| {
                [1, 7, 0].into_iter().for_each(|word| out.u32(word));
                (0..tail / 4).for_each(|_| out.u32(0));
            })
        };
        let of_len = |len: usize| with_tail(len - with_tail(0).len());
        assert_eq!(of_len(len).len(), len);
        for (len, want) in [(len, &memory), (len + 4, &nothing)] {
            fs::write(&file.path, of_len(len)).unwrap();
            assert_eq!(file.read(), *want, "{len}");
        }
        file.write(&memory).unwrap();
        assert_eq!(file.read(), memory);
        fs::remove_dir_all(&dir).unwrap();
    }
}

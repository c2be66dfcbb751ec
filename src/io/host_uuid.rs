// SPDX-License-Identifier: LGPL-2.1-or-later
//! Checks that the configured source of the host's UUID has one.
//!
//! No call of this daemon asks for the UUID. Like every libvirt daemon, it only checks at its start
//! that a host that is configured to use its machine-id has a valid one.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::choice::UuidSource;
use crate::config::uuid::{Uuid, UuidError};
use crate::error::HostError;
use crate::io::files;
use crate::limits::MACHINE_ID_LEN_MAX;

/// machine-id(5).
const MACHINE_ID_FILE: &str = "/etc/machine-id";

/// The reason why the host has no UUID.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostUuidError {
    Host(HostError),
    /// The file's content is not a UUID.
    Malformed {
        path: PathBuf,
        problem: UuidError,
    },
}

impl fmt::Display for HostUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(err) => err.fmt(f),
            Self::Malformed { path, problem } => write!(f, "{}: {problem}", path.display()),
        }
    }
}

impl std::error::Error for HostUuidError {}

/// Checks the configured source. Firmware may have no UUID, which libvirt accepts too.
pub fn check(source: UuidSource) -> Result<(), HostUuidError> {
    match source {
        UuidSource::Smbios => Ok(()),
        UuidSource::MachineId => check_file(Path::new(MACHINE_ID_FILE)),
    }
}

fn check_file(path: &Path) -> Result<(), HostUuidError> {
    let text = files::read_text(path, MACHINE_ID_LEN_MAX).map_err(HostUuidError::Host)?;
    let malformed = |problem| HostUuidError::Malformed { path: path.to_owned(), problem };
    Uuid::parse(&text).map(drop).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_machine_id_is_a_uuid_in_a_file_that_can_be_read() {
        let path = std::env::temp_dir().join(format!("machine-id-{}", std::process::id()));
        let malformed = |problem| Err(HostUuidError::Malformed { path: path.clone(), problem });
        for (label, text, want) in [
            ("as systemd writes it", "c7a5fdbdedaf9455926ad65c16db1809\n", Ok(())),
            ("with hyphens", "c7a5fdbd-edaf-9455-926a-d65c16db1809", Ok(())),
            ("empty", "", malformed(UuidError::Format)),
            ("not yet set up", "uninitialized\n", malformed(UuidError::Format)),
            ("zeros", &"0".repeat(32), malformed(UuidError::Uniform)),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(check_file(&path), want, "{label}");
        }
        fs::write(&path, " ".repeat(257)).unwrap();
        let err = check_file(&path).unwrap_err().to_string();
        assert!(err.ends_with("File too large"), "{err}");
        fs::remove_file(&path).unwrap();
        let err = check_file(&path).unwrap_err().to_string();
        assert_eq!(err, format!("cannot read {}: No such file or directory", path.display()));
    }

    #[test]
    fn firmware_is_not_asked() {
        assert_eq!(check(UuidSource::Smbios), Ok(()));
    }
}

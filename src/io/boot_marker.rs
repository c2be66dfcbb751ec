// SPDX-License-Identifier: LGPL-2.1-or-later
//! The marker file below the run directory: it states that the interfaces of this boot have been
//! brought up, and lists the exceptions.
//!
//! Its first line is the boot's ID, and each further line an interface that is not complete. A
//! marker of an older daemon has the first line alone, and is accepted. This module does not know
//! what the interfaces lack.

use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::change::owed::{Incomplete, Standing};
use crate::io::{boot, files};
use crate::limits::BOOT_MARKER_LEN_MAX;
use crate::model::interface::StartMode;
use crate::model::name::IfName;

/// The marker file.
#[derive(Debug)]
pub struct BootMarker {
    path: PathBuf,
    /// The text written last.
    text: String,
}

impl BootMarker {
    /// The marker in the driver's run directory.
    pub fn within(driver_dir: &Path) -> Self {
        Self { path: driver_dir.join("booted"), text: String::new() }
    }

    /// Returns the interfaces of this boot that are not complete; `None` if none has been brought
    /// up yet. Without a boot ID from the kernel, the marker is valid as long as the run directory
    /// exists.
    pub fn read(&self) -> Option<Vec<Incomplete>> {
        parse(&files::read_text(&self.path, BOOT_MARKER_LEN_MAX).ok()?, &boot::id())
    }

    /// Writes that the interfaces of this boot have been brought up, except these.
    ///
    /// # Errors
    /// The kernel refused to write the file.
    pub fn write(&mut self, incomplete: impl Iterator<Item = Incomplete>) -> io::Result<()> {
        let mut text = boot::id() + "\n";
        for interface in incomplete {
            let _ = writeln!(text, "{interface}");
        }
        if text != self.text {
            // A reader finds the old text or the new one.
            let new = self.path.with_extension("new");
            fs::write(&new, &text)?;
            fs::rename(&new, &self.path)?;
            self.text = text;
        }
        Ok(())
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = match self.start {
            StartMode::Onboot => "onboot",
            StartMode::Hotplug => "hotplug",
            StartMode::None => "none",
        };
        let standing = match self.standing {
            Standing::Down => "down",
            Standing::Up => "up",
            Standing::Usable => "usable",
        };
        write!(f, "{} {start} {standing}", self.name)
    }
}

/// Parses a marker, if it is of this boot. Invalid lines are skipped.
fn parse(text: &str, boot: &str) -> Option<Vec<Incomplete>> {
    let mut lines = text.lines();
    (lines.next().unwrap_or_default() == boot).then(|| lines.filter_map(parse_line).collect())
}

fn parse_line(line: &str) -> Option<Incomplete> {
    let mut words = line.split(' ');
    let name = IfName::new(words.next()?).ok()?;
    let start = match words.next()? {
        "onboot" => StartMode::Onboot,
        "hotplug" => StartMode::Hotplug,
        _ => return None,
    };
    let standing = match words.next()? {
        "down" => Standing::Down,
        "up" => Standing::Up,
        "usable" => Standing::Usable,
        _ => return None,
    };
    Some(Incomplete { name, start, standing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_counts_in_its_own_boot_whoever_has_written_it() {
        let name = IfName::new("br0.5").unwrap();
        let incomplete = |start, standing| Incomplete { name, start, standing };
        let (onboot, hotplug) = (StartMode::Onboot, StartMode::Hotplug);
        for (text, want) in [
            ("", None),
            ("b2\n", None),
            ("b2\nbr0.5 onboot up\n", None),
            // The format of older daemons.
            ("b1", Some(vec![])),
            ("b1\n", Some(vec![])),
            ("b1\nbr0.5 onboot down\n", Some(vec![incomplete(onboot, Standing::Down)])),
            ("b1\nbr0.5 onboot up\n", Some(vec![incomplete(onboot, Standing::Up)])),
            ("b1\nbr0.5 hotplug usable", Some(vec![incomplete(hotplug, Standing::Usable)])),
            ("b1\nbr0.5 onboot\nbr0.5 never up\nbr/0 onboot up\n\n", Some(vec![])),
        ] {
            assert_eq!(parse(text, "b1"), want, "{text:?}");
        }
    }

    #[test]
    fn a_marker_is_read_as_it_was_written_up_to_its_greatest_length() {
        let dir = std::env::temp_dir().join(format!("boot-marker-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut marker = BootMarker::within(&dir);
        assert_eq!(marker.read(), None);
        let of = |number: usize| {
            let name = IfName::new(format!("eth{number:04}")).unwrap();
            Incomplete { name, start: StartMode::Onboot, standing: Standing::Up }
        };
        // A line has 18 bytes.
        let head = boot::id().len() + 1;
        let most = (usize::try_from(BOOT_MARKER_LEN_MAX).unwrap() - head) / 18;
        for (count, is_read) in [(0, true), (2, true), (most, true), (most + 1, false)] {
            let incomplete: Vec<_> = (0..count).map(of).collect();
            marker.write(incomplete.iter().copied()).unwrap();
            assert_eq!(marker.read(), is_read.then_some(incomplete), "{count}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}

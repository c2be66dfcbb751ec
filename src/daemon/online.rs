// SPDX-License-Identifier: LGPL-2.1-or-later
//! `--wait-online`: waits until the interfaces that start at boot are up, for services that report
//! this to an init system.
//!
//! Only the marker file of the daemon that brings the interfaces up is read. This process is not
//! the daemon, so it may block.

use std::thread;
use std::time::Duration;

use crate::change::owed::{Incomplete, Standing};
use crate::daemon::{Exit, StartError};
use crate::error::HostError;
use crate::io::boot_marker::BootMarker;
use crate::model::interface::StartMode;
use crate::sys::clock;

/// The interval at which the marker is read.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Waits until all interfaces of the boot are usable, for `limit` at most.
pub(super) fn wait(limit: Duration, marker: &BootMarker) -> Result<(), StartError> {
    let now = || {
        clock::since_boot().map_err(|err| {
            StartError::new(Exit::Failure, HostError::new("read", "the clock", &err))
        })
    };
    let end = now()? + limit;
    loop {
        let missing = missing(marker.read());
        match missing {
            None => return Ok(()),
            Some(what) if now()? >= end => {
                let text = format!("not up after {} s: {what}", limit.as_secs());
                return Err(StartError::new(Exit::Failure, text));
            }
            Some(_) => rest(),
        }
    }
}

/// Returns the interfaces that are not up, if any. An interface is usable even if some of its ports
/// are missing.
fn missing(incomplete: Option<Vec<Incomplete>>) -> Option<String> {
    let Some(incomplete) = incomplete else {
        return Some("all interfaces; the daemon has not begun to bring them up".to_owned());
    };
    let is_awaited =
        |it: &&Incomplete| it.start == StartMode::Onboot && it.standing != Standing::Usable;
    let names: Vec<_> = incomplete.iter().filter(is_awaited).map(|it| it.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[expect(clippy::disallowed_methods, reason = "this process has nothing else to do")]
fn rest() {
    thread::sleep(LOOK_INTERVAL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::IfName;

    #[test]
    fn what_comes_up_at_boot_is_awaited_but_no_single_port() {
        let of = |name, start, standing| Incomplete {
            name: IfName::new(name).unwrap(),
            start,
            standing,
        };
        let (onboot, hotplug) = (StartMode::Onboot, StartMode::Hotplug);
        assert!(missing(None).is_some());
        assert_eq!(missing(Some(Vec::new())), None);
        let incomplete = vec![
            of("eth0", hotplug, Standing::Down),
            of("br0", onboot, Standing::Usable),
            of("br1", onboot, Standing::Up),
            of("br2", onboot, Standing::Down),
        ];
        assert_eq!(missing(Some(incomplete)), Some("br1, br2".to_owned()));
    }
}

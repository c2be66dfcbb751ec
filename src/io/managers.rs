// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the other programs that manage links: reads their files, and looks for their processes.
//!
//! [`crate::managers`] interprets the files. Nothing is watched or cached: files are read within
//! limits when a definition is stored or started, and a file that cannot be read is ignored.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use log::debug;

use crate::ifupdown::Dialect;
use crate::ifupdown::include::{self, Include};
use crate::ifupdown::tree::Tree;
use crate::io::files;
use crate::limits::{MANAGER_FILE_COUNT_MAX, MANAGER_FILE_LEN_MAX, PROCESS_COUNT_MAX};
use crate::managers::dhcpcd::{self, DhcpcdLinks};
use crate::managers::{Hold, Manager, Sign, connman, ifupdown, netifd, netifrc, state};
use crate::model::glob;
use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;

const IFUP: [&str; 3] = ["/sbin/ifup", "/usr/sbin/ifup", "/bin/ifup"];
const INTERFACES: &str = "/etc/network/interfaces";
/// What all programs mention alike is sought.
const DIALECT: Dialect = Dialect::Classic;
const CONF_D_NET: &str = "/etc/conf.d/net";
const RUNLEVELS: &str = "/etc/runlevels";
/// Services that OpenRC has started, in a runlevel or not.
const STARTED: &str = "/run/openrc/started";
const DHCPCD_CONF: &str = "/etc/dhcpcd.conf";
/// The file of dhcpcd 9 and later comes first.
const DHCPCD_PIDS: [&str; 2] = ["/run/dhcpcd/pid", "/run/dhcpcd.pid"];
const NETWORK_MANAGER_DEVICES: &str = "/run/NetworkManager/devices";
/// Written when NetworkManager starts.
const NETWORK_MANAGER_PID: &str = "/run/NetworkManager/NetworkManager.pid";
const NETWORKD_LINKS: &str = "/run/systemd/netif/links";
const CONNMAN_STATE: &str = "/var/lib/connman";
const CONNMAN_CONF: &str = "/etc/connman/main.conf";
const NETIFD_CONF: &str = "/etc/config/network";

/// A link to be checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ManagerQuery {
    pub link: IfName,
    /// Its index, if it exists.
    pub index: Option<LinkIndex>,
    pub is_bridge: bool,
}

/// Returns the holds on these links: at most one for each manager and link, in the managers' order.
pub fn find(targets: &[ManagerQuery]) -> Vec<Hold> {
    find_below(Path::new("/"), targets)
}

/// Does the same on a host whose files are below `root`.
fn find_below(root: &Path, targets: &[ManagerQuery]) -> Vec<Hold> {
    let mut search =
        Search { root, targets, files_left: MANAGER_FILE_COUNT_MAX, holds: Vec::new() };
    search.ifupdown();
    search.netifrc();
    search.dhcpcd();
    search.by_processes();
    search.holds
}

/// The state of a search.
struct Search<'a> {
    root: &'a Path,
    targets: &'a [ManagerQuery],
    files_left: usize,
    holds: Vec<Hold>,
}

impl Search<'_> {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    fn modified(&self, path: &str) -> Option<SystemTime> {
        fs::metadata(self.path(path)).and_then(|it| it.modified()).ok()
    }

    /// Returns a file's text; `None` if it does not exist, or if too many files have been read.
    fn text(&mut self, path: &str) -> Option<String> {
        let Some(left) = self.files_left.checked_sub(1) else {
            debug!("{path} is not read: there are more than {MANAGER_FILE_COUNT_MAX} files");
            return None;
        };
        self.files_left = left;
        match files::read(&self.path(path), MANAGER_FILE_LEN_MAX) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(err) if err.errno() == libc::ENOENT => None,
            Err(err) => {
                debug!("{err}: managers configured there are not recognised");
                None
            }
        }
    }

    /// Returns the names in a folder that are valid text, sorted; none if there is no folder.
    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let entries = entries.flatten().take(MANAGER_FILE_COUNT_MAX);
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// Adds a hold. Only the first sign of a manager is kept.
    fn add(&mut self, link: IfName, manager: Manager, sign: Sign) {
        let is_known = |hold: &Hold| hold.link == link && hold.manager == manager;
        if self.targets.iter().any(|target| target.link == link) && !self.holds.iter().any(is_known)
        {
            self.holds.push(Hold { link, manager, sign });
        }
    }

    fn ifupdown(&mut self) {
        if !IFUP.iter().any(|program| self.exists(program)) {
            return;
        }
        let mut paths = VecDeque::from([INTERFACES.to_owned()]);
        let mut read = BTreeSet::new();
        while let Some(path) = paths.pop_front() {
            if !read.insert(path.clone()) {
                continue;
            }
            let Some(text) = self.text(&path) else { continue };
            let tree = Tree::parse(text.as_bytes(), DIALECT);
            for mention in ifupdown::mentions(&tree) {
                let sign = Sign::Line { path: path.clone(), line: mention.line };
                self.add(mention.link, Manager::Ifupdown, sign);
            }
            for include in include::includes(&tree, &path) {
                // Further files could not be read.
                if paths.len() < self.files_left {
                    paths.extend(self.included(&include));
                }
            }
        }
    }

    /// Returns the files that an include refers to. Only the last part of its path may be a
    /// pattern.
    fn included(&self, include: &Include) -> Vec<String> {
        let fitting = |path: &str| {
            let Some((folder, pattern)) = path.rsplit_once('/') else { return Vec::new() };
            if !pattern.contains(['*', '?', '[']) {
                return vec![path.to_owned()];
            }
            let names = self.names(folder).into_iter();
            // Like a shell.
            let names = names.filter(|name| !name.starts_with('.') && glob::fits(pattern, name));
            names.map(|name| format!("{folder}/{name}")).collect()
        };
        let files = fitting(&include.pattern);
        if !include.is_directory {
            return files;
        }
        let within = |folder: String| {
            let names = self.names(&folder).into_iter();
            let names = names.filter(|name| include::is_read_in_folder(name, DIALECT));
            names.map(move |name| format!("{folder}/{name}")).collect::<Vec<_>>()
        };
        files.into_iter().flat_map(within).collect()
    }

    fn netifrc(&mut self) {
        let runlevels = self.names(RUNLEVELS).into_iter().map(|name| format!("{RUNLEVELS}/{name}"));
        let mut services = Vec::new();
        for folder in runlevels.chain([STARTED.to_owned()]) {
            for name in self.names(&folder) {
                let link = name.strip_prefix(netifrc::SERVICE_PREFIX);
                let link = link.and_then(|link| IfName::new(link).ok());
                services.extend(link.map(|link| (link, format!("{folder}/{name}"))));
            }
        }
        if services.is_empty() {
            return;
        }
        let variables = self.text(CONF_D_NET).map(|text| netifrc::variables(&text));
        let variables = variables.unwrap_or_default();
        let in_file = |line| Sign::Line { path: CONF_D_NET.to_owned(), line };
        for (link, path) in services {
            let sign = netifrc::line_of(&variables, &link).map(in_file);
            self.add(link, Manager::Netifrc, sign.unwrap_or(Sign::File(path)));
            for (port, line) in netifrc::ports_of(&variables, &link) {
                self.add(port, Manager::Netifrc, in_file(line));
            }
        }
    }

    fn dhcpcd(&mut self) {
        let mut processes = DHCPCD_PIDS.iter().filter_map(|path| {
            let pid = self.text(path)?.trim().parse().ok()?;
            (self.program(pid)? == "dhcpcd" && self.is_near(pid)).then_some(pid)
        });
        let Some(pid) = processes.next() else { return };
        let command_line = self.command_line(pid);
        if !dhcpcd::is_manager(&command_line.split_terminator('\0').collect::<Vec<_>>()) {
            return;
        }
        let choice = DhcpcdLinks::parse(&self.text(DHCPCD_CONF).unwrap_or_default());
        // dhcpcd ignores bridges, unless its configuration names them.
        for target in self.targets.iter().filter(|target| !target.is_bridge) {
            if choice.takes(&target.link) {
                self.add(target.link, Manager::Dhcpcd, Sign::Process(pid));
            }
        }
    }

    /// Finds managers whose files are valid only while their process runs. Processes are searched
    /// only if there are such files.
    fn by_processes(&mut self) {
        let signs = [NETWORK_MANAGER_DEVICES, NETWORKD_LINKS, CONNMAN_STATE, NETIFD_CONF];
        if !signs.iter().any(|path| self.exists(path)) {
            return;
        }
        for (pid, program) in self.programs() {
            match program.as_str() {
                "NetworkManager" if self.is_near(pid) => self.network_manager(),
                // The kernel truncates names.
                "systemd-network" if self.is_near(pid) => self.networkd(),
                "connmand" if self.is_near(pid) => self.connman(pid),
                "netifd" if self.is_near(pid) => self.netifd(),
                _ => {}
            }
        }
    }

    fn network_manager(&mut self) {
        let begun = self.modified(NETWORK_MANAGER_PID);
        for (link, path) in self.state_files(NETWORK_MANAGER_DEVICES) {
            // NetworkManager leaves files of an earlier process in place for links that it does not
            // manage.
            if begun.is_some_and(|begun| self.modified(&path).is_some_and(|at| at < begun)) {
                continue;
            }
            if self.text(&path).is_some_and(|text| state::is_network_managers(&text)) {
                self.add(link, Manager::NetworkManager, Sign::File(path));
            }
        }
    }

    fn networkd(&mut self) {
        for (link, path) in self.state_files(NETWORKD_LINKS) {
            let text = self.text(&path).unwrap_or_default();
            if let Some(file) = state::network_file(&text) {
                self.add(link, Manager::Networkd, Sign::File(file.to_owned()));
            }
        }
    }

    /// Returns the file of each existing link, named after its index.
    fn state_files(&self, folder: &str) -> Vec<(IfName, String)> {
        let there = self.targets.iter().filter_map(|target| Some((target.link, target.index?)));
        there.map(|(link, index)| (link, format!("{folder}/{}", index.0))).collect()
    }

    fn connman(&mut self, pid: i32) {
        let configuration = self.text(CONNMAN_CONF).unwrap_or_default();
        let command_line = self.command_line(pid);
        let arguments: Vec<_> = command_line.split_terminator('\0').collect();
        for target in self.targets {
            if connman::takes(&configuration, &arguments, &target.link) {
                self.add(target.link, Manager::Connman, Sign::Process(pid));
            }
        }
    }

    fn netifd(&mut self) {
        let text = self.text(NETIFD_CONF).unwrap_or_default();
        for (link, line) in netifd::mentions(&text) {
            let sign = Sign::Line { path: NETIFD_CONF.to_owned(), line };
            self.add(link, Manager::Netifd, sign);
        }
    }

    /// Iterates over all processes, with the kernel's names for them: at most 15 bytes.
    fn programs(&self) -> Vec<(i32, String)> {
        let Ok(entries) = fs::read_dir(self.path("proc")) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let pids = names.filter_map(|name| name.parse().ok()).take(PROCESS_COUNT_MAX);
        pids.filter_map(|pid| Some((pid, self.program(pid)?))).collect()
    }

    fn program(&self, pid: i32) -> Option<String> {
        let name = files::read_text(&self.process(pid).join("comm"), MANAGER_FILE_LEN_MAX).ok()?;
        Some(name.trim_end().to_owned())
    }

    /// Returns whether a process is in the daemon's network namespace.
    fn is_near(&self, pid: i32) -> bool {
        let namespace = |process: &Path| fs::read_link(process.join("ns/net")).ok();
        namespace(&self.process(pid)) == namespace(&self.path("proc/self"))
    }

    /// Returns a process's command line, with a NUL after each word.
    fn command_line(&self, pid: i32) -> String {
        let text = files::read(&self.process(pid).join("cmdline"), MANAGER_FILE_LEN_MAX);
        String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
    }

    fn process(&self, pid: i32) -> PathBuf {
        self.path("proc").join(pid.to_string())
    }
}

#[cfg(test)]
mod tests;

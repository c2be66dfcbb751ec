// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the DHCP clients of this host in /proc (proc(5)): root's clients in this network
//! namespace, whichever program has started them.
//!
//! A client that is found may later be restarted with root's privileges. So processes of other
//! users are ignored, whatever their names, as are programs that other users could have written.
//! dhcpcd drops its privileges and keeps a privileged child, which then shows that it is root's.

use std::cell::RefCell;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::arguments::{self, Sighting};
use super::heritage;
use crate::error::HostError;
use crate::io::dhcp::errand;
use crate::io::dhcp::record::ProcessId;
use crate::io::dhcp::stat::Stat;
use crate::io::files;
use crate::limits::{CLIENT_SEARCHES_MAX, DHCPCD_LEN_MAX, PROCESS_TEXT_LEN_MAX};
use crate::model::address::Family;
use crate::model::foreign::{
    ClientLinks, ClientProgram, CommandLine, ForeignClient, Leaving, LinkPatterns,
};
use crate::sys::clock;

/// Programs that restart the clients they started, by the kernel's names for them.
const KEEPERS: [&str; 10] = [
    "NetworkManager",
    "connmand",
    "netifd",
    "nm-dispatcher",
    "perpd",
    "runsv",
    "s6-supervise",
    "supervise",
    "supervise-daemo",
    "wickedd",
];

/// The keeper of a client in another mount namespace.
const CONTAINER: &str = "a container";

/// A client, and all its processes.
#[derive(Debug)]
pub(super) struct FoundClient {
    pub(super) client: ForeignClient,
    pub(super) processes: Vec<ProcessId>,
}

/// A process that may be a client, or a part of one.
struct Candidate {
    identity: ProcessId,
    parent: i32,
    is_roots: bool,
    is_in_our_mounts: bool,
    arguments: Vec<Vec<u8>>,
}

/// The result of examining a process.
enum Look {
    Candidate(Candidate),
    /// A process without a command line: a client that is just starting, or ending after it has
    /// gone to the background. Its other processes may have been missed.
    Nameless,
    Other,
}

/// The inode of a folder of /proc when the kernel lacks memory to assign one.
const FOLDER_UNKNOWN: u64 = 1;

/// A process that was seen before, distinguished from later ones with the same pid by the inode of
/// its folder in /proc.
#[derive(Clone, Copy, Debug)]
struct SeenProcess {
    pid: i32,
    folder: u64,
    /// It is a kernel thread, which never runs a program.
    is_thread: bool,
}

/// A search of /proc for processes with a client's name, which takes some ten microseconds for each
/// process.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// `None` when the search is over.
    entries: Option<fs::ReadDir>,
    seen: Vec<SeenProcess>,
    named: Vec<i32>,
}

/// Finds clients by reading the names of all processes each time, since any process may have
/// started another program. Only kernel threads, which are most of an idle host's processes, are
/// remembered and skipped.
#[derive(Debug, Default)]
pub(super) struct Finder {
    seen: RefCell<Vec<SeenProcess>>,
    /// The manager of all links that was examined last, and whether it accepts orders.
    manager: RefCell<Option<(ProcessId, Leaving)>>,
}

impl Finder {
    /// Returns all clients except those with these pids; none without /proc.
    ///
    /// # Errors
    /// The host is short of descriptors or memory, so clients may have been missed.
    pub(super) fn find(&self, own: &[i32]) -> Result<Vec<FoundClient>, HostError> {
        self.find_after(self.search()?, own)
    }

    /// The same after a search that has begun, or is over.
    ///
    /// # Errors
    /// As [`Finder::find`].
    pub(super) fn find_after(
        &self,
        search: Search,
        own: &[i32],
    ) -> Result<Vec<FoundClient>, HostError> {
        let mut candidates = Vec::new();
        let mut begun = Some(search);
        for _ in 0..CLIENT_SEARCHES_MAX {
            let mut is_torn = false;
            candidates.clear();
            let search = begun.take().map_or_else(|| self.search(), Ok)?;
            let named = self.named_like_clients(search)?;
            if named.is_empty() {
                break;
            }
            let namespace = |kind| fs::read_link(format!("/proc/thread-self/ns/{kind}")).ok();
            let (Some(net), Some(mounts)) = (namespace("net"), namespace("mnt")) else { break };
            for pid in named {
                match look_at(pid, &net, &mounts)? {
                    Look::Candidate(candidate) => candidates.push(candidate),
                    Look::Nameless => is_torn = true,
                    Look::Other => {}
                }
            }
            if !is_torn {
                break;
            }
        }
        // A child that the daemon's client forks to run its script briefly looks like another
        // client.
        let is_ours = |it: &&Candidate| own.contains(&it.identity.pid) || own.contains(&it.parent);
        let clients = candidates.iter().filter(|it| !is_ours(it));
        let found = clients.filter_map(|it| {
            let mut found = client(it, &candidates)?;
            found.client.leaving = self.leaving(&found.client, &it.identity);
            Some(found)
        });
        Ok(found.collect())
    }

    /// Returns how a client leaves a link. The program file of a manager of all links is read for
    /// this, once.
    fn leaving(&self, client: &ForeignClient, identity: &ProcessId) -> Leaving {
        let is_manager =
            client.program == ClientProgram::Dhcpcd && matches!(client.links, ClientLinks::All(_));
        // The control socket of a client in a container is in the container.
        if !is_manager || client.keeper.as_deref() == Some(CONTAINER) {
            return Leaving::Ended;
        }
        if let Some((_, leaving)) = self.manager.borrow().as_ref().filter(|(it, _)| it == identity)
        {
            return *leaving;
        }
        let program = files::read(&folder_of(identity.pid).join("exe"), DHCPCD_LEN_MAX);
        let can_be_told = program.is_ok_and(|program| errand::is_understood_by(&program));
        let leaving = if can_be_told { Leaving::Told } else { Leaving::Ended };
        self.manager.replace(Some((identity.clone(), leaving)));
        leaving
    }

    /// Begins to search /proc for processes with a client's name.
    pub(super) fn search(&self) -> Result<Search, HostError> {
        match fs::read_dir("/proc") {
            Ok(entries) => Ok(Search { entries: Some(entries), ..Search::default() }),
            Err(err) => if_short(&err),
        }
    }

    /// Goes on with a search by so many processes. Returns `true` when it is over.
    ///
    /// # Errors
    /// As [`Finder::find`].
    pub(super) fn go_on(&self, search: &mut Search, count: usize) -> Result<bool, HostError> {
        let Some(mut entries) = search.entries.take() else { return Ok(true) };
        for _ in 0..count {
            match entries.next() {
                Some(Ok(entry)) => search.look_at(&entry, &self.seen.borrow())?,
                Some(Err(_)) => {}
                None => {
                    search.seen.sort_unstable_by_key(|it| it.pid);
                    self.seen.replace(std::mem::take(&mut search.seen));
                    return Ok(true);
                }
            }
        }
        search.entries = Some(entries);
        Ok(false)
    }

    /// Returns the processes with a client's name; mostly none.
    fn named_like_clients(&self, mut search: Search) -> Result<Vec<i32>, HostError> {
        while !self.go_on(&mut search, usize::MAX)? {}
        Ok(search.named)
    }
}

impl Search {
    /// Takes the name of a process, unless it is known to be a kernel thread.
    fn look_at(&mut self, entry: &DirEntry, before: &[SeenProcess]) -> Result<(), HostError> {
        let number = entry.file_name();
        let Some(pid) = number.to_str().and_then(|number| number.parse().ok()) else {
            return Ok(());
        };
        let folder = entry.ino();
        let known = before.binary_search_by_key(&pid, |it| it.pid).ok();
        let known = known.and_then(|at| before.get(at)).filter(|it| it.folder == folder);
        if known.is_none_or(|it| !it.is_thread) && has_name_of_client(pid)? {
            self.named.push(pid);
        }
        self.seen.extend(known.copied().or_else(|| {
            let is_thread = is_thread(pid).filter(|_| folder > FOLDER_UNKNOWN)?;
            Some(SeenProcess { pid, folder, is_thread })
        }));
        Ok(())
    }
}

/// Returns whether a process has the name of a client, or of a program that may be one.
fn has_name_of_client(pid: i32) -> Result<bool, HostError> {
    // The kernel stores 15 bytes of a program's name, and more of a kernel thread's.
    let mut name = [0; 64];
    let file = File::open(format!("/proc/{pid}/comm"));
    let name = match file.and_then(|mut file| file.read(&mut name)) {
        Ok(len) => name.get(..len).unwrap_or_default().trim_ascii_end(),
        Err(err) => return if_short(&err),
    };
    let is_client = || ClientProgram::ALL.iter().any(|it| it.name().as_bytes() == name);
    Ok(name.starts_with(b"busybox") || is_client())
}

/// Returns whether a process is a kernel thread; `None` as long as that may change.
fn is_thread(pid: i32) -> Option<bool> {
    stays_thread(&Stat::of(pid)?, clock::since_boot().ok()?)
}

/// Does the same from the account of a process, at this time since boot.
fn stays_thread(stat: &Stat, up: Duration) -> Option<bool> {
    /// The unit of a process's start time.
    const TICKS_A_SECOND: u64 = 100;
    /// Programs started by the kernel begin as such a thread, for microseconds.
    const AGE_MIN: u64 = 10;
    if !stat.is_kernel_thread() {
        return Some(false);
    }
    let started = stat.started / TICKS_A_SECOND;
    (started.saturating_add(AGE_MIN) <= up.as_secs()).then_some(true)
}

/// Returns the default value, unless the error is a shortage that hides processes.
fn if_short<T: Default>(err: &io::Error) -> Result<T, HostError> {
    match err.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => {
            Err(HostError::new("look for", "DHCP clients", err))
        }
        Some(_) | None => Ok(T::default()),
    }
}

fn look_at(pid: i32, net: &Path, mounts: &Path) -> Result<Look, HostError> {
    let process = &folder_of(pid);
    let arguments = read_if_there(process, "cmdline")?;
    if arguments.is_empty() {
        return Ok(Look::Nameless);
    }
    let mut arguments: Vec<_> = arguments.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    // Each argument ends with a NUL; a title leaves further NULs.
    while arguments.last().is_some_and(Vec::is_empty) {
        arguments.pop();
    }
    let is_ours = fs::read_link(process.join("ns/net")).is_ok_and(|it| it == net);
    let candidate = is_ours.then(|| candidate(process, pid, arguments, mounts)).flatten();
    Ok(candidate.map_or(Look::Other, Look::Candidate))
}

fn candidate(
    process: &Path,
    pid: i32,
    arguments: Vec<Vec<u8>>,
    mounts: &Path,
) -> Option<Candidate> {
    let is_in_our_mounts = fs::read_link(process.join("ns/mnt")).is_ok_and(|it| it == mounts);
    let status = read(process, "status")?;
    let (parent, is_roots) = parse_status(&String::from_utf8_lossy(&status))?;
    let identity = ProcessId::of(pid)?;
    Some(Candidate { identity, parent, is_roots, is_in_our_mounts, arguments })
}

/// Returns the parent's pid, and whether the process is root's: its real, effective and saved UID.
fn parse_status(status: &str) -> Option<(i32, bool)> {
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
    let parent = field("PPid:")?.trim().parse().ok()?;
    let is_roots = field("Uid:")?.split_ascii_whitespace().all(|uid| uid == "0");
    Some((parent, is_roots))
}

fn client(candidate: &Candidate, all: &[Candidate]) -> Option<FoundClient> {
    let Sighting { program, links, families } = arguments::recognize(&candidate.arguments)?;
    let parts = parts_of(candidate, all);
    let is_root = |it: &&&Candidate| {
        it.is_roots
            && (it.identity.pid == candidate.identity.pid
                || arguments::is_privileged_part(&it.arguments))
    };
    let root = parts.iter().find(is_root)?;
    let process = folder_of(root.identity.pid);
    let file = trusted_file(&process)?;
    let pid = candidate.identity.pid;
    let keeper = keeper(candidate);
    let environment = read(&process, "environ").unwrap_or_default();
    let environment = environment.split(|byte| *byte == 0).filter(|it| !it.is_empty());
    let mut command = CommandLine {
        arguments: candidate.arguments.clone(),
        directory: fs::read_link(process.join("cwd"))
            .unwrap_or_default()
            .into_os_string()
            .into_vec(),
        environment: environment.map(<[u8]>::to_vec).collect(),
        file: file.into_os_string().into_vec(),
    };
    if command.arguments.first().is_some_and(|first| first.starts_with(b"dhcpcd: ")) {
        rebuild(&mut command, &links, &families);
    }
    let leaving = Leaving::Ended;
    let mut client = ForeignClient { program, links, families, pid, keeper, leaving, command };
    if let ClientLinks::All(_) = client.links {
        client.links = ClientLinks::All(choice(&client));
    }
    let processes = parts.iter().map(|it| it.identity.clone()).collect();
    Some(FoundClient { client, processes })
}

/// Returns the links that a client of all links takes, by its configuration.
fn choice(client: &ForeignClient) -> LinkPatterns {
    let mut texts = heritage::configurations(client).into_iter();
    let text = texts.find_map(|path| files::read_text(&path, PROCESS_TEXT_LEN_MAX).ok());
    let text = text.filter(|_| client.program == ClientProgram::Dhcpcd);
    arguments::choice(&client.command.arguments, &text.unwrap_or_default())
}

/// Returns a process, and its descendants of the same program.
fn parts_of<'a>(candidate: &'a Candidate, all: &'a [Candidate]) -> Vec<&'a Candidate> {
    let mut parts = vec![candidate];
    let mut at = 0;
    while let Some(parent) = parts.get(at).map(|it| it.identity.pid) {
        let is_new = |it: &&Candidate| {
            it.parent == parent && !parts.iter().any(|part| part.identity.pid == it.identity.pid)
        };
        let children: Vec<_> = all.iter().filter(is_new).collect();
        parts.extend(children);
        at += 1;
    }
    parts
}

/// Returns the program file of a process, if only root can have written it. A newer file may have
/// replaced it since.
fn trusted_file(process: &Path) -> Option<PathBuf> {
    const DELETED: &[u8] = b" (deleted)";
    let file = fs::read_link(process.join("exe")).ok()?.into_os_string().into_vec();
    let file = file.strip_suffix(DELETED).unwrap_or(&file).to_vec();
    let file = PathBuf::from(std::ffi::OsString::from_vec(file));
    is_trusted(&file).then_some(file)
}

/// Returns whether a path is that of a file that only root can write.
pub(super) fn is_trusted(file: &Path) -> bool {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let is_roots =
        |it: &fs::Metadata| it.uid() == 0 && it.mode() & WRITABLE_BY_OTHERS == 0 && it.is_file();
    fs::metadata(file).is_ok_and(|it| is_roots(&it))
}

/// Returns the program that would restart the client.
fn keeper(candidate: &Candidate) -> Option<String> {
    if !candidate.is_in_our_mounts {
        return Some(CONTAINER.to_owned());
    }
    let name = read(&folder_of(candidate.parent), "comm").filter(|_| candidate.parent > 1)?;
    let name = String::from_utf8_lossy(name.trim_ascii_end()).into_owned();
    KEEPERS.contains(&name.as_str()).then_some(name)
}

/// Rebuilds the command line that a dhcpcd has overwritten with a title, as far as the title shows.
/// The environment is overwritten as well.
fn rebuild(command: &mut CommandLine, links: &ClientLinks, families: &[Family]) {
    let mut arguments = vec![b"dhcpcd".to_vec()];
    match families {
        [Family::Ipv4] => arguments.push(b"-4".to_vec()),
        [Family::Ipv6] => arguments.push(b"-6".to_vec()),
        _ => {}
    }
    if let ClientLinks::One(link) = links {
        arguments.push(link.as_str().as_bytes().to_vec());
    }
    command.arguments = arguments;
    command.environment = vec![b"PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_vec()];
    command.directory = b"/".to_vec();
}

/// Returns a process's folder in /proc.
fn folder_of(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// Reads a file of a process that may have ended.
fn read_if_there(process: &Path, file: &str) -> Result<Vec<u8>, HostError> {
    let bytes = files::read(&process.join(file), PROCESS_TEXT_LEN_MAX);
    bytes.or_else(|err| if_short(&io::Error::from_raw_os_error(err.errno())))
}

fn read(process: &Path, file: &str) -> Option<Vec<u8>> {
    files::read(&process.join(file), PROCESS_TEXT_LEN_MAX).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::IfName;

    #[test]
    fn only_who_is_root_in_every_way_is_root() {
        for (uids, want) in [
            ("0\t0\t0\t0", true),
            ("1000\t0\t0\t0", false),
            ("0\t1000\t0\t1000", false),
            ("102\t102\t102\t102", false),
        ] {
            let status = format!("Name:\tdhclient\nPPid:\t7\nUid:\t{uids}\nGid:\t0\t0\t0\t0\n");
            assert_eq!(parse_status(&status), Some((7, want)), "{uids}");
        }
        assert_eq!(parse_status("Name:\tdhclient\n"), None);
    }

    #[test]
    fn a_thread_of_the_kernel_is_one_for_good_when_it_has_some_age() {
        let stat = |flags: &str, started: &str| {
            format!("7 (a) b) S 2 0 0 0 -1 {flags} 5 6 7 8 9 10 11 12 20 0 1 0 {started} 88 99\n")
        };
        let up = Duration::from_secs(110);
        for (label, stat, want) in [
            ("a program", stat("4194560", "10000"), Some(false)),
            ("a young program", stat("4194560", "11000"), Some(false)),
            ("a thread", stat("2129984", "10000"), Some(true)),
            ("a young thread", stat("2129984", "10100"), None),
            ("one of the future", stat("2129984", "99999"), None),
            ("torn", stat("2129984", "").replace(" 88 99", ""), None),
            ("none", String::new(), None),
        ] {
            let stat = Stat::parse(&stat);
            assert_eq!(stat.and_then(|stat| stays_thread(&stat, up)), want, "{label}");
        }
    }

    #[test]
    fn a_process_that_was_seen_is_seen_again_when_it_has_become_a_client() {
        let dir = std::env::temp_dir().join(format!("dhcp-finder-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let script = dir.join("udhcpc");
        // The kernel gives a script its own name. The script ends with its input.
        fs::write(&script, "#!/bin/sh\nread line\n").unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", "read line && exec \"$0\""]).arg(&script);
        let mut child = shell.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();

        let finder = Finder::default();
        let is_found =
            || finder.named_like_clients(finder.search().unwrap()).unwrap().contains(&pid);
        assert!(!is_found());
        let at = finder.seen.borrow().binary_search_by_key(&pid, |it| it.pid).unwrap();
        assert!(!finder.seen.borrow()[at].is_thread);
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\n").unwrap();
        while !has_name_of_client(pid).unwrap() {
            assert_eq!(child.try_wait().unwrap(), None);
        }
        assert!(is_found());
        let mut search = finder.search().unwrap();
        let part_count = (1..).find(|_| finder.go_on(&mut search, 1).unwrap()).unwrap();
        assert!(part_count > 1 && search.named.contains(&pid), "{part_count}: {:?}", search.named);

        let at = finder.seen.borrow().binary_search_by_key(&pid, |it| it.pid).unwrap();
        finder.seen.borrow_mut()[at].is_thread = true;
        assert!(!is_found(), "a thread is passed over");
        finder.seen.borrow_mut()[at].folder += 1;
        assert!(is_found(), "the number is another's by now");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!is_found());
        assert!(finder.seen.borrow().iter().all(|it| it.pid != pid), "no process is kept for ever");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_program_that_others_may_write_is_not_started() {
        let dir = std::env::temp_dir().join(format!("dhcp-foreign-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let own = fs::read_link("/proc/self/exe").unwrap();
        let is_roots = fs::metadata(&own).unwrap().uid() == 0;
        let link = dir.join("exe");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert_eq!(trusted_file(&dir).is_some(), is_roots);
        let open = dir.join("open");
        fs::write(&open, "").unwrap();
        fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o775)).unwrap();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert_eq!(trusted_file(&dir), None);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_title_is_turned_into_a_command_line() {
        let eth0 = ClientLinks::One(IfName::new("eth0").unwrap());
        let both = vec![Family::Ipv4, Family::Ipv6];
        for (links, families, want) in [
            (&eth0, vec![Family::Ipv4], "dhcpcd -4 eth0"),
            (&eth0, vec![Family::Ipv6], "dhcpcd -6 eth0"),
            (&eth0, both.clone(), "dhcpcd eth0"),
            (&ClientLinks::All(LinkPatterns::default()), both, "dhcpcd"),
        ] {
            let mut command = CommandLine::default();
            rebuild(&mut command, links, &families);
            assert_eq!(command.arguments.join(&b' '), want.as_bytes());
        }
    }
}

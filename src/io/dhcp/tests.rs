// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of clients over time: programs that only sleep, or die, or do not end, and a simulated
//! clock.

use std::process::Command;

use super::record::RECORD_SUFFIX;
use super::*;
use crate::limits::CLIENT_PAUSE_MAX;
use crate::model::lease::NameServers;

/// A folder with a shell script as `udhcpc`, and clients that run it.
struct Scene {
    dir: PathBuf,
    clients: DhcpClients,
    now: Instant,
}

#[expect(clippy::disallowed_methods, reason = "a clock starts somewhere")]
fn scene(label: &str, program: &str) -> Scene {
    let dir = std::env::temp_dir().join(format!("dhcp-{label}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let program = program.replace("DIR", &dir.display().to_string());
    fs::write(dir.join("text"), format!("#!/bin/sh\n{program}\n")).unwrap();
    // A child process installs it: a program that another test starts would inherit this process's
    // descriptor, and the kernel executes no file that is open for writing.
    let mut install = Command::new("install");
    install.args(["-m", "755"]).arg(dir.join("text")).arg(dir.join("udhcpc"));
    assert!(install.status().unwrap().success());
    let now = Instant::now();
    let clients = open(&dir, now);
    Scene { dir, clients, now }
}

fn open(dir: &Path, now: Instant) -> DhcpClients {
    let choice = Choice::within(DhcpClient::Auto, vec![dir.to_owned()]);
    DhcpClients::open(dir, "/nonexistent/daemon".into(), choice, executor(dir), now)
}

fn executor(dir: &Path) -> Executor {
    let commands = DhcpCommands::within(dir, vec![dir.to_owned()]);
    Executor::within(Box::new(move |program| match program {
        Program::DhcpClient { client, lease } => commands.client(*client, lease)?.spawn(),
        Program::LeaseEnd { link, family } => commands.lease_end(*link, *family).spawn(),
        Program::Hook { .. }
        | Program::ForeignClient { .. }
        | Program::Standby { .. }
        | Program::FileCheck { .. } => {
            panic!("no client of the daemon: {program:?}")
        }
    }))
}

impl Scene {
    /// Advances the clock, and does what is due.
    fn after(&mut self, time: Duration) {
        self.now += time;
        if self.clients.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.clients.handle_timeout(self.now);
        }
    }

    /// Waits for processes, while the clock stands still.
    fn until(&mut self, mut fact: impl FnMut(&Self) -> bool) {
        for _ in 0..10_000_000 {
            self.clients.handle_child(self.now);
            if fact(self) {
                return;
            }
            std::thread::yield_now();
        }
        panic!("never happened: {:?}", self.clients);
    }

    fn pid(&self) -> Option<String> {
        let text = fs::read_to_string(self.dir.join("dhcp/br0.ipv4.pid")).ok()?;
        text.lines().next().map(str::to_owned)
    }

    fn end(mut self) {
        self.clients.stop(lease().link, Family::Ipv4, self.now);
        self.until(|scene| !scene.clients.is_running(lease().link, Family::Ipv4));
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn lease() -> Lease {
    let link = IfName::new("br0").unwrap();
    Lease { link, family: Family::Ipv4, name_servers: NameServers::Taken, wanted: None, like: None }
}

#[test]
fn a_client_that_dies_again_and_again_is_started_ever_more_rarely() {
    let mut scene = scene("dies", "exit 3");
    scene.clients.start(&lease(), scene.now).unwrap();
    for pause in [5, 10, 20, 40, 60, 60].map(Duration::from_secs) {
        let now = scene.now;
        scene.until(|scene| scene.clients.deadline().is_some());
        assert_eq!(scene.clients.deadline(), Some(now + pause));
        assert!(scene.clients.is_running(lease().link, Family::Ipv4), "it is still wanted");
        assert_eq!(scene.clients.running().count(), 1);
        scene.after(pause);
    }
    scene.end();
}

#[test]
fn a_client_that_ran_for_long_is_started_soon() {
    let mut scene = scene("long", "exit 3");
    scene.clients.start(&lease(), scene.now).unwrap();
    scene.until(|scene| scene.clients.deadline().is_some());
    scene.after(PAUSE_MIN);
    // No check happens for a while: by the clock it has run that long.
    scene.now += CLIENT_PAUSE_MAX + Duration::from_secs(1);
    let now = scene.now;
    scene.until(|scene| scene.clients.deadline().is_some());
    assert_eq!(scene.clients.deadline(), Some(now + PAUSE_MIN));
    scene.end();
}

#[test]
fn a_pause_ends_with_the_wish() {
    let mut scene = scene("pause", "exit 3");
    scene.clients.start(&lease(), scene.now).unwrap();
    scene.until(|scene| scene.clients.deadline().is_some());
    scene.clients.stop(lease().link, Family::Ipv4, scene.now);
    assert!(!scene.clients.is_running(lease().link, Family::Ipv4));
    assert_eq!(scene.clients.deadline(), None);
    scene.end();
}

#[test]
fn a_client_that_does_not_end_is_asked_again_and_killed() {
    let mut scene = scene("stubborn", "trap '' TERM; : >'DIR/up'; while :; do sleep 0.01; done");
    let up = scene.dir.join("up");
    scene.clients.start(&lease(), scene.now).unwrap();
    scene.until(|_| up.exists());
    assert_eq!(scene.clients.deadline(), None, "a signal announces a child's end");
    scene.clients.stop(lease().link, Family::Ipv4, scene.now);
    assert_eq!(scene.pid(), None, "no daemon that comes now takes it for one that is wanted");
    assert_eq!(scene.clients.running().count(), 0);
    assert_eq!(scene.clients.deadline(), Some(scene.now + ASK_INTERVAL));
    let mut time = Duration::ZERO;
    while time + ASK_INTERVAL < DHCP_STOP_TIME_MAX {
        scene.after(ASK_INTERVAL);
        time += ASK_INTERVAL;
        assert!(scene.clients.is_running(lease().link, Family::Ipv4), "{time:?}");
    }
    scene.after(DHCP_STOP_TIME_MAX - time);
    scene.until(|scene| !scene.clients.is_running(lease().link, Family::Ipv4));
    scene.end();
}

#[test]
fn a_client_that_is_wanted_again_follows_the_one_that_ends() {
    let mut scene = scene("again", "exec sleep 1000");
    scene.clients.start(&lease(), scene.now).unwrap();
    let first = scene.pid();
    scene.clients.start(&lease(), scene.now).unwrap();
    assert_eq!(scene.pid(), first, "the same is wanted");
    scene.clients.stop(lease().link, Family::Ipv4, scene.now);
    scene.clients.start(&lease(), scene.now).unwrap();
    assert_eq!(scene.clients.running().count(), 1);
    scene.until(|scene| scene.pid().is_some());
    let second = scene.pid();
    assert_ne!(second, first);

    let other = Lease { name_servers: NameServers::Left, ..lease() };
    scene.clients.start(&other, scene.now).unwrap();
    scene.until(|scene| scene.pid().is_some_and(|pid| Some(pid) != second));
    assert_eq!(scene.clients.running().copied().collect::<Vec<_>>(), [other]);
    scene.clients.stop(lease().link, Family::Ipv4, scene.now);
    scene.end();
}

#[test]
fn an_adopted_client_is_looked_at_and_started_again() {
    let mut scene = scene("adopt", "while :; do sleep 0.01; done");
    scene.clients.start(&lease(), scene.now).unwrap();
    let child = match scene.clients.entries.pop().unwrap().phase {
        Phase::Running { process: Process::Child { execution, .. }, .. } => execution,
        other @ (Phase::Running { .. } | Phase::Ending { .. } | Phase::Pausing { .. }) => {
            panic!("{other:?}")
        }
    };
    let first = scene.clients.executor.clone();
    scene.clients = open(&scene.dir, scene.now);
    assert_eq!(scene.clients.running().copied().collect::<Vec<_>>(), [lease()]);
    assert_eq!(scene.clients.deadline(), Some(scene.now + LOOK_INTERVAL));
    child.kill_group();
    while child.end().is_none() {
        std::thread::yield_now();
        first.read();
    }
    let pid = child.pid().to_string();
    drop(child);
    scene.after(LOOK_INTERVAL);
    assert_eq!(scene.clients.deadline(), Some(scene.now + PAUSE_MIN));
    assert_eq!(scene.pid(), None);
    scene.after(PAUSE_MIN);
    assert!(scene.pid().is_some_and(|new| new != pid));
    scene.end();
}

#[test]
fn what_was_bound_before_is_wanted_again_but_not_owned() {
    let mut scene = scene("bound", "exec sleep 1000");
    let file = |suffix: &str| scene.dir.join("dhcp").join(format!("br0.ipv4.{suffix}"));
    let (bound, wanted) = (file("bound"), file("wanted"));
    fs::create_dir_all(scene.dir.join("dhcp")).unwrap();
    fs::write(&bound, "192.0.2.5/24\n").unwrap();
    scene.clients.start(&lease(), scene.now).unwrap();
    assert!(!bound.exists());
    assert_eq!(fs::read_to_string(&wanted).unwrap(), "192.0.2.5/24\n");
    scene.clients.stop(lease().link, Family::Ipv4, scene.now);
    scene.until(|scene| !scene.clients.is_running(lease().link, Family::Ipv4));
    assert!(!wanted.exists(), "a stop is the end of it");
    scene.end();
}

#[test]
fn a_link_that_is_gone_takes_its_client_along() {
    let mut scene = scene("gone", "exec sleep 1000");
    let other = Lease { link: IfName::new("eth1").unwrap(), ..lease() };
    scene.clients.start(&lease(), scene.now).unwrap();
    scene.clients.start(&other, scene.now).unwrap();
    scene.clients.retain_links(|_| true, scene.now);
    assert_eq!(scene.clients.running().count(), 2);
    // A client that ends anyway, so that another can follow: none does.
    let again = Lease { name_servers: NameServers::Left, ..lease() };
    for is_to_change in [false, true] {
        if is_to_change {
            scene.clients.start(&again, scene.now).unwrap();
        }
        scene.clients.retain_links(|link| *link == other.link, scene.now);
        assert_eq!(scene.clients.running().copied().collect::<Vec<_>>(), [other]);
        assert_eq!(scene.pid(), None);
        scene.until(|scene| !scene.clients.is_running(lease().link, Family::Ipv4));
        if !is_to_change {
            scene.clients.start(&lease(), scene.now).unwrap();
        }
    }
    assert!(scene.clients.is_running(other.link, Family::Ipv4));
    scene.clients.retain_links(|_| false, scene.now);
    scene.until(|scene| !scene.clients.is_running(other.link, Family::Ipv4));
    scene.end();
}

#[test]
fn a_link_that_is_gone_is_not_waited_for() {
    let mut scene = scene("gone-pause", "exit 3");
    scene.clients.start(&lease(), scene.now).unwrap();
    scene.until(|scene| scene.clients.deadline().is_some());
    scene.clients.retain_links(|_| false, scene.now);
    assert_eq!(scene.clients.deadline(), None);
    assert!(!scene.clients.is_running(lease().link, Family::Ipv4));
    assert_eq!(record::paths(&scene.dir.join("dhcp"), RECORD_SUFFIX), Vec::<PathBuf>::new());
    scene.end();
}

#[test]
fn name_servers_rest_before_they_are_taken_out() {
    let mut scene = scene("names", "exec sleep 1000");
    let names = scene.dir.join("dhcp/br0.ipv4.names");
    let called = scene.dir.join("called");
    scene.clients.start(&lease(), scene.now).unwrap();
    // In place of the script, a program that records its call.
    let text = "#!/bin/sh\necho $1 $interface $VIRTINTERFACED_LEASE >'DIR/called.new'\n\
                rm 'DIR/dhcp/br0.ipv4.names'\nmv 'DIR/called.new' 'DIR/called'\n";
    fs::write(scene.dir.join("text"), text.replace("DIR", &scene.dir.display().to_string()))
        .unwrap();
    let (from, to) = (scene.dir.join("text"), scene.dir.join("dhcp").join(script::NAME));
    let install = || {
        let status = Command::new("install").args(["-m", "755"]).args([&from, &to]).status();
        assert!(status.unwrap().success());
    };
    fs::write(&names, "nameserver 192.0.2.53\n").unwrap();
    let stop = |scene: &mut Scene| {
        scene.clients.stop(lease().link, Family::Ipv4, scene.now);
        scene.until(|scene| !scene.clients.is_running(lease().link, Family::Ipv4));
    };
    stop(&mut scene);
    assert_eq!(scene.clients.deadline(), Some(scene.now + names::REST));

    // The lease is wanted again meanwhile: its name servers stay.
    scene.after(names::REST / 2);
    scene.clients.start(&lease(), scene.now).unwrap();
    assert_eq!(scene.clients.deadline(), None);
    stop(&mut scene);
    install();
    assert_eq!(scene.clients.deadline(), Some(scene.now + names::REST));
    scene.after(names::REST - Duration::from_millis(1));
    assert!(names.exists());
    // The next daemon restarts the waiting time of those that it finds.
    scene.clients = open(&scene.dir, scene.now);
    assert_eq!(scene.clients.deadline(), Some(scene.now + names::REST));
    scene.after(names::REST);
    scene.until(|_| called.exists());
    let state = scene.dir.join("dhcp/br0.ipv4");
    let want = format!("end br0 {}\n", state.display());
    assert_eq!(fs::read_to_string(&called).unwrap(), want);
    assert!(!names.exists());
    assert_eq!(scene.clients.deadline(), None);
    scene.end();
}

#[test]
fn name_servers_that_are_not_taken_over_any_more_are_taken_out() {
    let mut scene = scene("names-left", "exec sleep 1000");
    scene.clients.start(&lease(), scene.now).unwrap();
    fs::write(scene.dir.join("dhcp/br0.ipv4.names"), "nameserver 192.0.2.53\n").unwrap();
    let left = Lease { name_servers: NameServers::Left, ..lease() };
    scene.clients.start(&left, scene.now).unwrap();
    scene.until(|scene| scene.pid().is_some());
    assert_eq!(scene.clients.deadline(), Some(scene.now + names::REST));
    assert_eq!(scene.clients.running().copied().collect::<Vec<_>>(), [left]);
    scene.end();
}

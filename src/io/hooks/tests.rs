// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests with real scripts in a folder of each test's own.

use super::*;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Longer than any script here takes that is meant to end.
const LONG: Duration = Duration::from_secs(60);

/// Long enough for a script to begin, and shorter than it would go on.
const SHORT: Duration = Duration::from_secs(3);

/// The beginning of all scripts here; `$0` is their path.
const RECORD: &str = "#!/bin/sh\necho \"${0##*/} $*\" >> \"${0%/hooks/*}/record\"\n";

/// A folder with scripts and the calls that they have recorded.
struct Scene {
    dir: PathBuf,
}

impl Scene {
    fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("hooks-test-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(dir.join("hooks/daemon.d")).unwrap();
        Self { dir }
    }

    /// Writes a script that records its call and continues with `text`. A child process writes it:
    /// a program that another test starts meanwhile would inherit a descriptor open for writing,
    /// and the kernel executes no such file.
    fn script(&self, name: &str, text: &str) {
        self.file(name, &format!("{RECORD}{text}"), "755");
    }

    fn file(&self, name: &str, text: &str, mode: &str) {
        let path = self.dir.join("hooks").join(name);
        let mut writer = Command::new("sh");
        writer.args(["-c", "printf %s \"$1\" > \"$0\" && chmod \"$2\" \"$0\""]);
        assert!(writer.arg(path).args([text, mode]).status().unwrap().success());
    }

    fn hooks(&self) -> Hooks {
        self.hooks_within(LONG)
    }

    fn hooks_within(&self, time_max: Duration) -> Hooks {
        Hooks::with_time_max(self.dir.join("hooks"), self.executor(Vec::new()), time_max)
    }

    fn executor(&self, environment: Vec<(OsString, OsString)>) -> Executor {
        let folder = HookFolder { dir: self.dir.join("hooks"), environment };
        Executor::within(Box::new(move |program| {
            let Program::Hook { script, occasion } = program else { panic!("{program:?}") };
            folder.command(script, *occasion).spawn()
        }))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// Returns the recorded calls.
    fn calls(&self) -> Vec<String> {
        self.read("record").lines().map(str::to_owned).collect()
    }

    /// Creates a pipe that scripts can open by its name.
    fn pipe(&self) -> Pipe {
        let path = self.dir.join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        // Opened without blocking, so that the scripts' side does not block either.
        let options = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).clone();
        Pipe(options.open(path).unwrap())
    }
}

/// The read end of a pipe, which shows whether the processes that opened the other end still live.
struct Pipe(fs::File);

impl Pipe {
    /// Returns the text written since, or `None` if no process has the pipe open for writing.
    fn read(&mut self) -> Option<String> {
        let mut buffer = [0; 16];
        match self.0.read(&mut buffer) {
            Ok(0) => None,
            Ok(len) => Some(String::from_utf8(buffer[..len].to_vec()).unwrap()),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Some(String::new()),
            Err(err) => panic!("{err}"),
        }
    }

    /// Returns whether all writers are gone. None of them may have reached its end.
    fn is_deserted(&mut self) -> bool {
        let news = self.read();
        assert!(news.as_deref().is_none_or(str::is_empty), "not killed: {news:?}");
        news.is_none()
    }
}

/// A part of a script that opens the pipe and records that.
const OPEN_PIPE: &str =
    "dir=\"${0%/hooks/*}\"\nexec 3> \"$dir/pipe\"\necho open >> \"$dir/record\"\n";

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "children end in the world's time")]
fn now() -> Instant {
    Instant::now()
}

/// Does what the loop does until `done`.
#[expect(clippy::disallowed_methods, reason = "children end in the world's time")]
fn turn_until(hooks: &mut Hooks, mut done: impl FnMut(&Hooks) -> bool) {
    let end = now() + LONG;
    while !done(hooks) {
        assert!(now() < end, "never happens: {hooks:?}");
        std::thread::sleep(Duration::from_millis(2));
        hooks.executor.read();
        hooks.handle_end();
    }
}

fn run(hooks: &mut Hooks, occasion: Occasion) {
    hooks.begin(occasion);
    turn_until(hooks, Hooks::is_idle);
}

#[test]
fn scripts_run_in_the_order_of_their_names_with_the_occasions_arguments() {
    let scene = Scene::new();
    for name in ["daemon.d/b", "daemon.d/10", "daemon", "daemon.d/a", "daemon.d/9", "daemon.d/B"] {
        scene.script(name, "");
    }
    let mut hooks = scene.hooks();
    for (occasion, arguments) in [
        (Occasion::Start, "- start - start"),
        (Occasion::Reload, "- reload begin SIGHUP"),
        (Occasion::Shutdown, "- shutdown - shutdown"),
    ] {
        run(&mut hooks, occasion);
        let want = ["daemon", "10", "9", "B", "a", "b"].map(|name| format!("{name} {arguments}"));
        assert_eq!(scene.calls(), want, "{occasion:?}");
        fs::remove_file(scene.dir.join("record")).unwrap();
    }
}

#[test]
fn one_script_runs_at_a_time_and_a_second_occasion_waits_for_the_first() {
    let scene = Scene::new();
    let end = "until [ -e \"${0%/hooks/*}/go\" ]; do sleep 0.01; done\necho end >> \
        \"${0%/hooks/*}/record\"\n";
    scene.script("daemon", end);
    scene.script("daemon.d/a", "");
    let mut hooks = scene.hooks();
    hooks.begin(Occasion::Start);
    hooks.begin(Occasion::Reload);
    turn_until(&mut hooks, |_| scene.calls().len() == 1);
    fs::write(scene.dir.join("go"), "").unwrap();
    turn_until(&mut hooks, Hooks::is_idle);
    let want = [
        "daemon - start - start",
        "end",
        "a - start - start",
        "daemon - reload begin SIGHUP",
        "end",
        "a - reload begin SIGHUP",
    ];
    assert_eq!(scene.calls(), want);
}

#[test]
fn a_script_sees_the_variables_it_is_given_and_no_terminal() {
    let scene = Scene::new();
    // While the loop runs, the shell's own output is redirected: 3 and 4 are the former 1 and 2.
    let look = "dir=\"${0%/hooks/*}\"\nexec 3>&1 4>&2\n\
        /bin/cat /proc/$$/environ > \"$dir/environ\"\n/bin/cat /proc/$$/stat > \"$dir/stat\"\n\
        for fd in 0 3 4; do /bin/readlink /proc/$$/fd/$fd; done > \"$dir/streams\"\n";
    scene.script("daemon", look);
    let variable = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
    let environment = vec![variable("HOME", "/root"), variable("PATH", "/a b:/c")];
    let mut hooks = Hooks::new(scene.dir.join("hooks"), scene.executor(environment));
    run(&mut hooks, Occasion::Start);
    let environ = scene.read("environ");
    let mut variables: Vec<_> = environ.split_terminator('\0').collect();
    variables.sort_unstable();
    assert_eq!(variables, ["HOME=/root", "LC_ALL=C", "PATH=/a b:/c"]);
    assert_eq!(scene.read("streams"), "/dev/null\n".repeat(3));
    let stat = scene.read("stat");
    let fields: Vec<_> = stat.split(' ').collect();
    assert_eq!(fields[0], fields[4], "it leads a process group");
}

#[test]
fn what_is_no_executable_file_is_skipped() {
    let scene = Scene::new();
    scene.file("daemon", &format!("{RECORD}exit"), "644");
    scene.file("daemon.d/plain", "readme", "644");
    fs::create_dir(scene.dir.join("hooks/daemon.d/folder")).unwrap();
    scene.script("daemon.d/script", "");
    std::os::unix::fs::symlink("script", scene.dir.join("hooks/daemon.d/link")).unwrap();
    std::os::unix::fs::symlink("nothing", scene.dir.join("hooks/daemon.d/loose")).unwrap();
    let mut hooks = scene.hooks();
    run(&mut hooks, Occasion::Start);
    assert_eq!(scene.calls(), ["link - start - start", "script - start - start"]);
}

#[test]
fn scripts_are_looked_up_anew_each_time() {
    let scene = Scene::new();
    let mut hooks = scene.hooks();
    run(&mut hooks, Occasion::Start);
    assert_eq!(scene.calls(), [""; 0]);
    scene.script("daemon", "");
    run(&mut hooks, Occasion::Reload);
    assert_eq!(scene.calls(), ["daemon - reload begin SIGHUP"]);
    fs::remove_dir_all(scene.dir.join("hooks")).unwrap();
    run(&mut hooks, Occasion::Shutdown);
    assert_eq!(scene.calls().len(), 1);
}

#[test]
fn a_script_that_fails_is_no_hindrance_to_the_next() {
    let scene = Scene::new();
    scene.script("daemon", "exit 3");
    scene.script("daemon.d/a", "kill -9 $$");
    scene.file("daemon.d/b", "#!/nonexistent/interpreter\n", "755");
    scene.file("daemon.d/c", "neither a script nor a program", "755");
    scene.script("daemon.d/d", "");
    let mut hooks = scene.hooks();
    run(&mut hooks, Occasion::Start);
    let want = ["daemon", "a", "d"].map(|name| format!("{name} - start - start"));
    assert_eq!(scene.calls(), want);
}

#[test]
fn how_a_script_failed_is_told_in_a_few_words() {
    let hooks = Scene::new().hooks();
    let status = |status| hooks.describe(End::Status(ExitStatus::from_raw(status)));
    assert_eq!(status(3 << 8), "exit status 3");
    assert_eq!(status(9), "killed by signal 9");
    assert_eq!(hooks.describe(End::Overdue), "not done after 60s, killed");
    assert_eq!(hooks.describe(End::Unknown), "unknown, as virt-executor has ended");
    let call = HookCall { script: PathBuf::from("/h/daemon"), occasion: Occasion::Reload };
    assert_eq!(call.to_string(), "/h/daemon - reload begin SIGHUP");
}

#[test]
fn a_script_that_hangs_is_killed_with_all_that_it_started() {
    let scene = Scene::new();
    let mut pipe = scene.pipe();
    scene.script("daemon", &format!("{OPEN_PIPE}(sleep 20; echo late >&3) &\nwait"));
    scene.script("daemon.d/next", "");
    let start = now();
    let mut hooks = scene.hooks_within(SHORT);
    hooks.begin(Occasion::Start);
    turn_until(&mut hooks, |hooks| {
        let is_next = hooks.running.as_ref().is_none_or(|it| it.call.script.ends_with("next"));
        assert!(!is_next || now() - start >= SHORT, "not before its time");
        is_next
    });
    turn_until(&mut hooks, |_| pipe.is_deserted());
    turn_until(&mut hooks, Hooks::is_idle);
    assert_eq!(scene.calls(), ["daemon - start - start", "open", "next - start - start"]);
}

#[test]
fn what_a_script_leaves_running_is_not_killed_however_late_anybody_looks() {
    let scene = Scene::new();
    let mut pipe = scene.pipe();
    let stay = "(until [ -e \"$dir/go\" ]; do sleep 0.01; done; echo late >&3) &";
    scene.script("daemon", &format!("{OPEN_PIPE}{stay}"));
    let mut hooks = scene.hooks_within(SHORT);
    hooks.begin(Occasion::Start);
    let stat = format!("/proc/{}/stat", hooks.running.as_ref().unwrap().execution.pid());
    let (mut other, start) = (scene.hooks(), now());
    turn_until(&mut other, |_| fs::read_to_string(&stat).unwrap().contains(") Z "));
    turn_until(&mut other, |_| now() - start > SHORT);
    hooks.executor.read();
    hooks.handle_end();
    assert!(hooks.is_idle(), "{hooks:?}");
    fs::write(scene.dir.join("go"), "").unwrap();
    let mut said = String::new();
    turn_until(&mut hooks, |_| pipe.read().map(|news| said.push_str(&news)).is_none());
    assert_eq!(said, "late\n");
}

#[test]
fn at_the_daemons_end_what_runs_is_killed_and_what_waits_forgotten() {
    let scene = Scene::new();
    let mut pipe = scene.pipe();
    scene.script("daemon", &format!("{OPEN_PIPE}sleep 20\necho late >&3"));
    scene.script("daemon.d/next", "");
    let mut hooks = scene.hooks();
    hooks.begin(Occasion::Shutdown);
    turn_until(&mut hooks, |_| scene.calls().len() == 2);
    hooks.abandon();
    assert!(hooks.is_idle());
    turn_until(&mut hooks, |_| pipe.is_deserted());
    assert_eq!(scene.calls(), ["daemon - shutdown - shutdown", "open"]);
}

#[test]
fn no_more_scripts_wait_than_may() {
    let scene = Scene::new();
    scene.script("daemon", "sleep 60");
    let mut hooks = scene.hooks();
    // The first one runs, and does not wait.
    for _ in 0..=HOOK_SCRIPT_COUNT_MAX {
        hooks.begin(Occasion::Reload);
    }
    assert_eq!(hooks.waiting.len(), HOOK_SCRIPT_COUNT_MAX);
    hooks.begin(Occasion::Reload);
    assert_eq!(hooks.waiting.len(), HOOK_SCRIPT_COUNT_MAX);
    hooks.abandon();
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Hook scripts: when and how they are called, and that they do not delay clients.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::client::RawClient;
use crate::support::command::{command, run};
use crate::support::daemon::{
    Daemon, PID_FILE, READ_ONLY_SOCKET, SOCKET, config_file, daemon_command, daemon_program,
};
use crate::support::namespace::{DIR, in_namespace, skip};
use crate::support::{assert_takes_less_than, eventually};

const HOOKS: &str = "/etc/libvirt/hooks";

/// Writes a hook that records its call and continues with `text`, if its directory can be created.
///
/// Another process writes it: children of other tests could inherit a descriptor that is open for
/// writing, and the kernel refuses to execute such a file.
pub(crate) fn script(name: &str, text: &str) -> bool {
    if !Path::new("/etc/libvirt").exists() {
        skip("there is no /etc/libvirt to lay a tmpfs over");
        return false;
    }
    let path = Path::new(HOOKS).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = format!("#!/bin/sh\necho \"${{0##*/}} $*\" >> {DIR}/record\n{text}\n");
    let mut writer = Command::new("sh");
    writer.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\""]).arg(path).arg(text);
    assert!(writer.status().unwrap().success());
    true
}

/// The calls recorded so far.
fn calls() -> Vec<String> {
    let text = fs::read_to_string(format!("{DIR}/record")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn wait_for_calls(want: &[&str]) {
    eventually(&format!("{want:?}"), || {
        let calls = calls();
        assert!(calls.len() <= want.len(), "{calls:?}");
        calls == want
    });
}

/// A piece of script that waits, on one occasion, for a file that the test creates.
fn waiting_on(occasion: &str) -> String {
    format!("[ $2 = {occasion} ] && until [ -e {DIR}/go ]; do sleep 0.01; done\n")
}

fn go() {
    fs::write(format!("{DIR}/go"), "").unwrap();
}

#[test]
fn a_hook_has_the_limit_of_open_files_that_the_daemon_was_started_with() {
    in_namespace(|| {
        if !script("daemon", &format!("ulimit -Sn > {DIR}/soft; ulimit -Hn > {DIR}/hard")) {
            return;
        }
        let mut limited = command("prlimit");
        let daemon = Daemon::start_with(limited.args(["--nofile=300:600", &daemon_program()]));
        let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
        let own = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let own: Vec<_> = own.split_whitespace().skip(3).take(2).collect();
        assert_eq!(own, ["600", "600"]);
        let of_hook = ["soft", "hard"].map(|name| fs::read_to_string(format!("{DIR}/{name}")));
        assert_eq!(of_hook.map(Result::unwrap), ["300\n", "600\n"]);
    });
}

#[test]
fn hooks_are_called_for_start_reload_and_shutdown_with_their_arguments() {
    in_namespace(|| {
        if !(script("daemon", "") && script("daemon.d/b", "") && script("daemon.d/a", "")) {
            return;
        }
        let daemon = Daemon::start();
        let mut want = vec!["daemon - start - start", "a - start - start", "b - start - start"];
        assert_eq!(calls(), want, "before a client is served");
        daemon.signal(libc::SIGHUP);
        let reload =
            ["daemon - reload begin SIGHUP", "a - reload begin SIGHUP", "b - reload begin SIGHUP"];
        want.extend(reload);
        wait_for_calls(&want);
        assert_eq!(RawClient::open().list_all(), ["lo"]);
        assert_eq!(daemon.stop().code(), Some(0));
        let shutdown =
            ["daemon - shutdown - shutdown", "a - shutdown - shutdown", "b - shutdown - shutdown"];
        want.extend(shutdown);
        assert_eq!(calls(), want);
    });
}

#[test]
fn a_hook_sees_only_the_variables_that_are_meant_for_it() {
    in_namespace(|| {
        let look = format!("[ $2 = start ] && cat /proc/$$/environ > {DIR}/environ");
        if !script("daemon", &look) {
            return;
        }
        let mut command = daemon_command();
        command.env_clear().env("LD_PRELOAD", "").env("LIBVIRT_DEBUG", "2").env("SECRET", "x");
        let variables = [("PATH", "/usr/bin:/bin"), ("HOME", "/root"), ("LC_ALL", "de_DE.UTF-8")];
        command.envs(variables).envs([("USER", "u"), ("LOGNAME", "l"), ("TMPDIR", "/tmp")]);
        let _daemon = Daemon::start_with(&mut command);
        let environ = fs::read_to_string(format!("{DIR}/environ")).unwrap();
        let mut seen: Vec<_> = environ.split_terminator('\0').collect();
        // An empty variable may or may not be passed on.
        seen.retain(|variable| *variable != "LD_PRELOAD=");
        seen.sort_unstable();
        let mut want = ["HOME=/root", "LC_ALL=C", "LOGNAME=l", "PATH=/usr/bin:/bin"].to_vec();
        want.extend(["TMPDIR=/tmp", "USER=u"]);
        assert_eq!(seen, want);
    });
}

#[test]
fn calls_are_answered_while_a_reload_hook_takes_its_time() {
    in_namespace(|| {
        if !script("daemon", &waiting_on("reload")) {
            return;
        }
        let mut daemon = Daemon::start();
        let mut client = RawClient::open();
        daemon.signal(libc::SIGHUP);
        wait_for_calls(&["daemon - start - start", "daemon - reload begin SIGHUP"]);
        assert_eq!(client.list_all(), ["lo"], "a client from before");
        assert_eq!(RawClient::open().list_all(), ["lo"], "a new one");
        go();
        assert!(daemon.is_running());
        assert_eq!(daemon.stop().code(), Some(0));
    });
}

#[test]
fn the_daemon_ends_when_its_shutdown_hook_has() {
    in_namespace(|| {
        if !script("daemon", &waiting_on("shutdown")) {
            return;
        }
        let mut daemon = Daemon::start();
        daemon.signal(libc::SIGTERM);
        wait_for_calls(&["daemon - start - start", "daemon - shutdown - shutdown"]);
        assert!(daemon.is_running());
        go();
        assert_eq!(daemon.wait().code(), Some(0));
    });
}

#[test]
fn a_hook_that_never_ends_is_killed_and_does_not_keep_the_daemon() {
    in_namespace(|| {
        // The hook's child must be killed too, or it would create the file.
        let hang = format!("[ $2 = shutdown ] && {{ (sleep 20; : > {DIR}/late) & wait; }}");
        if !(script("daemon", &hang) && script("daemon.d/next", "")) {
            return;
        }
        assert_takes_less_than(Duration::from_secs(5), || {
            let mut daemon = Daemon::start();
            let start = Instant::now();
            daemon.signal(libc::SIGTERM);
            assert_eq!(daemon.wait().code(), Some(0));
            let elapsed = start.elapsed();
            let log = daemon.stderr();
            let want = "hook killed because the daemon ends: /etc/libvirt/hooks/daemon - shutdown";
            assert!(log.contains(want), "{log}");
            elapsed
        });
        assert!(!Path::new(&format!("{DIR}/late")).exists());
    });
}

#[test]
fn a_reload_hook_that_hangs_does_not_keep_the_stops_hook_from_running() {
    in_namespace(|| {
        if !script("daemon", "[ $2 != reload ] || sleep 60") {
            return;
        }
        assert_takes_less_than(Duration::from_secs(3), || {
            // An earlier attempt may have recorded calls.
            let _ = fs::remove_file(format!("{DIR}/record"));
            let mut daemon = Daemon::start();
            daemon.signal(libc::SIGHUP);
            let calls = ["daemon - start - start", "daemon - reload begin SIGHUP"];
            wait_for_calls(&calls);
            let start = Instant::now();
            daemon.signal(libc::SIGTERM);
            assert_eq!(daemon.wait().code(), Some(0));
            let elapsed = start.elapsed();
            wait_for_calls(&[calls[0], calls[1], "daemon - shutdown - shutdown"]);
            elapsed
        });
    });
}

#[test]
fn a_hook_that_runs_keeps_a_daemon_without_clients() {
    in_namespace(|| {
        if !script("daemon", "[ $2 != reload ] || sleep 8") {
            return;
        }
        let mut daemon = Daemon::start_with(daemon_command().args(["-t", "3"]));
        daemon.signal(libc::SIGHUP);
        std::thread::sleep(Duration::from_secs(5));
        assert!(daemon.is_running(), "its time is over, but a hook runs");
        assert_eq!(daemon.wait().code(), Some(0));
    });
}

/// The process that waits for a daemon in the background learns the outcome.
#[test]
fn a_signal_during_the_start_hook_is_acted_on() {
    in_namespace(|| {
        if !script("daemon", &waiting_on("start")) {
            return;
        }
        let mut starter = daemon_command();
        let starter = starter.arg("-d").stderr(std::process::Stdio::piped()).spawn().unwrap();
        wait_for_calls(&["daemon - start - start"]);
        let pid = fs::read_to_string(PID_FILE).unwrap();
        run(command("kill").args(["-TERM", pid.trim()])).ok();
        let output = starter.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(words.contains("stopped before it was ready"), "{words}");
        eventually("its files are gone", || !Path::new(PID_FILE).exists());
    });
}

#[test]
fn a_hangup_during_the_start_hook_leads_to_a_reload_when_it_is_done() {
    in_namespace(|| {
        if !script("daemon", &waiting_on("start")) {
            return;
        }
        let file = config_file("");
        let mut daemon = Daemon::spawn(daemon_command().args(["-v", "-f", &file]));
        wait_for_calls(&["daemon - start - start"]);
        config_file("unix_sock_ro_perms = '0700'");
        daemon.signal(libc::SIGHUP);
        go();
        daemon.wait_for(SOCKET);
        eventually("a reload", || daemon.stderr().contains("configuration reloaded"));
        assert_eq!(crate::sockets::mode(READ_ONLY_SOCKET), 0o700);
        wait_for_calls(&["daemon - start - start", "daemon - reload begin SIGHUP"]);
    });
}

#[test]
fn a_hook_that_dies_is_logged_and_otherwise_ignored() {
    in_namespace(|| {
        if !(script("daemon", "exit 3") && script("daemon.d/a", "kill -9 $$")) {
            return;
        }
        script("daemon.d/b", "");
        let daemon = Daemon::start();
        let starts = ["daemon - start - start", "a - start - start", "b - start - start"];
        assert_eq!(calls(), starts);
        let log = daemon.stderr();
        for ending in ["daemon - start - start: exit status 3", "start: killed by signal 9"] {
            let line = log.lines().find(|line| line.ends_with(ending));
            let line = line.unwrap_or_else(|| panic!("{ending}: {log}"));
            assert!(line.contains("Hook script execution failed: "), "{line}");
        }
        assert_eq!(RawClient::open().list_all(), ["lo"]);
        assert_eq!(daemon.stop().code(), Some(0));
    });
}

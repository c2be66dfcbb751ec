// SPDX-License-Identifier: LGPL-2.1-or-later
//! A start by a supervisor that opens the sockets (sd_listen_fds(3)) and receives status
//! notifications (sd_notify(3)).

#![allow(unsafe_code, reason = "descriptors get their numbers by system calls")]

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::support::client::RawClient;
use crate::support::command::{Output, command, run};
use crate::support::daemon::{
    ADMIN_SOCKET, Background, Daemon, READ_ONLY_SOCKET, SOCKET, config_file, daemon_command,
    daemon_program,
};
use crate::support::namespace::{DIR, in_namespace, is_installed};
use crate::support::wire::{Arg, procedure};
use crate::support::{PATIENCE, eventually};

const ACTIVATOR: &str = "/usr/bin/systemd-socket-activate";

/// The number of the first passed descriptor.
const FIRST: RawFd = 3;

/// The daemon's command, with these descriptors passed to it. A shell sets its variables, as the
/// daemon keeps the shell's process number.
fn activated(fds: Vec<OwnedFd>, names: Option<&str>) -> Command {
    let count = fds.len().to_string();
    let mut command = passing(fds, "LISTEN_PID=$$ exec \"$0\" \"$@\"");
    command.env("LISTEN_FDS", count);
    if let Some(names) = names {
        command.env("LISTEN_FDNAMES", names);
    }
    command
}

/// A command that passes these descriptors to a shell script, which starts the daemon.
fn passing(fds: Vec<OwnedFd>, script: &str) -> Command {
    let mut command = command("sh");
    command.args(["-c", script, &daemon_program()]);
    // Moved away from the numbers that the passed copies will get.
    let aside: Vec<_> = fds.iter().map(move_aside).collect();
    let pass = move || {
        for (fd, number) in aside.iter().zip(FIRST..) {
            // SAFETY: dup2 takes integers; the first descriptor is owned, so open.
            if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec, dup2 may be called, and no memory is asked for.
    unsafe { command.pre_exec(pass) };
    command
}

fn move_aside(fd: &OwnedFd) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: F_DUPFD_CLOEXEC takes integers; the descriptor is owned, so open.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 200) };
    assert!(copy >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel has just created this descriptor, and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(copy) }
}

fn listen(path: &str) -> OwnedFd {
    fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    let _ = fs::remove_file(path);
    UnixListener::bind(path).unwrap().into()
}

/// Which socket a path leads to, as shown by its answers.
fn kind(path: &str) -> &'static str {
    const ADMIN_ONLY: u32 = 39;
    const FORBIDDEN: u32 = 29;
    const INTERFACE_DEFINE_XML: i32 = 131;

    let mut client = RawClient::connect_to(path).unwrap();
    let greeting = client.call(procedure::AUTH_LIST, &[]);
    if greeting.head.status != 0 {
        assert_eq!(greeting.fault().code, ADMIN_ONLY);
        return "admin";
    }
    client.call_open();
    let change = [Arg::Text("<interface/>"), Arg::Word(0)];
    match client.call(INTERFACE_DEFINE_XML, &change).fault().code {
        FORBIDDEN => "ro",
        _ => "rw",
    }
}

fn assert_no_own_sockets() {
    for path in [SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET] {
        assert!(!Path::new(path).exists(), "{path}");
    }
}

#[test]
fn sockets_are_known_by_name_in_any_order_and_several_of_one_name_are_all_served() {
    in_namespace(|| {
        let paths = ["a", "b", "c", "d"].map(|name| format!("{DIR}/{name}"));
        let fds = paths.iter().map(|path| listen(path)).collect();
        let names = "virtinterfaced-ro.socket:virtinterfaced.socket:\
            virtinterfaced-admin.socket:virtinterfaced.socket";
        let mut daemon = Daemon::spawn(&mut activated(fds, Some(names)));
        paths.iter().for_each(|path| daemon.wait_for(path));
        assert_eq!(paths.each_ref().map(|path| kind(path)), ["ro", "rw", "admin", "rw"]);
        assert_no_own_sockets();
    });
}

#[test]
fn only_what_is_passed_is_served_and_none_of_it_is_changed_or_removed() {
    in_namespace(|| {
        let path = format!("{DIR}/given");
        let fds = vec![listen(&path)];
        fs::set_permissions(&path, fs::Permissions::from_mode(0o751)).unwrap();
        let config = config_file("unix_sock_rw_perms = '0777'\nunix_sock_group = '4321'\n");
        let mut command = activated(fds, Some("virtinterfaced.socket"));
        let mut daemon = Daemon::spawn(command.args(["-f", &config]));
        daemon.wait_for(&path);
        assert_no_own_sockets();
        daemon.signal(libc::SIGHUP);
        assert_eq!(
            RawClient::connect_to(&path).map(|mut client| client.call_open()).ok(),
            Some(())
        );
        // The command's own copies would keep the socket open.
        drop(command);
        assert_eq!(daemon.stop().code(), Some(0));
        let there = fs::metadata(&path).unwrap();
        assert_eq!((there.mode() & 0o777, there.gid()), (0o751, 0));
        // Programs that other tests have just forked may hold it for a moment.
        eventually("no process holds the socket", || UnixStream::connect(&path).is_err());
    });
}

#[test]
fn sockets_without_names_are_known_by_their_paths() {
    in_namespace(|| {
        let dir = format!("{DIR}/sockets");
        let file_names =
            ["virtinterfaced-admin-sock", "virtinterfaced-sock-ro", "virtinterfaced-sock"];
        for names in [None, Some("virtinterfaced.socket"), Some("a:b:c:d")] {
            let paths = file_names.map(|name| format!("{dir}/{name}"));
            let fds = paths.iter().map(|path| listen(path)).collect();
            let mut daemon = Daemon::spawn(&mut activated(fds, names));
            paths.iter().for_each(|path| daemon.wait_for(path));
            let kinds = paths.each_ref().map(|path| kind(path));
            assert_eq!(kinds, ["admin", "ro", "rw"], "{names:?}");
            assert_eq!(daemon.stop().code(), Some(0));
        }
    });
}

/// Runs the daemon to its end with one good descriptor and then `fd`.
fn refused(fd: OwnedFd, name: &str) -> Output {
    let fds = vec![listen(&format!("{DIR}/good")), fd];
    run(&mut activated(fds, Some(&format!("virtinterfaced.socket:{name}"))))
}

#[test]
fn anything_but_a_listening_unix_stream_socket_ends_the_start() {
    in_namespace(|| {
        let stream: OwnedFd = UnixStream::pair().unwrap().0.into();
        let cases: [(&str, OwnedFd); 5] = [
            ("not a Unix socket", TcpListener::bind("127.0.0.1:0").unwrap().into()),
            ("not a stream socket", UnixDatagram::bind(format!("{DIR}/dgram")).unwrap().into()),
            ("not a socket", File::create(format!("{DIR}/file")).unwrap().into()),
            ("not a socket", File::open("/dev/null").unwrap().into()),
            ("does not listen", stream),
        ];
        for (want, fd) in cases {
            let output = refused(fd, "virtinterfaced-ro.socket");
            assert_eq!(output.status.code(), Some(6), "{output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            let what = format!("descriptor 4 (\"virtinterfaced-ro.socket\"): {want}\n");
            assert!(output.stderr.ends_with(&what), "{output:?}");
            assert!(Path::new(DIR).join("good").exists());
            assert_no_own_sockets();
        }
    });
}

/// The variables name the started process, but the daemon in the background is another one.
#[test]
fn a_daemon_in_the_background_serves_what_its_starter_was_passed() {
    in_namespace(|| {
        let path = format!("{DIR}/given");
        let mut command = activated(vec![listen(&path)], Some("virtinterfaced.socket"));
        let daemon = Background::start_with(command.arg("-d"));
        assert_eq!(kind(&path), "rw");
        assert_no_own_sockets();
        daemon.stop();
        assert!(Path::new(&path).exists());
    });
}

#[test]
fn a_descriptor_that_is_not_open_ends_the_start() {
    in_namespace(|| {
        let names = "virtinterfaced.socket:virtinterfaced-ro.socket";
        let mut command = activated(vec![listen(&format!("{DIR}/good"))], Some(names));
        let output = run(command.env("LISTEN_FDS", "2"));
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        assert!(output.stderr.contains("descriptor 4"), "{output:?}");
        assert!(output.stderr.ends_with(": Bad file descriptor\n"), "{output:?}");
    });
}

#[test]
fn an_unclaimed_socket_ends_the_start() {
    in_namespace(|| {
        let unclaimed = "Some activation file descriptors are unclaimed";
        let named = refused(listen(&format!("{DIR}/x")), "virtnetworkd.socket");
        let unnamed = run(&mut activated(vec![listen(&format!("{DIR}/x"))], None));
        for (output, which) in [(named, "\"virtnetworkd.socket\""), (unnamed, "/run/test/x")] {
            assert_eq!(output.status.code(), Some(6), "{output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            assert!(output.stderr.contains(unclaimed), "{output:?}");
            assert!(output.stderr.contains(which), "{output:?}");
        }
    });
}

#[test]
fn variables_that_are_meant_for_another_process_or_say_nothing_change_nothing() {
    in_namespace(|| {
        let ours = "LISTEN_PID=$$ exec \"$0\" \"$@\"";
        for (script, count) in [
            ("LISTEN_PID=1 exec \"$0\" \"$@\"", "1"),
            ("LISTEN_PID=x exec \"$0\" \"$@\"", "1"),
            ("exec \"$0\" \"$@\"", "1"),
            (ours, "0"),
            (ours, "many"),
        ] {
            let mut command = passing(vec![listen(&format!("{DIR}/given"))], script);
            command.env("LISTEN_FDS", count).env("LISTEN_FDNAMES", "virtinterfaced.socket");
            let daemon = Daemon::start_with(&mut command);
            assert_eq!(kind(SOCKET), "rw", "{script} {count}");
            assert_eq!(daemon.stderr(), "", "{script} {count}");
            assert_eq!(daemon.stop().code(), Some(0));
        }
    });
}

#[test]
fn the_first_client_wakes_a_daemon_that_systemds_activator_starts() {
    in_namespace(|| {
        if !is_installed(ACTIVATOR) {
            return;
        }
        let [rw, admin] = ["rw", "admin"].map(|name| format!("{DIR}/{name}"));
        let names = "--fdname=virtinterfaced.socket:virtinterfaced-admin.socket";
        let mut activator = command(ACTIVATOR);
        activator.args(["-l", &rw, "-l", &admin, names, &daemon_program()]);
        let mut daemon = Daemon::spawn(&mut activator);
        daemon.wait_for(&rw);
        assert_eq!([&rw, &admin].map(|path| kind(path)), ["rw", "admin"]);
        assert_no_own_sockets();
        assert_eq!(daemon.stop().code(), Some(0));
        assert!(Path::new(&rw).exists() && Path::new(&admin).exists());
    });
}

#[test]
fn no_descriptor_that_was_passed_in_reaches_what_the_daemon_starts() {
    in_namespace(|| {
        let look = format!("[ $2 = start ] && ls /proc/$$/fd > {DIR}/fds");
        if !crate::hooks::script("daemon", &look) {
            return;
        }
        let path = format!("{DIR}/given");
        let mut command = activated(vec![listen(&path)], Some("virtinterfaced.socket"));
        Daemon::spawn(&mut command).wait_for(&path);
        let fds = fs::read_to_string(format!("{DIR}/fds")).unwrap();
        let socket_numbers: Vec<_> = fds.lines().filter(|fd| *fd == "3").collect();
        assert_eq!(socket_numbers, [""; 0], "{fds}");
    });
}

/// A socket that receives the daemon's notifications.
fn ear(address: &SocketAddr) -> UnixDatagram {
    let ear = UnixDatagram::bind_addr(address).unwrap();
    ear.set_read_timeout(Some(PATIENCE)).unwrap();
    ear
}

/// The next notification.
fn note(ear: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let len = ear.recv(&mut buffer).expect("a note");
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

/// Checks the next two notifications.
#[track_caller]
fn hear(ear: &UnixDatagram, notes: [&str; 2]) {
    assert_eq!([note(ear), note(ear)], notes);
}

#[test]
fn the_supervisor_is_notified_of_start_reload_and_stop() {
    in_namespace(|| {
        let path = format!("{DIR}/notify");
        for (value, address) in [
            (path.clone(), SocketAddr::from_pathname(&path).unwrap()),
            ("@notify".to_owned(), SocketAddr::from_abstract_name("notify").unwrap()),
        ] {
            let ear = ear(&address);
            let file = config_file("");
            let mut command = daemon_command();
            let command = command.args(["-f", &file]).env("NOTIFY_SOCKET", &value);
            let daemon = Daemon::spawn(command);
            hear(&ear, ["READY=1", "STATUS=serving"]);
            // A daemon that has reported its readiness answers.
            assert_eq!(RawClient::open().list_all(), ["lo"], "{value}");
            for (text, status) in [
                ("", "STATUS=serving"),
                ("rubbish", "STATUS=serving; the configuration was refused, see the log"),
            ] {
                config_file(text);
                daemon.signal(libc::SIGHUP);
                let reloading = note(&ear);
                let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
                assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{reloading:?}");
                hear(&ear, ["READY=1", status]);
            }
            assert_eq!(daemon.stop().code(), Some(0));
            hear(&ear, ["STOPPING=1", "STATUS=stopping"]);
        }
    });
}

#[test]
fn a_supervisor_that_does_not_listen_is_no_hindrance() {
    in_namespace(|| {
        for address in ["/run/nosuch/notify", "@nobody", "relative", "/"] {
            let daemon = Daemon::start_with(daemon_command().env("NOTIFY_SOCKET", address));
            assert_eq!(kind(SOCKET), "rw", "{address}");
            assert_eq!(daemon.stop().code(), Some(0), "{address}");
        }
    });
}

#[test]
fn descriptors_of_the_starter_are_closed_and_those_of_a_supervisor_are_kept() {
    in_namespace(|| {
        let theirs = || OwnedFd::from(File::open("/etc/passwd").unwrap());
        let has_theirs = |daemon: &Daemon| {
            let fds = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
            let mut files = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
            files.any(|file| file == Path::new("/etc/passwd"))
        };
        let plain = Daemon::start_with(&mut passing(vec![theirs(), theirs()], "exec \"$0\""));
        assert!(!has_theirs(&plain));
        plain.stop();

        let path = format!("{DIR}/socket");
        let mut command =
            passing(vec![listen(&path), theirs()], "LISTEN_PID=$$ exec \"$0\" \"$@\"");
        command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "virtinterfaced.socket");
        let mut supervised = Daemon::spawn(&mut command);
        supervised.wait_for(&path);
        assert!(!has_theirs(&supervised));
        assert_eq!(supervised.stop().code(), Some(0));
    });
}

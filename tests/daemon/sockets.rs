// SPDX-License-Identifier: LGPL-2.1-or-later
//! The sockets: their owner and mode from the first moment, and the treatment of existing files at
//! their paths.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::RawClient;
use crate::support::daemon::{
    ADMIN_SOCKET, Daemon, READ_ONLY_SOCKET, SOCKET, config_file, daemon_command, run_daemon,
};
use crate::support::namespace::in_namespace;
use crate::support::peer::as_user;
use crate::support::wire::procedure;
use crate::support::{StopOnDrop, eventually};

const SOCKETS: [&str; 3] = [SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET];

/// A user other than root.
const NOBODY: u32 = 65_534;

/// A path's permission bits.
pub(crate) fn mode(path: &str) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn modes() -> [u32; 3] {
    SOCKETS.map(mode)
}

fn groups() -> [u32; 3] {
    SOCKETS.map(|path| fs::symlink_metadata(path).unwrap().gid())
}

/// The name and number of some group of the host other than root's.
fn some_group() -> (String, u32) {
    let text = fs::read_to_string("/etc/group").unwrap();
    let group: Vec<_> = text.lines().next_back().unwrap().split(':').collect();
    (group[0].to_owned(), group[2].parse().unwrap())
}

#[test]
fn modes_and_group_are_as_configured() {
    in_namespace(|| {
        let (name, gid) = some_group();
        let cases = [
            ("the defaults", String::new(), [0o700, 0o777, 0o700], 0),
            (
                "all three",
                "unix_sock_rw_perms='0770'\nunix_sock_ro_perms='0740'\n\
                 unix_sock_admin_perms='0600'\n"
                    .to_owned(),
                [0o770, 0o740, 0o600],
                0,
            ),
            ("a group", format!("unix_sock_group = '{name}'"), [0o700, 0o777, 0o700], gid),
            (
                "a group's number",
                "unix_sock_group = '4321'".to_owned(),
                [0o700, 0o777, 0o700],
                4321,
            ),
            ("no authentication", "auth_unix_rw = 'none'".to_owned(), [0o700, 0o777, 0o700], 0),
        ];
        for (label, text, want_modes, want_group) in cases {
            let daemon = Daemon::configured(&text);
            assert_eq!(modes(), want_modes, "{label}");
            assert_eq!(groups(), [want_group; 3], "{label}");
            assert_eq!(daemon.stop().code(), Some(0), "{label}");
        }
    });
}

#[test]
fn at_no_moment_is_a_socket_open_to_more_than_it_will_be() {
    const GROUP: u32 = 4321;
    const CONFIG: &str = "unix_sock_group = '4321'\nunix_sock_rw_perms = '0770'\n\
        unix_sock_ro_perms = '0700'\nunix_sock_admin_perms = '0700'\n";
    in_namespace(|| {
        let stop = AtomicBool::new(false);
        let watch = |path: &'static str, allowed: u32| {
            let mut look_count = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let Ok(seen) = fs::symlink_metadata(path) else { continue };
                look_count += 1;
                let mode = seen.mode() & 0o777;
                assert_eq!(mode & !allowed, 0, "{path} had mode {mode:o}");
                let for_group = mode & 0o070 != 0;
                assert!(!for_group || seen.gid() == GROUP, "{path} was open to {}", seen.gid());
            }
            look_count
        };
        thread::scope(|scope| {
            let stop = StopOnDrop(&stop);
            let rw = scope.spawn(|| watch(SOCKET, 0o770));
            let ro = scope.spawn(|| watch(READ_ONLY_SOCKET, 0o700));
            for _ in 0..50 {
                Daemon::configured(CONFIG).stop();
            }
            drop(stop);
            assert!(rw.join().unwrap() > 0 && ro.join().unwrap() > 0, "the sockets were seen");
        });
    });
}

#[test]
fn the_sockets_folder_can_be_chosen() {
    in_namespace(|| {
        fs::create_dir("/run/test/sockets").unwrap();
        let file = config_file("unix_sock_dir = '/run/test/sockets'");
        let mut daemon = Daemon::spawn(daemon_command().args(["-f", &file]));
        daemon.wait_for("/run/test/sockets/virtinterfaced-sock");
        let names = ["virtinterfaced-admin-sock", "virtinterfaced-sock", "virtinterfaced-sock-ro"];
        assert_eq!(file_names("/run/test/sockets"), names);
        assert_eq!(SOCKETS.map(|path| Path::new(path).exists()), [false; 3]);
        daemon.stop();
        assert_eq!(file_names("/run/test/sockets"), [""; 0]);
    });
}

#[test]
fn a_sockets_folder_that_other_users_can_change_is_refused() {
    in_namespace(|| {
        const DIR: &str = "/run/test/sockets/below";
        fs::create_dir_all(DIR).unwrap();
        let parent = Path::new(DIR).parent().unwrap().to_str().unwrap();
        let refused_for = |shared: &str, owner: u32, mode: u32| {
            fs::set_permissions(shared, Permissions::from_mode(mode)).unwrap();
            chown(shared, Some(owner), Some(owner)).unwrap();
            let file = config_file(&format!("unix_sock_dir = '{DIR}'"));
            let output = run_daemon(&["-f", &file]);
            let want = format!(
                "virtinterfaced: {file}: unix_sock_dir: other users can write to {shared}; \
                 use a folder that only the daemon's user can change\n"
            );
            assert_eq!((output.stderr, output.status.code()), (want, Some(6)), "{shared} {mode:o}");
            chown(shared, Some(0), Some(0)).unwrap();
            fs::set_permissions(shared, Permissions::from_mode(0o755)).unwrap();
        };
        for shared in [DIR, parent] {
            refused_for(shared, 0, 0o777);
            refused_for(shared, NOBODY, 0o755);
        }
        refused_for(DIR, 0, 0o1777);
        let file = config_file(&format!("unix_sock_dir = '{DIR}'"));
        let mut daemon = Daemon::spawn(daemon_command().args(["-f", &file]));
        daemon.wait_for(format!("{DIR}/virtinterfaced-sock"));
    });
}

#[test]
fn a_link_in_place_of_a_socket_is_left_alone_at_a_reload() {
    in_namespace(|| {
        let daemon = Daemon::configured("");
        fs::write("/run/test/precious", "precious").unwrap();
        fs::set_permissions("/run/test/precious", Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(READ_ONLY_SOCKET).unwrap();
        symlink("/run/test/precious", READ_ONLY_SOCKET).unwrap();
        daemon.signal(libc::SIGHUP);
        eventually("the reload", || daemon.stderr().contains("was replaced by another process"));
        assert_eq!(mode("/run/test/precious"), 0o600);
    });
}

fn file_names(dir: &str) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

#[test]
fn a_killed_daemons_sockets_are_replaced() {
    in_namespace(|| {
        for _ in 0..3 {
            Daemon::start().kill();
            assert_eq!(SOCKETS.map(|path| Path::new(path).exists()), [true; 3]);
        }
        let daemon = Daemon::start();
        assert_eq!(RawClient::open().list_all(), ["lo"]);
        assert_eq!(daemon.stop().code(), Some(0));
        assert_eq!(SOCKETS.map(|path| Path::new(path).exists()), [false; 3]);
    });
}

#[test]
fn a_living_daemons_socket_is_never_stolen() {
    in_namespace(|| {
        let mut first = Daemon::start();
        for arguments in [&[][..], &["-p", "/run/test/other.pid"]] {
            let output = run_daemon(arguments);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let holder = format!("is held by process {}: already running\n", first.pid());
            assert!(output.stderr.ends_with(&holder), "{output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            assert!(!Path::new("/run/test/other.pid").exists(), "{arguments:?}");
        }
        assert!(first.is_running());
        for path in SOCKETS {
            RawClient::connect_to(path).unwrap().call(procedure::AUTH_LIST, &[]);
        }
    });
}

#[test]
fn a_socket_on_which_another_program_listens_is_left_to_it() {
    in_namespace(|| {
        fs::create_dir("/run/libvirt").unwrap();
        let _other = UnixListener::bind(READ_ONLY_SOCKET).unwrap();
        let output = run_daemon(&[]);
        assert_eq!(output.status.code(), Some(6));
        let want = format!(
            "virtinterfaced: {READ_ONLY_SOCKET}: another daemon listens there; stop it first\n"
        );
        assert_eq!(output.stderr, want);
        assert!(Path::new(READ_ONLY_SOCKET).exists());
        assert!(!Path::new(SOCKET).exists(), "what was made is removed again");
    });
}

#[test]
fn a_file_that_is_not_a_socket_is_never_removed() {
    in_namespace(|| {
        fs::create_dir("/run/libvirt").unwrap();
        fs::write(SOCKET, "precious").unwrap();
        let output = run_daemon(&[]);
        assert_eq!(output.status.code(), Some(6));
        let want =
            format!("virtinterfaced: {SOCKET} exists and is not a socket; remove it first\n");
        assert_eq!(output.stderr, want);
        assert_eq!(fs::read_to_string(SOCKET).unwrap(), "precious");
    });
}

#[test]
fn a_socket_that_others_put_in_place_of_ours_is_left_to_them() {
    in_namespace(|| {
        let daemon = Daemon::start();
        fs::remove_file(SOCKET).unwrap();
        let _other = UnixListener::bind(SOCKET).unwrap();
        assert_eq!(daemon.stop().code(), Some(0));
        assert!(fs::symlink_metadata(SOCKET).unwrap().file_type().is_socket());
    });
}

#[test]
fn modes_decide_about_access_and_for_admins_the_user_too() {
    in_namespace(|| {
        let _daemon = Daemon::configured("unix_sock_admin_perms = '0777'");
        as_user(NOBODY, || {
            let refused = RawClient::connect_to(SOCKET).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
            let mut reader = RawClient::connect_to(READ_ONLY_SOCKET).unwrap();
            reader.call_open();
            assert_eq!(reader.list_all(), ["lo"]);
            let mut admin = RawClient::connect_to(ADMIN_SOCKET).unwrap();
            assert_eq!(admin.receive(), None, "closed without a word");
        });
        let mut admin = RawClient::connect_to(ADMIN_SOCKET).unwrap();
        let fault = admin.call(procedure::AUTH_LIST, &[]).fault();
        assert_eq!((fault.code, fault.domain), (39, 7), "root is answered");
    });
}

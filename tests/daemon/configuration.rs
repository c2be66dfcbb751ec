// SPDX-License-Identifier: LGPL-2.1-or-later
//! The configuration file: a wrong one is refused with one line that names the place.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::sockets;
use crate::support::command::{command, run};
use crate::support::daemon::{
    Daemon, READ_ONLY_SOCKET, SOCKET, config_file, daemon_command, run_daemon,
};
use crate::support::eventually;
use crate::support::namespace::{DIR, in_namespace, skip};

/// A file, the daemon's exit status, and its message after the file's name.
pub(crate) struct Case(pub(crate) &'static str, i32, pub(crate) &'static str);

pub(crate) const WRONG_FILES: [Case; 19] = [
    Case("max_clients 5", 1, ":1:13: expected '=' after the name"),
    Case("\n\nlog_outputs = \"x\n", 1, ":3:15: this string has no closing quote"),
    Case("max_clients = 99999999999999999999", 1, ":1:15: this integer is over 64 bits"),
    Case("# first\nmax_clients = '5'", 1, ":2:15: max_clients: expected an unsigned integer"),
    Case("max_clients = 4294967296", 1, ":1:15: max_clients: expected 0 to 4294967295"),
    Case("keepalive_interval = '5'", 1, ":1:22: keepalive_interval: expected an integer"),
    Case("unix_sock_group = 5", 1, ":1:19: unix_sock_group: expected a string"),
    Case("access_drivers = 'none'", 1, ":1:18: access_drivers: expected a list of strings"),
    Case("audit_logging = 2", 1, ":1:17: audit_logging: expected 0 to 1"),
    Case("log_level = 9", 1, ":1:13: log_level: expected 0 to 4"),
    Case("max_workers = 0", 1, ":1:15: max_workers: expected 1 to 4294967295"),
    Case("auth_unix_rw = 'x'", 1, ":1:16: auth_unix_rw: \"x\" is none of none, sasl, polkit"),
    Case("access_drivers = ['x']", 1, ":1:18: access_drivers: \"x\" is none of none, polkit"),
    Case("host_uuid = 'x'", 1, ":1:13: host_uuid: expected a UUID of 32 hexadecimal digits"),
    Case("unix_sock_dir = 'x'", 1, ":1:17: unix_sock_dir: \"x\" is not an absolute path"),
    Case(
        "max_clients = 5",
        3,
        ":1:15: max_clients: 20 clients may wait for authentication, but only 5 connect",
    ),
    Case(
        "max_clients = 5\nmax_anonymous_clients = 6",
        3,
        ":2:25: max_anonymous_clients: \
         6 clients may wait for authentication, but only 5 connect",
    ),
    Case(
        "unix_sock_rw_perms = '999'",
        6,
        ":1:22: unix_sock_rw_perms: \"999\" is not an octal mode up to 0777",
    ),
    Case("unix_sock_group = ''", 6, ":1:19: unix_sock_group: a group's name cannot be empty"),
];

#[test]
fn a_wrong_file_ends_the_start_with_its_place_and_libvirts_status() {
    in_namespace(|| {
        for Case(text, status, want) in WRONG_FILES {
            let file = config_file(text);
            let output = run_daemon(&["-f", &file]);
            assert_eq!(output.stderr, format!("virtinterfaced: {file}{want}\n"), "{text}");
            assert_eq!(output.status.code(), Some(status), "{text}");
            assert!(!Path::new(SOCKET).exists(), "{text}");
        }
    });
}

/// Settings that require an access control which this release lacks.
pub(crate) const GUARDS: [Case; 4] = [
    Case("auth_unix_rw = 'polkit'", 1, "auth_unix_rw: \"polkit\" is not available"),
    Case("auth_unix_rw = 'sasl'", 1, "auth_unix_rw: \"sasl\" is not available"),
    Case("auth_unix_ro = 'polkit'", 1, "auth_unix_ro: \"polkit\" is not available"),
    Case("access_drivers = ['polkit']", 1, "access_drivers: \"polkit\" is not available"),
];

#[test]
fn an_access_control_that_this_release_lacks_is_refused() {
    in_namespace(|| {
        for Case(text, status, want) in GUARDS {
            let file = config_file(text);
            let output = run_daemon(&["-f", &file]);
            let line = format!("virtinterfaced: {file}: {want} in this release\n");
            assert_eq!((output.stderr, output.status.code()), (line, Some(status)), "{text}");
        }
    });
}

#[test]
fn an_unknown_key_is_warned_of_and_a_key_that_is_set_twice_counts_once() {
    in_namespace(|| {
        let text = "unix_sock_ro_perms = '0700'\nlisten_tls = 1\nunix_sock_ro_perms = '0777'\n";
        let daemon = Daemon::configured(text);
        let file = "/run/test/virtinterfaced.conf";
        let log = daemon.stderr();
        for want in [
            format!("{file}:2:1: listen_tls: unknown key, ignored"),
            format!("{file}:3:1: unix_sock_ro_perms: already set in line 1, ignored"),
        ] {
            let is_it = |line: &&str| line.contains(": warning : ") && line.ends_with(&want);
            assert_eq!(log.lines().filter(is_it).count(), 1, "{want}: {log}");
        }
        assert_eq!(sockets::mode(READ_ONLY_SOCKET), 0o700);
    });
}

#[test]
fn without_any_file_the_daemon_starts_quietly() {
    in_namespace(|| {
        let daemon = Daemon::start();
        assert_eq!(daemon.stderr(), "");
    });
}

#[test]
fn a_group_or_folder_that_does_not_exist_ends_the_start_with_status_6() {
    in_namespace(|| {
        for (text, words) in [
            ("unix_sock_group = 'no such group'", [".conf: unix_sock_group:", "'no such group'"]),
            ("unix_sock_dir = '/run/nosuch'", ["cannot look at /run/nosuch: ", "No such file"]),
        ] {
            let output = run_daemon(&["-f", &config_file(text)]);
            assert_eq!(output.status.code(), Some(6), "{output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            assert!(words.iter().all(|word| output.stderr.contains(word)), "{output:?}");
        }
    });
}

#[test]
fn a_host_that_is_to_have_a_machine_id_has_one_or_the_start_ends() {
    const MACHINE_ID: &str = "/etc/machine-id";
    const FROM_MACHINE_ID: &str = "host_uuid_source = 'machine-id'\n";
    in_namespace(|| {
        if !Path::new(MACHINE_ID).exists() {
            return skip("the host has no /etc/machine-id to put another one over");
        }
        let ours = format!("{DIR}/machine-id");
        fs::write(&ours, "").unwrap();
        run(command("mount").args(["--bind", &ours, MACHINE_ID])).ok();
        for (id, words) in [
            ("rubbish", "expected a UUID"),
            ("", "expected a UUID"),
            ("00000000000000000000000000000000", "equal digits"),
        ] {
            fs::write(&ours, id).unwrap();
            let output = run_daemon(&["-f", &config_file(FROM_MACHINE_ID)]);
            assert_eq!(output.status.code(), Some(1), "{id}: {output:?}");
            let line = output.stderr.trim_end();
            assert!(line.contains(MACHINE_ID) && line.contains(words), "{id}: {line}");
            assert_eq!(line.lines().count(), 1, "{id}: {line}");
        }
        // An explicit UUID has precedence, and so has the default source.
        let own = "host_uuid = 'c7a5fdbd-edaf-4455-926a-d65c16db1809'\n";
        for text in ["", &format!("{FROM_MACHINE_ID}{own}")] {
            assert_eq!(Daemon::configured(text).stop().code(), Some(0), "{text}");
        }
        // A running daemon refuses a file that the next start would refuse.
        let daemon = Daemon::configured("");
        fs::write(&ours, "").unwrap();
        config_file(FROM_MACHINE_ID);
        daemon.signal(libc::SIGHUP);
        eventually("a refusal", || daemon.stderr().contains("are unchanged"));
        assert!(daemon.stderr().contains("host_uuid_source: "), "{}", daemon.stderr());
        assert_eq!(daemon.stop().code(), Some(0));
        fs::write(&ours, "c7a5fdbdedaf4455926ad65c16db1809\n").unwrap();
        assert_eq!(Daemon::configured(FROM_MACHINE_ID).stop().code(), Some(0));
    });
}

#[test]
fn an_audit_system_that_is_required_is_there_or_the_start_ends_with_status_10() {
    in_namespace(|| {
        let required = config_file("audit_level = 2");
        let mut without = daemon_command();
        let output = run(without_audit(&mut without).args(["-f", &required]));
        assert_eq!(output.status.code(), Some(10), "{output:?}");
        assert!(output.stderr.contains("audit_level is 2"), "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        for level in ["0", "1"] {
            let file = config_file(&format!("audit_level = {level}"));
            let mut without = daemon_command();
            let daemon = Daemon::start_with(without_audit(&mut without).args(["-f", &file]));
            assert_eq!(daemon.stop().code(), Some(0), "{level}");
        }
        if kernel_has_audit() {
            let daemon = Daemon::configured("audit_level = 2");
            assert_eq!(daemon.stop().code(), Some(0));
        }
    });
}

/// Whether the kernel has an audit system: its list of netlink sockets then contains one of the
/// protocol NETLINK_AUDIT.
fn kernel_has_audit() -> bool {
    let text = fs::read_to_string("/proc/net/netlink").unwrap();
    text.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let audit = libc::NETLINK_AUDIT.to_string();
        (fields.next(), fields.next()) == (Some(audit.as_str()), Some("0"))
    })
}

/// Has the daemon run as on a kernel without an audit system: a filter of system calls (seccomp(2))
/// refuses its sockets.
#[allow(unsafe_code, reason = "the filter is set between fork and exec")]
fn without_audit(command: &mut Command) -> &mut Command {
    // The offsets of the system call's number and the low half of its third argument in `struct
    // seccomp_data`.
    const NUMBER_AT: u32 = 0;
    const PROTOCOL_AT: u32 = if cfg!(target_endian = "little") { 32 } else { 36 };
    let number = |number: libc::c_long| u32::try_from(number).unwrap();
    let refuse = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPROTONOSUPPORT).unwrap();
    let audit = u32::try_from(libc::NETLINK_AUDIT).unwrap();
    let load = |at| filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, at);
    let skip_unless_equal =
        |value, count| filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, count, value);
    let answer = |value| filter(libc::BPF_RET | libc::BPF_K, 0, value);
    let mut program = [
        load(NUMBER_AT),
        skip_unless_equal(number(libc::SYS_socket), 3),
        load(PROTOCOL_AT),
        skip_unless_equal(audit, 1),
        answer(refuse),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let set = move || {
        let program = libc::sock_fprog { len: 6, filter: program.as_mut_ptr() };
        let (yes, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
        // SAFETY: prctl takes integers here.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, none, none, none) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
        // SAFETY: the program is a live local that points to six live instructions.
        match unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec, prctl may be called, and no memory is asked for.
    unsafe { command.pre_exec(set) }
}

fn filter(code: u32, skip_unless: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf: skip_unless, k }
}

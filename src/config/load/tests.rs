// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests from text to settings, and of the shipped file.

use std::time::Duration;

use super::*;
use crate::config::choice::{
    AccessDriver, AuditLevel, AuthScheme, BackendChoice, DhcpClient, UuidSource,
};
use crate::config::logging_spec::{LogLevel, parse_filters, parse_outputs};
use crate::config::settings::{SocketMode, Unavailable};
use crate::config::uuid::Uuid;
use crate::model::client::Privilege;

const SHIPPED: &str = include_str!("../../../etc/virtinterfaced.conf");

/// The settings of a valid file without warnings.
fn settings(text: &str) -> Settings {
    let (settings, warnings) = Settings::parse(text, Privilege::System).unwrap();
    assert_eq!(warnings, [], "{text}");
    settings
}

/// The defaults, modified by `change`.
fn defaults_with(change: impl Fn(&mut Settings)) -> Settings {
    let mut settings = Settings::defaults(Privilege::System);
    change(&mut settings);
    settings
}

/// The message for an invalid file.
fn refusal(text: &str) -> String {
    Settings::parse(text, Privilege::System).unwrap_err().to_string()
}

fn mode(text: &str) -> SocketMode {
    SocketMode::parse(text).unwrap()
}

#[test]
fn no_prefix_of_a_file_makes_parse_panic() {
    let keys = SHIPPED.lines().filter_map(|line| line.strip_prefix('#'));
    let keys: Vec<_> = keys.filter(|line| line.starts_with(|c: char| c.is_lowercase())).collect();
    assert!(keys.len() > 30, "{keys:?}");
    let whole = keys.join("\n");
    for (end, _) in whole.char_indices() {
        let _ = Settings::parse(&whole[..end], Privilege::System);
    }
}

#[test]
fn each_socket_and_auth_key_sets_its_setting() {
    type Change = fn(&mut Settings);
    let cases: [(&str, Change); 11] = [
        ("unix_sock_group = 'wheel'", |s| s.sockets.group = Some("wheel".to_owned())),
        ("unix_sock_ro_perms = '0770'", |s| s.sockets.ro_mode = mode("770")),
        ("unix_sock_rw_perms = '0770'", |s| s.sockets.rw_mode = mode("770")),
        ("unix_sock_admin_perms = '0770'", |s| s.sockets.admin_mode = mode("770")),
        ("unix_sock_dir = '/srv'", |s| s.sockets.dir = Some("/srv".into())),
        ("auth_unix_ro = 'sasl'", |s| s.auth.ro_scheme = AuthScheme::Sasl),
        ("auth_unix_rw = 'none'", |s| s.auth.rw_scheme = AuthScheme::None),
        ("access_drivers = ['polkit', 'none']", |s| {
            s.auth.access_drivers = vec![AccessDriver::Polkit, AccessDriver::None];
        }),
        ("access_drivers = []", |s| s.auth.access_drivers = vec![]),
        ("sasl_allowed_username_list = []", |s| s.auth.sasl_users = Some(vec![])),
        ("sasl_allowed_username_list = ['a*']", |s| {
            s.auth.sasl_users = Some(vec!["a*".to_owned()]);
        }),
    ];
    for (text, change) in cases {
        assert_eq!(settings(text), defaults_with(change), "{text}");
    }
}

#[test]
fn each_limit_sets_its_setting() {
    type Change = fn(&mut Settings);
    let cases: [(&str, Change); 22] = [
        ("max_clients = 20", |s| s.main.client_count_max = 20),
        ("max_clients = 4294967295", |s| s.main.client_count_max = u32::MAX),
        ("max_queued_clients = 0", |s| s.main.queued_count_max = 0),
        ("max_anonymous_clients = 0", |s| s.main.anonymous_count_max = 0),
        ("max_anonymous_clients = 5000", |s| s.main.anonymous_count_max = 5000),
        ("max_client_requests = 9", |s| s.main.call_count_max = 9),
        ("min_workers = 20", |s| s.main.workers.count_min = 20),
        ("min_workers = 21", |s| s.main.workers.count_min = 20),
        ("max_workers = 1", |s| {
            s.main.workers.count_min = 1;
            s.main.workers.count_max = 1;
        }),
        ("prio_workers = 9", |s| s.main.workers.priority_count = 9),
        ("keepalive_interval = 1", |s| s.main.keepalive.interval = Some(Duration::from_secs(1))),
        ("keepalive_interval = 2147483", |s| {
            s.main.keepalive.interval = Some(Duration::from_secs(2_147_483));
        }),
        ("keepalive_interval = 2147484", |s| s.main.keepalive.interval = None),
        ("keepalive_interval = 0", |s| s.main.keepalive.interval = None),
        ("keepalive_interval = -1", |s| s.main.keepalive.interval = None),
        ("keepalive_count = 0", |s| s.main.keepalive.count = 0),
        ("admin_max_clients = 9", |s| s.admin.client_count_max = 9),
        ("admin_max_queued_clients = 9", |s| s.admin.queued_count_max = 9),
        ("admin_max_client_requests = 9", |s| s.admin.call_count_max = 9),
        ("admin_max_workers = 0", |s| {
            s.admin.workers.count_min = 0;
            s.admin.workers.count_max = 0;
        }),
        ("admin_keepalive_interval = -2147483648", |s| s.admin.keepalive.interval = None),
        ("admin_keepalive_count = 9", |s| s.admin.keepalive.count = 9),
    ];
    for (text, change) in cases {
        assert_eq!(settings(text), defaults_with(change), "{text}");
    }
}

#[test]
fn each_other_key_sets_its_setting() {
    type Change = fn(&mut Settings);
    let cases: [(&str, Change); 15] = [
        ("log_level = 1", |s| s.logging.level = LogLevel::Debug),
        ("log_level = 4", |s| s.logging.level = LogLevel::Error),
        ("log_level = 0", |s| s.logging.level = LogLevel::Warning),
        ("log_filters = '1:a 2:b'", |s| s.logging.filters = parse_filters("1:a 2:b").unwrap()),
        ("log_outputs = '1:stderr'", |s| s.logging.outputs = parse_outputs("1:stderr").unwrap()),
        ("audit_level = 0", |s| s.audit.level = AuditLevel::Off),
        ("audit_level = 2", |s| s.audit.level = AuditLevel::Required),
        ("audit_logging = 1", |s| s.audit.is_logged = true),
        ("host_uuid = 'c7a5fdbd-edaf-4455-926a-d65c16db1809'", |s| {
            s.host.uuid = Some(Uuid::parse("c7a5fdbdedaf4455926ad65c16db1809").unwrap());
        }),
        ("host_uuid_source = 'machine-id'", |s| s.host.uuid_source = UuidSource::MachineId),
        ("ovs_timeout = 0", |s| s.ovs_timeout = Duration::ZERO),
        ("interface_backend = 'ifupdown'", |s| s.changes.backend = BackendChoice::Ifupdown),
        ("dhcp_client = 'dhcpcd'", |s| s.changes.dhcp_client = DhcpClient::Dhcpcd),
        ("dhcp_timeout = 1", |s| s.changes.dhcp_timeout = Duration::from_secs(1)),
        ("change_timeout = 1", |s| s.changes.change_timeout = Some(Duration::from_secs(1))),
    ];
    for (text, change) in cases {
        assert_eq!(settings(text), defaults_with(change), "{text}");
    }
}

#[test]
fn every_name_of_every_choice_is_taken() {
    let cases: [(&str, &[&str]); 5] = [
        ("auth_unix_ro", &["none", "sasl", "polkit"]),
        ("auth_unix_rw", &["none", "sasl", "polkit"]),
        ("host_uuid_source", &["smbios", "machine-id"]),
        ("interface_backend", &["auto", "native", "ifupdown", "netifrc"]),
        ("dhcp_client", &["auto", "udhcpc", "dhcpcd", "dhclient"]),
    ];
    for (key, names) in cases {
        for name in names {
            settings(&format!("{key} = '{name}'"));
        }
        assert_eq!(
            refusal(&format!("{key} = 'None'")),
            format!("1:{}: {key}: \"None\" is none of {}", key.len() + 4, names.join(", "))
        );
    }
}

#[test]
fn the_rw_socket_opens_to_all_only_where_each_is_asked() {
    let cases = [
        ("", "700"),
        ("auth_unix_rw = 'none'", "700"),
        ("auth_unix_rw = 'sasl'", "777"),
        ("auth_unix_rw = 'polkit'", "777"),
        ("auth_unix_ro = 'polkit'", "700"),
        ("unix_sock_group = 'wheel'", "700"),
        ("auth_unix_rw = 'polkit'\nunix_sock_rw_perms = '0750'", "750"),
        ("unix_sock_rw_perms = '0700'\nauth_unix_rw = 'polkit'", "700"),
        ("unix_sock_rw_perms = '0777'\nauth_unix_rw = 'none'", "777"),
    ];
    for (text, want) in cases {
        assert_eq!(settings(text).sockets.rw_mode, mode(want), "{text}");
    }
}

#[test]
fn a_value_of_another_type_is_refused() {
    let cases = [
        ("unix_sock_dir = 1", "1:17: unix_sock_dir: expected a string"),
        ("unix_sock_rw_perms = 0700", "1:22: unix_sock_rw_perms: expected a string"),
        ("auth_unix_rw = ['none']", "1:16: auth_unix_rw: expected a string"),
        ("unix_sock_group = -1", "1:19: unix_sock_group: expected a string"),
        ("access_drivers = 'none'", "1:18: access_drivers: expected a list of strings"),
        ("access_drivers = 1", "1:18: access_drivers: expected a list of strings"),
        ("access_drivers = ['none', 1]", "1:18: access_drivers: expected a list of strings"),
        ("max_clients = '50'", "1:15: max_clients: expected an unsigned integer"),
        ("max_clients = [50]", "1:15: max_clients: expected an unsigned integer"),
        ("max_clients = -50", "1:15: max_clients: expected an unsigned integer"),
        ("max_clients = -0", "1:15: max_clients: expected an unsigned integer"),
        ("keepalive_interval = '5'", "1:22: keepalive_interval: expected an integer"),
        ("keepalive_interval = [5]", "1:22: keepalive_interval: expected an integer"),
        ("audit_logging = 'yes'", "1:17: audit_logging: expected an unsigned integer"),
        ("log_level = '1'", "1:13: log_level: expected an unsigned integer"),
        ("log_filters = ['1:a']", "1:15: log_filters: expected a string"),
    ];
    for (text, want) in cases {
        assert_eq!(refusal(text), want);
    }
}

#[test]
fn a_value_past_its_bounds_is_refused() {
    let cases = [
        ("max_clients = 4294967296", "1:15: max_clients: expected 0 to 4294967295"),
        ("max_workers = 0", "1:15: max_workers: expected 1 to 4294967295"),
        ("max_client_requests = 0", "1:23: max_client_requests: expected 1 to 4294967295"),
        (
            "keepalive_interval = 2147483648",
            "1:22: keepalive_interval: expected -2147483648 to 2147483647",
        ),
        (
            "keepalive_interval = -2147483649",
            "1:22: keepalive_interval: expected -2147483648 to 2147483647",
        ),
        ("log_level = 5", "1:13: log_level: expected 0 to 4"),
        ("audit_level = 3", "1:15: audit_level: expected 0 to 2"),
        ("audit_logging = 2", "1:17: audit_logging: expected 0 to 1"),
        ("dhcp_timeout = 0", "1:16: dhcp_timeout: expected 1 to 4294967295"),
        ("change_timeout = 4294967296", "1:18: change_timeout: expected 0 to 4294967295"),
    ];
    for (text, want) in cases {
        assert_eq!(refusal(text), want);
    }
}

#[test]
fn a_string_without_sense_is_refused() {
    let cases = [
        (
            "unix_sock_ro_perms = '0778'",
            "1:22: unix_sock_ro_perms: \"0778\" is not an octal mode up to 0777",
        ),
        (
            "\n unix_sock_admin_perms='1000'",
            "2:24: unix_sock_admin_perms: \"1000\" is not an octal mode up to 0777",
        ),
        ("unix_sock_group = ''", "1:19: unix_sock_group: a group's name cannot be empty"),
        ("unix_sock_dir = 'run'", "1:17: unix_sock_dir: \"run\" is not an absolute path"),
        ("unix_sock_dir = ''", "1:17: unix_sock_dir: \"\" is not an absolute path"),
        ("access_drivers = ['x']", "1:18: access_drivers: \"x\" is none of none, polkit"),
        ("host_uuid = 'x'", "1:13: host_uuid: expected a UUID of 32 hexadecimal digits"),
        (
            "host_uuid = '11111111-1111-1111-1111-111111111111'",
            "1:13: host_uuid: a UUID of equal digits identifies no host",
        ),
        ("log_filters = '5:a'", "1:15: log_filters: log filter \"5:a\": level \"5\" is not 1 to 4"),
        ("log_outputs = 'x'", "1:15: log_outputs: log output \"x\" has no ':'"),
        ("max_clients = ", "1:15: expected a string, an integer or a list"),
    ];
    for (text, want) in cases {
        assert_eq!(refusal(text), want);
    }
}

#[test]
fn anonymous_clients_are_clients_too() {
    assert_eq!(
        refusal("max_clients = 19"),
        "1:15: max_clients: 20 clients may wait for authentication, but only 19 connect"
    );
    assert_eq!(
        refusal("max_anonymous_clients = 5001"),
        "1:25: max_anonymous_clients: 5001 clients may wait for authentication, \
         but only 5000 connect"
    );
    assert_eq!(
        refusal("max_clients = 1\nmax_anonymous_clients = 2"),
        "2:25: max_anonymous_clients: 2 clients may wait for authentication, but only 1 connect"
    );
    settings("max_clients = 1\nmax_anonymous_clients = 1");
    settings("max_clients = 1\nmax_anonymous_clients = 0");
}

#[test]
fn an_error_exits_as_libvirt_does() {
    let cases = [
        ("max_clients", 1),
        ("max_workers = 0", 1),
        ("auth_unix_rw = 'x'", 1),
        ("host_uuid = 'x'", 1),
        ("max_clients = 1", 3),
        ("unix_sock_ro_perms = 'x'", 6),
        ("unix_sock_group = ''", 6),
    ];
    for (text, want) in cases {
        let err = Settings::parse(text, Privilege::System).unwrap_err();
        assert_eq!(err.exit_status(), want, "{text}");
    }
}

#[test]
fn an_error_is_one_line_whatever_it_quotes() {
    let cases = [
        "unix_sock_dir = \"\"\"a\nb\"\"\"",
        "unix_sock_rw_perms = \"\"\"a\nb\"\"\"",
        "auth_unix_rw = \"\"\"a\nb\"\"\"",
        "log_filters = \"\"\"1:a 1\nb\"\"\"",
        "log_outputs = \"\"\"1:a\nb\"\"\"",
    ];
    for text in cases {
        assert!(!refusal(text).contains('\n'), "{text}");
    }
}

#[test]
fn what_has_no_effect_is_warned_of_and_the_first_wins() {
    let text = "max_clients = 30\n\
                listen_tls = [ 1, 'x' ]\n\
                  max_clients = 'never looked at'; keepalive_required = 'x'\n\
                admin_keepalive_required = 1; keepalive_required = 1";
    let (settings, warnings) = Settings::parse(text, Privilege::System).unwrap();
    assert_eq!(settings, defaults_with(|s| s.main.client_count_max = 30));
    let lines: Vec<_> = warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        lines,
        [
            "2:1: listen_tls: unknown key, ignored",
            "3:1: max_clients: already set in line 1, ignored",
        ]
    );
}

#[test]
fn what_this_release_lacks_is_named() {
    let cases = [
        ("", None),
        ("access_drivers = ['none']", None),
        ("sasl_allowed_username_list = ['a']", None),
        ("auth_unix_ro = 'polkit'", Some(("auth_unix_ro", "polkit"))),
        ("auth_unix_rw = 'sasl'", Some(("auth_unix_rw", "sasl"))),
        ("access_drivers = ['none', 'polkit']", Some(("access_drivers", "polkit"))),
        ("auth_unix_rw = 'sasl'\nauth_unix_ro = 'polkit'", Some(("auth_unix_ro", "polkit"))),
    ];
    for (text, want) in cases {
        let want = want.map(|(key, value)| Unavailable { key, value });
        assert_eq!(settings(text).unavailable(), want, "{text}");
    }
    let line = Unavailable { key: "auth_unix_rw", value: "sasl" }.to_string();
    assert_eq!(line, "auth_unix_rw: \"sasl\" is not available in this release");
}

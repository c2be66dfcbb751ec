// SPDX-License-Identifier: LGPL-2.1-or-later
//! The table of all keys: the name of each, its type and the setting that it sets.
//!
//! Does not know files, nor rules over two keys. One key is one line here.

use crate::config::lexer::Value;
use crate::config::logging_spec::{parse_filters, parse_outputs};
use crate::config::settings::Settings;
use crate::config::uuid::Uuid;
use crate::config::value::{
    ValueError, audit_level, flag, group, interval, log_level, mode, name, names, path, seconds,
    seconds_or_never, some_seconds, text, texts, unsigned, unsigned_in,
};

/// A key of virtinterfaced.conf.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written in the file.
    pub name: &'static str,
    set: fn(&mut Settings, &Value<'_>) -> Result<(), ValueError>,
}

impl Key {
    /// The key called `name`, if there is one.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        Settings::KEYS.iter().find(|key| key.name == name)
    }

    /// Sets this key's setting, unless `value` has a wrong type or range.
    pub(super) fn set(&self, settings: &mut Settings, value: &Value<'_>) -> Result<(), ValueError> {
        (self.set)(settings, value)
    }
}

/// Keys that libvirt once had. It still accepts them, with any value, and ignores them.
pub(super) const OBSOLETE_KEYS: &[&str] = &["keepalive_required", "admin_keepalive_required"];

const fn key(
    name: &'static str,
    set: fn(&mut Settings, &Value<'_>) -> Result<(), ValueError>,
) -> Key {
    Key { name, set }
}

/// Stores a value. After an error the setting is unchanged.
fn put<T>(slot: &mut T, read: Result<T, ValueError>) -> Result<(), ValueError> {
    *slot = read?;
    Ok(())
}

impl Settings {
    /// All keys: libvirt's, then ours.
    pub const KEYS: &'static [Key] = &[
        key("unix_sock_group", |s, v| put(&mut s.sockets.group, group(v).map(Some))),
        key("unix_sock_ro_perms", |s, v| put(&mut s.sockets.ro_mode, mode(v))),
        key("unix_sock_rw_perms", |s, v| put(&mut s.sockets.rw_mode, mode(v))),
        key("unix_sock_admin_perms", |s, v| put(&mut s.sockets.admin_mode, mode(v))),
        key("unix_sock_dir", |s, v| put(&mut s.sockets.dir, path(v).map(Some))),
        key("auth_unix_ro", |s, v| put(&mut s.auth.ro_scheme, name(v))),
        key("auth_unix_rw", |s, v| put(&mut s.auth.rw_scheme, name(v))),
        key("access_drivers", |s, v| put(&mut s.auth.access_drivers, names(v))),
        key("sasl_allowed_username_list", |s, v| put(&mut s.auth.sasl_users, globs(v).map(Some))),
        key("max_clients", |s, v| put(&mut s.main.client_count_max, unsigned(v))),
        key("max_queued_clients", |s, v| put(&mut s.main.queued_count_max, unsigned(v))),
        key("max_anonymous_clients", |s, v| put(&mut s.main.anonymous_count_max, unsigned(v))),
        key("max_client_requests", |s, v| put(&mut s.main.call_count_max, some_count(v))),
        key("min_workers", |s, v| put(&mut s.main.workers.count_min, unsigned(v))),
        key("max_workers", |s, v| put(&mut s.main.workers.count_max, some_count(v))),
        key("prio_workers", |s, v| put(&mut s.main.workers.priority_count, unsigned(v))),
        key("keepalive_interval", |s, v| put(&mut s.main.keepalive.interval, interval(v))),
        key("keepalive_count", |s, v| put(&mut s.main.keepalive.count, unsigned(v))),
        key("admin_max_clients", |s, v| put(&mut s.admin.client_count_max, unsigned(v))),
        key("admin_max_queued_clients", |s, v| put(&mut s.admin.queued_count_max, unsigned(v))),
        key("admin_max_client_requests", |s, v| put(&mut s.admin.call_count_max, some_count(v))),
        key("admin_min_workers", |s, v| put(&mut s.admin.workers.count_min, unsigned(v))),
        key("admin_max_workers", |s, v| put(&mut s.admin.workers.count_max, unsigned(v))),
        key("admin_keepalive_interval", |s, v| put(&mut s.admin.keepalive.interval, interval(v))),
        key("admin_keepalive_count", |s, v| put(&mut s.admin.keepalive.count, unsigned(v))),
        key("log_level", |s, v| put(&mut s.logging.level, log_level(v))),
        key("log_filters", |s, v| put(&mut s.logging.filters, Ok(parse_filters(text(v)?)?))),
        key("log_outputs", |s, v| put(&mut s.logging.outputs, Ok(parse_outputs(text(v)?)?))),
        key("audit_level", |s, v| put(&mut s.audit.level, audit_level(v))),
        key("audit_logging", |s, v| put(&mut s.audit.is_logged, flag(v))),
        key("host_uuid", |s, v| put(&mut s.host.uuid, Ok(Some(Uuid::parse(text(v)?)?)))),
        key("host_uuid_source", |s, v| put(&mut s.host.uuid_source, name(v))),
        key("ovs_timeout", |s, v| put(&mut s.ovs_timeout, seconds(v))),
        key("interface_backend", |s, v| put(&mut s.changes.backend, name(v))),
        key("dhcp_client", |s, v| put(&mut s.changes.dhcp_client, name(v))),
        key("dhcp_timeout", |s, v| put(&mut s.changes.dhcp_timeout, some_seconds(v))),
        key("change_timeout", |s, v| put(&mut s.changes.change_timeout, seconds_or_never(v))),
    ];
}

/// An unsigned integer that is not 0.
fn some_count(value: &Value<'_>) -> Result<u32, ValueError> {
    unsigned_in(value, 1..=u32::MAX)
}

fn globs(value: &Value<'_>) -> Result<Vec<String>, ValueError> {
    Ok(texts(value)?.into_iter().map(str::to_owned).collect())
}

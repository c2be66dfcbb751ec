// SPDX-License-Identifier: LGPL-2.1-or-later
//! From the text of virtinterfaced.conf to [`Settings`].
//!
//! Opens no file and knows no file's name: every message begins with `LINE:COLUMN: `, so that
//! `FILE:` in front completes it. A file is accepted or refused as a whole.

use std::collections::BTreeMap;
use std::fmt;

use crate::config::keys::{Key, OBSOLETE_KEYS};
use crate::config::lexer::{self, LexError, Statement, TextPosition};
use crate::config::settings::{Settings, default_rw_mode};
use crate::config::value::ValueError;
use crate::model::client::Privilege;

/// Why a file is refused. `Display` is one line: `LINE:COLUMN: `, the key if there is one, and the
/// error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConfigError {
    Syntax(LexError),
    /// The value that begins at `place` is wrong for its key.
    Value {
        key: &'static str,
        place: TextPosition,
        cause: ValueError,
    },
}

impl ConfigError {
    /// The exit status of libvirt's own daemon: it checks the sockets' settings only when it opens
    /// them, and the number of clients when it sets up the server.
    pub(crate) fn exit_status(&self) -> u8 {
        const INITIALISATION: u8 = 3;
        const SOCKETS: u8 = 6;
        const OTHER: u8 = 1;
        match self {
            Self::Value { cause: ValueError::AnonymousClients { .. }, .. } => INITIALISATION,
            Self::Value { cause: ValueError::Mode(_) | ValueError::Group, .. } => SOCKETS,
            Self::Value { .. } | Self::Syntax(_) => OTHER,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(err) => err.fmt(f),
            Self::Value { key, place, cause } => write!(f, "{place}: {key}: {cause}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A statement without effect. `Display` is one line that begins with `LINE:COLUMN: `.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Warning {
    /// The key is unknown.
    UnknownKey { key: String, place: TextPosition },
    /// The key was set before, at `first`.
    DuplicateKey { key: &'static str, place: TextPosition, first: TextPosition },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, place } => write!(f, "{place}: {key}: unknown key, ignored"),
            Self::DuplicateKey { key, place, first } => {
                write!(f, "{place}: {key}: already set in line {}, ignored", first.line)
            }
        }
    }
}

/// Where the value of each key in the file begins.
type Places = BTreeMap<&'static str, TextPosition>;

impl Settings {
    /// Decodes a whole file, from the defaults for `privilege`.
    pub fn parse(text: &str, privilege: Privilege) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut settings = Self::defaults(privilege);
        let mut warnings = Vec::new();
        let mut places = Places::new();
        for statement in lexer::parse(text).map_err(ConfigError::Syntax)? {
            let Statement { name, place, value, value_place } = statement;
            let Some(key) = Key::find(name) else {
                if !OBSOLETE_KEYS.contains(&name) {
                    warnings.push(Warning::UnknownKey { key: name.to_owned(), place });
                }
                continue;
            };
            let key_name = key.name;
            if let Some(first) = places.get(key_name).copied() {
                warnings.push(Warning::DuplicateKey { key: key_name, place, first });
                continue;
            }
            places.insert(key_name, value_place);
            key.set(&mut settings, &value).map_err(|cause| ConfigError::Value {
                key: key_name,
                place: value_place,
                cause,
            })?;
        }
        settings.reconcile(&places)?;
        Ok((settings, warnings))
    }

    /// Applies the rules between keys, once all are known.
    fn reconcile(&mut self, places: &Places) -> Result<(), ConfigError> {
        if !places.contains_key("unix_sock_rw_perms") {
            self.sockets.rw_mode = default_rw_mode(self.auth.rw_scheme);
        }
        for server in [&mut self.main, &mut self.admin] {
            let workers = &mut server.workers;
            workers.count_min = workers.count_min.min(workers.count_max);
        }
        let client_max = self.main.client_count_max;
        let anonymous_max = self.main.anonymous_count_max;
        if anonymous_max <= client_max {
            return Ok(());
        }
        // The defaults agree, so at least one of the two was set.
        for key in ["max_anonymous_clients", "max_clients"] {
            if let Some(place) = places.get(key).copied() {
                let cause = ValueError::AnonymousClients { anonymous_max, client_max };
                return Err(ConfigError::Value { key, place, cause });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

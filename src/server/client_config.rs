// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt.conf, as far as the daemon reads it: aliases and a default for URIs.
//!
//! Any user can have it read, by opening a connection without a name. So a fault of the file is
//! logged once, and again when it changes or comes back.

use std::path::PathBuf;

use log::{debug, warn};

use crate::config::lexer::{self, Scalar, Statement, Value};
use crate::handler::uri::UriSettings;
use crate::io::files;
use crate::limits::CLIENT_CONFIG_LEN_MAX;

/// The file, and its last fault.
#[derive(Debug)]
pub(crate) struct ClientConfig {
    path: PathBuf,
    /// `LIBVIRT_DEFAULT_URI`, which overrides the file's default.
    default_uri: Option<String>,
    /// The fault that was logged last.
    fault: Option<String>,
}

impl ClientConfig {
    pub(crate) fn new(path: PathBuf, default_uri: Option<String>) -> Self {
        Self { path, default_uri, fault: None }
    }

    /// Reads the file again, as libvirt does at each question. An invalid file has no settings.
    pub(crate) fn uri_settings(&mut self) -> UriSettings {
        let (mut settings, fault) = match self.read() {
            Ok(settings) => (settings, None),
            Err(fault) => (UriSettings::default(), Some(fault)),
        };
        if fault != self.fault {
            fault.iter().for_each(|fault| warn!("{fault}"));
            self.fault = fault;
        }
        if let Some(uri) = &self.default_uri {
            settings.default = Some(uri.clone());
        }
        settings
    }

    fn read(&self) -> Result<UriSettings, String> {
        let text = files::read_text_if_any(&self.path, CLIENT_CONFIG_LEN_MAX);
        let text = text.map_err(|err| err.to_string())?.unwrap_or_default();
        let statements =
            lexer::parse(&text).map_err(|err| format!("{}:{err}", self.path.display()))?;
        Ok(self.settings(statements))
    }

    fn settings(&self, statements: Vec<Statement<'_>>) -> UriSettings {
        let mut settings = UriSettings::default();
        for statement in statements {
            match (statement.name, statement.value) {
                ("uri_default", Value::Scalar(Scalar::Text(uri))) => {
                    settings.default.get_or_insert_with(|| uri.to_owned());
                }
                ("uri_aliases", Value::List(entries)) => {
                    settings.aliases.extend(entries.iter().filter_map(uri_text));
                }
                (name, _) => debug!("{}: ignoring {name}", self.path.display()),
            }
        }
        settings
    }
}

fn uri_text(scalar: &Scalar<'_>) -> Option<String> {
    match scalar {
        Scalar::Text(text) => Some((*text).to_owned()),
        Scalar::Unsigned(_) | Scalar::Signed(_) => None,
    }
}

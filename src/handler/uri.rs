// SPDX-License-Identifier: LGPL-2.1-or-later
//! The name that a client opens: a libvirt connection URI (RFC 3986), checked against the URIs that
//! this daemon serves.
//!
//! Only `interface:///system` (root's daemon) and `interface:///session` (another user's) are
//! served; query and fragment are kept but have no effect. This daemon never becomes the client of
//! another, so every other driver gets libvirt's "no connection driver".

use crate::error::{CallError, Domain, ErrorCode};
use crate::model::client::Privilege;

/// The URI settings of the environment and of libvirt.conf.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UriSettings {
    /// Opened if a client names nothing: `LIBVIRT_DEFAULT_URI`, else `uri_default`.
    pub default: Option<String>,
    /// `uri_aliases`: entries `ALIAS=URI`.
    pub aliases: Vec<String>,
}

impl UriSettings {
    /// The URI for `name`: the default for an empty name, an alias's target, or itself.
    pub(crate) fn resolve<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if name.is_empty() {
            return self.default.as_deref().filter(|uri| !uri.is_empty());
        }
        let target = self.aliases.iter().find_map(|entry| {
            let (alias, uri) = entry.split_once('=')?;
            (alias == name).then_some(uri)
        });
        Some(target.unwrap_or(name))
    }
}

/// Whether `name` needs [`UriSettings`]: it is empty, or could be an alias.
pub(crate) fn needs_settings(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The error for a client that names nothing, without a default.
pub(crate) fn no_default() -> CallError {
    no_driver("<null>")
}

/// Accepts the URI of this daemon, in the form that CONNECT_GET_URI returns.
pub fn accept(name: &str, privilege: Privilege) -> Result<String, CallError> {
    let Some(uri) = Uri::parse(name) else {
        let detail = format!("Unable to parse URI {name}");
        return Err(CallError::new(ErrorCode::Internal, Domain::Uri, detail));
    };
    let Some(scheme) = uri.scheme else {
        let detail = format!("URI '{name}' does not include a driver name");
        return Err(no_driver(&detail));
    };
    if scheme == "test" && uri.host().is_empty() {
        let detail = "Unexpected driver type 'TEST' opened";
        return Err(CallError::new(ErrorCode::Internal, Domain::Rpc, detail));
    }
    if scheme != "interface" || !uri.host().is_empty() {
        return Err(no_driver(name));
    }
    let served = match privilege {
        Privilege::System => "/system",
        Privilege::Session => "/session",
    };
    let path = uri.decoded_path();
    if path != served {
        let detail = format!("unexpected interface URI path '{path}', try interface://{served}");
        return Err(CallError::new(ErrorCode::Internal, Domain::None, detail));
    }
    Ok(format!("interface://{}{served}{}", uri.user(), uri.suffix))
}

fn no_driver(detail: &str) -> CallError {
    CallError::new(ErrorCode::NoConnect, Domain::None, detail)
}

/// The parts of a URI, as they were written.
#[derive(Debug, Eq, PartialEq)]
struct Uri<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    /// Query and fragment, with the characters that introduce them.
    suffix: &'a str,
}

impl<'a> Uri<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if !has_only_uri_characters(text) {
            return None;
        }
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            Some((scheme, _)) if !scheme.contains(['/', '?', '#']) => return None,
            Some(_) | None => (None, text),
        };
        let suffix_at = rest.find(['?', '#']).unwrap_or(rest.len());
        let (hierarchy, suffix) = rest.split_at(suffix_at);
        let (authority, path) = match hierarchy.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, hierarchy),
        };
        Some(Self { scheme, authority, path, suffix })
    }

    /// The user, with the `@` after it; empty if there is none.
    fn user(&self) -> &'a str {
        let authority = self.authority.unwrap_or_default();
        let end = authority.rfind('@').map_or(0, |at| at + 1);
        authority.get(..end).unwrap_or_default()
    }

    /// The host without user and port; empty if there is none.
    fn host(&self) -> &'a str {
        let host_and_port = self.authority.unwrap_or_default().rsplit('@').next().unwrap_or("");
        let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        match host_and_port.rsplit_once(':') {
            Some((host, port)) if is_port(port) => host,
            Some(_) | None => host_and_port,
        }
    }

    /// The path with its percent escapes decoded, cut at the first NUL as in libvirt.
    fn decoded_path(&self) -> String {
        let mut bytes = Vec::with_capacity(self.path.len());
        let mut pieces = self.path.split('%');
        bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
        for piece in pieces {
            let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
            bytes.extend(u8::from_str_radix(digits, 16).ok());
            bytes.extend_from_slice(rest.as_bytes());
        }
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Whether `text` has only characters that RFC 3986 allows in a URI, and each `%` before two
/// digits.
fn has_only_uri_characters(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    let escaped = |piece: &str| {
        piece.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    text.chars().all(allowed) && text.split('%').skip(1).all(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_daemon_serves_its_one_uri() {
        struct Case(&'static str, Result<&'static str, &'static str>);
        const PATH: &str = "internal error: unexpected interface URI path";
        let cases = [
            Case("interface:///system", Ok("interface:///system")),
            Case("interface:/system", Ok("interface:///system")),
            Case("interface:///%73ystem", Ok("interface:///system")),
            Case("interface:///system?a=b#c", Ok("interface:///system?a=b#c")),
            Case("interface://:8/system", Ok("interface:///system")),
            Case("interface://root@/system", Ok("interface://root@/system")),
            Case("interface://root@h/system", Err("no connection driver available for interface")),
            Case("interface:///%2Fsystem", Err(PATH)),
            Case("interface:///sys%00tem", Err(PATH)),
            Case("interface", Err("no connection driver available for URI 'interface' does not")),
            Case("ü", Err("internal error: Unable to parse URI ü")),
            Case("interface:///session", Err(PATH)),
            Case("interface:///", Err(PATH)),
            Case("interface://", Err(PATH)),
            Case("interface:", Err(PATH)),
            Case("interface:///system/", Err(PATH)),
            Case("interface:///System", Err(PATH)),
            Case("foo", Err("no connection driver available for URI 'foo' does not include")),
            Case("a b", Err("internal error: Unable to parse URI a b")),
            Case("%zz:///x", Err("internal error: Unable to parse URI %zz:///x")),
            Case("interface:///x%7", Err("internal error: Unable to parse URI")),
            Case("1x:///y", Err("internal error: Unable to parse URI 1x:///y")),
            Case("test:///default", Err("internal error: Unexpected driver type 'TEST' opened")),
            Case("Interface:///system", Err("no connection driver available for Interface:///")),
            Case("qemu:///system", Err("no connection driver available for qemu:///system")),
            Case("interface://h/system", Err("no connection driver available for interface://h/")),
            Case("interface+unix:///system", Err("no connection driver available for interface+")),
        ];
        for Case(name, want) in cases {
            match (accept(name, Privilege::System), want) {
                (Ok(uri), Ok(want)) => assert_eq!(uri, want, "{name}"),
                (Err(err), Err(want)) => {
                    assert!(err.message().starts_with(want), "{name}: {err}");
                }
                (got, want) => panic!("{name}: {got:?}, not {want:?}"),
            }
        }
    }

    #[test]
    fn a_wrong_path_is_named_with_the_right_one() {
        let err = accept("interface:///system", Privilege::Session).unwrap_err();
        let want = "internal error: unexpected interface URI path '/system', \
            try interface:///session";
        assert_eq!(err.message(), want);
        assert_eq!((err.code(), err.domain()), (ErrorCode::Internal, Domain::None));
    }

    #[test]
    fn an_empty_name_is_the_default_and_an_alias_its_target() {
        let settings = UriSettings {
            default: Some("interface:///system".to_owned()),
            aliases: vec!["broken".to_owned(), "here=interface:/system".to_owned()],
        };
        assert_eq!(settings.resolve(""), Some("interface:///system"));
        assert_eq!(settings.resolve("here"), Some("interface:/system"));
        assert_eq!(settings.resolve("elsewhere"), Some("elsewhere"));
        assert_eq!(UriSettings::default().resolve(""), None);
        assert!(needs_settings("") && needs_settings("a-b_9"));
        assert!(!needs_settings("interface:///system"));
    }
}

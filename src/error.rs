// SPDX-License-Identifier: LGPL-2.1-or-later
//! The error of a failed call, as the client gets it: libvirt's code, domain and text.
//!
//! The numbers are libvirt's `virErrorNumber` and `virErrorDomain` (`virterror.h`); clients match
//! on the texts. [`crate::call_errors`] and the handlers choose a code for each cause;
//! [`crate::rpc::fault`] encodes the error.

use std::fmt;
use std::io;

use crate::limits::ERROR_DETAIL_LEN_MAX;

/// libvirt's `virErrorNumber`, as far as this daemon uses it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum ErrorCode {
    Internal = 1,
    NoSupport = 3,
    NoConnect = 5,
    InvalidArg = 8,
    Xml = 27,
    OperationDenied = 29,
    XmlDetail = 35,
    System = 38,
    Rpc = 39,
    AuthFailed = 45,
    OperationInvalid = 55,
    NoInterface = 57,
    MultipleInterfaces = 59,
    ConfigUnsupported = 67,
    ArgumentUnsupported = 74,
    AccessDenied = 88,
    XmlInvalidSchema = 92,
    NoServer = 95,
    NoClient = 96,
}

impl ErrorCode {
    /// Returns libvirt's text before the detail.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Internal => "internal error: ",
            Self::NoSupport => "this function is not supported by the connection driver: ",
            Self::NoConnect => "no connection driver available for ",
            Self::InvalidArg => "invalid argument: ",
            Self::Xml => "XML error: ",
            Self::OperationDenied => "operation forbidden: ",
            Self::System | Self::Rpc | Self::XmlDetail => "",
            Self::AuthFailed => "authentication failed: ",
            Self::OperationInvalid => "Requested operation is not valid: ",
            Self::NoInterface => "Interface not found: ",
            Self::MultipleInterfaces => "multiple matching interfaces found: ",
            Self::ConfigUnsupported => "unsupported configuration: ",
            Self::ArgumentUnsupported => "argument unsupported: ",
            Self::AccessDenied => "access denied: ",
            Self::XmlInvalidSchema => "XML document failed to validate against schema: ",
            Self::NoServer => "Server not found: ",
            Self::NoClient => "Client not found: ",
        }
    }
}

/// libvirt's `virErrorDomain`, as far as this daemon uses it: the part that raised the error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum Domain {
    None = 0,
    Xml = 5,
    Rpc = 7,
    Dom = 20,
    Nodedev = 22,
    Interface = 26,
    DomainSnapshot = 35,
    Uri = 45,
    Admin = 62,
    DomainCheckpoint = 69,
}

/// The fields of libvirt's error that depend on how it was raised.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Detail {
    /// The code's template, filled with a detail.
    Templated { detail: String },
    /// A system call failed with this `errno`; the text has no template.
    System { errno: i32 },
    /// An argument check failed: the checking function, and the argument.
    Argument { function: String, argument: String },
    /// libvirt's fallback when a function failed without setting an error.
    Unset,
}

/// A call's failure, ready to be encoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallError {
    code: ErrorCode,
    domain: Domain,
    message: String,
    detail: Detail,
}

impl CallError {
    /// Creates the error `code` of `domain`, with `detail` inserted in the code's template.
    pub fn new(code: ErrorCode, domain: Domain, detail: impl Into<String>) -> Self {
        let detail = cut(detail.into());
        let message = format!("{}{detail}", code.prefix());
        Self { code, domain, message, detail: Detail::Templated { detail } }
    }

    /// Creates the error of a failed system call: `text` is the whole message, `errno` the kernel's
    /// number.
    pub fn system(domain: Domain, text: impl Into<String>, errno: i32) -> Self {
        let message = text.into();
        Self { code: ErrorCode::System, domain, message, detail: Detail::System { errno } }
    }

    /// Creates the error of an argument check: `function` refused `argument`; `message` has no
    /// prefix.
    pub fn argument(
        domain: Domain,
        function: impl Into<String>,
        argument: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let detail = Detail::Argument { function: function.into(), argument: argument.into() };
        Self { code: ErrorCode::InvalidArg, domain, message: message.into(), detail }
    }

    /// Creates the error for flags that `function` does not support: `unknown` holds only those
    /// bits.
    pub fn flags(domain: Domain, function: &str, unknown: u32) -> Self {
        let message = format!("unsupported flags (0x{unknown:x}) in function {function}");
        Self::argument(domain, function, "flags", message)
    }

    /// Creates libvirt's fallback for a failure without an error.
    pub fn unset() -> Self {
        let message = "Library function returned error but did not set virError".to_owned();
        Self { code: ErrorCode::Internal, domain: Domain::Rpc, message, detail: Detail::Unset }
    }

    /// Returns the `virErrorNumber`.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns the `virErrorDomain`.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Returns the whole text, as virsh prints it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the wire's `str1`: the template, or the function that checked an argument.
    pub fn str1(&self) -> Option<String> {
        match &self.detail {
            Detail::Templated { .. } if self.code.prefix().is_empty() => Some("%s".to_owned()),
            Detail::Templated { .. } => Some(format!("{}%1$s", self.code.prefix())),
            Detail::System { .. } => Some("%s".to_owned()),
            Detail::Argument { function, .. } => Some(function.clone()),
            Detail::Unset => None,
        }
    }

    /// Returns the wire's `str2`: the detail, or the argument's name.
    pub fn str2(&self) -> Option<&str> {
        match &self.detail {
            Detail::Templated { detail } => Some(detail),
            Detail::System { .. } => Some(&self.message),
            Detail::Argument { argument, .. } => Some(argument),
            Detail::Unset => None,
        }
    }

    /// Returns the wire's `int1` and `int2`.
    pub(crate) fn ints(&self) -> (i32, i32) {
        match self.detail {
            Detail::Templated { .. } => (-1, -1),
            Detail::System { errno } => (errno, -1),
            Detail::Argument { .. } | Detail::Unset => (0, 0),
        }
    }
}

/// Limits the length of a detail, and marks a truncation with dots.
fn cut(mut detail: String) -> String {
    if detail.len() > ERROR_DETAIL_LEN_MAX {
        let end = (0..=ERROR_DETAIL_LEN_MAX).rev().find(|end| detail.is_char_boundary(*end));
        detail.truncate(end.unwrap_or(0));
        detail.push_str("...");
    }
    detail
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CallError {}

/// An operation that the host refused: the verb, its object, and the errno.
///
/// Code that receives an `io::Error` converts it to this at once, since an `io::Error` lacks the
/// verb and the object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostError {
    verb: &'static str,
    object: String,
    errno: i32,
}

impl HostError {
    /// Creates an error with `verb` in the infinitive, as in "cannot bind /run/x".
    pub fn new(verb: &'static str, object: impl Into<String>, err: &io::Error) -> Self {
        Self { verb, object: object.into(), errno: err.raw_os_error().unwrap_or(0) }
    }

    /// Returns the errno(3); 0 if the failure had none.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// Returns the cause as text, as strerror(3) has it.
    pub fn cause(&self) -> String {
        match self.errno {
            0 => "unknown error".to_owned(),
            errno => strerror(errno),
        }
    }
}

/// Returns the text of an errno, without the number that std appends to it.
pub(crate) fn strerror(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.verb, self.object, self.cause())
    }
}

impl std::error::Error for HostError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_templated_error_carries_template_and_detail() {
        let err = CallError::new(ErrorCode::NoInterface, Domain::Interface, "x");
        assert_eq!(err.message(), "Interface not found: x");
        assert_eq!(err.str1().as_deref(), Some("Interface not found: %1$s"));
        assert_eq!(err.str2(), Some("x"));
        assert_eq!(err.ints(), (-1, -1));
    }

    #[test]
    fn a_detail_of_megabytes_is_cut_between_two_characters() {
        let text = |detail: String| {
            CallError::new(ErrorCode::Rpc, Domain::Rpc, detail).message().to_owned()
        };
        assert_eq!(text("x".repeat(4096)), "x".repeat(4096));
        assert_eq!(text("x".repeat(4097)), format!("{}...", "x".repeat(4096)));
        assert_eq!(text("ä".repeat(4096)), format!("{}...", "ä".repeat(2048)));
        assert_eq!(text(format!("x{}", "ä".repeat(4096))), format!("x{}...", "ä".repeat(2047)));
    }

    #[test]
    fn an_rpc_error_is_its_text_alone() {
        let err = CallError::new(ErrorCode::Rpc, Domain::Rpc, "unknown procedure: 0");
        assert_eq!(err.message(), "unknown procedure: 0");
        assert_eq!(err.str1().as_deref(), Some("%s"));
    }

    #[test]
    fn a_flag_error_shows_only_the_offending_bits_and_who_checked() {
        let err = CallError::flags(Domain::Interface, "someFunction", 0x40);
        assert_eq!(err.message(), "unsupported flags (0x40) in function someFunction");
        assert_eq!(err.str1().as_deref(), Some("someFunction"));
        assert_eq!(err.str2(), Some("flags"));
        assert_eq!(err.ints(), (0, 0));
    }
}

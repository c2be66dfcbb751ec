// SPDX-License-Identifier: LGPL-2.1-or-later
//! SET_IDENTITY: converts typed parameters to an [`Identity`], by libvirt's rules.

use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::params;
use crate::limits::IDENTITY_STRING_LEN_MAX;
use crate::model::client::Identity;
use crate::proto::params::TypedParam;

/// The identity that `params` describe. Parts that they do not name are unknown.
pub fn parse(params: &[TypedParam]) -> Result<Identity, CallError> {
    params::check_names(params)?;
    let mut identity = Identity::default();
    params::take_each(params, |param| set(&mut identity, param))?;
    Ok(identity)
}

fn set(identity: &mut Identity, param: &TypedParam) -> Result<(), CallError> {
    match param.field.as_str() {
        "group-name" => identity.group_name = Some(string(param)?),
        "process-id" => identity.process_id = Some(params::llong(param)?),
        "process-time" => identity.process_time = Some(params::ullong(param)?),
        "sasl-user-name" => identity.sasl_user_name = Some(string(param)?),
        "selinux-context" => identity.selinux_context = Some(string(param)?),
        "system.token" => identity.system_token = Some(string(param)?),
        "unix-group-id" => identity.unix_group_id = Some(params::ullong(param)?),
        "unix-user-id" => identity.unix_user_id = Some(params::ullong(param)?),
        "user-name" => identity.user_name = Some(string(param)?),
        "x509-distinguished-name" => identity.x509_distinguished_name = Some(string(param)?),
        _ => return Err(params::unsupported(param)),
    }
    Ok(())
}

/// A text of a length that the session may keep, and without control characters.
fn string(param: &TypedParam) -> Result<String, CallError> {
    let text = params::string(param)?;
    if text.len() > IDENTITY_STRING_LEN_MAX {
        let detail = format!("parameter '{}' is over {IDENTITY_STRING_LEN_MAX} bytes", param.field);
        return Err(CallError::new(ErrorCode::InvalidArg, Domain::None, detail));
    }
    // virt-admin prints it on an administrator's terminal.
    if text.chars().any(char::is_control) {
        let detail = format!("parameter '{}' has control characters", param.field);
        return Err(CallError::new(ErrorCode::InvalidArg, Domain::None, detail));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::params::ParamValue;

    fn param(field: &str, value: ParamValue) -> TypedParam {
        TypedParam { field: field.to_owned(), value }
    }

    #[test]
    fn an_identity_has_what_was_sent_and_nothing_else() {
        let params = [
            param("user-name", ParamValue::String("root".to_owned())),
            param("unix-user-id", ParamValue::Ullong(0)),
            param("process-id", ParamValue::Llong(7)),
        ];
        let want = Identity {
            user_name: Some("root".to_owned()),
            unix_user_id: Some(0),
            process_id: Some(7),
            ..Identity::default()
        };
        assert_eq!(parse(&params), Ok(want));
        assert_eq!(parse(&[]), Ok(Identity::default()));
    }

    #[test]
    fn the_first_bad_field_by_name_decides() {
        let bad = ParamValue::Uint(1);
        struct Case(&'static [(&'static str, u8)], &'static str);
        let cases = [
            Case(&[("user-nam", 0)], "argument unsupported: parameter 'user-nam' not supported"),
            Case(
                &[("zzz", 0), ("process-time", 0)],
                "invalid argument: invalid type 'uint' for parameter 'process-time', \
                    expected 'ullong'",
            ),
            Case(
                &[("user-name", 1), ("user-name", 1)],
                "invalid argument: parameter 'user-name' occurs multiple times",
            ),
        ];
        for Case(fields, want) in cases {
            let params: Vec<_> = fields
                .iter()
                .map(|(field, good)| match good {
                    0 => param(field, bad.clone()),
                    _ => param(field, ParamValue::String(String::new())),
                })
                .collect();
            assert_eq!(parse(&params).unwrap_err().message(), want);
        }
    }

    #[test]
    fn a_text_that_is_kept_has_at_most_1024_bytes() {
        let user = |len| [param("user-name", ParamValue::String("x".repeat(len)))];
        assert!(parse(&user(1024)).is_ok());
        let err = parse(&user(1025)).unwrap_err();
        assert_eq!(err.message(), "invalid argument: parameter 'user-name' is over 1024 bytes");
    }

    #[test]
    fn a_text_has_no_control_characters() {
        for text in ["\u{1b}[2J", "a\nb", "\t", "\u{9b}1m", "\0"] {
            let err =
                parse(&[param("user-name", ParamValue::String(text.to_owned()))]).unwrap_err();
            let want = "invalid argument: parameter 'user-name' has control characters";
            assert_eq!(err.message(), want, "{text:?}");
        }
        assert!(parse(&[param("user-name", ParamValue::String("Jörg (ops)".to_owned()))]).is_ok());
    }

    #[test]
    fn a_field_name_has_at_most_79_bytes() {
        let at_limit = parse(&[param(&"x".repeat(79), ParamValue::Int(1))]).unwrap_err();
        assert_eq!(at_limit.code(), ErrorCode::ArgumentUnsupported);
        let over = parse(&[param(&"x".repeat(80), ParamValue::Int(1))]).unwrap_err();
        assert!(over.message().ends_with("x too big for destination"), "{over}");
    }
}

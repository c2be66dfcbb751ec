// SPDX-License-Identifier: LGPL-2.1-or-later
//! Typed parameters as arguments: libvirt's checks before a call uses them, with its texts and in
//! its order.
//!
//! Parameters are taken in the order of their names and the first bad one decides, so that the
//! error does not depend on the order in which a client sent them. The call decides which fields
//! exist, and of which type.

use crate::error::{CallError, Domain, ErrorCode};
use crate::limits::PARAM_FIELD_LEN_MAX;
use crate::proto::params::{ParamValue, TypedParam};

/// Checks the lengths of names. libvirt does this while it decodes the array, before it checks the
/// call's flags.
pub(crate) fn check_names(params: &[TypedParam]) -> Result<(), CallError> {
    match params.iter().find(|param| param.field.len() > PARAM_FIELD_LEN_MAX) {
        None => Ok(()),
        Some(param) => {
            let detail = format!("parameter {} too big for destination", param.field);
            Err(CallError::new(ErrorCode::Internal, Domain::None, detail))
        }
    }
}

/// Passes each parameter to `take`, in the order of their names, and refuses duplicates.
pub(crate) fn take_each(
    params: &[TypedParam],
    mut take: impl FnMut(&TypedParam) -> Result<(), CallError>,
) -> Result<(), CallError> {
    let mut sorted: Vec<&TypedParam> = params.iter().collect();
    sorted.sort_unstable_by(|a, b| a.field.cmp(&b.field));
    let mut previous = None;
    for param in sorted {
        if previous == Some(&param.field) {
            let detail = format!("parameter '{}' occurs multiple times", param.field);
            return Err(CallError::new(ErrorCode::InvalidArg, Domain::None, detail));
        }
        take(param)?;
        previous = Some(&param.field);
    }
    Ok(())
}

/// The error for a field that the call does not have.
pub fn unsupported(param: &TypedParam) -> CallError {
    let detail = format!("parameter '{}' not supported", param.field);
    CallError::new(ErrorCode::ArgumentUnsupported, Domain::None, detail)
}

/// The value of an unsigned 32-bit field.
pub(crate) fn uint(param: &TypedParam) -> Result<u32, CallError> {
    let ParamValue::Uint(number) = param.value else { return Err(wrong_type(param, "uint")) };
    Ok(number)
}

/// The value of a signed 64-bit field.
pub(crate) fn llong(param: &TypedParam) -> Result<i64, CallError> {
    let ParamValue::Llong(number) = param.value else { return Err(wrong_type(param, "llong")) };
    Ok(number)
}

/// The value of an unsigned 64-bit field.
pub(crate) fn ullong(param: &TypedParam) -> Result<u64, CallError> {
    let ParamValue::Ullong(number) = param.value else { return Err(wrong_type(param, "ullong")) };
    Ok(number)
}

/// The value of a string field.
pub fn string(param: &TypedParam) -> Result<&str, CallError> {
    let ParamValue::String(text) = &param.value else { return Err(wrong_type(param, "string")) };
    Ok(text)
}

fn wrong_type(param: &TypedParam, expected: &str) -> CallError {
    let (field, found) = (&param.field, param.value.type_name());
    let detail = format!("invalid type '{found}' for parameter '{field}', expected '{expected}'");
    CallError::new(ErrorCode::InvalidArg, Domain::None, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(field: &str, value: ParamValue) -> TypedParam {
        TypedParam { field: field.to_owned(), value }
    }

    #[test]
    fn a_field_name_has_at_most_79_bytes() {
        let named = |len| check_names(&[param(&"x".repeat(len), ParamValue::Int(1))]);
        assert_eq!(named(79), Ok(()));
        let want = format!("internal error: parameter {} too big for destination", "x".repeat(80));
        assert_eq!(named(80).unwrap_err().message(), want);
    }

    #[test]
    fn parameters_come_in_the_order_of_their_names_until_one_is_bad() {
        let one = ParamValue::Uint(1);
        struct Case(&'static [&'static str], &'static str, Result<(), &'static str>);
        let repeated = Err("invalid argument: parameter 'b' occurs multiple times");
        let unsupported_c = Err("argument unsupported: parameter 'c' not supported");
        let cases = [
            Case(&[], "", Ok(())),
            Case(&["b", "a"], "ab", Ok(())),
            Case(&["b", "a", "b"], "ab", repeated),
            Case(&["c", "b", "b"], "b", repeated),
            Case(&["c", "b"], "bc", unsupported_c),
            Case(&["c", "c"], "c", unsupported_c),
        ];
        for Case(fields, want_taken, want) in cases {
            let params: Vec<_> = fields.iter().map(|field| param(field, one.clone())).collect();
            let mut taken = String::new();
            let result = take_each(&params, |param| {
                taken.push_str(&param.field);
                if param.field == "c" { Err(unsupported(param)) } else { Ok(()) }
            });
            assert_eq!(result.map_err(|err| err.message().to_owned()), want.map_err(str::to_owned));
            assert_eq!(taken, want_taken, "{fields:?}");
        }
    }

    #[test]
    fn a_value_is_taken_as_its_own_type_alone() {
        let values = [
            ("int", ParamValue::Int(1)),
            ("uint", ParamValue::Uint(1)),
            ("llong", ParamValue::Llong(1)),
            ("ullong", ParamValue::Ullong(1)),
            ("double", ParamValue::Double(1.0)),
            ("boolean", ParamValue::Boolean(true)),
            ("string", ParamValue::String("1".to_owned())),
        ];
        for (found, value) in values {
            let param = param("f", value);
            let results = [
                ("uint", uint(&param).map(|number| number == 1)),
                ("llong", llong(&param).map(|number| number == 1)),
                ("ullong", ullong(&param).map(|number| number == 1)),
                ("string", string(&param).map(|text| text == "1")),
            ];
            for (expected, result) in results {
                let want = format!(
                    "invalid argument: invalid type '{found}' for parameter 'f', \
                     expected '{expected}'"
                );
                match result {
                    Ok(is_same) => assert!(is_same && found == expected, "{found}, {expected}"),
                    Err(err) => assert_eq!(err.message(), want),
                }
            }
        }
    }
}

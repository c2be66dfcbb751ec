// SPDX-License-Identifier: LGPL-2.1-or-later
//! Typed parameters: named values that are encoded with their type (`virTypedParameter`).

use crate::limits::STRING_LEN_MAX;
use crate::xdr::reader::{Reader, XdrError};
use crate::xdr::writer::Writer;

/// One named value.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedParam {
    pub field: String,
    pub value: ParamValue,
}

/// The seven types of a value, in the order of their numbers from 1.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    Int(i32),
    Uint(u32),
    Llong(i64),
    Ullong(u64),
    Double(f64),
    Boolean(bool),
    String(String),
}

impl ParamValue {
    /// libvirt's name for the type in its error texts.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Llong(_) => "llong",
            Self::Ullong(_) => "ullong",
            Self::Double(_) => "double",
            Self::Boolean(_) => "boolean",
            Self::String(_) => "string",
        }
    }
}

/// Decodes a counted array of at most `count_max` parameters.
pub fn decode(reader: &mut Reader<'_>, count_max: usize) -> Result<Vec<TypedParam>, XdrError> {
    let count = reader.count("params", count_max)?;
    (0..count).map(|_| decode_one(reader)).collect()
}

fn decode_one(reader: &mut Reader<'_>) -> Result<TypedParam, XdrError> {
    let field = reader.string("field", STRING_LEN_MAX)?.into_owned();
    let value = match reader.i32("type")? {
        1 => ParamValue::Int(reader.i32("int")?),
        2 => ParamValue::Uint(reader.u32("uint")?),
        3 => ParamValue::Llong(reader.i64("llong")?),
        4 => ParamValue::Ullong(reader.u64("ullong")?),
        5 => ParamValue::Double(f64::from_bits(reader.u64("double")?)),
        6 => ParamValue::Boolean(reader.flag("boolean")?),
        7 => ParamValue::String(reader.string("string", STRING_LEN_MAX)?.into_owned()),
        value => return Err(XdrError::Discriminant { field: "type", value }),
    };
    Ok(TypedParam { field, value })
}

/// Encodes a counted array.
pub fn encode(writer: &mut Writer<'_>, params: &[TypedParam]) {
    writer.count(params.len());
    params.iter().for_each(|param| encode_one(writer, param));
}

fn encode_one(writer: &mut Writer<'_>, param: &TypedParam) {
    writer.string(&param.field);
    match &param.value {
        ParamValue::Int(number) => {
            writer.i32(1);
            writer.i32(*number);
        }
        ParamValue::Uint(number) => {
            writer.i32(2);
            writer.u32(*number);
        }
        ParamValue::Llong(number) => {
            writer.i32(3);
            writer.i64(*number);
        }
        ParamValue::Ullong(number) => {
            writer.i32(4);
            writer.u64(*number);
        }
        ParamValue::Double(number) => {
            writer.i32(5);
            writer.u64(number.to_bits());
        }
        ParamValue::Boolean(is_true) => {
            writer.i32(6);
            writer.flag(*is_true);
        }
        ParamValue::String(text) => {
            writer.i32(7);
            writer.string(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_read_and_written_by_its_number() {
        struct Case(&'static [u8], ParamValue);
        let cases = [
            Case(b"\0\0\0\x01\xff\xff\xff\xff", ParamValue::Int(-1)),
            Case(b"\0\0\0\x02\xff\xff\xff\xff", ParamValue::Uint(u32::MAX)),
            Case(b"\0\0\0\x03\xff\xff\xff\xff\xff\xff\xff\xfe", ParamValue::Llong(-2)),
            Case(b"\0\0\0\x04\0\0\0\x01\0\0\0\0", ParamValue::Ullong(1 << 32)),
            Case(b"\0\0\0\x05\x3f\xf8\0\0\0\0\0\0", ParamValue::Double(1.5)),
            Case(b"\0\0\0\x06\0\0\0\x01", ParamValue::Boolean(true)),
            Case(b"\0\0\0\x07\0\0\0\x01x\0\0\0", ParamValue::String("x".to_owned())),
        ];
        for Case(bytes, value) in cases {
            let input = [b"\0\0\0\x01\0\0\0\x01f\0\0\0", bytes].concat();
            let want = vec![TypedParam { field: "f".to_owned(), value }];
            let mut output = vec![0xa5];
            encode(&mut Writer::new(&mut output), &want);
            assert_eq!(output.get(1..), Some(input.as_slice()), "{want:?}");
            assert_eq!(decode(&mut Reader::new(&input), 1), Ok(want));
            for cut in 0..input.len() {
                assert!(decode(&mut Reader::new(&input[..cut]), 1).is_err(), "{cut} bytes");
            }
        }
    }

    #[test]
    fn an_unknown_type_and_one_parameter_too_many_are_errors() {
        for number in [0, 8, -1] {
            let input = [b"\0\0\0\x01\0\0\0\0".as_slice(), &i32::to_be_bytes(number)].concat();
            let want = XdrError::Discriminant { field: "type", value: number };
            assert_eq!(decode(&mut Reader::new(&input), 1), Err(want));
        }
        let want = XdrError::TooLong { field: "params", len: 2, max: 1 };
        assert_eq!(decode(&mut Reader::new(b"\0\0\0\x02"), 1), Err(want));
    }
}

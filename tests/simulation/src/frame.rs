// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `frame`: a stream in pieces. Each piece begins with a byte that gives its length, and in
//! the top bit whether its last byte carries a descriptor.
//!
//! However the stream is cut, the same frames are found and the same error ends it. Memory is in
//! proportion to the bytes that wait, not to the declared lengths or to earlier frames.

use crate::input::Input;
use virtinterfaced::limits::SPARE_BUFFER_LEN;
use virtinterfaced::rpc::frame::{Carrier, FrameBuffer, FrameError};
use virtinterfaced::rpc::header::Header;

/// The result of reading a stream: its frames, its error, and the bytes left over.
#[derive(Debug, Default, Eq, PartialEq)]
struct Found {
    frames: Vec<(Header, Vec<u8>, usize)>,
    error: Option<FrameError>,
    left: usize,
}

/// See the module.
pub fn run(input: &[u8]) {
    let pieces = pieces(input);
    let as_given = follow(pieces.iter().copied());
    let byte_by_byte = follow(pieces.iter().flat_map(|piece| single_bytes(*piece)));
    let merged = merge(&pieces);
    let in_large = follow(merged.iter().map(|(bytes, carrier)| (bytes.as_slice(), *carrier)));
    assert_eq!(as_given.frames, byte_by_byte.frames);
    assert_eq!(as_given.frames, in_large.frames);
    assert_eq!(as_given.error, byte_by_byte.error);
    assert_eq!(as_given.error, in_large.error);
    if as_given.error.is_none() {
        assert_eq!(as_given.left, byte_by_byte.left);
        assert_eq!(as_given.left, in_large.left);
    }
}

type Piece<'a> = (&'a [u8], Carrier);

fn pieces(input: &[u8]) -> Vec<Piece<'_>> {
    const CARRIER: u8 = 0x80;
    let mut input = Input::new(input);
    let mut pieces = Vec::new();
    while let Some(head) = input.byte() {
        let bytes = input.bytes(usize::from(head & !CARRIER));
        let carries = head & CARRIER != 0 && !bytes.is_empty();
        pieces.push((bytes, if carries { Carrier::LastByte } else { Carrier::None }));
    }
    pieces
}

fn single_bytes((bytes, carrier): Piece<'_>) -> impl Iterator<Item = Piece<'_>> {
    let last = bytes.len().saturating_sub(1);
    let of = move |position| if position == last { carrier } else { Carrier::None };
    bytes.chunks(1).enumerate().map(move |(position, byte)| (byte, of(position)))
}

/// The longest pieces that a read could return: each ends at a byte that carries a descriptor, or
/// at the end.
fn merge(pieces: &[Piece<'_>]) -> Vec<(Vec<u8>, Carrier)> {
    let mut merged = Vec::new();
    let mut bytes = Vec::new();
    for (piece, carrier) in pieces {
        bytes.extend_from_slice(piece);
        if *carrier == Carrier::LastByte {
            merged.push((std::mem::take(&mut bytes), Carrier::LastByte));
        }
    }
    merged.push((bytes, Carrier::None));
    merged
}

fn follow<'a>(pieces: impl Iterator<Item = Piece<'a>>) -> Found {
    let mut buffer = FrameBuffer::default();
    let mut found = Found::default();
    let mut waiting_max = 0;
    for (bytes, carrier) in pieces {
        buffer.extend(bytes, carrier);
        waiting_max = waiting_max.max(buffer.len());
        take_frames(&mut buffer, &mut found);
        if found.error.is_some() {
            break;
        }
        // Consumed bytes may take as much room as waiting ones, and a growing vector doubles.
        assert!(buffer.capacity() <= 4 * waiting_max + SPARE_BUFFER_LEN, "memory for nothing");
    }
    found.left = buffer.len();
    found
}

fn take_frames(buffer: &mut FrameBuffer, found: &mut Found) {
    loop {
        let len = match buffer.frame() {
            Ok(Some(frame)) => {
                found.frames.push((frame.header, frame.payload.to_vec(), frame.len));
                frame.len
            }
            Ok(None) => return,
            Err(err) => {
                found.error = Some(err);
                return;
            }
        };
        let before = buffer.len();
        buffer.consume(len);
        assert_eq!(buffer.len() + len, before, "a frame is as long as it says");
    }
}

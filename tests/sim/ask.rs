// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls that a client can make, their encoding, and the expected answers.

use virtinterfaced::model::client::Access;
use virtinterfaced::rpc::header::{Header, kind, status};
use virtinterfaced::rpc::keepalive;
use virtinterfaced::xdr::writer::Writer;

use crate::link_model::{Device, LinkModel, NAMES, mac_text};
use crate::random::{Chance, Rng};

const REMOTE: u32 = 0x2000_8086;

/// libvirt's error numbers.
pub(crate) mod code {
    pub(crate) const INTERNAL: i32 = 1;
    pub(crate) const INVALID_ARG: i32 = 8;
    pub(crate) const OPERATION_DENIED: i32 = 29;
    pub(crate) const RPC: i32 = 39;
    pub(crate) const NO_INTERFACE: i32 = 57;
    pub(crate) const MULTIPLE_INTERFACES: i32 = 59;
}

/// One message of a client.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Open {
        read_only: bool,
    },
    Close,
    Keepalive,
    Count {
        active: bool,
    },
    Names {
        active: bool,
        max: u32,
    },
    All {
        results: bool,
        flags: u32,
    },
    ByName(&'static str),
    ByMac(u8),
    IsActive(&'static str),
    Xml(&'static str),
    /// A procedure that changes the host, by its number.
    Change(i32),
    /// A call that no program supports.
    Nonsense(Nonsense),
    Ping,
    /// A message other than a call.
    Remark,
}

/// Calls that fail on any host, before a handler is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Nonsense {
    Program,
    Version,
    Status,
    Procedure,
    Arguments,
}

/// The expected answer.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    Payload(Vec<u8>),
    /// A description of this interface with exactly these addresses.
    Xml(&'static str, Vec<String>),
    Error(i32),
}

impl Ask {
    /// Any message of a correct client; rarely `Close`.
    pub(crate) fn any(random: &mut Rng) -> Self {
        const NONSENSE: [Nonsense; 5] = [
            Nonsense::Program,
            Nonsense::Version,
            Nonsense::Status,
            Nonsense::Procedure,
            Nonsense::Arguments,
        ];
        const CHANGES: [i32; 3] = [220, 221, 222];
        let name = *random.pick(&NAMES);
        match random.usize(..64) {
            0 => Self::Close,
            1..8 => Self::Open { read_only: random.once_in(2) },
            8..11 => Self::Keepalive,
            11..15 => Self::Count { active: random.once_in(2) },
            15..20 => Self::Names { active: random.once_in(2), max: u32::from(random.u8(..) % 8) },
            20..32 => {
                Self::All { results: !random.once_in(4), flags: u32::from(random.u8(..) % 4) }
            }
            32..37 => Self::ByName(name),
            37..41 => Self::ByMac(random.u8(..) % 8),
            41..46 => Self::IsActive(name),
            46..51 => Self::Xml(name),
            51..55 => Self::Change(*random.pick(&CHANGES)),
            55..59 => Self::Nonsense(*random.pick(&NONSENSE)),
            59..62 => Self::Ping,
            _ => Self::Remark,
        }
    }

    /// Header and payload of the message.
    pub(crate) fn encode(&self, serial: u32) -> (Header, Vec<u8>) {
        let mut payload = Vec::new();
        let mut out = Writer::new(&mut payload);
        let procedure = self.encode_arguments(&mut out);
        let (kind, status) = (kind::CALL, status::OK);
        let header = Header { program: REMOTE, version: 1, procedure, kind, serial, status };
        let header = match self {
            Self::Nonsense(Nonsense::Program) => Header { program: 7, ..header },
            Self::Nonsense(Nonsense::Version) => Header { version: 2, ..header },
            Self::Nonsense(Nonsense::Status) => Header { status: status::ERROR, ..header },
            Self::Remark => Header { kind: kind::MESSAGE, ..header },
            Self::Ping => keepalive::ping(),
            _ => header,
        };
        (header, payload)
    }

    /// Writes the arguments, and returns the procedure.
    fn encode_arguments(&self, out: &mut Writer<'_>) -> i32 {
        match self {
            Self::Open { read_only } => {
                out.optional_string(Some("interface:///system"));
                out.flag(*read_only);
                1
            }
            Self::Close => 2,
            Self::Keepalive => {
                out.u32(10);
                60
            }
            Self::Count { active } => {
                if *active {
                    126
                } else {
                    137
                }
            }
            Self::Names { active, max } => {
                out.u32(*max);
                if *active { 127 } else { 138 }
            }
            Self::All { results, flags } => {
                out.flag(*results);
                out.u32(*flags);
                284
            }
            Self::ByName(name) => {
                out.string(name);
                128
            }
            Self::ByMac(mac) => {
                out.string(&mac_text(*mac));
                129
            }
            Self::IsActive(name) => {
                out.string(name);
                out.string("");
                156
            }
            Self::Xml(name) => {
                out.string(name);
                out.string("ignored");
                out.u32(0);
                130
            }
            Self::Change(procedure) => {
                ["br0", "", ""].iter().for_each(|text| out.string(text));
                *procedure
            }
            Self::Nonsense(Nonsense::Procedure) => 9999,
            Self::Nonsense(Nonsense::Arguments) => 128,
            Self::Nonsense(_) | Self::Ping | Self::Remark => 66,
        }
    }

    /// The expected answer, given the host's links.
    pub(crate) fn want(&self, links: &LinkModel, opened: Option<Access>) -> Want {
        let number = |number: usize| words(&[u32::try_from(number).unwrap()]);
        match self {
            Self::Nonsense(_) => return Want::Error(code::RPC),
            Self::Close => return Want::Payload(Vec::new()),
            Self::Keepalive => return Want::Payload(number(1)),
            Self::Open { .. } if opened.is_none() => return Want::Payload(Vec::new()),
            Self::Open { .. } => return Want::Error(code::INTERNAL),
            _ if opened.is_none() => return Want::Error(code::INTERNAL),
            Self::Change(_) if opened == Some(Access::ReadOnly) => {
                return Want::Error(code::OPERATION_DENIED);
            }
            // The leading string is decoded as flags, which are invalid.
            Self::Change(_) => return Want::Error(code::INVALID_ARG),
            _ => {}
        }
        let all = links.listed();
        let of_state = |active: bool| all.iter().copied().filter(move |link| link.up == active);
        match self {
            Self::Count { active } => Want::Payload(number(of_state(*active).count())),
            Self::Names { active, max } => {
                let names = of_state(*active).map(|device| device.name);
                Want::Payload(list(names.take(usize::try_from(*max).unwrap()), |out, name| {
                    out.string(name);
                }))
            }
            Self::All { results, flags } => {
                let wanted = |device: &&Device| match flags {
                    1 => !device.up,
                    2 => device.up,
                    _ => true,
                };
                let devices: Vec<_> = all.iter().copied().filter(wanted).collect();
                let count = number(devices.len());
                let shown = devices.into_iter().filter(|_| *results);
                Want::Payload([list(shown, write_device), count].concat())
            }
            Self::ByName(name) => links.named(name).map_or(NOT_FOUND, found),
            Self::ByMac(mac) => {
                match all.iter().filter(|device| device.mac == *mac).collect::<Vec<_>>()[..] {
                    [] => NOT_FOUND,
                    [device] => found(device),
                    _ => Want::Error(code::MULTIPLE_INTERFACES),
                }
            }
            Self::IsActive(name) => {
                let active = links.named(name).map(|device| number(usize::from(device.up)));
                active.map_or(NOT_FOUND, Want::Payload)
            }
            Self::Xml(name) => {
                let device = links.named(name);
                device.map_or(NOT_FOUND, |_| Want::Xml(name, links.addresses_of(name)))
            }
            _ => panic!("{self:?} is answered above, or not at all"),
        }
    }
}

const NOT_FOUND: Want = Want::Error(code::NO_INTERFACE);

fn found(device: &Device) -> Want {
    let mut payload = Vec::new();
    write_device(&mut Writer::new(&mut payload), device);
    Want::Payload(payload)
}

fn write_device(out: &mut Writer<'_>, device: &Device) {
    out.string(device.name);
    out.string(&device.mac_text());
}

fn list<T>(items: impl Iterator<Item = T>, write: impl Fn(&mut Writer<'_>, T)) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut count = 0;
    items.for_each(|item| {
        write(&mut Writer::new(&mut payload), item);
        count += 1;
    });
    [words(&[count]), payload].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

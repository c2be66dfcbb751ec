// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures a rollback on a host with very many addresses or routes, and how long a client that
//! looks waits meanwhile.

use std::io;

use crate::client::{CallFrame, Client};
use crate::isolated_host;
use crate::looks::beside_looks;
use crate::server::{Kind, Log, Server};
use crate::table::{Figures, Target, Unit};

/// How long a client that looks may wait, in seconds.
const WAIT_MAX: f64 = 5e-3;

const LINK: &str =
    "link add crowded0 type veth peer name crowded1\nlink set crowded0 up\nlink set crowded1 up\n";

/// A host, and a change to it.
struct Case {
    text: &'static str,
    setting: fn() -> String,
    change: fn() -> String,
    /// The lines for `ip -batch` that remove the host's addresses or routes again.
    end: fn() -> String,
}

const CASES: [Case; 4] = [
    Case {
        text: "4,000 addresses, one of them deleted",
        setting: || addresses("add", 4_000),
        change: || "address delete 10.7.0.7/16 dev crowded0\n".to_owned(),
        end: || "address flush dev crowded0 scope global\n".to_owned(),
    },
    Case {
        text: "32,000 routes, all of them deleted",
        setting: || routes(32_000),
        change: || "route flush dev crowded0 proto boot\n".to_owned(),
        end: || "route flush dev crowded0 proto boot\n".to_owned(),
    },
    Case {
        text: "100,000 routes, none of them changed",
        setting: || routes(100_000),
        change: || "link set crowded0 mtu 1400\n".to_owned(),
        end: String::new,
    },
    Case {
        text: "100,000 routes, all of them deleted",
        setting: String::new,
        change: || "route flush dev crowded0 proto boot\n".to_owned(),
        end: || "route flush dev crowded0 proto boot\n".to_owned(),
    },
];

/// Measures and prints all of it.
pub(crate) fn print() -> io::Result<()> {
    isolated_host::ip(LINK)?;
    CASES.into_iter().try_for_each(measure)
}

fn measure(case: Case) -> io::Result<()> {
    isolated_host::ip(&(case.setting)())?;
    let server = Server::start(Kind::Ours, Log::Quiet)?;
    let mut client = Client::open(server.path())?;
    let (begin, begin_waits) = beside_looks(&server, || client.call(&CallFrame::begin()))?;
    isolated_host::ip(&(case.change)())?;
    let (back, back_waits) = beside_looks(&server, || client.call(&CallFrame::rollback()))?;
    let print = |text: &str, time, target| Figures::of_ours(time).print(text, Unit::Time, target);
    print(&format!("begin, {}", case.text), begin, Target::None);
    print(
        "... longest wait of a client that looks",
        begin_waits.longest(),
        Target::AtMost(WAIT_MAX),
    );
    print("... rollback", back, Target::None);
    print(
        "... longest wait of a client that looks",
        back_waits.longest(),
        Target::AtMost(WAIT_MAX),
    );
    drop(server);
    isolated_host::ip(&(case.end)())
}

fn addresses(verb: &str, count: u32) -> String {
    let line =
        |at: u32| format!("address {verb} 10.7.{}.{}/16 dev crowded0\n", at / 250, at % 250 + 1);
    (0..count).map(line).collect()
}

fn routes(count: u32) -> String {
    let line = |at: u32| {
        format!(
            "route add 10.{}.{}.{}/32 dev crowded0\n",
            8 + at / 62_500,
            at / 250 % 250,
            at % 250 + 1
        )
    };
    (0..count).map(line).collect()
}

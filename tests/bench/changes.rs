// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures how long it takes to define, create, destroy and undefine a bridge.
//!
//! Each round also measures the same kernel requests sent bare, the same bridge made by ifupdown,
//! and the same file written bare.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::bare_changes::BareChanges;
use crate::client::{CallFrame, Client};
use crate::isolated_host::{self, DISCARDED};
use crate::request::{Request, Requests};
use crate::rounds::{COUNT, median};
use crate::server::{Kind, Log, Server};
use crate::table::{Figures, Target, Unit};

/// The pause between two life cycles, in which the kernel finishes the earlier one.
const PAUSE: Duration = Duration::from_millis(100);

/// Life cycles in a round that follow each other without a pause.
const HURRIED_LIVES_A_ROUND: usize = 5;

/// The times of many life cycles, part by part.
#[derive(Debug, Default)]
struct Lives {
    all: Vec<f64>,
    define: Vec<f64>,
    create: Vec<f64>,
    destroy: Vec<f64>,
    undefine: Vec<f64>,
    /// Until the kernel has deleted the bridge, which `destroy` only renames.
    deletion: Vec<f64>,
    bare_all: Vec<f64>,
    bare_create: Vec<f64>,
    bare_destroy: Vec<f64>,
    bare_deletion: Vec<f64>,
    ifupdown: Vec<f64>,
}

/// Measures and prints everything.
pub(crate) fn print() -> io::Result<()> {
    check_requests()?;
    if isolated_host::has_ifupdown() {
        isolated_host::check_ifupdown()?;
    }
    let server = Server::start(Kind::Ours, Log::Quiet)?;
    let mut bare = BareChanges::start()?;
    let (mut lives, mut hurried) = (Lives::default(), Lives::default());
    for _ in 0..COUNT {
        lives.live(&server)?;
        lives.deletion.push(timed(isolated_host::wait_until_tidy)?);
        thread::sleep(PAUSE);
        lives.live_bare(&mut bare)?;
        thread::sleep(PAUSE);
        if isolated_host::has_ifupdown() {
            lives.ifupdown.push(timed(|| {
                isolated_host::ifupdown("ifup")?;
                isolated_host::ifupdown("ifdown")
            })?);
        }
        thread::sleep(PAUSE);
        for _ in 0..HURRIED_LIVES_A_ROUND {
            hurried.live(&server)?;
        }
        isolated_host::wait_until_tidy()?;
        thread::sleep(PAUSE);
        for _ in 0..HURRIED_LIVES_A_ROUND {
            hurried.live_bare(&mut bare)?;
        }
        thread::sleep(PAUSE);
    }
    lives.print()?;
    let figures = Figures::beside_bare(of(hurried.all)?, of(hurried.bare_all)?);
    figures.print("... without a pause in between", Unit::Time, Target::OfBare(2.0));
    drop(server);
    print_on_disk()
}

impl Lives {
    fn live(&mut self, server: &Server) -> io::Result<()> {
        let mut client = Client::open(server.path())?;
        let mut part = |call: &CallFrame| timed(|| client.call(call));
        let define = part(&CallFrame::define(isolated_host::NEW_BRIDGE_XML))?;
        let create = part(&CallFrame::create(isolated_host::NEW_BRIDGE))?;
        let destroy = part(&CallFrame::destroy(isolated_host::NEW_BRIDGE))?;
        let undefine = part(&CallFrame::undefine(isolated_host::NEW_BRIDGE))?;
        self.all.push(define + create + destroy + undefine);
        self.define.push(define);
        self.create.push(create);
        self.destroy.push(destroy);
        self.undefine.push(undefine);
        Ok(())
    }

    fn live_bare(&mut self, bare: &mut BareChanges) -> io::Result<()> {
        let life = bare.live()?;
        self.bare_all.push(life.create + life.destroy);
        self.bare_create.push(life.create);
        self.bare_destroy.push(life.destroy);
        self.bare_deletion.push(life.delete);
        Ok(())
    }

    fn print(self) -> io::Result<()> {
        let all = of(self.all)?;
        let figures = Figures {
            ifupdown: median(self.ifupdown),
            ..Figures::beside_bare(all, of(self.bare_all)?)
        };
        figures.print("define, create, destroy, undefine", Unit::Time, Target::OfBare(2.0));
        figures.print("... beside ifup and ifdown", Unit::Time, Target::FasterThanIfupdown(20.0));
        Figures::of_ours(of(self.define)?).print("... define", Unit::Time, Target::None);
        let figures = Figures::beside_bare(of(self.create)?, of(self.bare_create)?);
        figures.print("... create", Unit::Time, Target::BesideBare);
        let figures = Figures::beside_bare(of(self.destroy)?, of(self.bare_destroy)?);
        figures.print("... destroy", Unit::Time, Target::BesideBare);
        Figures::of_ours(of(self.undefine)?).print("... undefine", Unit::Time, Target::None);
        let figures = Figures::beside_bare(of(self.deletion)?, of(self.bare_deletion)?);
        figures.print("... its deletion, in the background", Unit::Time, Target::None);
        Ok(())
    }
}

/// Measures the cost of the disk that holds the build tree, beside the same writes done bare.
fn print_on_disk() -> io::Result<()> {
    isolated_host::enter_disk()?;
    let server = Server::start(Kind::Ours, Log::Quiet)?;
    let mut client = Client::open(server.path())?;
    let [mut define, mut undefine, mut write, mut remove] = [const { Vec::new() }; 4];
    for _ in 0..COUNT {
        let call = CallFrame::define(isolated_host::NEW_BRIDGE_XML);
        define.push(timed(|| client.call(&call))?);
        undefine.push(timed(|| client.call(&CallFrame::undefine(isolated_host::NEW_BRIDGE)))?);
        write.push(timed(isolated_host::write_durably)?);
        remove.push(timed(isolated_host::remove_durably)?);
    }
    drop(client);
    drop(server);
    isolated_host::leave_disk()?;
    let figures = Figures::beside_bare(of(define)?, of(write)?);
    figures.print("... define, on the disk", Unit::Time, Target::BesideBare);
    let figures = Figures::beside_bare(of(undefine)?, of(remove)?);
    figures.print("... undefine, on the disk", Unit::Time, Target::BesideBare);
    Ok(())
}

/// Compares the bare program's requests with those of the plans that the daemon logs.
fn check_requests() -> io::Result<()> {
    let server = Server::start(Kind::Ours, Log::Debug)?;
    Lives::default().live(&server)?;
    drop(server);
    let log = isolated_host::our_log()?;
    let plans = log.lines().filter_map(|line| line.split_once("plan:\\n"));
    let steps = plans.flat_map(|(_, plan)| plan.split("\\n"));
    let planned: Vec<_> = steps.filter_map(request).collect();
    let requests = Requests::new([0, 0]);
    let text = |request: Request| request.text;
    let mut bare: Vec<_> = requests.create.into_iter().map(text).collect();
    bare.extend(requests.destroy.into_iter().map(text));
    bare.push(text(requests.delete));
    if planned == bare {
        return Ok(());
    }
    Err(io::Error::other(format!("the plans ask for {planned:?}, the bare program for {bare:?}")))
}

/// The kernel request in a line of a plan, if the line has one.
fn request(line: &str) -> Option<String> {
    let step = line.split_once("undo:").map_or(line, |(step, _)| step);
    let words = step.split_whitespace().filter(|word| *word != "later");
    // Bridges that wait to be deleted are numbered.
    let plain = |word| if str::starts_with(word, DISCARDED) { DISCARDED } else { word };
    let words: Vec<_> = words.map(plain).collect();
    matches!(words.first(), Some(&("addr" | "link" | "route"))).then(|| words.join(" "))
}

fn of(times: Vec<f64>) -> io::Result<f64> {
    median(times).ok_or_else(|| io::Error::other("nothing was measured"))
}

fn timed(action: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let begin = Instant::now();
    action()?;
    Ok(begin.elapsed().as_secs_f64())
}

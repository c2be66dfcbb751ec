// SPDX-License-Identifier: LGPL-2.1-or-later
//! Many sessions and the handlers, against a model of the host's links and a clock made of values.
//!
//! A seed decides everything: what each client sends, how the stream is cut, when links come and
//! go, when the clock moves and how far. Each session is compared with a model at every step. The
//! seed of a failure is printed; `SIM_SEED` repeats it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

#[path = "sim/ask.rs"]
mod ask;
#[path = "sim/client_model.rs"]
mod client_model;
#[path = "sim/link_model.rs"]
mod link_model;
#[path = "support/random.rs"]
mod random;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use ask::Ask;
use client_model::Client;
use link_model::LinkModel;
use random::{Chance, Rng, seed, seed_from};

/// How long new seeds are tried.
const TIME: Duration = Duration::from_secs(3);

const CLIENT_COUNT: usize = 50;
const STEP_COUNT: usize = 5_000;

#[test]
fn sessions_do_what_their_models_do() {
    if let Some(seed) = seed_from("SIM_SEED") {
        return run(seed);
    }
    let end = clock() + TIME;
    let mut seed = seed("SIM_SEED");
    while clock() < end {
        seed += 1;
        let outcome = catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "SIM_SEED={seed} repeats it");
    }
}

fn run(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut links = LinkModel::default();
    let mut clients: Vec<_> = (0..CLIENT_COUNT).map(|_| Client::new(&mut random)).collect();
    let mut now = clock();
    for _ in 0..STEP_COUNT {
        if random.once_in(10) {
            links.change(&mut random);
        }
        if random.once_in(40) {
            now += jump(&mut random, &clients, now);
            clients.iter_mut().for_each(|client| client.be_timed(now));
        }
        let client = random.usize(..clients.len());
        step(&mut clients[client], &links, now, &mut random);
    }
    for client in &mut clients {
        client.settle(&links, now);
    }
}

fn step(client: &mut Client, links: &LinkModel, now: Instant, random: &mut Rng) {
    match random.usize(..256) {
        0 => client.hang_up(),
        1 => client.break_protocol(random),
        2..96 => client.ask(Ask::any(random)),
        96..160 => client.be_read(some(random)),
        160..210 => client.be_answered(links, now),
        _ => client.be_written(some(random)),
    }
}

/// How many bytes are moved at once: one, a few, or all.
fn some(random: &mut Rng) -> usize {
    *random.pick(&[1, 3, 27, 28, 100, usize::MAX])
}

/// How far the clock moves: a moment, to just before or exactly the time of a client's next timer,
/// or far beyond.
fn jump(random: &mut Rng, clients: &[Client], now: Instant) -> Duration {
    const MOMENT: Duration = Duration::from_millis(1);
    let due = random.pick(clients).due().map_or(MOMENT, |due| due.saturating_duration_since(now));
    match random.usize(..8) {
        0 => due.saturating_sub(MOMENT),
        1 => due,
        2 => Duration::from_secs(3600),
        _ => MOMENT,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no loop that reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

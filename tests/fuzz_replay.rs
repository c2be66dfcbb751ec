// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runs the fuzz targets without a fuzzer: every file of every corpus, then mutations of them for
//! about a second a target. This keeps the targets working, and repeats every input that once
//! crashed.
//!
//! All files of a directory are used. `FUZZ_SEED` repeats the mutation that failed.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/random.rs"]
mod random;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use random::{Chance, Rng, seed, seed_from};
use simulation::{Run, TARGETS};

/// How long mutations are tried on each target.
const TIME: Duration = Duration::from_secs(1);

/// The largest number of files in a corpus. They are few and small, so they can be reviewed.
const FILE_COUNT_MAX: usize = 90;
const FILE_LEN_MAX: usize = 4096;

#[test]
fn each_target_takes_its_corpus_and_whatever_resembles_it() {
    for folder in folders() {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let target = TARGETS.iter().find(|(target, _)| *target == name);
        let (_, run) = target.unwrap_or_else(|| panic!("{name}: a corpus without a target"));
        let inputs = replay(*run, &folder);
        match seed_from("FUZZ_SEED") {
            Some(seed) => run(&mutate(&inputs, seed)),
            None => mutations(*run, &name, &inputs),
        }
    }
}

#[test]
fn each_target_has_a_corpus() {
    for (name, _) in TARGETS {
        assert!(folders().contains(&corpus().join(name)), "{name}: no corpus");
    }
}

#[test]
fn corpora_stay_small() {
    for folder in folders() {
        let files = list(&folder);
        assert!((1..FILE_COUNT_MAX).contains(&files.len()), "{}", folder.display());
        for file in files {
            let len = std::fs::metadata(&file).unwrap().len();
            assert!(len < FILE_LEN_MAX.try_into().unwrap(), "{}", file.display());
        }
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

fn folders() -> Vec<PathBuf> {
    list(&corpus())
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Runs each file, and returns their contents.
fn replay(run: Run, folder: &Path) -> Vec<Vec<u8>> {
    let replay_one = |file: &PathBuf| {
        let input = std::fs::read(file).unwrap();
        let outcome = catch_unwind(|| run(&input));
        assert!(outcome.is_ok(), "{}", file.display());
        input
    };
    list(folder).iter().map(replay_one).collect()
}

fn mutations(run: Run, name: &str, inputs: &[Vec<u8>]) {
    #[expect(clippy::disallowed_methods, reason = "a test has no loop that reads the clock")]
    let clock = Instant::now;
    let end = clock() + TIME;
    let mut seed = seed("FUZZ_SEED");
    while clock() < end {
        seed += 1;
        let input = mutate(inputs, seed);
        let outcome = catch_unwind(|| run(&input));
        assert!(outcome.is_ok(), "{name}: FUZZ_SEED={seed} repeats it; the input was {input:02x?}");
    }
}

/// One of `inputs`, changed in a few places.
fn mutate(inputs: &[Vec<u8>], seed: u64) -> Vec<u8> {
    const WORDS: [u32; 8] = [0, 1, 27, 28, 33, 0x0200_0000, 0x7fff_ffff, 0xffff_ffff];
    let mut random = Rng::with_seed(seed);
    let mut input = random.pick(inputs).clone();
    for _ in 0..=random.usize(..6) {
        let at = random.usize(..input.len() + 1);
        let end = (at + random.usize(..16)).min(input.len());
        match random.usize(..6) {
            0 => input.truncate(at),
            1 => input.insert(at, random.u8(..)),
            2 => drop(input.drain(at..end)),
            3 => input.extend_from_within(at..end),
            4 => drop(input.splice(at..end, random.pick(&WORDS).to_be_bytes())),
            _ => input[at..end].iter_mut().for_each(|byte| *byte ^= 1 << random.usize(..8)),
        }
    }
    if random.once_in(4) {
        let other = random.pick(inputs);
        input.extend_from_slice(&other[random.usize(..other.len() + 1)..]);
    }
    input
}

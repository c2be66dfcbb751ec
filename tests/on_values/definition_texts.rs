// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions of every kind, as texts.

use simulation::interface;
use simulation::xml::parse;
use virtinterfaced::xml::format::format;

/// Properties of every definition that the model can hold.
#[test]
fn formatted_definitions_are_parsed_to_the_same() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = [0; 200];
    for round in 0..5_000 {
        rng.fill(&mut bytes);
        let interface = interface::interface(&bytes);
        let text = format(&interface);
        assert_eq!(parse(&text), Ok(interface), "seed {seed}, round {round}\n{text}");
    }
}

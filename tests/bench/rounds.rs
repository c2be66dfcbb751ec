// SPDX-License-Identifier: LGPL-2.1-or-later
//! A fair comparison: many short rounds in which each server has its turn, and the median of each.

use std::io;

use crate::server::Kind;
use crate::table::Figures;

pub(crate) const COUNT: usize = 15;

/// Measures each server once a round. A measure that a server does not support is `None` in every
/// round.
pub(crate) fn compare(
    mut measure: impl FnMut(Kind) -> io::Result<Option<f64>>,
) -> io::Result<Figures> {
    let [mut ours, mut bare, mut libvirtd] = [const { Vec::new() }; 3];
    for _ in 0..COUNT {
        ours.extend(measure(Kind::Ours)?);
        bare.extend(measure(Kind::Bare)?);
        libvirtd.extend(measure(Kind::Libvirtd)?);
    }
    let ours = median(ours).ok_or_else(|| io::Error::other("no figure of ours"))?;
    Ok(Figures { ours, bare: median(bare), libvirtd: median(libvirtd), ifupdown: None })
}

/// The median.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

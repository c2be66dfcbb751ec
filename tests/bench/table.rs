// SPDX-License-Identifier: LGPL-2.1-or-later
//! The table: one line a measure, with what is required and whether it is met.

use std::fmt::{self, Display};

/// One measure of each server, in seconds, calls a second, bytes or pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) ours: f64,
    /// Where the bare server has something to compare with.
    pub(crate) bare: Option<f64>,
    /// Where libvirtd is installed.
    pub(crate) libvirtd: Option<f64>,
}

/// How a figure is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Time,
    Rate,
    Memory,
    Count,
    /// A part of the whole.
    Part,
}

/// What is required of our figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    None,
    /// The figure itself has a limit.
    AtMost(f64),
    /// A time, as a multiple of the bare server's.
    OfBare(f64),
    /// A rate, as a part of the bare server's.
    RateOfBare(f64),
    /// That many times as fast as libvirtd.
    FasterThanLibvirtd(f64),
}

pub(crate) fn print_head() {
    print_line("measure", ["ours", "bare", "libvirtd", "ratio", "required", ""]);
}

impl Figures {
    /// Prints a line of the table.
    pub(crate) fn print(&self, measure: &str, unit: Unit, target: Target) {
        let text = |figure: Option<f64>| {
            figure.map_or_else(|| "-".to_owned(), |figure| Quantity(figure, unit).to_string())
        };
        let ratio = self.ratio(target);
        let required = match target {
            Target::None => "-".to_owned(),
            Target::AtMost(limit) => format!("<= {}", Quantity(limit, unit)),
            Target::OfBare(limit) => format!("<= {limit} bare"),
            Target::RateOfBare(limit) => format!(">= {limit} bare"),
            Target::FasterThanLibvirtd(limit) => format!(">= {limit} libvirtd"),
        };
        let verdict = match (target, ratio) {
            (Target::None, _) => "",
            (Target::AtMost(limit), _) => verdict(self.ours <= limit),
            (Target::OfBare(limit), Some(ratio)) => verdict(ratio <= limit),
            (Target::RateOfBare(limit), Some(ratio)) => verdict(ratio >= limit),
            (Target::FasterThanLibvirtd(limit), Some(ratio)) => verdict(ratio >= limit),
            (_, None) => "nothing to compare",
        };
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let figures = [text(Some(self.ours)), text(self.bare), text(self.libvirtd)];
        let [ours, bare, libvirtd] = figures.each_ref().map(String::as_str);
        print_line(measure, [ours, bare, libvirtd, &ratio, &required, verdict]);
    }

    /// What came on top of an earlier measure.
    pub(crate) fn minus(&self, earlier: &Self) -> Self {
        let difference = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        Self {
            ours: self.ours - earlier.ours,
            bare: difference(self.bare, earlier.bare),
            libvirtd: difference(self.libvirtd, earlier.libvirtd),
        }
    }

    fn ratio(&self, target: Target) -> Option<f64> {
        match target {
            Target::None | Target::AtMost(_) => None,
            Target::OfBare(_) | Target::RateOfBare(_) => Some(self.ours / self.bare?),
            Target::FasterThanLibvirtd(_) => Some(self.libvirtd? / self.ours),
        }
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

fn print_line(measure: &str, [ours, bare, libvirtd, ratio, required, verdict]: [&str; 6]) {
    let line = format!(
        "{measure:<46} {ours:>10} {bare:>10} {libvirtd:>10} {ratio:>8}  {required:<15} {verdict}"
    );
    println!("{}", line.trim_end());
}

/// A figure and how to write it.
struct Quantity(f64, Unit);

impl Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(figure, unit) = *self;
        match unit {
            Unit::Time if figure.abs() < 1e-3 => write!(f, "{:.1} us", figure * 1e6),
            Unit::Time => write!(f, "{:.2} ms", figure * 1e3),
            Unit::Rate => write!(f, "{:.0}/s", figure),
            Unit::Memory => write!(f, "{:.2} MB", figure / 1e6),
            Unit::Count => write!(f, "{figure}"),
            Unit::Part => write!(f, "{:.2} %", figure * 100.0),
        }
    }
}

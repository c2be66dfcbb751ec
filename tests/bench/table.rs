// SPDX-License-Identifier: LGPL-2.1-or-later
//! The table: one line a measure, with its target and whether the target is met.

use std::fmt::{self, Display};

/// One measure of each server, in seconds, calls a second, bytes or pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) ours: f64,
    /// If the bare server supports the measure.
    pub(crate) bare: Option<f64>,
    /// If libvirtd is installed.
    pub(crate) libvirtd: Option<f64>,
    /// If ifupdown supports the measure.
    pub(crate) ifupdown: Option<f64>,
}

/// How a figure is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Time,
    Rate,
    Memory,
    Bytes,
    Count,
    /// A share of the whole.
    Part,
}

/// The target for our figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    None,
    /// An upper limit of the figure itself.
    AtMost(f64),
    /// A time, as a multiple of the bare server's.
    OfBare(f64),
    /// A time, in seconds more than the bare program's.
    OverBare(f64),
    /// A rate, as a share of the bare server's.
    RateOfBare(f64),
    /// No target; prints the ratio to the bare figure.
    BesideBare,
    /// At least this many times as fast as libvirtd.
    FasterThanLibvirtd(f64),
    /// At least this many times as fast as ifupdown.
    FasterThanIfupdown(f64),
}

pub(crate) fn print_head() {
    print_line("measure", ["ours", "bare", "libvirtd", "ifupdown", "ratio", "required", ""]);
}

impl Figures {
    /// A measure of our daemon alone.
    pub(crate) fn of_ours(ours: f64) -> Self {
        Self { ours, bare: None, libvirtd: None, ifupdown: None }
    }

    pub(crate) fn beside_bare(ours: f64, bare: f64) -> Self {
        Self { bare: Some(bare), ..Self::of_ours(ours) }
    }

    /// Prints a line of the table.
    pub(crate) fn print(&self, measure: &str, unit: Unit, target: Target) {
        let text = |figure: Option<f64>| {
            figure.map_or_else(|| "-".to_owned(), |figure| Quantity(figure, unit).to_string())
        };
        let ratio = self.ratio(target);
        let required = match target {
            Target::None | Target::BesideBare => "-".to_owned(),
            Target::AtMost(limit) => format!("<= {}", Quantity(limit, unit)),
            Target::OfBare(limit) => format!("<= {limit} bare"),
            Target::OverBare(limit) => format!("<= bare + {}", Quantity(limit, unit)),
            Target::RateOfBare(limit) => format!(">= {limit} bare"),
            Target::FasterThanLibvirtd(limit) => format!(">= {limit} libvirtd"),
            Target::FasterThanIfupdown(limit) => format!(">= {limit} ifupdown"),
        };
        let verdict = match (target, ratio) {
            (Target::None | Target::BesideBare, _) => "",
            (Target::AtMost(limit), _) => verdict(self.ours <= limit),
            (Target::OverBare(limit), Some(_)) => {
                verdict(self.bare.is_some_and(|bare| self.ours - bare <= limit))
            }
            (Target::OfBare(limit), Some(ratio)) => verdict(ratio <= limit),
            (Target::RateOfBare(limit), Some(ratio)) => verdict(ratio >= limit),
            (
                Target::FasterThanLibvirtd(limit) | Target::FasterThanIfupdown(limit),
                Some(ratio),
            ) => verdict(ratio >= limit),
            (_, None) => "nothing to compare",
        };
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let figures = [Some(self.ours), self.bare, self.libvirtd, self.ifupdown].map(text);
        let [ours, bare, libvirtd, ifupdown] = figures.each_ref().map(String::as_str);
        print_line(measure, [ours, bare, libvirtd, ifupdown, &ratio, &required, verdict]);
    }

    /// The difference from an earlier measure.
    pub(crate) fn minus(&self, earlier: &Self) -> Self {
        let difference = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        Self {
            ours: self.ours - earlier.ours,
            bare: difference(self.bare, earlier.bare),
            libvirtd: difference(self.libvirtd, earlier.libvirtd),
            ifupdown: difference(self.ifupdown, earlier.ifupdown),
        }
    }

    fn ratio(&self, target: Target) -> Option<f64> {
        match target {
            Target::None | Target::AtMost(_) => None,
            Target::OfBare(_)
            | Target::OverBare(_)
            | Target::RateOfBare(_)
            | Target::BesideBare => Some(self.ours / self.bare?),
            Target::FasterThanLibvirtd(_) => Some(self.libvirtd? / self.ours),
            Target::FasterThanIfupdown(_) => Some(self.ifupdown? / self.ours),
        }
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

fn print_line(measure: &str, columns: [&str; 7]) {
    let [ours, bare, libvirtd, ifupdown, ratio, required, verdict] = columns;
    let line = format!(
        "{measure:<46} {ours:>10} {bare:>10} {libvirtd:>10} {ifupdown:>10} {ratio:>8}  \
         {required:<15} {verdict}"
    );
    println!("{}", line.trim_end());
}

/// A figure and its unit.
struct Quantity(f64, Unit);

impl Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(figure, unit) = *self;
        match unit {
            Unit::Time if figure.abs() < 1e-3 => write!(f, "{:.1} us", figure * 1e6),
            Unit::Time => write!(f, "{:.2} ms", figure * 1e3),
            Unit::Rate => write!(f, "{:.0}/s", figure),
            Unit::Memory => write!(f, "{:.2} MB", figure / 1e6),
            Unit::Bytes => write!(f, "{figure:.0} B"),
            Unit::Count => write!(f, "{figure}"),
            Unit::Part => write!(f, "{:.2} %", figure * 100.0),
        }
    }
}

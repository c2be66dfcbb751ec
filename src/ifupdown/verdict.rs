// SPDX-License-Identifier: LGPL-2.1-or-later
//! The verdict of the host's own program on a configuration that it was made to read.

use crate::ifupdown::Dialect;

/// A command that reads a configuration and does nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadCommand {
    /// The name of the program.
    pub program: &'static str,
    /// Its arguments, between which the path of the file is.
    pub before: &'static [&'static str],
    pub after: &'static [&'static str],
}

/// BusyBox has no command that only reads. No interface can have this name, so none is brought up.
const NO_INTERFACE: &str = "none/read-only";

impl Dialect {
    /// The command that reads a configuration in this dialect.
    pub const fn read_command(self) -> ReadCommand {
        match self {
            // It lists the interfaces of `allow-none` lines; a list of all would be refused for an
            // `auto` line that names an interface without a stanza.
            Self::Classic => ReadCommand {
                program: "ifquery",
                before: &["--list", "--allow=none", "-i"],
                after: &[],
            },
            Self::Ng => ReadCommand { program: "ifquery", before: &["-L", "-i"], after: &[] },
            Self::BusyBox => {
                ReadCommand { program: "ifup", before: &["-n", "-i"], after: &[NO_INTERFACE] }
            }
        }
    }

    /// Whether such a command has read the whole configuration: by its exit status, and its
    /// standard error.
    ///
    /// # Errors
    /// The program's reason.
    pub fn verdict(self, is_success: bool, said: &str) -> Result<(), String> {
        let is_unknown = |line: &str| {
            self == Self::BusyBox
                && line.contains("unknown interface")
                && line.ends_with(NO_INTERFACE)
        };
        let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let last = lines.clone().next_back();
        match lines.next() {
            _ if is_success || last.is_some_and(is_unknown) => Ok(()),
            Some(first) => Err(first.replace(char::is_control, " ")),
            None => Err("it gives no reason".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_reading_and_has_the_programs_reason() {
        struct Case(Dialect, bool, &'static str, Result<(), &'static str>);
        let cases = [
            Case(Dialect::Classic, true, "", Ok(())),
            Case(
                Dialect::Classic,
                false,
                "ifquery: /x:4: option with empty value\nifquery: couldn't read interfaces file \"/x\"\n",
                Err("ifquery: /x:4: option with empty value"),
            ),
            Case(Dialect::Ng, true, "/x:1: duplicate\n", Ok(())),
            Case(
                Dialect::Ng,
                false,
                "ifquery: could not parse /x\n",
                Err("ifquery: could not parse /x"),
            ),
            Case(
                Dialect::BusyBox,
                false,
                "ifup: ignoring unknown interface none/read-only\n",
                Ok(()),
            ),
            Case(
                Dialect::BusyBox,
                false,
                "ifup: option with empty value \" address\"\n",
                Err("ifup: option with empty value \" address\""),
            ),
            Case(
                Dialect::Classic,
                false,
                "Ignoring unknown interface none/read-only\n",
                Err("Ignoring unknown interface none/read-only"),
            ),
            Case(Dialect::Ng, false, " \n", Err("it gives no reason")),
            Case(Dialect::Classic, false, "a\tb\x1b[0m", Err("a b [0m")),
        ];
        for Case(dialect, is_success, said, want) in cases {
            let found = dialect.verdict(is_success, said);
            assert_eq!(found, want.map_err(str::to_owned), "{dialect}: {said}");
        }
    }
}

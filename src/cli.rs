// SPDX-License-Identifier: LGPL-2.1-or-later
//! The command line: one table, from which it is parsed and `--help` is written.
//!
//! The options are those of libvirt's daemons. This module does not act on them.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use getopts::{Matches, Options};

use crate::limits::TIMEOUT_SECS_MAX;
use crate::release::LIBVIRT_VERSION;

/// Returns the text of `--version`, in the format of libvirt's daemons, which scripts parse.
pub fn version() -> String {
    format!("virtinterfaced (libvirt) {LIBVIRT_VERSION}\n")
}

/// The operation that the command line requests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Invocation {
    Help,
    Version,
    Run(Run),
    /// Only roll back a transaction that must not stay open.
    RollBackStale(Run),
    /// Only wait until the interfaces of the boot are up, at most for this time.
    WaitOnline(Duration),
    /// Only check the configuration of a daemon that runs with these options.
    CheckConfig(Run),
}

/// The options of a daemon.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Run {
    pub daemonize: bool,
    pub verbose: bool,
    pub config: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    /// Stop after this time without clients.
    pub idle_limit: Option<Duration>,
}

/// An invalid command line, described in one line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UsageError {
    /// An option that is unknown, given twice or without its argument. The usage text is shown too,
    /// as libvirt's daemons do.
    Option(String),
    Other(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for UsageError {}

/// One option.
struct Flag {
    short: &'static str,
    long: &'static str,
    /// The name of the option's argument, if it takes one.
    argument: Option<&'static str>,
    help: &'static str,
}

/// All options, in the order of `--help`.
const FLAGS: [Flag; 10] = [
    Flag { short: "h", long: "help", argument: None, help: "show this help and exit" },
    Flag { short: "v", long: "verbose", argument: None, help: "log at level info at least" },
    Flag { short: "d", long: "daemon", argument: None, help: "go to the background when ready" },
    Flag {
        short: "t",
        long: "timeout",
        argument: Some("SECONDS"),
        help: "exit after so long without clients; 0 is never",
    },
    Flag {
        short: "f",
        long: "config",
        argument: Some("FILE"),
        help: "read this configuration file",
    },
    Flag { short: "p", long: "pid-file", argument: Some("FILE"), help: "write the pid here" },
    Flag {
        short: "",
        long: "rollback-stale",
        argument: None,
        help: "undo a change of another boot, or past its deadline, and exit",
    },
    Flag {
        short: "",
        long: "check-config",
        argument: None,
        help: "check the configuration file and exit",
    },
    Flag {
        short: "",
        long: "wait-online",
        argument: Some("SECONDS"),
        help: "wait at most so long for the interfaces of the boot, and exit",
    },
    Flag { short: "V", long: "version", argument: None, help: "show the version and exit" },
];

/// Parses the arguments that follow the program's name.
pub fn parse(arguments: &[OsString]) -> Result<Invocation, UsageError> {
    let matches = options().parse(arguments).map_err(|err| UsageError::Option(err.to_string()))?;
    if matches.opt_present("help") {
        return Ok(Invocation::Help);
    }
    if matches.opt_present("version") {
        return Ok(Invocation::Version);
    }
    if let Some(extra) = matches.free.first() {
        return Err(UsageError::Other(format!(
            "unexpected argument '{extra}': only options are taken"
        )));
    }
    let run = Run {
        daemonize: matches.opt_present("daemon"),
        verbose: matches.opt_present("verbose"),
        config: matches.opt_str("config").map(PathBuf::from),
        pid_file: matches.opt_str("pid-file").map(PathBuf::from),
        idle_limit: seconds(&matches, "timeout")?.filter(|limit| !limit.is_zero()),
    };
    let (rolls_back, checks) =
        (matches.opt_present("rollback-stale"), matches.opt_present("check-config"));
    if let Some(limit) = seconds(&matches, "wait-online")? {
        if rolls_back || checks || run != Run::default() {
            let text = "--wait-online runs no daemon: no other option goes with it";
            return Err(UsageError::Other(text.to_owned()));
        }
        return Ok(Invocation::WaitOnline(limit));
    }
    match (rolls_back, checks) {
        (false, false) => return Ok(Invocation::Run(run)),
        (false, true) => return Ok(Invocation::CheckConfig(run)),
        (true, true) => {
            let text = "--rollback-stale and --check-config do not go together";
            return Err(UsageError::Other(text.to_owned()));
        }
        (true, false) => {}
    }
    if run.daemonize || run.pid_file.is_some() || run.idle_limit.is_some() {
        let text = "--rollback-stale runs no daemon: only --config and --verbose go with it";
        return Err(UsageError::Other(text.to_owned()));
    }
    Ok(Invocation::RollBackStale(run))
}

fn options() -> Options {
    let mut options = Options::new();
    for flag in &FLAGS {
        match flag.argument {
            Some(argument) => options.optopt(flag.short, flag.long, flag.help, argument),
            None => options.optflagmulti(flag.short, flag.long, flag.help),
        };
    }
    options
}

/// Returns the time that an option gives, if the option is present.
fn seconds(matches: &Matches, option: &str) -> Result<Option<Duration>, UsageError> {
    let Some(text) = matches.opt_str(option) else { return Ok(None) };
    let seconds = text.parse::<u32>().ok().filter(|seconds| *seconds <= TIMEOUT_SECS_MAX);
    let seconds = seconds.ok_or_else(|| {
        UsageError::Other(format!(
            "invalid {option} '{text}': want seconds, 0 to {TIMEOUT_SECS_MAX}"
        ))
    })?;
    Ok(Some(Duration::from_secs(seconds.into())))
}

/// Returns the text of `--help`. `paths` lists the files in use with their labels.
pub fn help(paths: &[(&str, String)]) -> String {
    let mut text = String::from("Usage: virtinterfaced [OPTION]...\n\n");
    text.push_str("libvirt's daemon for host network interfaces.\n\nOptions:\n");
    for flag in &FLAGS {
        let argument = flag.argument.map(|argument| format!(" {argument}")).unwrap_or_default();
        let forms = match flag.short {
            "" => format!("    --{}{argument}", flag.long),
            short => format!("-{short}, --{}{argument}", flag.long),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {forms:<24} {}", flag.help);
    }
    text.push_str("\nFiles, unless options or configuration name others:\n");
    for (what, path) in paths {
        let _ = writeln!(text, "  {what:<24} {path}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Invocation, String> {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        parse(&arguments).map_err(|err| err.to_string())
    }

    #[test]
    fn options_are_taken_in_both_forms() {
        let want = Run {
            daemonize: true,
            verbose: true,
            config: Some(PathBuf::from("/c")),
            pid_file: Some(PathBuf::from("/p")),
            idle_limit: Some(Duration::from_secs(120)),
        };
        let want = Ok(Invocation::Run(want));
        assert_eq!(run(&["-d", "-v", "-f", "/c", "-p", "/p", "-t", "120"]), want);
        let long = ["--daemon", "--verbose", "--config=/c", "--pid-file", "/p", "--timeout=120"];
        assert_eq!(run(&long), want);
        assert_eq!(run(&["-dvvf/c", "-p/p", "-t120"]), want);
        assert_eq!(run(&[]), Ok(Invocation::Run(Run::default())));
        assert_eq!(run(&["-t", "0"]), Ok(Invocation::Run(Run::default())));
    }

    #[test]
    fn what_runs_no_daemon_takes_no_option_for_one() {
        let verbose = Run { verbose: true, ..Run::default() };
        assert_eq!(run(&["--rollback-stale", "-v"]), Ok(Invocation::RollBackStale(verbose)));
        for option in [&["-d"][..], &["-p", "/p"], &["-t", "1"]] {
            assert!(run(&[&["--rollback-stale"], option].concat()).is_err(), "{option:?}");
        }
    }

    /// A service script passes the options of its daemon.
    #[test]
    fn a_check_takes_all_options_of_the_daemon_that_it_is_for() {
        let Ok(Invocation::Run(options)) = run(&["-dv", "-f", "/c", "-p", "/p", "-t", "1"]) else {
            panic!("options of a daemon");
        };
        let check = ["--check-config", "-dv", "-f", "/c", "-p", "/p", "-t", "1"];
        assert_eq!(run(&check), Ok(Invocation::CheckConfig(options)));
        assert!(run(&["--check-config", "--rollback-stale"]).is_err());
    }

    #[test]
    fn a_wait_has_its_time_and_nothing_else() {
        for (text, seconds) in [("0", 0), ("30", 30), ("2147483", 2_147_483)] {
            let want = Ok(Invocation::WaitOnline(Duration::from_secs(seconds)));
            assert_eq!(run(&["--wait-online", text]), want);
        }
        for arguments in [&["-v"][..], &["-t", "1"], &["--check-config"], &["--rollback-stale"]] {
            assert!(run(&[&["--wait-online=1"], arguments].concat()).is_err(), "{arguments:?}");
        }
        for text in ["", "-1", "x", "2147484"] {
            assert!(run(&["--wait-online", text]).is_err(), "{text}");
        }
    }

    #[test]
    fn help_and_version_win_over_other_mistakes() {
        assert_eq!(run(&["-h", "rubbish"]), Ok(Invocation::Help));
        assert_eq!(run(&["--version", "rubbish"]), Ok(Invocation::Version));
        assert_eq!(run(&["-V"]), Ok(Invocation::Version));
    }

    #[test]
    fn wrong_usage_is_one_line() {
        for arguments in [
            &["--listen"][..],
            &["-l"],
            &["rubbish"],
            &["-t"],
            &["-t", "-1"],
            &["-t", "x"],
            &["-t", "2147484"],
            &["-f"],
            &["-f", "a", "-f", "b"],
        ] {
            let err = run(arguments).unwrap_err();
            assert!(!err.is_empty() && !err.contains('\n'), "{arguments:?}: {err}");
        }
        assert!(run(&["-t", "2147483"]).is_ok());
    }

    #[test]
    fn help_names_each_option_once() {
        let text = help(&[("configuration:", "/c".to_owned())]);
        for flag in &FLAGS {
            assert_eq!(text.matches(&format!("--{}", flag.long)).count(), 1, "{}", flag.long);
        }
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of logging from its start through its changes, with files and sockets in one folder per
//! test.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;

use log::Level;

use super::*;
use crate::config::logging_spec::{parse_filters, parse_outputs};

/// A folder for one test, removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("logging-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn services(&self) -> Services {
        Services { syslog: self.0.join("syslog"), journal: self.0.join("journal") }
    }

    fn circumstances(&self) -> Circumstances {
        Circumstances {
            privilege: Privilege::System,
            is_verbose: false,
            is_daemonized: false,
            debug: None,
            filters: None,
            outputs: None,
            default_file: self.0.join("log/virtinterfaced.log"),
        }
    }

    fn start(&self, circumstances: Circumstances, settings: &Logging) -> (LogState, Warnings) {
        LogState::start(circumstances, settings, self.services()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn settings(level: LogLevel, filters: &str, outputs: &str) -> Logging {
    Logging {
        level,
        filters: parse_filters(filters).unwrap(),
        outputs: parse_outputs(outputs).unwrap(),
    }
}

fn log(state: &mut LogState, level: Level, module: &'static str, text: &str) {
    let mut record = Record::builder();
    record.level(level).target(module).module_path(Some(module)).line(Some(1));
    state.log(&record.args(format_args!("{text}")).build(), None);
}

fn outputs(state: &LogState) -> String {
    state.outputs().iter().map(LogOutput::to_string).collect::<Vec<_>>().join(" ")
}

/// Returns the last word of each line, without the introduction of a file.
fn words(text: &str) -> Vec<&str> {
    let said = text.lines().filter(|line| line.contains(":1 : "));
    said.map(|line| line.rsplit(' ').next().unwrap()).collect()
}

#[test]
fn a_line_reaches_those_outputs_that_take_its_level_if_its_source_is_logged_at_it() {
    const ACCEPTOR: &str = "virtinterfaced::server::acceptor";
    const KERNEL: &str = "virtinterfaced::io::kernel";
    let folder = Folder::new("levels");
    let lists = format!("1:file:{} 3:file:{}", folder.path("all"), folder.path("some"));
    let plan = settings(LogLevel::Warning, "1:rpc 4:kernel", &lists);
    let (mut state, _) = folder.start(folder.circumstances(), &plan);
    for (module, level, text) in [
        (ACCEPTOR, Level::Debug, "door-debug"),
        (ACCEPTOR, Level::Error, "door-error"),
        (KERNEL, Level::Warn, "kernel-warning"),
        (KERNEL, Level::Error, "kernel-error"),
        ("virtinterfaced::daemon", Level::Info, "daemon-info"),
        ("virtinterfaced::daemon", Level::Warn, "daemon-warning"),
    ] {
        log(&mut state, level, module, text);
    }
    let all = ["door-debug", "door-error", "kernel-error", "daemon-warning"];
    assert_eq!(words(&folder.read("all")), all);
    assert_eq!(words(&folder.read("some")), &all[1..]);
}

#[test]
fn what_no_output_takes_is_not_put_into_words() {
    use LogLevel::{Debug, Error, Info, Warning};
    let folder = Folder::new("least");
    for (level, filters, outputs, want) in [
        (Debug, "", "1:stderr", LevelFilter::Debug),
        (Warning, "", "1:stderr", LevelFilter::Warn),
        (Debug, "", "3:stderr", LevelFilter::Warn),
        (Debug, "", "4:stderr 2:journald", LevelFilter::Info),
        (Error, "1:rpc 3:util", "1:stderr", LevelFilter::Debug),
        (Error, "1:rpc", "4:stderr", LevelFilter::Error),
        (Info, "4:rpc", "1:stderr", LevelFilter::Info),
    ] {
        let plan = settings(level, filters, outputs);
        let (state, _) = folder.start(folder.circumstances(), &plan);
        assert_eq!(state.level_filter(), want, "{level:?} {filters} {outputs}");
    }
}

#[test]
fn a_daemon_in_the_background_logs_to_the_journal_or_a_file_or_syslog() {
    let folder = Folder::new("default");
    let plan = settings(LogLevel::Warning, "", "");
    let background = Circumstances { is_daemonized: true, ..folder.circumstances() };
    let file = background.default_file.clone();

    let (state, warnings) = folder.start(background.clone(), &plan);
    assert_eq!(outputs(&state), format!("3:file:{}", file.display()));
    assert_eq!(warnings, Warnings::new());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);

    let missing = folder.0.join("var/log/virtinterfaced.log");
    let early = Circumstances { default_file: missing.clone(), ..background.clone() };
    let (state, warnings) = folder.start(early.clone(), &plan);
    assert_eq!(outputs(&state), "3:syslog:virtinterfaced");
    assert!(warnings.len() == 1 && warnings[0].contains("var/log: No such file"), "{warnings:?}");
    assert!(!folder.0.join("var").exists());

    let user = Circumstances { privilege: Privilege::Session, ..early };
    let (state, _) = folder.start(user, &plan);
    assert_eq!(outputs(&state), format!("3:file:{}", missing.display()));

    let _journal = UnixDatagram::bind(folder.services().journal).unwrap();
    let (state, _) = folder.start(background, &plan);
    assert_eq!(outputs(&state), "3:journald");
}

#[test]
fn a_journal_that_has_died_is_none() {
    let folder = Folder::new("journal");
    let plan = settings(LogLevel::Debug, "", "");
    let background = Circumstances { is_daemonized: true, ..folder.circumstances() };
    let journal = UnixDatagram::bind(folder.services().journal).unwrap();
    assert_eq!(outputs(&folder.start(background.clone(), &plan).0), "2:journald");
    drop(journal);
    // A program that another test starts at this moment briefly holds a copy of the descriptor.
    while !outputs(&folder.start(background.clone(), &plan).0).starts_with("1:file:") {
        std::thread::yield_now();
    }
}

#[test]
fn an_output_that_is_asked_for_and_cannot_be_opened_is_named_and_changes_nothing() {
    let folder = Folder::new("refused");
    let good = format!("1:file:{}", folder.path("good"));
    let (mut state, _) =
        folder.start(folder.circumstances(), &settings(LogLevel::Debug, "", &good));
    let bad = format!("3:stderr 2:file:{}", folder.path("missing/log"));
    let plan = settings(LogLevel::Error, "1:rpc", &bad);
    let want = format!(
        "log output \"2:file:{0}\": cannot open log file {0}: No such file or directory",
        folder.path("missing/log")
    );
    assert_eq!(state.apply(&plan).unwrap_err().to_string(), want);
    assert_eq!(state.set_outputs(&plan.outputs).unwrap_err().to_string(), want);
    assert_eq!(outputs(&state), good);
    assert_eq!((state.level, state.filters()), (LogLevel::Debug, &[][..]));
    log(&mut state, Level::Debug, "a::b", "still");
    assert_eq!(words(&folder.read("good")), ["still"]);
    let err = LogState::start(folder.circumstances(), &plan, folder.services()).unwrap_err();
    assert_eq!(err.to_string(), want);
}

#[test]
fn environment_and_verbose_outlast_a_reload() {
    let folder = Folder::new("reload");
    let (ours, theirs) = (format!("1:file:{}", folder.path("ours")), "3:stderr");
    let given = Circumstances {
        is_verbose: true,
        debug: Some("error".to_owned()),
        filters: Some("4:rpc".to_owned()),
        outputs: Some(ours.clone()),
        ..folder.circumstances()
    };
    let (mut state, _) = folder.start(given, &settings(LogLevel::Warning, "", ""));
    for _ in 0..2 {
        assert_eq!((state.level, outputs(&state)), (LogLevel::Info, ours.clone()));
        assert_eq!(state.filters(), parse_filters("4:rpc").unwrap());
        state.apply(&settings(LogLevel::Error, "1:util", theirs)).unwrap();
    }
}

#[test]
fn the_admin_may_change_outputs_and_filters_and_return_to_the_default() {
    let folder = Folder::new("admin");
    let (mut state, _) =
        folder.start(folder.circumstances(), &settings(LogLevel::Info, "", "2:stderr"));
    state.set_outputs(&parse_outputs("3:syslog:a 1:journald").unwrap()).unwrap();
    assert_eq!(outputs(&state), "3:syslog:a 1:journald");
    state.set_filters(parse_filters("1:rpc").unwrap());
    assert_eq!(state.filters(), parse_filters("1:rpc").unwrap());
    state.set_outputs(&[]).unwrap();
    assert_eq!(outputs(&state), "2:stderr");
}

#[test]
fn a_file_that_was_moved_away_is_left_and_one_that_cannot_be_opened_is_kept() {
    let folder = Folder::new("rotate");
    let list = format!("1:file:{}", folder.path("logs/x"));
    fs::create_dir(folder.path("logs")).unwrap();
    let plan = settings(LogLevel::Debug, "", &list);
    let (mut state, _) = folder.start(folder.circumstances(), &plan);
    let say = |state: &mut LogState, text| log(state, Level::Info, "a::b", text);
    say(&mut state, "one");
    fs::rename(folder.path("logs/x"), folder.path("logs/y")).unwrap();
    say(&mut state, "two");
    assert_eq!(state.reopen(), Warnings::new());
    say(&mut state, "three");
    assert_eq!(words(&folder.read("logs/y")), ["one", "two"]);
    assert_eq!(words(&folder.read("logs/x")), ["three"]);
    assert!(
        folder.read("logs/x").contains("libvirt version: "),
        "a new file begins with the program's name"
    );

    fs::rename(folder.path("logs"), folder.path("moved")).unwrap();
    let warnings = state.reopen();
    assert!(warnings.len() == 1 && warnings[0].contains("logs/x: No such file"), "{warnings:?}");
    say(&mut state, "four");
    assert_eq!(words(&folder.read("moved/x")), ["three", "four"]);

    fs::rename(folder.path("moved"), folder.path("logs")).unwrap();
    fs::rename(folder.path("logs/x"), folder.path("logs/z")).unwrap();
    state.apply(&plan).unwrap();
    say(&mut state, "five");
    assert_eq!(words(&folder.read("logs/x")), ["five"], "a reload opens files anew too");
}

#[test]
fn an_existing_files_mode_is_left_alone() {
    let folder = Folder::new("mode");
    fs::write(folder.path("x"), "before\n").unwrap();
    fs::set_permissions(folder.path("x"), Permissions::from_mode(0o640)).unwrap();
    let list = format!("1:file:{}", folder.path("x"));
    let (mut state, _) =
        folder.start(folder.circumstances(), &settings(LogLevel::Debug, "", &list));
    log(&mut state, Level::Info, "a::b", "after");
    assert!(folder.read("x").starts_with("before\n"));
    assert_eq!(fs::metadata(folder.path("x")).unwrap().mode() & 0o7777, 0o640);
}

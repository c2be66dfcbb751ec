// SPDX-License-Identifier: LGPL-2.1-or-later
//! Checks of new text of the definition files by the host's own program.
//!
//! The text is put beside the file that it is to replace, since paths in it may begin there. The
//! program is executed with a deadline, and its standard error goes to a file of the run directory.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::definitions::files::FileCheck;
use crate::error::HostError;
use crate::execution::Program;
use crate::ifupdown::needs::Need;
use crate::ifupdown::{self, Dialect};
use crate::io::executor::{End, Execution, Executor};
use crate::io::files::{self, Replacement};
use crate::limits::{FILE_CHECK_OUTPUT_LEN_MAX, FILE_CHECK_TIME_MAX};

/// Where the programs are.
const FOLDERS: [&str; 4] = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"];

/// The commands of checks, for the process that executes programs.
#[derive(Clone, Debug)]
pub struct CheckCommands {
    folders: Vec<PathBuf>,
    /// The file that is replaced.
    main: PathBuf,
    output: PathBuf,
}

/// Starts checks.
#[derive(Debug)]
pub struct FileChecks {
    executor: Executor,
    output: PathBuf,
}

/// A check that is under way. When this is dropped, the program is killed.
#[derive(Debug)]
pub struct FileCheckRun {
    dialect: Dialect,
    execution: Execution,
    /// The path of the file.
    shown: String,
    text: Option<Replacement>,
    output: PathBuf,
}

/// The reason why new text is not put in place.
#[derive(Debug, Eq, PartialEq)]
pub enum FileCheckError {
    /// The check could not be made.
    Host(HostError),
    /// The host's program cannot read the text.
    Refused(String),
}

impl From<HostError> for FileCheckError {
    fn from(err: HostError) -> Self {
        Self::Host(err)
    }
}

impl CheckCommands {
    pub fn new(run_dir: &Path) -> Self {
        let folders = FOLDERS.map(PathBuf::from).to_vec();
        Self { folders, main: ifupdown::MAIN.into(), output: output_in(run_dir) }
    }

    /// Returns the command that reads the new text.
    pub(super) fn command(&self, dialect: Dialect) -> io::Result<Command> {
        let read = dialect.read_command();
        let mut programs = self.folders.iter().map(|folder| folder.join(read.program));
        let program = programs.find(|path| path.is_file());
        let program = program.ok_or(io::Error::from_raw_os_error(libc::ENOENT))?;
        let mut text = files::temporary_for(&self.main)?;
        if !text.exists() {
            text = files::temporary_for(&fs::canonicalize(&self.main)?)?;
        }
        let mut command = Command::new(program);
        command.args(read.before).arg(text).args(read.after);
        command.env_clear().env("LC_ALL", "C").env("PATH", FOLDERS.join(":"));
        command.current_dir(self.main.parent().unwrap_or(Path::new("/"))).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(create(&self.output)?);
        Ok(command)
    }
}

impl FileChecks {
    pub fn new(executor: Executor, run_dir: &Path) -> Self {
        Self { executor, output: output_in(run_dir) }
    }

    /// Returns a warning for each need that the host does not meet.
    pub fn unmet(check: &FileCheck) -> impl Iterator<Item = String> {
        let is_unmet = |need: &&Need| !need.any_of.iter().any(|path| Path::new(path).exists());
        check.needs.iter().filter(is_unmet).map(Need::warning)
    }

    /// Starts the program.
    ///
    /// # Errors
    /// There is no such program, or no room for the text.
    pub fn start(&self, check: &FileCheck, root: &Path) -> Result<FileCheckRun, HostError> {
        let place = files::below(root, &check.path);
        let mut text = Replacement::begin(&place).or_else(|err| {
            // The file may be a link to another folder, which can be written.
            fs::canonicalize(&place).map_err(|_| err).and_then(|real| Replacement::begin(&real))
        })?;
        let FileCheck { dialect, .. } = *check;
        let started = text.write(&check.text).and_then(|()| {
            let program = Program::FileCheck { dialect };
            self.executor
                .start(program, Some(FILE_CHECK_TIME_MAX))
                .map_err(|err| HostError::new("run", dialect.read_command().program, &err))
        });
        match started {
            Ok(execution) => {
                let (shown, output) = (place.display().to_string(), self.output.clone());
                Ok(FileCheckRun { dialect, execution, shown, text: Some(text), output })
            }
            Err(err) => {
                text.give_up();
                Err(err)
            }
        }
    }
}

impl FileCheckRun {
    /// Returns the result, once there is one.
    pub fn poll(&self) -> Option<Result<(), FileCheckError>> {
        let said = || files::read(&self.output, FILE_CHECK_OUTPUT_LEN_MAX).unwrap_or_default();
        let end = self.execution.end()?;
        let errno = match end {
            End::Status(status) => {
                let verdict =
                    self.dialect.verdict(status.success(), &String::from_utf8_lossy(&said()));
                return Some(verdict.map_err(|reason| FileCheckError::Refused(self.named(reason))));
            }
            End::Overdue => libc::ETIMEDOUT,
            End::Unknown => libc::EPIPE,
        };
        let program = self.dialect.read_command().program;
        let cause = io::Error::from_raw_os_error(errno);
        Some(Err(HostError::new("wait for", program, &cause).into()))
    }

    /// The program's reason, with the name of the file instead of the temporary one.
    fn named(&self, reason: String) -> String {
        let Some(text) = &self.text else { return reason };
        reason.replace(&*text.temporary().to_string_lossy(), &self.shown)
    }
}

impl Drop for FileCheckRun {
    fn drop(&mut self) {
        if self.execution.end().is_none() {
            self.execution.kill_group();
        }
        self.text.take().into_iter().for_each(Replacement::give_up);
        // It may not have been created.
        let _ = fs::remove_file(&self.output);
    }
}

fn output_in(run_dir: &Path) -> PathBuf {
    run_dir.join("check-output")
}

fn create(output: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::files::FilePath;
    use std::os::unix::fs::symlink;

    /// A root with `network/interfaces`, and a folder of programs.
    struct Scene(PathBuf);

    impl Scene {
        fn new(name: &str) -> Self {
            let name = format!("file-check-{}-{name}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir_all(dir.join("network")).unwrap();
            fs::create_dir(dir.join("bin")).unwrap();
            fs::write(dir.join("network/interfaces"), "as it is\n").unwrap();
            symlink("/sbin/ifquery", dir.join("bin/ifquery")).unwrap();
            symlink("/bin/busybox", dir.join("bin/ifup")).unwrap();
            Self(dir)
        }

        fn start(
            &self,
            dialect: Dialect,
            text: &str,
        ) -> Result<(Executor, FileCheckRun), HostError> {
            let commands = CheckCommands {
                folders: vec![self.0.join("bin")],
                main: self.0.join("network/interfaces"),
                output: output_in(&self.0),
            };
            let executor = Executor::within(Box::new(move |program| {
                let Program::FileCheck { dialect } = program else { panic!("{program:?}") };
                commands.command(*dialect)?.spawn()
            }));
            let path = FilePath::new("network/interfaces").unwrap();
            let check =
                FileCheck { path, text: text.as_bytes().to_vec(), dialect, needs: Vec::new() };
            let run = FileChecks::new(executor.clone(), &self.0).start(&check, &self.0)?;
            Ok((executor, run))
        }

        fn result(&self, dialect: Dialect, text: &str) -> Result<(), FileCheckError> {
            end_of(self.start(dialect, text)?)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.join("network")).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect()
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test may wait anywhere")]
    fn sleep() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }

    fn end_of((executor, run): (Executor, FileCheckRun)) -> Result<(), FileCheckError> {
        loop {
            executor.read();
            if let Some(result) = run.poll() {
                return result;
            }
            sleep();
        }
    }

    #[test]
    fn the_hosts_program_reads_the_new_text_and_no_file_is_changed() {
        let scene = Scene::new("reads");
        fs::write(scene.0.join("network/more"), "iface e inet dhcp\n").unwrap();
        let main = scene.0.join("network/interfaces");
        let main = main.display();
        let refused =
            |text: &str| Err(FileCheckError::Refused(text.replace("MAIN", &main.to_string())));
        struct Case(Dialect, &'static str, Result<(), FileCheckError>);
        let cases = [
            Case(Dialect::Classic, "", Ok(())),
            Case(Dialect::Classic, "auto a b\niface a inet manual\niface a inet6 auto\n", Ok(())),
            Case(
                Dialect::Classic,
                "iface a inet static\n  address\n",
                refused("ifquery: MAIN:2: option with empty value"),
            ),
            Case(
                Dialect::Classic,
                "source more\niface a inet nonsense\n",
                refused("ifquery: MAIN:2: unknown or no method and no inherits keyword specified"),
            ),
            Case(Dialect::BusyBox, "auto lo\niface lo inet loopback\n", Ok(())),
            Case(Dialect::BusyBox, "source more\n", Ok(())),
            Case(
                Dialect::BusyBox,
                "auto a\nallow-hotplug a\n",
                refused("ifup: misplaced option \"allow-hotplug\""),
            ),
            Case(
                Dialect::BusyBox,
                "iface a inet6 auto\n",
                refused("ifup: unknown method \"auto\""),
            ),
        ];
        for Case(dialect, text, want) in cases {
            assert_eq!(scene.result(dialect, text), want, "{dialect}: {text}");
        }
        let mut names = scene.names();
        names.sort();
        assert_eq!(names, ["interfaces", "more"]);
        assert_eq!(fs::read(scene.0.join("network/interfaces")).unwrap(), b"as it is\n");
    }

    #[test]
    fn a_program_that_is_killed_or_missing_fails_the_check() {
        let scene = Scene::new("hangs");
        let program = scene.0.join("bin/ifquery");
        fs::remove_file(&program).unwrap();
        let err = scene.start(Dialect::Ng, "").unwrap_err();
        assert_eq!(err.to_string(), "cannot run ifquery: No such file or directory");
        // A child writes it: the kernel executes no file that is open for writing.
        let mut install = Command::new("sh");
        install.args(["-c", "printf '#!/bin/sh\\nsleep 77 & wait' > \"$0\"; chmod 755 \"$0\""]);
        assert!(install.arg(&program).status().unwrap().success());
        let (executor, run) = scene.start(Dialect::Ng, "").unwrap();
        assert!(run.poll().is_none());
        assert_eq!(scene.names().len(), 2, "the text is there while it is read");
        run.execution.kill_group();
        let refused = Err(FileCheckError::Refused("it gives no reason".to_owned()));
        assert_eq!(end_of((executor, run)), refused);
        assert_eq!(scene.names(), ["interfaces"]);
        assert!(!output_in(&scene.0).exists());
    }
}

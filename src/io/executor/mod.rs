// SPDX-License-Identifier: LGPL-2.1-or-later
//! The process that executes programs for the daemon: hooks, DHCP clients and their script, and the
//! standby process.
//!
//! It is forked at the start, before the daemon reads a client's bytes, and reads requests from a
//! socket ([`crate::execution`]). It ends when the daemon ends; programs run on.
//!
//! The daemon waits for the answer to a start, which comes once the program is loaded. If the process
//! dies, no program can be executed until the daemon is restarted; those that run are then seen as
//! if an earlier daemon had started them.

mod workshop;

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use log::error;

pub use self::workshop::Spawn;
use self::workshop::Workshop;
use crate::execution::{self, Program, ProgramId, Report, Request};
use crate::limits::EXECUTION_TIME_MAX;
use crate::sys::process::{self, Fork};
use crate::sys::signal::Signals;
use crate::sys::{self, clock, descriptors};

/// The name of the process in ps(1) and top(1).
const PROCESS_NAME: &str = "virt-executor";

/// The error of a start after the process has died.
const GONE: i32 = libc::EPIPE;

/// The daemon's side. Copies share one process.
#[derive(Clone, Debug)]
pub struct Executor(Rc<RefCell<Line>>);

#[derive(Debug)]
struct Line {
    way: Way,
    /// The process, until it is reaped.
    process: Option<libc::pid_t>,
    /// Bytes of a report that is not whole yet.
    arrived: Vec<u8>,
    last_id: u32,
    /// The programs that the daemon has not forgotten, with the answer and the end of each.
    known: Vec<Known>,
    /// Whether an end has been reported since [`Executor::take_news`].
    has_news: bool,
}

#[derive(Debug)]
enum Way {
    Process(UnixStream),
    /// Requests are carried out in this process.
    Within(Workshop),
    /// The process has died.
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    id: ProgramId,
    answer: Option<Result<i32, i32>>,
    end: Option<End>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    Status(ExitStatus),
    /// It was killed, as its time was over.
    Overdue,
    /// The executing process has died. The program may run on.
    Unknown,
}

impl End {
    pub fn is_success(self) -> bool {
        matches!(self, Self::Status(status) if status.success())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Overdue => f.write_str("killed, as it took too long"),
            Self::Unknown => write!(f, "unknown, as {PROCESS_NAME} has ended"),
        }
    }
}

/// A program that was started. When this is dropped, the program runs on, and its end is of no interest.
#[derive(Debug)]
pub struct Execution {
    executor: Executor,
    id: ProgramId,
    pid: libc::pid_t,
}

impl Executor {
    /// Forks the process.
    ///
    /// # Errors
    /// Those of socketpair(2) and fork(2).
    pub fn fork(spawn: Spawn) -> io::Result<Self> {
        let (near_end, far_end) = UnixStream::pair()?;
        near_end.set_nonblocking(true)?;
        match process::fork()? {
            Fork::Child => run(far_end, spawn),
            Fork::Parent(child) => Ok(Self::over(Way::Process(near_end), Some(child))),
        }
    }

    /// Executes programs in this process. Tests use this, as they cannot fork.
    pub fn within(spawn: Spawn) -> Self {
        Self::over(Way::Within(Workshop::new(spawn)), None)
    }

    fn over(way: Way, process: Option<libc::pid_t>) -> Self {
        let (arrived, known) = (Vec::new(), Vec::new());
        let line = Line { way, process, arrived, last_id: 0, known, has_news: false };
        Self(Rc::new(RefCell::new(line)))
    }

    /// Returns the socket at which reports arrive, for polling.
    pub fn raw_fd(&self) -> Option<RawFd> {
        match &self.0.borrow().way {
            Way::Process(stream) => Some(stream.as_raw_fd()),
            Way::Within(_) | Way::Gone => None,
        }
    }

    /// Returns whether programs can be executed.
    pub fn is_alive(&self) -> bool {
        !matches!(self.0.borrow().way, Way::Gone)
    }

    /// Executes a program, whose process group is killed after `time_max`.
    ///
    /// # Errors
    /// The program cannot be executed, or the process has died or does not answer.
    pub fn start(&self, program: Program, time_max: Option<Duration>) -> io::Result<Execution> {
        let mut line = self.0.borrow_mut();
        line.last_id = line.last_id.wrapping_add(1);
        let id = ProgramId(line.last_id);
        line.known.push(Known { id, answer: None, end: None });
        line.send(Request::Start { id, program, time_max });
        let answer = line.wait_for_answer(id);
        drop(line);
        // Dropping this forgets the program, also one that is started later.
        let mut execution = Execution { executor: self.clone(), id, pid: 0 };
        let errno = match answer {
            Some(Ok(pid)) => {
                execution.pid = pid;
                return Ok(execution);
            }
            Some(Err(errno)) => errno,
            None => {
                execution.kill_group();
                libc::ETIMEDOUT
            }
        };
        Err(io::Error::from_raw_os_error(errno))
    }

    /// Reads the reports that have arrived.
    pub fn read(&self) {
        self.0.borrow_mut().read();
    }

    /// Returns whether an end was reported that no earlier call has returned.
    pub fn take_news(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().has_news)
    }

    /// Returns whether [`Self::take_news`] would return true.
    pub fn has_news(&self) -> bool {
        self.0.borrow().has_news
    }
}

impl Execution {
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Returns how the program ended; `None` while it runs.
    pub fn end(&self) -> Option<End> {
        self.executor.0.borrow_mut().of(self.id).and_then(|known| known.end)
    }

    /// Asks the program to end.
    pub fn terminate(&self) {
        self.send(Request::Terminate(self.id));
    }

    /// Kills the program's process group, which its pid belongs to even after its end.
    pub fn kill_group(&self) {
        self.send(Request::KillGroup(self.id));
    }

    /// Writes a line to the program's standard input, and closes it.
    pub fn dismiss(&self) {
        self.send(Request::Dismiss(self.id));
    }

    fn send(&self, request: Request) {
        self.executor.0.borrow_mut().send(request);
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        let mut line = self.executor.0.borrow_mut();
        line.known.retain(|known| known.id != self.id);
        line.send(Request::Forget(self.id));
    }
}

impl Line {
    fn send(&mut self, request: Request) {
        match &mut self.way {
            Way::Process(stream) => {
                let mut bytes = Vec::new();
                request.encode(&mut bytes);
                // The socket has room for hundreds of requests. If it is full, the process hangs.
                if stream.write_all(&bytes).is_err() {
                    self.give_up();
                }
            }
            Way::Within(workshop) => {
                let report = workshop.handle(request, clock::monotonic().unwrap_or_default());
                report.into_iter().for_each(|report| self.note(report));
                self.read();
            }
            Way::Gone => {}
        }
    }

    fn of(&mut self, id: ProgramId) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.id == id)
    }

    fn wait_for_answer(&mut self, id: ProgramId) -> Option<Result<i32, i32>> {
        let end = clock::monotonic().unwrap_or_default() + EXECUTION_TIME_MAX;
        loop {
            if let Some(answer) = self.of(id).and_then(|known| known.answer) {
                return Some(answer);
            }
            let left = end.saturating_sub(clock::monotonic().unwrap_or(end));
            match &self.way {
                Way::Process(stream) if sys::wait_readable(stream, left) => self.read(),
                Way::Process(_) if left > Duration::ZERO => {}
                Way::Process(_) => return None,
                Way::Within(_) | Way::Gone => return Some(Err(GONE)),
            }
        }
    }

    fn read(&mut self) {
        match &mut self.way {
            Way::Process(stream) => {
                let read = read_now(stream, &mut self.arrived);
                let reports = take_all(&mut self.arrived);
                let is_over = !matches!(read, Ok(true)) || reports.is_err();
                reports.into_iter().flatten().for_each(|report| self.note(report));
                if is_over {
                    self.give_up();
                }
            }
            Way::Within(workshop) => {
                let reports = workshop.look(clock::monotonic().unwrap_or_default());
                reports.into_iter().for_each(|report| self.note(report));
            }
            Way::Gone => {
                let runs = |child: &libc::pid_t| matches!(process::take_end(*child), Ok(None));
                self.process = self.process.filter(runs);
            }
        }
    }

    /// Takes note of a report. Reports about forgotten programs are dropped.
    fn note(&mut self, report: Report) {
        let (id, answer, end) = match report {
            Report::Started { id, pid } => (id, Some(Ok(pid)), None),
            Report::Refused { id, errno } => (id, Some(Err(errno)), None),
            Report::Ended { id, status } => {
                (id, None, Some(End::Status(ExitStatus::from_raw(status))))
            }
            Report::Overdue { id } => (id, None, Some(End::Overdue)),
        };
        let Some(known) = self.of(id) else { return };
        known.answer = known.answer.or(answer);
        known.end = known.end.or(end);
        self.has_news |= end.is_some();
    }

    /// Takes note of the death of the process.
    fn give_up(&mut self) {
        self.way = Way::Gone;
        error!(
            "{PROCESS_NAME} has ended: the daemon cannot start hooks or DHCP clients until it is \
             restarted"
        );
        for known in &mut self.known {
            known.answer = known.answer.or(Some(Err(GONE)));
            known.end = known.end.or(Some(End::Unknown));
        }
        self.has_news = true;
    }
}

/// Reads all that has arrived. Returns whether more may come.
fn read_now(stream: &mut UnixStream, arrived: &mut Vec<u8>) -> io::Result<bool> {
    let mut part = [0; 1024];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return Ok(false),
            Ok(len) => arrived.extend_from_slice(part.get(..len).unwrap_or_default()),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(err) => return Err(err),
        }
    }
}

/// Decodes the reports that have arrived.
fn take_all(arrived: &mut Vec<u8>) -> Result<Vec<Report>, execution::MessageError> {
    let mut reports = Vec::new();
    while let Some(message) = execution::take(arrived)? {
        reports.push(Report::decode(&message)?);
    }
    Ok(reports)
}

/// Runs the forked process.
fn run(mut line: UnixStream, spawn: Spawn) -> ! {
    // The descriptors of the log are closed below.
    log::set_max_level(log::LevelFilter::Off);
    Signals::disconnect();
    descriptors::close_for_good(line.as_raw_fd());
    let _ = fs::write("/proc/self/comm", PROCESS_NAME);
    // A signal to the daemon's process group is not for this process.
    let _ = process::start_session();
    let served = Signals::install().and_then(|signals| serve(&mut line, signals, spawn));
    process::end_now(if served.is_ok() { 0 } else { 1 })
}

/// Carries out requests until the daemon has ended.
fn serve(line: &mut UnixStream, mut signals: Signals, spawn: Spawn) -> io::Result<()> {
    let malformed = |_| io::Error::from_raw_os_error(libc::EBADMSG);
    let mut workshop = Workshop::new(spawn);
    let mut arrived = Vec::new();
    loop {
        let now = clock::monotonic()?;
        let left = workshop.deadline().map(|deadline| deadline.saturating_sub(now));
        let has_request = sys::wait_first_readable(&*line, &signals, left);
        while signals.take().is_some() {}
        let now = clock::monotonic()?;
        let mut reports = Vec::new();
        if has_request {
            let mut part = [0; 1024];
            let len = line.read(&mut part)?;
            if len == 0 {
                return Ok(());
            }
            arrived.extend_from_slice(part.get(..len).unwrap_or_default());
            while let Some(message) = execution::take(&mut arrived).map_err(malformed)? {
                let request = Request::decode(&message).map_err(malformed)?;
                reports.extend(workshop.handle(request, now));
            }
        }
        reports.append(&mut workshop.look(now));
        let mut bytes = Vec::new();
        reports.iter().for_each(|report| report.encode(&mut bytes));
        line.write_all(&bytes)?;
    }
}

#[cfg(test)]
mod tests;

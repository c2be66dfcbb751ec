// SPDX-License-Identifier: LGPL-2.1-or-later
//! Process identity, fork, child processes, inherited descriptors and the host's name.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::check;

/// Returns the effective user ID.
pub fn effective_uid() -> libc::uid_t {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Returns the effective group ID.
pub(crate) fn effective_gid() -> libc::gid_t {
    // SAFETY: getegid takes nothing and cannot fail.
    unsafe { libc::getegid() }
}

/// Returns the ID of the calling thread, for log lines.
///
/// The system call is made by its number: std refers to the C function of that name weakly, and in
/// a statically linked program a merged weak reference resolves to null.
pub(crate) fn thread_id() -> libc::pid_t {
    // SAFETY: gettid takes nothing and cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    libc::pid_t::try_from(id).unwrap_or_default()
}

/// Sets the file mode creation mask and returns the previous one. The mask belongs to the whole
/// process, which has one thread.
pub(crate) fn set_umask(mask: libc::mode_t) -> libc::mode_t {
    // SAFETY: umask takes an integer and cannot fail.
    unsafe { libc::umask(mask) }
}

/// Returns the host's name (uname(2), `nodename`).
pub fn hostname() -> io::Result<String> {
    // SAFETY: `utsname` is a plain struct of character arrays, for which zero is valid.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live local of the type that uname fills.
    check(unsafe { libc::uname(&raw mut name) })?;
    // SAFETY: the kernel ends nodename with a NUL inside the array, which outlives the borrow.
    let nodename = unsafe { CStr::from_ptr(name.nodename.as_ptr()) };
    Ok(nodename.to_string_lossy().into_owned())
}

/// The side of a fork that the caller is on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fork {
    /// The original process, with the pid of the child.
    Parent(libc::pid_t),
    /// The child process.
    Child,
}

/// Forks this process.
///
/// # Errors
/// `EINVAL` if this process has more than one thread, else the error of fork(2).
pub fn fork() -> io::Result<Fork> {
    require_one_thread()?;
    // SAFETY: fork takes no arguments. Locks held by another thread would stay locked in the child
    // for ever, but there is no other thread: the kernel has just confirmed it, and in sandboxes
    // where it may not, neither this program nor std has started one.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent(child)),
    }
}

/// Checks that no other thread shares this process's memory: unshare(2) of the memory fails in a
/// process with several threads, and has no effect with one.
fn require_one_thread() -> io::Result<()> {
    // SAFETY: unshare takes an integer; with this flag it succeeds without doing anything, or
    // fails.
    match check(unsafe { libc::unshare(libc::CLONE_VM) }) {
        // Some sandboxes forbid unshare altogether.
        Err(err) if matches!(err.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => Ok(()),
        Ok(_) => Ok(()),
        Err(err) => Err(err),
    }
}

/// Moves this process to a new session without a terminal, of which it is the only member.
///
/// # Errors
/// `EPERM` if this process leads a process group.
pub(crate) fn start_session() -> io::Result<()> {
    // SAFETY: setsid takes nothing.
    check(unsafe { libc::setsid() })?;
    Ok(())
}

/// Ends this process immediately, without dropping or flushing anything. For a forked process that
/// shares these resources with its parent.
pub(crate) fn end_now(status: libc::c_int) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(status) }
}

/// Waits for a child to end and reaps it. Returns whether it exited with status 0.
///
/// # Errors
/// `ECHILD` if there is no such child, or if it was reaped.
pub fn wait_for(child: libc::pid_t) -> io::Result<bool> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid takes integers and a pointer to a live local that it fills.
        match check(unsafe { libc::waitpid(child, &raw mut status, 0) }) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
            Ok(_) => return Ok(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0),
        }
    }
}

/// Returns whether a child exited with status 0, or `None` while it runs. A child that has ended is
/// reaped.
///
/// # Errors
/// `ECHILD` if there is no such child, or if it was reaped.
pub(crate) fn take_end(child: libc::pid_t) -> io::Result<Option<bool>> {
    let mut status = 0;
    // SAFETY: waitpid takes integers and a pointer to a live local that it fills.
    let ended = check(unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) })?;
    Ok((ended != 0).then(|| libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0))
}

/// Kills the process group that the child was started as the leader of. The group has the child's
/// pid, which the kernel does not reuse before the child is reaped.
pub(crate) fn kill_group(leader: &Child) -> io::Result<()> {
    let group = libc::pid_t::try_from(leader.id()).ok().filter(|group| *group > 1);
    let group = group.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: kill takes integers; the number is a child's, so that of one group and not the "all"
    // that -1 would be.
    check(unsafe { libc::kill(-group, libc::SIGKILL) })?;
    Ok(())
}

/// Sends a signal to a child. Its pid is not reused before the child is reaped.
pub(crate) fn signal_child(child: &Child, signal: libc::c_int) -> io::Result<()> {
    let pid = libc::pid_t::try_from(child.id()).ok().filter(|pid| *pid > 1);
    let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: kill takes integers; the number is a child's, and no group's.
    check(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Returns how a child has ended, without reaping it, so that its pid stays reserved for it and its
/// group; `None` while it runs.
///
/// # Errors
/// `ECHILD` if there is no such child, or if it was reaped.
pub(crate) fn end_of(child: &Child) -> io::Result<Option<ExitStatus>> {
    // SAFETY: `siginfo_t` is a plain struct, for which zero is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the pointer is to a live local of the type that waitid fills.
    check(unsafe { libc::waitid(libc::P_PID, child.id(), &raw mut info, options) })?;
    // The kernel fills in nothing for a child that runs.
    if info.si_signo != libc::SIGCHLD {
        return Ok(None);
    }
    // SAFETY: the kernel has filled in the fields of SIGCHLD.
    let number = unsafe { info.si_status() };
    const CORE_DUMPED: libc::c_int = 0x80;
    Ok(Some(ExitStatus::from_raw(match info.si_code {
        libc::CLD_EXITED => number << 8,
        libc::CLD_DUMPED => number | CORE_DUMPED,
        _ => number,
    })))
}

/// Opens a descriptor for a process that is not a child (pidfd_open(2)). Unlike a pid, it never
/// refers to another process later.
///
/// # Errors
/// `ESRCH` if there is no such process, `ENOSYS` before Linux 5.3.
pub(crate) fn open_process(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = check(RawFd::try_from(fd).unwrap_or(-1))?;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to a process opened with [`open_process`]; signal 0 only checks that it exists.
///
/// # Errors
/// `ESRCH` if it has ended and was reaped.
pub(crate) fn signal_process(process: impl AsFd, signal: libc::c_int) -> io::Result<()> {
    let (fd, no_info) = (process.as_fd().as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: the fd is borrowed, so open; a null pointer means what kill would send.
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, no_info, 0) };
    check(libc::c_int::try_from(rc).unwrap_or(-1))?;
    Ok(())
}

/// Returns whether a process opened with [`open_process`] has ended, reaped or not.
pub(crate) fn has_process_ended(process: impl AsFd) -> bool {
    super::wait_readable(process, Duration::ZERO)
}

/// Sends a signal to a process by its pid, on kernels without pidfd_open. The caller has checked
/// the process's identity a moment ago.
pub(crate) fn signal_number(pid: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    if pid <= 1 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: kill takes integers; the number is one process's.
    check(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Creates a close-on-exec pipe. Returns its read end and its write end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    super::pipe(0)
}

/// Creates a pipe whose ends never block. It holds 64 KiB.
pub(crate) fn pipe_without_waiting() -> io::Result<(OwnedFd, OwnedFd)> {
    super::pipe(libc::O_NONBLOCK)
}

/// Replaces standard input, output and error with `file`.
pub(crate) fn replace_standard_streams(file: impl AsFd) -> io::Result<()> {
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: the fd is borrowed, so open; the three numbers are the process's own, which std
        // keeps open but never owns.
        check(unsafe { libc::dup2(file.as_fd().as_raw_fd(), stream) })?;
    }
    Ok(())
}

/// The lowest number of a passed descriptor (sd_listen_fds(3)).
pub(crate) const INHERITED_FD_FIRST: RawFd = libc::STDERR_FILENO + 1;

/// Takes ownership of a descriptor above the standard streams that was open when this program
/// started, and sets close-on-exec on it.
///
/// # Errors
/// `EBADF` if no such descriptor was passed in, or if it was taken before.
pub(crate) fn inherited_fd(number: RawFd) -> io::Result<OwnedFd> {
    static TAKING: Mutex<()> = Mutex::new(());

    let refused = || io::Error::from_raw_os_error(libc::EBADF);
    if number < INHERITED_FD_FIRST {
        return Err(refused());
    }
    let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: F_GETFD takes no more than the number, and fails for one that is not open.
    let flags = check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // A descriptor with the flag did not come through the exec: this process opened it, or took it
    // before.
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(refused());
    }
    // SAFETY: F_SETFD takes integers; the flag marks the descriptor as taken.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open. Every descriptor that this program opens has the flag that
    // this one lacked, so it has no owner here; with the flag set it cannot be taken twice.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    use std::sync::mpsc;

    #[test]
    fn a_process_with_threads_does_not_fork() {
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || stopped.recv().unwrap_err());
            assert_eq!(fork().unwrap_err().raw_os_error(), Some(libc::EINVAL));
            drop(stop);
        });
    }

    #[test]
    fn what_was_passed_in_is_taken_once_and_nothing_else_is() {
        let errno = |number| inherited_fd(number).unwrap_err().raw_os_error();
        for number in [-1, 0, 2, i32::MAX] {
            assert_eq!(errno(number), Some(libc::EBADF), "{number}");
        }
        let (read, write) = pipe().unwrap();
        assert_eq!(errno(read.as_raw_fd()), Some(libc::EBADF), "made here");
        // SAFETY: F_DUPFD takes integers, the first of which is an open descriptor's.
        let passed = unsafe { libc::fcntl(read.as_raw_fd(), libc::F_DUPFD, 900) };
        let taken = inherited_fd(passed).unwrap();
        assert_eq!(errno(passed), Some(libc::EBADF), "taken already");
        drop(write);
        assert_eq!(std::fs::File::from(taken).read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_child_that_has_ended_is_seen_before_it_is_waited_for() {
        let mut child = Command::new("sleep").arg("20").spawn().unwrap();
        let process = open_process(child.id().try_into().unwrap()).unwrap();
        assert_eq!(end_of(&child).unwrap(), None);
        assert!(!has_process_ended(&process));
        signal_process(&process, 0).unwrap();
        signal_child(&child, libc::SIGTERM).unwrap();
        while end_of(&child).unwrap().is_none() {
            std::thread::yield_now();
        }
        assert!(has_process_ended(&process));
        let end = end_of(&child).unwrap();
        assert_eq!(end, Some(child.wait().unwrap()));
        assert_eq!(end.and_then(|end| end.signal()), Some(libc::SIGTERM));
        let gone = Some(libc::ESRCH);
        assert_eq!(signal_process(&process, 0).unwrap_err().raw_os_error(), gone);
        assert_eq!(end_of(&child).unwrap_err().raw_os_error(), Some(libc::ECHILD));
        for number in [-1, 0, 1] {
            assert_eq!(signal_number(number, 0).unwrap_err().raw_os_error(), gone, "{number}");
        }
    }

    #[test]
    fn a_group_is_killed_with_all_who_are_in_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "(echo up; sleep 20; echo late) & wait"]);
        let mut leader = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut stdout = leader.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 3]).unwrap();
        kill_group(&leader).unwrap();
        // The pipe ends when the last process that holds it is gone.
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "a process lived on");
        assert_eq!(leader.wait().unwrap().code(), None);
    }
}

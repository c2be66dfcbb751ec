// SPDX-License-Identifier: LGPL-2.1-or-later
//! A client's state in the daemon: its socket, its permissions, its identity.

/// The socket that a client connected to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Endpoint {
    ReadWrite,
    ReadOnly,
    Admin,
}

impl Endpoint {
    /// The socket's file name, below whichever directory.
    pub(crate) const fn socket_name(self) -> &'static str {
        match self {
            Self::ReadWrite => "virtinterfaced-sock",
            Self::ReadOnly => "virtinterfaced-sock-ro",
            Self::Admin => "virtinterfaced-admin-sock",
        }
    }
}

/// A number that identifies one connected client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub usize);

/// The permissions of a client that has opened a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// The interfaces that a daemon serves: root's daemon serves the system, another user's daemon
/// their session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Privilege {
    System,
    Session,
}

/// The state that a successful CONNECT_OPEN leaves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opened {
    /// The URI that CONNECT_GET_URI returns.
    pub uri: String,
    pub access: Access,
}

/// The maker of calls: a process that has connected, and the identity for which it acts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// The socket that the process has connected to.
    pub endpoint: Endpoint,
    /// The client's number at its server, which virt-admin shows.
    pub number: u64,
    /// The process, as the kernel knows it.
    pub uid: u32,
    pub gid: u32,
    pub pid: i32,
    /// The identity that a proxy has set, if the daemon believes it.
    pub identity: Option<Box<Identity>>,
}

impl Caller {
    /// The user for whom the process acts: by default its own.
    pub fn subject_uid(&self) -> u32 {
        let identity = self.identity.as_ref();
        let uid = identity.and_then(|identity| u32::try_from(identity.unix_user_id?).ok());
        uid.unwrap_or(self.uid)
    }

    /// The process for which it acts: by default itself.
    pub fn subject_pid(&self) -> i32 {
        let identity = self.identity.as_ref();
        let pid = identity.and_then(|identity| i32::try_from(identity.process_id?).ok());
        pid.unwrap_or(self.pid)
    }
}

/// A client's state, as far as its calls depend on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientState {
    pub caller: Caller,
    /// `None` before CONNECT_OPEN.
    pub opened: Option<Opened>,
}

impl ClientState {
    /// A client that has just connected.
    pub fn new(caller: Caller) -> Self {
        Self { caller, opened: None }
    }

    /// The access that CONNECT_OPEN has given.
    pub fn access(&self) -> Option<Access> {
        self.opened.as_ref().map(|opened| opened.access)
    }
}

/// The identity for which a client acts (`virIdentity`). Each part may be unknown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    pub user_name: Option<String>,
    pub unix_user_id: Option<u64>,
    pub group_name: Option<String>,
    pub unix_group_id: Option<u64>,
    pub process_id: Option<i64>,
    /// Clock ticks since boot, field 22 of /proc/PID/stat (proc(5)).
    pub process_time: Option<u64>,
    pub sasl_user_name: Option<String>,
    pub x509_distinguished_name: Option<String>,
    pub selinux_context: Option<String>,
    pub system_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_acts_for_the_identity_that_is_set() {
        let own = Caller {
            endpoint: Endpoint::ReadWrite,
            number: 1,
            uid: 5,
            gid: 5,
            pid: 77,
            identity: None,
        };
        assert_eq!((own.subject_uid(), own.subject_pid()), (5, 77));
        let subject = |identity| {
            let caller = Caller { identity: Some(Box::new(identity)), ..own.clone() };
            (caller.subject_uid(), caller.subject_pid())
        };
        let other =
            Identity { unix_user_id: Some(1000), process_id: Some(812), ..Identity::default() };
        assert_eq!(subject(other), (1000, 812));
        assert_eq!(subject(Identity::default()), (5, 77), "it names neither");
        let beyond = Identity {
            unix_user_id: Some(1 << 32),
            process_id: Some(-(1 << 32)),
            ..Identity::default()
        };
        assert_eq!(subject(beyond), (5, 77), "no user or process has such a number");
    }
}

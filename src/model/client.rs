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

/// A client's state, as far as its calls depend on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientState {
    pub endpoint: Endpoint,
    /// `None` before CONNECT_OPEN.
    pub opened: Option<Opened>,
    /// The last identity that SET_IDENTITY set, if any.
    pub identity: Option<Box<Identity>>,
}

impl ClientState {
    /// A client that has just connected.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, opened: None, identity: None }
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

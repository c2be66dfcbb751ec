// SPDX-License-Identifier: LGPL-2.1-or-later
//! The daemon's two servers, as the admin program names them: each with clients, limits and numbers
//! of its own. The protocol knows which program is called through which.

use crate::model::client::Endpoint;

/// One of the servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerName {
    /// Behind the read-write and the read-only socket.
    Main,
    /// Behind the admin socket.
    Admin,
}

impl ServerName {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 2] = [Self::Main, Self::Admin];

    /// The name that clients know it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "virtinterfaced",
            Self::Admin => "admin",
        }
    }

    /// The server of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|server| server.as_str() == name)
    }

    /// The server that a client meets behind `endpoint`.
    pub const fn behind(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::ReadWrite | Endpoint::ReadOnly => Self::Main,
            Endpoint::Admin => Self::Admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_found_by_its_whole_name_alone() {
        for server in ServerName::ALL {
            assert_eq!(ServerName::find(server.as_str()), Some(server));
        }
        for name in ["", "Admin", "admin ", "virtinterface", "virtinterfaced2", "libvirtd"] {
            assert_eq!(ServerName::find(name), None, "{name}");
        }
    }

    #[test]
    fn both_ordinary_sockets_lead_to_the_main_server() {
        assert_eq!(ServerName::behind(Endpoint::ReadWrite), ServerName::Main);
        assert_eq!(ServerName::behind(Endpoint::ReadOnly), ServerName::Main);
        assert_eq!(ServerName::behind(Endpoint::Admin), ServerName::Admin);
    }
}

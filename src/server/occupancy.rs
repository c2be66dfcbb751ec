// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Occupancy`]: the limits of each of libvirt's two servers, and how many clients it has.
//!
//! So an administrator can connect when the main server is full. Limits are changed by a reload and
//! by virt-admin; connected clients stay, and no new one is accepted until there is space again.
//! Both servers share the descriptors that the process may have, less those that it needs for
//! itself.

use crate::config::Settings;
use crate::config::settings::ServerLimits;
use crate::limits::{ADMIN_DESCRIPTOR_COUNT, OWN_DESCRIPTOR_COUNT};
use crate::model::client::Endpoint;
use crate::model::server::ServerName;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occupancy {
    main: ServerOccupancy,
    admin: ServerOccupancy,
    descriptors: Descriptors,
}

/// The number of descriptors for clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Descriptors {
    /// For clients of both servers.
    count: u64,
    /// Of these, those for the admin server alone.
    for_admin: u64,
}

impl Descriptors {
    /// The share of a process that may have `limit` descriptors. A small limit is divided.
    fn within(limit: u64) -> Self {
        let count = limit - OWN_DESCRIPTOR_COUNT.min(limit / 2);
        Self { count, for_admin: ADMIN_DESCRIPTOR_COUNT.min(count / 4) }
    }

    /// For clients of this server, if the other one has none.
    fn of(self, server: ServerName) -> u64 {
        match server {
            ServerName::Main => self.count - self.for_admin,
            ServerName::Admin => self.count,
        }
    }
}

/// One server's limits and its clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerOccupancy {
    pub(crate) limits: ServerLimits,
    client_count: u32,
    /// The number of clients so far: the last one's number.
    last_number: u64,
}

impl Occupancy {
    /// No clients, with the configured limits, in a process that may have so many descriptors.
    pub(crate) fn new(settings: &Settings, descriptor_limit: u64) -> Self {
        let descriptors = Descriptors::within(descriptor_limit);
        Self {
            main: ServerOccupancy::empty(settings.main),
            admin: ServerOccupancy::empty(settings.admin),
            descriptors,
        }
    }

    /// Whether one more client may be accepted at this socket.
    pub(crate) fn has_space(&self, endpoint: Endpoint) -> bool {
        self.room(endpoint) > 0
    }

    /// How many more clients may be accepted at this socket.
    pub(crate) fn room(&self, endpoint: Endpoint) -> u32 {
        let server = ServerName::behind(endpoint);
        let client_count = u64::from(self.main.client_count) + u64::from(self.admin.client_count);
        let descriptors = self.descriptors.of(server).saturating_sub(client_count);
        self.of(server).room().min(u32::try_from(descriptors).unwrap_or(u32::MAX))
    }

    /// How many clients may be connected to a server, if the other one has none.
    pub(crate) fn count_max(&self, server: ServerName) -> u32 {
        let descriptors = u32::try_from(self.descriptors.of(server)).unwrap_or(u32::MAX);
        self.of(server).limits.client_count_max.min(descriptors)
    }

    /// The number of clients for which there are descriptors, if `max_clients` is larger.
    pub(crate) fn shortage(&self) -> Option<u64> {
        let count = self.descriptors.of(ServerName::Main);
        (u64::from(self.main.limits.client_count_max) > count).then_some(count)
    }

    /// The server behind a socket.
    pub(crate) fn behind(&self, endpoint: Endpoint) -> &ServerOccupancy {
        self.of(ServerName::behind(endpoint))
    }

    /// As [`Occupancy::behind`], to be changed.
    pub(crate) fn behind_mut(&mut self, endpoint: Endpoint) -> &mut ServerOccupancy {
        self.of_mut(ServerName::behind(endpoint))
    }

    /// A server's limits and clients.
    pub(crate) fn of(&self, server: ServerName) -> &ServerOccupancy {
        match server {
            ServerName::Main => &self.main,
            ServerName::Admin => &self.admin,
        }
    }

    /// As [`Occupancy::of`], to be changed.
    pub(crate) fn of_mut(&mut self, server: ServerName) -> &mut ServerOccupancy {
        match server {
            ServerName::Main => &mut self.main,
            ServerName::Admin => &mut self.admin,
        }
    }
}

impl ServerOccupancy {
    fn empty(limits: ServerLimits) -> Self {
        Self { limits, client_count: 0, last_number: 0 }
    }

    /// How many more clients may be accepted by the server's own limit.
    fn room(&self) -> u32 {
        self.limits.client_count_max.saturating_sub(self.client_count)
    }

    /// The number of connected clients.
    pub(crate) fn client_count(&self) -> u32 {
        self.client_count
    }

    /// Counts a client, and returns its number: they begin at 1 and are never used again.
    pub(crate) fn enter(&mut self) -> u64 {
        self.client_count += 1;
        self.last_number += 1;
        self.last_number
    }

    /// Counts the end of a client.
    pub(crate) fn leave(&mut self) {
        self.client_count = self.client_count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::client::Privilege;

    #[test]
    fn a_lowered_limit_keeps_who_is_inside_and_lets_nobody_in() {
        let mut settings = Settings::defaults(Privilege::System);
        settings.main.client_count_max = 2;
        let mut occupancy = Occupancy::new(&settings, 1_024);
        let main = occupancy.behind_mut(Endpoint::ReadOnly);
        assert_eq!((main.enter(), main.enter(), main.room()), (1, 2, 0));
        main.limits.client_count_max = 1;
        main.leave();
        assert_eq!((main.client_count(), main.room()), (1, 0));
        main.leave();
        assert_eq!(main.room(), 1);
        assert_eq!(main.enter(), 3, "a number is used once");
        assert!(occupancy.behind(Endpoint::Admin).room() > 0, "the other server has its own");
    }

    #[test]
    fn clients_leave_descriptors_to_the_daemon_and_to_administrators() {
        /// Fills both servers, `first` before `second`; returns how many clients each accepted.
        fn fill(limit: u64, first: Endpoint, second: Endpoint) -> [u64; 2] {
            let mut occupancy = Occupancy::new(&Settings::defaults(Privilege::System), limit);
            [first, second].map(|endpoint| {
                while occupancy.has_space(endpoint) {
                    occupancy.behind_mut(endpoint).enter();
                }
                occupancy.behind(endpoint).client_count().into()
            })
        }
        let (main, admin) = (Endpoint::ReadOnly, Endpoint::Admin);
        assert_eq!(fill(4_096, main, admin), [4_096 - 160, 32]);
        assert_eq!(fill(4_096, admin, main), [4_096 - 128, 0], "root may take all");
        assert_eq!(fill(256, main, admin), [96, 32]);
        assert_eq!(fill(255, main, admin), [96, 32]);
        assert_eq!(fill(32, main, admin), [12, 4], "few are divided");
        assert_eq!(fill(0, main, admin), [0, 0]);
        assert_eq!(fill(u64::MAX, main, admin), [5_000, 5_000], "the settings count then");
    }

    #[test]
    fn a_limit_of_clients_without_descriptors_for_them_is_told() {
        let shortage = |limit, client_count_max| {
            let mut settings = Settings::defaults(Privilege::System);
            settings.main.client_count_max = client_count_max;
            Occupancy::new(&settings, limit).shortage()
        };
        assert_eq!(shortage(1_024, 864), None);
        assert_eq!(shortage(1_024, 865), Some(864));
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Two rooms, one for each of libvirt's servers: what each takes on, and how many are inside.
//!
//! There are two so that an administrator gets in when the other one is full. Limits are changed by
//! a reload and by virt-admin; who is inside stays, and nobody comes in until there is space again.
//! Both share the descriptors that the process may have, less those that it needs for itself.

use crate::config::Settings;
use crate::config::settings::ServerLimits;
use crate::limits::{ADMIN_DESCRIPTOR_COUNT, OWN_DESCRIPTOR_COUNT};
use crate::model::client::Entrance;
use crate::model::server::ServerName;

/// Both rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    main: Room,
    admin: Room,
    descriptors: Descriptors,
}

/// How many descriptors there are for clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Descriptors {
    /// For clients of both servers.
    count: u64,
    /// Of these, for the admin server's alone.
    for_admin: u64,
}

impl Descriptors {
    /// What a process that may have `limit` descriptors can spare. One that may have few divides them.
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
pub(crate) struct Room {
    pub(crate) limits: ServerLimits,
    client_count: u32,
    /// How many have ever come in: the last one's number.
    last_number: u64,
}

impl Rooms {
    /// Empty rooms with the limits that are configured, in a process that may have so many descriptors.
    pub(crate) fn new(settings: &Settings, descriptor_limit: u64) -> Self {
        let descriptors = Descriptors::within(descriptor_limit);
        Self { main: Room::empty(settings.main), admin: Room::empty(settings.admin), descriptors }
    }

    /// Whether one more may come in by this socket.
    pub(crate) fn has_space(&self, entrance: Entrance) -> bool {
        let server = ServerName::behind(entrance);
        let client_count = u64::from(self.main.client_count) + u64::from(self.admin.client_count);
        self.of(server).has_space() && client_count < self.descriptors.of(server)
    }

    /// How many clients there are descriptors for, if `max_clients` promises more.
    pub(crate) fn shortage(&self) -> Option<u64> {
        let count = self.descriptors.of(ServerName::Main);
        (u64::from(self.main.limits.client_count_max) > count).then_some(count)
    }

    /// The room that a socket leads to.
    pub(crate) fn behind(&self, entrance: Entrance) -> &Room {
        self.of(ServerName::behind(entrance))
    }

    /// As [`Rooms::behind`], to be changed.
    pub(crate) fn behind_mut(&mut self, entrance: Entrance) -> &mut Room {
        self.of_mut(ServerName::behind(entrance))
    }

    /// A server's room.
    pub(crate) fn of(&self, server: ServerName) -> &Room {
        match server {
            ServerName::Main => &self.main,
            ServerName::Admin => &self.admin,
        }
    }

    /// As [`Rooms::of`], to be changed.
    pub(crate) fn of_mut(&mut self, server: ServerName) -> &mut Room {
        match server {
            ServerName::Main => &mut self.main,
            ServerName::Admin => &mut self.admin,
        }
    }
}

impl Room {
    fn empty(limits: ServerLimits) -> Self {
        Self { limits, client_count: 0, last_number: 0 }
    }

    /// Whether one more may come in, as far as its own limit goes.
    fn has_space(&self) -> bool {
        self.client_count < self.limits.client_count_max
    }

    /// How many are inside.
    pub(crate) fn client_count(&self) -> u32 {
        self.client_count
    }

    /// Lets one in, and returns its number: they begin at 1 and are never used again.
    pub(crate) fn enter(&mut self) -> u64 {
        self.client_count += 1;
        self.last_number += 1;
        self.last_number
    }

    /// One has left.
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
        let mut rooms = Rooms::new(&settings, 1_024);
        let room = rooms.behind_mut(Entrance::ReadOnly);
        assert_eq!((room.enter(), room.enter(), room.has_space()), (1, 2, false));
        room.limits.client_count_max = 1;
        room.leave();
        assert_eq!((room.client_count(), room.has_space()), (1, false));
        room.leave();
        assert!(room.has_space());
        assert_eq!(room.enter(), 3, "a number is used once");
        assert!(rooms.behind(Entrance::Admin).has_space(), "the other room is another");
    }

    #[test]
    fn clients_leave_descriptors_to_the_daemon_and_to_administrators() {
        /// Fills both rooms, this one first: how many got in.
        fn fill(limit: u64, first: Entrance, second: Entrance) -> [u64; 2] {
            let mut rooms = Rooms::new(&Settings::defaults(Privilege::System), limit);
            [first, second].map(|entrance| {
                while rooms.has_space(entrance) {
                    rooms.behind_mut(entrance).enter();
                }
                rooms.behind(entrance).client_count().into()
            })
        }
        let (main, admin) = (Entrance::ReadOnly, Entrance::Admin);
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
            Rooms::new(&settings, limit).shortage()
        };
        assert_eq!(shortage(1_024, 864), None);
        assert_eq!(shortage(1_024, 865), Some(864));
    }
}

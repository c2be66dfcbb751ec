// SPDX-License-Identifier: LGPL-2.1-or-later
//! Two rooms, one for each of libvirt's servers: what each takes on, and how many are inside.
//!
//! There are two so that an administrator gets in when the other one is full. Limits are changed by
//! a reload and by virt-admin; who is inside stays, and nobody comes in until there is space again.

use crate::config::Settings;
use crate::config::settings::ServerLimits;
use crate::model::client::Entrance;
use crate::model::server::ServerName;

/// Both rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    main: Room,
    admin: Room,
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
    /// Empty rooms with the limits that are configured.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { main: Room::empty(settings.main), admin: Room::empty(settings.admin) }
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

    /// Whether one more may come in.
    pub(crate) fn has_space(&self) -> bool {
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
        let mut rooms = Rooms::new(&settings);
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
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Room for the kernel's datagrams: the loop's buffer, or a larger one once that has been too small.
//!
//! A link with five hundred alternative names has a message of 66 KiB. Such a datagram is lost, but it
//! tells its length, so that the next one like it can be read: whoever reads asks again.

use std::io;
use std::os::fd::AsFd;

use log::{debug, warn};

use crate::limits::DATAGRAM_LEN_MAX;
use crate::sys::netlink::{self as socket, Datagram};

/// See the module.
#[derive(Debug, Default)]
pub(in crate::io) struct Room {
    /// Empty until the loop's buffer has been too small.
    larger: Vec<u8>,
}

/// What one read brought.
#[derive(Debug)]
pub(in crate::io) enum Received<'a> {
    Whole(&'a [u8]),
    /// It was too long and is lost. There is room for the next one of its length.
    Lost,
    /// It is longer than anything that is read, and this is its front.
    Front(&'a [u8]),
}

impl Room {
    /// Reads the kernel's next datagram; `buffer` is the loop's.
    ///
    /// # Errors
    /// As [`socket::receive`].
    pub(in crate::io) fn receive<'a>(
        &'a mut self,
        socket: impl AsFd,
        buffer: &'a mut [u8],
    ) -> io::Result<Received<'a>> {
        let datagram = loop {
            match socket::receive(&socket, self.buffer(buffer)) {
                Ok(Datagram::Stranger) => {}
                Ok(datagram) => break datagram,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        };
        Ok(match datagram {
            Datagram::Kernel(len) => {
                Received::Whole(self.buffer(buffer).get(..len).unwrap_or_default())
            }
            Datagram::Cut(len) if len <= DATAGRAM_LEN_MAX => {
                debug!("netlink: from now on there is room for a datagram of {len} bytes");
                self.larger.resize(len, 0);
                Received::Lost
            }
            Datagram::Cut(len) => {
                warn!(
                    "netlink: a datagram has {len} bytes: the link that it tells of is not known"
                );
                Received::Front(self.buffer(buffer))
            }
            Datagram::Stranger => Received::Lost,
        })
    }

    fn buffer<'a>(&'a mut self, buffer: &'a mut [u8]) -> &'a mut [u8] {
        if self.larger.is_empty() { buffer } else { &mut self.larger }
    }
}

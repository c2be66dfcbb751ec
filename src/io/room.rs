// SPDX-License-Identifier: LGPL-2.1-or-later
//! The buffer for netlink datagrams: the loop's, or a larger one after a datagram did not fit.
//!
//! A link with five hundred alternative names has a message of 66 KiB. Such a datagram is lost, but
//! its length is known, so the buffer grows; the caller repeats its request.

use std::io;
use std::os::fd::AsFd;

use log::{debug, warn};

use crate::limits::DATAGRAM_LEN_MAX;
use crate::sys::netlink::{self as socket, Datagram};

/// The buffer.
#[derive(Debug, Default)]
pub(in crate::io) struct Room {
    /// Empty until the loop's buffer was too small.
    larger: Vec<u8>,
}

/// The result of one read.
#[derive(Debug)]
pub(in crate::io) enum Reception<'a> {
    Whole(&'a [u8]),
    /// The datagram was too long and is lost. The buffer now fits one of its length.
    Lost,
    /// The datagram is longer than the maximum; this is its beginning.
    Front(&'a [u8]),
}

impl Room {
    /// Reads the next datagram from the kernel; `buffer` is the loop's.
    ///
    /// # Errors
    /// As [`socket::receive`].
    pub(in crate::io) fn receive<'a>(
        &'a mut self,
        socket: impl AsFd,
        buffer: &'a mut [u8],
    ) -> io::Result<Reception<'a>> {
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
                Reception::Whole(self.buffer(buffer).get(..len).unwrap_or_default())
            }
            Datagram::Cut(len) if len <= DATAGRAM_LEN_MAX => {
                debug!("netlink: receive buffer enlarged to {len} bytes");
                self.larger.resize(len, 0);
                Reception::Lost
            }
            Datagram::Cut(len) => {
                warn!("netlink: a datagram of {len} bytes is over the limit; its link is left out");
                Reception::Front(self.buffer(buffer))
            }
            Datagram::Stranger => Reception::Lost,
        })
    }

    fn buffer<'a>(&'a mut self, buffer: &'a mut [u8]) -> &'a mut [u8] {
        if self.larger.is_empty() { buffer } else { &mut self.larger }
    }
}

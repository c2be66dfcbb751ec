// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's RPC (`virnetprotocol.x`): messages on a byte stream, for any program.

pub mod header;
pub mod frame;
pub mod message;
pub mod fault;
pub mod keepalive;

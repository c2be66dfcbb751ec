// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's RPC (`virnetprotocol.x`): messages on a byte stream, whatever program they serve.

pub mod header;
pub mod frame;
pub mod message;
pub mod fault;
pub mod keepalive;

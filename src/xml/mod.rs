// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's interface XML.

pub mod format;

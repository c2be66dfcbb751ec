// SPDX-License-Identifier: LGPL-2.1-or-later
//! The release of libvirt whose protocol, options and configuration this daemon has.

/// As people write it.
pub(crate) const LIBVIRT_VERSION: &str = "11.0.0";

/// Major, minor and release in one number, as `virConnectGetLibVersion` counts.
pub(crate) const LIBVIRT_VERSION_NUMBER: u64 = 11_000_000;

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Settings with a few named values: each value, and its name in the file.
//!
//! Does not know which key has a value, nor its consequences.

/// A value with a name in the file.
pub(crate) trait Named: Copy + 'static {
    /// All values, in the order in which an error lists them.
    const ALL: &'static [Self];

    /// The name in the file.
    fn name(self) -> &'static str;
}

/// How a client authenticates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthScheme {
    None = 0,
    Sasl = 1,
    Polkit = 2,
}

impl Named for AuthScheme {
    const ALL: &'static [Self] = &[Self::None, Self::Sasl, Self::Polkit];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sasl => "sasl",
            Self::Polkit => "polkit",
        }
    }
}

/// The access control of each call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccessDriver {
    None,
    Polkit,
}

impl Named for AccessDriver {
    const ALL: &'static [Self] = &[Self::None, Self::Polkit];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Polkit => "polkit",
        }
    }
}

/// How much the audit system is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuditLevel {
    Off = 0,
    IfPossible = 1,
    /// Without it the daemon does not start.
    Required = 2,
}

impl AuditLevel {
    /// The level with libvirt's `number`, 0 to 2.
    pub const fn new(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Off),
            1 => Some(Self::IfPossible),
            2 => Some(Self::Required),
            _ => None,
        }
    }
}

/// The source of the host's UUID if the file does not give it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UuidSource {
    Smbios,
    MachineId,
}

impl Named for UuidSource {
    const ALL: &'static [Self] = &[Self::Smbios, Self::MachineId];

    fn name(self) -> &'static str {
        match self {
            Self::Smbios => "smbios",
            Self::MachineId => "machine-id",
        }
    }
}

/// The format of definitions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BackendChoice {
    /// The host's own format where the daemon can write it, else native.
    Auto,
    Native,
    Ifupdown,
    Netifrc,
}

impl Named for BackendChoice {
    const ALL: &'static [Self] = &[Self::Auto, Self::Native, Self::Ifupdown, Self::Netifrc];

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Ifupdown => "ifupdown",
            Self::Netifrc => "netifrc",
        }
    }
}

/// The program that obtains leases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DhcpClient {
    /// The first of the others that is installed.
    Auto,
    Udhcpc,
    Dhcpcd,
    Dhclient,
}

impl Named for DhcpClient {
    const ALL: &'static [Self] = &[Self::Auto, Self::Udhcpc, Self::Dhcpcd, Self::Dhclient];

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Udhcpc => "udhcpc",
            Self::Dhcpcd => "dhcpcd",
            Self::Dhclient => "dhclient",
        }
    }
}

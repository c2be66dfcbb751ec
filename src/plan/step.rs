// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Step`]: one action on the host, small enough to be refused as a whole.
//!
//! Steps refer to links by name, since a link may not have an index yet when a plan is made. A step
//! is formatted like a command of `ip`, for tests, the log and errors.

use std::fmt;

use crate::definitions::files::{FileCheck, FileEdit};
use crate::host::Host;
use crate::model::address::{Family, IpPrefix};
use crate::model::foreign::ForeignClient;
use crate::model::interface::OperState;
use crate::model::ipv6::Ipv6Sysctls;
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::model::sysctl::Sysctl;
use crate::netlink::link::Link;
use crate::netlink::record::route::RouteRecord;
use crate::plan::request::KernelRequest;
use crate::snapshot::files::{FileRestoration, KeptFile, StoredFile};

/// One action, by the way to perform it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// A netlink request.
    Request(KernelRequest),
    File(FileStep),
    Dhcp(DhcpStep),
    SetSysctl {
        link: IfName,
        sysctl: Sysctl,
        value: i32,
    },
    WaitFor(Condition),
}

/// A change of a definition's file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileStep {
    /// Has the host's own program read the new text of the files. Nothing is changed.
    Check(FileCheck),
    Edit(FileEdit),
    /// Restores a definition's file, with mode and owner.
    Restore(FileRestoration),
}

/// An order to a DHCP client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DhcpStep {
    Start(Lease),
    Stop(Lease),
    /// Stops a client, and removes its configuration: everything of the lease's family on the link
    /// except these.
    Drop {
        lease: Lease,
        addresses: Vec<IpPrefix>,
        routes: Vec<RouteRecord>,
    },
    /// Ends another program's DHCP client. It keeps its lease, and the link keeps its addresses.
    EndForeign(Box<ForeignClient>),
    /// Starts that client again with its former command line.
    StartForeign(Box<ForeignClient>),
}

/// Returns the IPv6 sysctls that a plan sets, with their values. IPv6 is enabled before it is
/// configured.
pub(super) fn sysctl_values(values: Ipv6Sysctls) -> [(Sysctl, Option<i32>); 3] {
    [
        (Sysctl::DISABLE_IPV6, values.disable_ipv6),
        (Sysctl::ACCEPT_RA, values.accept_ra),
        (Sysctl::AUTOCONF, values.autoconf),
    ]
}

/// A state that the kernel must report before the next step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Condition {
    /// A link is up, has its carrier, and transmits packets; before that it drops them.
    Carries(IfName),
    /// A link is up, and its operational state matches its carrier.
    Up(IfName),
    /// A link is down.
    Down(IfName),
    /// A link is removed.
    Gone(IfName),
    /// A link has another address of a family than these, so a DHCP client has configured it.
    Leased { link: IfName, family: Family, besides: Vec<IpPrefix> },
}

impl Condition {
    /// Returns whether the condition holds.
    pub fn holds(&self, host: &Host) -> bool {
        match self {
            Self::Carries(name) => host
                .link_named(name)
                .is_some_and(|link| link.up && link.carrier && !is_said_down(link)),
            Self::Up(name) => host
                .link_named(name)
                .is_some_and(|link| link.up && !(link.carrier && is_said_down(link))),
            Self::Down(name) => host.link_named(name).is_none_or(|link| !link.up),
            Self::Gone(name) => host.link_named(name).is_none(),
            Self::Leased { link, family, besides } => host.link_named(link).is_some_and(|link| {
                host.addresses_of(link.index).iter().any(|address| {
                    address.prefix.family() == *family
                        && address.may_be_leased()
                        && !besides.contains(&address.prefix)
                })
            }),
        }
    }

    /// Returns whether the condition cannot become true any more, as its link is removed.
    pub(crate) fn is_hopeless(&self, host: &Host) -> bool {
        matches!(self, Self::Leased { link, .. } if host.link_named(link).is_none())
    }

    /// Returns the link whose operational state has yet to match its carrier, if the condition is
    /// about that.
    pub(crate) fn settling(&self) -> Option<IfName> {
        match self {
            Self::Carries(name) | Self::Up(name) => Some(*name),
            Self::Down(_) | Self::Gone(_) | Self::Leased { .. } => None,
        }
    }

    /// Returns whether a change fails if the condition does not become true. A delayed operational
    /// state is not a failure.
    pub(crate) fn is_required(&self) -> bool {
        match self {
            Self::Leased { .. } | Self::Gone(_) => true,
            Self::Carries(_) | Self::Up(_) | Self::Down(_) => false,
        }
    }
}

/// Returns whether the operational state means that nothing can be transmitted.
fn is_said_down(link: &Link) -> bool {
    matches!(link.oper_state, OperState::Down | OperState::LowerLayerDown)
}

impl Step {
    /// Returns the link that this step changes, if it changes one.
    pub(crate) fn link_name(&self) -> Option<IfName> {
        match self {
            Self::Request(request) => request.link_name(),
            Self::Dhcp(step) => step.link_name(),
            Self::SetSysctl { link, .. } => Some(*link),
            Self::File(_) | Self::WaitFor(_) => None,
        }
    }

    /// Returns whether the step sets an attribute that a definition cannot express. If it is
    /// refused, the change continues.
    pub(crate) fn is_courtesy(&self) -> bool {
        match self {
            Self::Request(request) => request.is_courtesy(),
            Self::SetSysctl { sysctl, .. } => !sysctl.is_defined(),
            Self::File(_) | Self::Dhcp(_) | Self::WaitFor(_) => false,
        }
    }

    /// Returns the request to the kernel that this step is, if it is one.
    pub(crate) fn request(&self) -> Option<&KernelRequest> {
        if let Self::Request(request) = self { Some(request) } else { None }
    }

    /// Returns the file that this step restores, if it does.
    pub(crate) fn restores(&self) -> Option<&FileRestoration> {
        if let Self::File(FileStep::Restore(file)) = self { Some(file) } else { None }
    }

    /// Returns the other program's DHCP client that this step starts again.
    pub(crate) fn gives_back(&self) -> Option<&ForeignClient> {
        if let Self::Dhcp(DhcpStep::StartForeign(client)) = self { Some(client) } else { None }
    }
}

impl From<KernelRequest> for Step {
    fn from(request: KernelRequest) -> Self {
        Self::Request(request)
    }
}

impl From<DhcpStep> for Step {
    fn from(step: DhcpStep) -> Self {
        Self::Dhcp(step)
    }
}

impl DhcpStep {
    fn link_name(&self) -> Option<IfName> {
        match self {
            Self::Start(lease) | Self::Stop(lease) | Self::Drop { lease, .. } => Some(lease.link),
            Self::EndForeign(client) | Self::StartForeign(client) => client.only_link(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => request.fmt(f),
            Self::File(step) => step.fmt(f),
            Self::Dhcp(step) => step.fmt(f),
            Self::SetSysctl { link, sysctl, value } => {
                let Sysctl { family, name } = sysctl;
                write!(f, "sysctl net.{}.conf.{link}.{name} = {value}", family.as_str())
            }
            Self::WaitFor(condition) => write!(f, "wait until {condition}"),
        }
    }
}

impl fmt::Display for FileStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(check) => write!(f, "file check {}, by {}", check.path, check.dialect),
            Self::Edit(edit) => match (&edit.before, &edit.after) {
                (_, None) => write!(f, "file remove {}", edit.path),
                (None, Some(_)) => write!(f, "file write {}", edit.path),
                (Some(_), Some(_)) => write!(f, "file rewrite {}", edit.path),
            },
            Self::Restore(file) => match &file.after {
                None => write!(f, "file remove {}", file.path),
                Some(KeptFile::Unread) => write!(f, "file leave {}", file.path),
                Some(KeptFile::Link { .. }) => write!(f, "file link {}, as recorded", file.path),
                Some(KeptFile::File(StoredFile { mode, uid, gid, .. })) => {
                    write!(f, "file write {}, as recorded (mode {mode:o}, {uid}:{gid})", file.path)
                }
            },
        }
    }
}

impl fmt::Display for DhcpStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(lease) => write!(f, "dhcp start {}", ClientName(lease)),
            Self::Stop(lease) => write!(f, "dhcp stop {}", ClientName(lease)),
            Self::Drop { lease, .. } => write!(f, "dhcp drop {}", ClientName(lease)),
            Self::EndForeign(client) => write!(f, "dhcp end {client}"),
            Self::StartForeign(client) => write!(f, "dhcp give back {client}"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Carries(name) => write!(f, "{name} carries"),
            Self::Up(name) => write!(f, "{name} is up"),
            Self::Down(name) => write!(f, "{name} is down"),
            Self::Gone(name) => write!(f, "{name} is gone"),
            Self::Leased { link, family, .. } => {
                write!(f, "{link} has a lease for {}", family.as_str())
            }
        }
    }
}

/// Formats a DHCP client with its link and family.
struct ClientName<'a>(&'a Lease);

impl fmt::Display for ClientName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.0.family.as_str(), self.0.link)?;
        if let Some(wanted) = self.0.wanted {
            write!(f, " for {wanted}")?;
        }
        if self.0.name_servers == NameServers::Left {
            f.write_str(" without name servers")?;
        }
        self.0.like.map_or(Ok(()), |like| write!(f, " like that of {like}"))
    }
}

#[cfg(test)]
mod tests;

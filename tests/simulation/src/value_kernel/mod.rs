// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`ValueKernel`]: a kernel made of values, on which tests carry out plans.
//!
//! It takes the same requests that the daemon sends, and handles them as Linux does, as far as a
//! plan can notice: which requests it refuses with which errno, and the side effects. A link that
//! goes down loses its routes and its IPv6 addresses, a deleted primary IPv4 address takes its
//! secondaries with it, and a bond's member is down when it is released. Link-local addresses and
//! the routes that come with addresses are left out, as no plan touches them. Files and DHCP
//! clients are included, so `to_string` shows everything that a change can change.

mod vlan_options;
mod state;
mod apart;
mod network;
mod requests;
mod bridge_vlans;
mod links;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::announce::{self, events};
use apart::Apart;
use state::{Address, Device, FOREVER};
use virtinterfaced::change::job::{self, Failure, Job, JobAction, StepError};
use virtinterfaced::definitions::files::{FileEdit, FilePath};
use virtinterfaced::host::record::HostRecord;
use virtinterfaced::host::state::LinkState;
use virtinterfaced::host::survey::{Survey, SurveyOrder, Sysctls};
use virtinterfaced::host::{Host, is_discarded};
use virtinterfaced::model::address::IpPrefix;
use virtinterfaced::model::foreign::{ClientLinks, ForeignClient, Leaving};
use virtinterfaced::model::ipv6::Ipv6Sysctls;
use virtinterfaced::model::lease::{Lease, NameServers};
use virtinterfaced::model::name::IfName;
use virtinterfaced::model::sysctl::Sysctl;
use virtinterfaced::netlink::link::LinkIndex;
use virtinterfaced::netlink::record::address::AddressRecord;
use virtinterfaced::netlink::record::link::LinkRecord;
use virtinterfaced::netlink::record::route::RouteRecord;
use virtinterfaced::netlink::wire::messages;
use virtinterfaced::plan::request::KernelRequest;
use virtinterfaced::plan::step::{Condition, DhcpStep, FileStep, Step};
use virtinterfaced::plan::{self, Plan};
use virtinterfaced::snapshot::files::{FileRestoration, KeptFile, KeptFiles, StoredFile, Target};

/// The lifetime of a lease.
pub const LEASE_TIME: Duration = Duration::from_secs(30);

/// An errno.
pub(super) type Errno = i32;

/// Everything that a change can change.
#[derive(Clone, Debug, Default)]
pub struct ValueKernel {
    devices: BTreeMap<LinkIndex, Device>,
    last_index: u32,
    /// The indexes of links that are yet to be created.
    numbers: BTreeMap<IfName, LinkIndex>,
    /// The IPv6 sysctls of new links.
    defaults: Ipv6Sysctls,
    /// Whether a secondary address takes the place of its primary one
    /// (`net.ipv4.conf.*.promote_secondaries`).
    promotes: bool,
    /// Whether its bridges can filter VLANs (`CONFIG_BRIDGE_VLAN_FILTERING`).
    filters_vlans: bool,
    clients: Vec<Lease>,
    /// Policy rules, and routes without a link.
    aparts: Vec<Apart>,
    /// DHCP clients of other programs, and those of them that were ended.
    foreign: Vec<ForeignClient>,
    ended: Vec<ForeignClient>,
    files: KeptFiles,
}

/// Decides whether a step fails before the kernel sees it: the error, or `None`. For a step that
/// waits for a lease, an error stands for a server that does not answer.
pub type Fault<'a> = &'a mut dyn FnMut(&Step) -> Option<StepError>;

impl ValueKernel {
    /// The table that the kernel's messages yield.
    pub fn host(&self) -> Host {
        let mut news = Vec::new();
        for device in self.devices.values() {
            announce::link(&mut news, 0, &device.link());
            for address in &device.addresses {
                address.encode(&mut news, device.index);
            }
        }
        let mut host = Host::default();
        for event in events(&news).flatten() {
            host.apply(event);
        }
        host
    }

    /// The survey of these links, as `io::kernel` makes it.
    pub fn survey(&self, order: &SurveyOrder) -> Survey {
        let mut survey = Survey::default();
        survey.defaults = self.default_sysctls();
        survey.leases.clone_from(&self.clients);
        survey.foreign.clone_from(&self.foreign);
        survey.ended.clone_from(&self.ended);
        for device in order.links.iter().filter_map(|name| self.named(name)) {
            let mut told = Vec::new();
            device.addresses.iter().for_each(|address| address.encode(&mut told, device.index));
            device.routes.iter().for_each(|route| route.encode(&mut told, device.index));
            let (mut addresses, mut routes) = (Vec::new(), Vec::new());
            for message in messages(&told).flatten() {
                addresses.extend(AddressRecord::decode(&message).ok().flatten());
                routes.extend(RouteRecord::decode(&message).ok().flatten());
            }
            routes.retain(|route| !route.goes_with(&addresses));
            let mut told = Vec::new();
            device.encode(&mut told);
            let record = messages(&told).flatten().next();
            let record = record.and_then(|message| LinkRecord::decode(&message).ok().flatten());
            let Some(record) = record else { continue };
            survey.insert(LinkState { addresses, routes, ..LinkState::new(record) });
        }
        survey
    }

    /// The sysctls of links that are yet to be created.
    fn default_sysctls(&self) -> Sysctls {
        let Ipv6Sysctls { accept_ra, autoconf, disable_ipv6, forwarding } = self.defaults;
        let values = [
            (Sysctl::ACCEPT_RA, accept_ra),
            (Sysctl::AUTOCONF, autoconf),
            (Sysctl::DISABLE_IPV6, disable_ipv6),
            (Sysctl::FORWARDING_IPV6, forwarding),
        ];
        values.into_iter().filter_map(|(sysctl, value)| Some((sysctl, value?))).collect()
    }

    /// Everything that can be restored, as decoded from dumps.
    pub fn record(&self) -> HostRecord {
        let mut told = Vec::new();
        for device in self.devices.values() {
            device.encode(&mut told);
            device.addresses.iter().for_each(|address| address.encode(&mut told, device.index));
            device.routes.iter().for_each(|route| route.encode(&mut told, device.index));
        }
        self.encode_vlans(&mut told);
        self.aparts.iter().for_each(|apart| apart.encode(&mut told));
        HostRecord::decode(&told).unwrap_or_default()
    }

    /// The same of these links alone.
    pub fn record_of(&self, links: &BTreeSet<IfName>) -> HostRecord {
        let record = self.record();
        let all = record.iter().map(|recorded| recorded.link().name);
        let others = all.filter(|name| !links.contains(name)).collect();
        record.without(&others)
    }

    /// The DHCP clients of other programs.
    pub fn foreign_clients(&self) -> &[ForeignClient] {
        &self.foreign
    }

    /// The DHCP clients that run.
    pub fn clients(&self) -> &[Lease] {
        &self.clients
    }

    /// Carries out as many steps of a plan as succeed, while `fault` makes steps fail. Returns
    /// those that failed.
    pub fn carry_out_what_can_be(
        &mut self,
        plan: Plan,
        start: Instant,
        fault: Fault<'_>,
    ) -> Vec<(Step, StepError)> {
        let discarded = plan.discarded.clone();
        let mut job = Job::persistent(plan);
        self.run(&mut job, start, fault, |_, _| false);
        self.discard(discarded, fault);
        job.refused().to_vec()
    }

    /// Performs the steps of a job. `bring` makes happen what the job waits for; without it, the
    /// time passes until the deadline.
    fn run(
        &mut self,
        job: &mut Job,
        start: Instant,
        fault: Fault<'_>,
        bring: fn(&mut Self, Fault<'_>) -> bool,
    ) {
        let mut now = start;
        loop {
            let host = self.host();
            match job.poll_action(&host, now) {
                JobAction::Perform(step) => {
                    let result = fault(&step).map_or_else(|| self.perform_on(&step, &host), Err);
                    job.handle_result(result);
                }
                JobAction::Wait { deadline, .. } => match deadline {
                    Some(deadline) if !bring(self, fault) => now = deadline,
                    _ => {}
                },
                JobAction::Finished => return,
            }
        }
    }

    /// Deletes links that were set aside. The loop tries once, too.
    fn discard(&mut self, discarded: Vec<IfName>, fault: Fault<'_>) {
        for step in discarded.into_iter().map(KernelRequest::DeleteLink).map(Step::Request) {
            if fault(&step).is_none() {
                let _ = self.perform(&step);
            }
        }
    }

    /// Deletes links that an earlier daemon has set aside.
    pub fn discard_leftovers(&mut self) {
        let host = self.host();
        let discarded = host.links().filter(|link| is_discarded(&host, link));
        self.discard(discarded.map(|link| link.name).collect(), &mut |_| None);
    }

    /// Carries out a plan, with all its waiting, while `fault` makes steps fail.
    ///
    /// # Errors
    /// The step that failed first; the earlier ones have been undone.
    pub fn carry_out(
        &mut self,
        plan: Plan,
        start: Instant,
        fault: Fault<'_>,
    ) -> Result<(), Box<Failure>> {
        let discarded = plan.discarded.clone();
        let mut job = Job::new(plan, LEASE_TIME);
        self.run(&mut job, start, fault, |kernel, fault| {
            kernel.bring_leases(|lease| {
                let Lease { link, family, .. } = *lease;
                let leased = Condition::Leased { link, family, besides: Vec::new() };
                fault(&Step::WaitFor(leased)).is_some()
            })
        });
        job.outcome().map_err(|failure| Box::new(failure.clone()))?;
        self.discard(discarded, fault);
        Ok(())
    }

    /// Carries out one step, as the loop does.
    ///
    /// # Errors
    /// It is refused.
    pub fn perform(&mut self, step: &Step) -> Result<(), StepError> {
        self.perform_on(step, &self.host())
    }

    /// As [`ValueKernel::perform`], for a caller that has made the table `host` already.
    fn perform_on(&mut self, step: &Step, host: &Host) -> Result<(), StepError> {
        let refused = |errno| StepError::kernel(errno, None);
        match step {
            Step::Request(request) => return self.perform_request(request, host),
            Step::File(FileStep::Check(check)) => {
                let text = String::from_utf8_lossy(&check.text);
                let refused = text.lines().position(|line| line.starts_with('!'));
                let text = refused.map(|at| format!("{}:{}: what is that", check.path, at + 1));
                return text.map_or(Ok(()), |text| Err(StepError { errno: libc::EINVAL, text }));
            }
            Step::File(FileStep::Edit(edit)) => self.edit_file(edit),
            Step::File(FileStep::Restore(FileRestoration { path, after, .. })) => {
                self.put_file(path.clone(), after.clone());
                Ok(())
            }
            Step::Dhcp(step) => self.order(step),
            Step::SetSysctl { link, sysctl, value } => self.set_sysctl(link, *sysctl, *value),
            Step::WaitFor(_) => Ok(()),
        }
        .map_err(refused)
    }

    fn perform_request(&mut self, request: &KernelRequest, host: &Host) -> Result<(), StepError> {
        let refused = |errno| StepError::kernel(errno, None);
        let mut bytes = Vec::new();
        request.encode(&mut bytes, 1, host).map_err(|_| refused(libc::ENODEV))?;
        self.handle(&bytes).map_err(refused)
    }

    /// Starts or stops a DHCP client.
    fn order(&mut self, step: &DhcpStep) -> Result<(), Errno> {
        match step {
            DhcpStep::Start(lease) => {
                self.named(&lease.link).ok_or(libc::ENODEV)?;
                self.clients.retain(|client| !is_same_client(client, lease));
                self.clients.push(*lease);
                Ok(())
            }
            // The client ends and leaves its address.
            DhcpStep::Stop(lease) => {
                self.clients.retain(|client| !is_same_client(client, lease));
                Ok(())
            }
            DhcpStep::Drop { lease, addresses, routes } => {
                self.clients.retain(|client| !is_same_client(client, lease));
                self.drop_lease(lease, addresses, routes)
            }
            DhcpStep::EndForeign(client) => {
                self.foreign.retain(|other| !other.is_same(client));
                self.tell_managers(client, Vec::push);
                self.ended.retain(|other| !other.is_same(client));
                self.ended.push(client.as_ref().clone());
                Ok(())
            }
            DhcpStep::StartForeign(client) => {
                self.ended.retain(|other| !other.is_same(client));
                let is_told =
                    self.tell_managers(client, |let_go, link| let_go.retain(|it| *it != link));
                if !is_told {
                    self.foreign.push(client.as_ref().clone());
                }
                Ok(())
            }
        }
    }

    /// Passes a step for one link on to the programs that manage all links. Returns whether `part`
    /// belongs to one.
    fn tell_managers(&mut self, part: &ForeignClient, tell: fn(&mut Vec<IfName>, IfName)) -> bool {
        let Some(link) = part.only_link().filter(|_| part.leaving == Leaving::Told) else {
            return false;
        };
        for client in &mut self.foreign {
            if let ClientLinks::All(choice) = &mut client.links {
                tell(&mut choice.let_go, link);
            }
        }
        true
    }

    /// Removes a lease as the loop does: the addresses and routes of the survey, except those that
    /// the client found in place.
    fn drop_lease(
        &mut self,
        lease: &Lease,
        addresses: &[IpPrefix],
        routes: &[RouteRecord],
    ) -> Result<(), Errno> {
        let link = lease.link;
        let links = BTreeSet::from([link]);
        let survey = self.survey(&SurveyOrder { links });
        let Some(now) = survey.named(&link) else { return Ok(()) };
        let host = self.host();
        for request in plan::without_lease(now, lease.family, addresses, routes) {
            match self.perform_request(&request, &host) {
                Err(err) if !job::is_gone(&request, err.errno) => return Err(err.errno),
                Err(_) | Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Gives every DHCP client a lease.
    pub fn settle(&mut self) {
        let _ = self.bring_leases(|_| false);
    }

    /// A guest starts, with a tap on this bridge.
    pub fn add_guest(&mut self, bridge: &IfName) {
        let is_bridge = |it: &&Device| it.is_bridge();
        let Some(master) = self.named(bridge).filter(is_bridge).map(|it| it.index) else { return };
        self.last_index += 1;
        let line = format!("vnet{} tun up master {bridge}", self.last_index);
        let is_read = self.read_link_line(&line);
        debug_assert!(is_read.is_ok(), "{line} is on {master:?}: {is_read:?}");
    }

    /// Pulls a link out, with everything that depends on it.
    pub fn pull_out(&mut self, name: &IfName) {
        if let Some(index) = self.named(name).map(|it| it.index) {
            let is_gone = self.take_away(index);
            debug_assert!(is_gone.is_ok(), "{name}: {is_gone:?}");
        }
    }

    /// The files of definitions.
    pub fn files(&self) -> &KeptFiles {
        &self.files
    }

    /// Changes a definition file as an administrator would.
    pub fn put_file(&mut self, path: FilePath, file: Option<KeptFile>) {
        match file {
            Some(file) => self.files.insert(path, file),
            None => self.files.remove(&path),
        };
    }

    /// As the store of definitions does it: a file that has changed since is left alone, and a
    /// replaced one keeps its mode and its owner.
    fn edit_file(&mut self, edit: &FileEdit) -> Result<(), Errno> {
        let there = self.files.get(&edit.path);
        if there.and_then(KeptFile::content) != edit.before.as_deref() {
            return Err(libc::ECANCELED);
        }
        let rewrite = |file: &StoredFile, bytes| StoredFile { bytes, ..file.clone() };
        let file = match (there, edit.after.clone()) {
            (_, None) => None,
            (Some(KeptFile::File(file)), Some(bytes)) => Some(KeptFile::File(rewrite(file, bytes))),
            (Some(KeptFile::Link { text, target: Some(Target { path, file }) }), Some(bytes)) => {
                let target = Target { path: path.clone(), file: rewrite(file, bytes) };
                Some(KeptFile::Link { text: text.clone(), target: Some(target) })
            }
            (Some(KeptFile::Link { target: None, .. } | KeptFile::Unread), Some(_)) => {
                return Err(libc::ENOTSUP);
            }
            // A new one is root's, and for root alone.
            (None, Some(bytes)) => {
                Some(KeptFile::File(StoredFile { bytes, mode: 0o600, uid: 0, gid: 0 }))
            }
        };
        self.put_file(edit.path.clone(), file);
        Ok(())
    }

    fn set_sysctl(&mut self, link: &IfName, sysctl: Sysctl, value: i32) -> Result<(), Errno> {
        let device = self.named_mut(link).ok_or(libc::ENOENT)?;
        match sysctl {
            Sysctl::ACCEPT_RA => device.sysctls.accept_ra = Some(value),
            Sysctl::AUTOCONF => device.sysctls.autoconf = Some(value),
            Sysctl::FORWARDING_IPV6 => device.sysctls.forwarding = Some(value),
            Sysctl::DISABLE_IPV6 => {
                device.sysctls.disable_ipv6 = Some(value);
                if value != 0 {
                    device.lose_ipv6();
                }
            }
            _ => return Err(libc::ENOENT),
        }
        Ok(())
    }

    /// Gives each DHCP client a lease, unless its server is silent, and returns whether anything has
    /// changed. The lease is the address that the client asks for, or another one if that is in use
    /// without a lease: servers probe an address before they offer it (RFC 2131, section 3.1).
    pub fn bring_leases(&mut self, mut is_silent: impl FnMut(&Lease) -> bool) -> bool {
        let mut has_changed = false;
        for lease in self.clients.clone().into_iter().chain(self.leases_of_others()) {
            let Some(device) = self.named(&lease.link).filter(|device| device.up) else { continue };
            let is_in_use = |wanted: &IpPrefix| {
                device.addresses.iter().any(|own| own.prefix == *wanted && own.valid == FOREVER)
            };
            let wanted = lease.wanted.filter(|wanted| !is_in_use(wanted));
            let address = Address::leased(device.index, lease.family, wanted);
            let is_there = device.addresses.iter().any(|own| own.prefix == address.prefix);
            if !is_there && !is_silent(&lease) {
                let index = device.index;
                has_changed |= self.lease(index, address).is_ok();
            }
        }
        has_changed
    }

    /// The leases that other programs' clients are waiting for.
    fn leases_of_others(&self) -> Vec<Lease> {
        let mut leases = Vec::new();
        for client in &self.foreign {
            let is_managed = |device: &&Device| {
                let is_nic = device.has_wire && device.master.is_none();
                client.leaving == Leaving::Told && is_nic && client.is_on(device.name)
            };
            let managed = self.devices.values().filter(is_managed).map(|device| device.name);
            let links = client.only_link().into_iter().chain(managed);
            let pairs = links.flat_map(|link| client.families.iter().map(move |it| (link, *it)));
            for (link, family) in pairs {
                let device = self.named(&link);
                let addresses = device.into_iter().flat_map(|device| &device.addresses);
                if !addresses.into_iter().any(|own| own.prefix.family() == family) {
                    let name_servers = NameServers::Taken;
                    leases.push(Lease { link, family, name_servers, wanted: None, like: None });
                }
            }
        }
        leases
    }

    fn named(&self, name: &IfName) -> Option<&Device> {
        self.devices.values().find(|device| device.name == *name)
    }

    fn named_mut(&mut self, name: &IfName) -> Option<&mut Device> {
        self.devices.values_mut().find(|device| device.name == *name)
    }

    fn device(&self, index: LinkIndex) -> Result<&Device, Errno> {
        self.devices.get(&index).ok_or(libc::ENODEV)
    }

    fn device_mut(&mut self, index: LinkIndex) -> Result<&mut Device, Errno> {
        self.devices.get_mut(&index).ok_or(libc::ENODEV)
    }

    /// The links for which `is_wanted` holds.
    fn indexes(&self, is_wanted: impl Fn(&Device) -> bool) -> Vec<LinkIndex> {
        self.devices.values().filter(|it| is_wanted(it)).map(|it| it.index).collect()
    }
}

fn is_same_client(one: &Lease, other: &Lease) -> bool {
    one.is_for(other.link, other.family)
}

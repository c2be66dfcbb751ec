// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `changes`: a script of calls that change a host of a few links, and of changes made
//! meanwhile by others: an administrator with `ip`, starting guests, a NIC pulled out. Any step of
//! a call may be refused, a file operation of it may fail, and the daemon may be killed in it.
//!
//! In any state: a call that fails leaves the host unchanged; a created interface is up and matches
//! its definition, and creating it again is refused; a destroyed one is down or gone; guests stay
//! on their bridges; each file can be read. A rollback restores the state at begin, and a start
//! undoes the half-done change of a daemon that was killed in a transaction.

mod chosen;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::chosen::Chooser;
use crate::input::Input;
use crate::value_daemon::ValueDaemon;
use crate::value_disk::DiskFailure;
use crate::value_kernel::ValueKernel;
use crate::view::{View, difference};
use virtinterfaced::call_errors;
use virtinterfaced::change::request::RequestedCall;
use virtinterfaced::error::{CallError, ErrorCode};
use virtinterfaced::host::Host;
use virtinterfaced::model::address::Family;
use virtinterfaced::model::interface::{Interface, Kind, PortKind};
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::address::Lifetime;
use virtinterfaced::netlink::link::{LinkIndex, LinkKind};
use virtinterfaced::plan::request::KernelRequest;
use virtinterfaced::plan::step::Step;
use virtinterfaced::proto::interface::{ChangeCall, TransactionCall};
use virtinterfaced::xml::format;
use virtinterfaced::xml::parse::{Strictness, remarked};

/// The initial host. Later links may be ports of earlier ones.
const HOST: &str = "
    link br1 bridge up
    link eth0 nic up
    addr eth0 192.0.2.1/24
    addr eth0 192.0.2.3/24 secondary
    route eth0 default via 192.0.2.254
    route eth0 198.51.100.0/24 via 192.0.2.253
    link eth1 nic up
    addr eth1 192.0.3.2/24 finite 3000
    addr eth1 2001:db8:1::3/64 finite 3000 origin 2
    route eth1 default via fe80::fd proto ra expires 1000
    dhcp eth1 ipv4 wanted 192.0.3.2/24
    link eth2 nic
    link vnet0 tun up master br1
";

/// Calls in one run, so that a long input takes no longer than others.
const CALL_COUNT_MAX: usize = 12;

/// A time in which what failed once is tried again, and how many times it passes.
const RETRY_TIME: Duration = Duration::from_secs(2);
const TRY_COUNT_MAX: usize = 3;

/// Bytes from here on are calls for a transaction.
const OP_COUNT: u8 = 240;

/// See the module.
pub fn run(input: &[u8]) {
    let Ok(kernel) = HOST.parse::<ValueKernel>() else { return };
    let daemon = ValueDaemon::new(kernel, None);
    let mut play =
        Play { daemon, is_refused: false, was_killed: false, has_failed: false, begun: None };
    let mut chooser = Chooser { input: Input::new(input) };
    let mut call_count = 0;
    while call_count < CALL_COUNT_MAX {
        let Some(what) = chooser.input.byte() else { return };
        if let OP_COUNT.. = what {
            play.transact(what, &mut chooser);
            call_count += 1;
            continue;
        }
        match what % 12 {
            0..=2 => play.define(&chooser.definition()),
            3 => play.undefine(chooser.name()),
            4..=6 => play.create(chooser.name()),
            7 | 8 => play.destroy(chooser.name()),
            9 => play.do_by_hand(&chooser.step_by_hand()),
            10 => play.disturb(&mut chooser),
            _ => {
                play.daemon.refuse(chooser.input.choice(16).into());
                play.is_refused = true;
            }
        }
        call_count += usize::from(what % 12 < 9);
    }
}

/// The host, and the fate of the next call.
struct Play {
    daemon: ValueDaemon,
    /// Whether a step of the next call may be refused.
    is_refused: bool,
    /// Whether the daemon was killed in the last call.
    was_killed: bool,
    /// Whether a file operation of the last call failed.
    has_failed: bool,
    begun: Option<Begun>,
}

/// An open transaction.
struct Begun {
    view: View,
    /// Links that were pulled out since, and cannot be restored, nor what depends on them.
    gone: BTreeSet<IfName>,
}

impl Play {
    fn define(&mut self, definition: &Interface) {
        let xml = format::format(definition);
        // Some choices are not valid definitions.
        if remarked(&xml, Strictness::Parser).is_ok() {
            let _ = self.call(&ChangeCall::DefineXml { xml, flags: 0 }.into());
        }
    }

    fn undefine(&mut self, name: IfName) {
        let _ = self.call(&ChangeCall::Undefine { name: name.as_str().to_owned() }.into());
    }

    fn create(&mut self, name: IfName) {
        let create = ChangeCall::Create { name: name.as_str().to_owned(), flags: 0 }.into();
        let guests = guests(&self.daemon.kernel.host());
        if self.call(&create).is_err() {
            return;
        }
        // Now a link that was created with DHCP has its lease.
        self.daemon.kernel.settle();
        let host = self.daemon.kernel.host();
        assert_eq!(self::guests(&host), guests, "guests stay where they are");
        let link = host.link_named(&name);
        assert!(link.is_some_and(|link| link.up), "{name} is up");
        let files = self.daemon.definition_files();
        let definitions = files.definitions();
        if let Some((definition, link)) = definitions.named(&name).zip(link) {
            check_addresses(definition, &host, link.index);
        }
        let again = self.daemon.decide(&create);
        let code = again.as_ref().map_err(CallError::code);
        let is_refused = code.is_err_and(|code| code == ErrorCode::OperationInvalid);
        assert!(is_refused, "{name} is as it is defined: {again:?} for\n{}", self.daemon.kernel);
    }

    fn destroy(&mut self, name: IfName) {
        let files = self.daemon.definition_files();
        let definition = files.definitions().named(&name);
        let before = self.daemon.kernel.host();
        let destroy = ChangeCall::Destroy { name: name.as_str().to_owned(), flags: 0 }.into();
        if self.call(&destroy).is_err() {
            return;
        }
        let host = self.daemon.kernel.host();
        assert_eq!(guests(&host), guests(&before), "guests stay where they are");
        let link = host.link_named(&name);
        assert!(link.is_none_or(|link| !link.up), "{name} is down");
        let was = before.link_named(&name).map(|link| (link.index, &link.kind));
        let Some((definition, (index, kind))) = definition.zip(was) else { return };
        let mut made = vec![(name, is_of_kind(definition, kind))];
        if let (Kind::Bridge(bridge), true) = (&definition.kind, is_of_kind(definition, kind)) {
            for port in &bridge.ports {
                let now = before.link_named(&port.name);
                let was_port = now.filter(|now| now.master == Some(index));
                let is_made = was_port.is_some_and(|now| match &port.kind {
                    PortKind::Ethernet(_) => false,
                    PortKind::Bond(_) => matches!(now.kind, LinkKind::Bond(_)),
                    PortKind::Vlan(_) => matches!(now.kind, LinkKind::Vlan { .. }),
                });
                made.push((port.name, is_made));
            }
        }
        for (name, _) in made.into_iter().filter(|(_, is_made)| *is_made) {
            assert!(host.link_named(&name).is_none(), "{name} is gone");
        }
    }

    /// Performs a step as an administrator; it may be refused. IPv6 addresses on links that are
    /// down are left out: the kernel may drop them at any time, and no plan keeps them.
    fn do_by_hand(&mut self, step: &Step) {
        if let Step::Request(KernelRequest::AddAddress { link, record }) = step {
            let host = self.daemon.kernel.host();
            let is_up = host.link_named(link).is_some_and(|link| link.up);
            if record.address.prefix.family() == Family::Ipv6 && !is_up {
                return;
            }
        }
        let _ = self.daemon.kernel.perform(step);
    }

    /// Pulls out a link, or starts a guest.
    fn disturb(&mut self, chooser: &mut Chooser<'_>) {
        let name = chooser.name();
        if chooser.input.choice(2) == 0 {
            self.daemon.kernel.pull_out(&name);
            // Without the link, others cannot be restored to their state.
            if let Some(begun) = &mut self.begun {
                begun.gone.insert(name);
            }
        } else {
            self.daemon.kernel.add_guest(&name);
        }
    }

    /// Begins, commits or rolls back a transaction, or has the daemon killed in the next call.
    fn transact(&mut self, what: u8, chooser: &mut Chooser<'_>) {
        let flags = 0;
        match what % 4 {
            0 => {
                let outcome = self.call(&TransactionCall::Begin { flags }.into());
                let is_new = outcome.is_ok() || self.was_killed || self.has_failed;
                assert!(is_new || self.begun.is_some(), "{outcome:?}");
                assert!(outcome.is_err() || self.begun.is_none(), "two are open");
                if self.daemon.opening().is_some() {
                    let view = View::of(&self.daemon.kernel);
                    self.begun.get_or_insert(Begun { view, gone: BTreeSet::new() });
                }
            }
            1 => {
                let outcome = self.call(&TransactionCall::Commit { flags }.into());
                let was_open = self.begun.is_some();
                let may_fail = self.was_killed || self.has_failed;
                assert!(outcome.is_ok() == was_open || may_fail, "{outcome:?}");
                assert!(
                    self.was_killed
                        || outcome.is_ok()
                        || was_open == self.daemon.opening().is_some()
                );
                self.begun = self.begun.take().filter(|_| self.daemon.opening().is_some());
                assert!(outcome.is_err() || self.begun.is_none(), "it stays open");
            }
            2 => {
                let is_refused = self.is_refused;
                let outcome = self.call(&TransactionCall::Rollback { flags }.into());
                match self.begun.take() {
                    Some(begun) => self.check_back(&begun, &outcome, is_refused),
                    None => assert!(outcome.is_err()),
                }
            }
            _ => {
                self.is_refused = false;
                self.threaten(what, chooser);
            }
        }
    }

    /// Has the daemon killed in the next call, or in the middle of writing a file, or a file
    /// operation fail, or the check of a change refuse it.
    fn threaten(&mut self, what: u8, chooser: &mut Chooser<'_>) {
        match what {
            247 => self.daemon.tear(chooser.input.choice(32).into()),
            251 => {
                let (after, has_effect) = (chooser.input.choice(8).into(), chooser.input.coin());
                let count = chooser.input.pick(&[1, usize::MAX]);
                self.daemon.fail_files(after, count, DiskFailure { errno: libc::EIO, has_effect });
            }
            255 => self.daemon.hinder(),
            _ => self.daemon.kill_after(chooser.input.choice(32).into()),
        }
    }

    /// Lets time pass until nothing waits for another try, after a file operation failed. Returns
    /// the outcome of the last one.
    fn try_again(&mut self, mut outcome: Result<(), CallError>) -> Result<(), CallError> {
        for _ in 0..TRY_COUNT_MAX {
            if !self.daemon.is_at_rest() {
                let again = self.daemon.pass(RETRY_TIME);
                if self.daemon.opening().is_none() {
                    outcome = again;
                }
            }
        }
        assert!(self.daemon.is_at_rest(), "{:?}", self.daemon);
        outcome
    }

    /// Makes a call. If the daemon is killed in it, starts it again; the start completes a
    /// rollback, or undoes a change that was half done.
    ///
    /// # Errors
    /// Why the call changed nothing.
    fn call(&mut self, call: &RequestedCall) -> Result<(), CallError> {
        self.daemon.kernel.settle();
        (self.is_refused, self.was_killed, self.has_failed) = (false, false, false);
        let untouched = self.daemon.clone();
        let outcome = self.daemon.call(call);
        if !self.daemon.is_dead() {
            let is_rollback =
                matches!(call, RequestedCall::Transaction(TransactionCall::Rollback { .. }));
            if !self.daemon.has_failed() {
                return outcome;
            }
            self.has_failed = true;
            let last = self.try_again(outcome.clone());
            return if is_rollback { last } else { outcome };
        }
        self.was_killed = true;
        let is_open = self.daemon.opening().is_some();
        let is_undone = self.daemon.has_journal();
        let after = self.daemon.restart().or_else(|err| {
            // A half-written file is reported, and has had no effect.
            if err.message().ends_with("Bad message") { Ok(()) } else { Err(err) }
        });
        // The start completes the rollback, or it was complete and only the reply was lost.
        match call {
            RequestedCall::Transaction(TransactionCall::Rollback { .. })
                if self.begun.is_some() =>
            {
                return after;
            }
            RequestedCall::Transaction(_) => return outcome,
            RequestedCall::Change(_) => {}
        }
        assert_eq!(self.daemon.opening().is_some(), is_open, "a change stays open");
        if is_open && (is_undone || !self.is_as_after(call, untouched.clone())) {
            let begun = Begun { view: View::of(&untouched.kernel), gone: BTreeSet::new() };
            self.check_back(&begun, &after, false);
        }
        Err(call_errors::host("killed".to_owned(), 0))
    }

    /// Whether the host is as after `call` made completely on `daemon`: the daemon may have been
    /// killed after the call's last action and before the reply.
    fn is_as_after(&mut self, call: &RequestedCall, mut daemon: ValueDaemon) -> bool {
        daemon.spare();
        let is_done = daemon.call(call).is_ok();
        let [done, now] = [&mut daemon, &mut self.daemon].map(|daemon| {
            daemon.kernel.settle();
            daemon.kernel.discard_leftovers();
            View::of(&daemon.kernel)
        });
        is_done && done.text == now.text && done.files == now.files
    }

    /// Checks that the host is restored, as far as possible.
    fn check_back(&mut self, begun: &Begun, outcome: &Result<(), CallError>, is_refused: bool) {
        self.daemon.kernel.settle();
        self.daemon.kernel.discard_leftovers();
        let Begun { view: then, gone } = begun;
        let now = View::of(&self.daemon.kernel);
        let label = || format!("{outcome:?}\n{}", difference(&then.text, &now.text));
        assert!(now.files == then.files || is_refused, "{}", label());
        // Guests on a bridge that did not exist at begin.
        let is_new = |guest: &&IfName| !then.guests.contains_key(*guest);
        let new: Vec<_> = now.guests.keys().filter(is_new).map(IfName::as_str).collect();
        let may_be_lost = is_refused || !gone.is_empty() || !new.is_empty();
        assert!(outcome.is_ok() || may_be_lost, "{}", label());
        if outcome.is_ok() {
            // Addresses and routes of a DHCP client are not the daemon's.
            let is_lasting = |line: &&str| {
                let is_lease = line.contains(" finite N ") && line.contains(" origin 0");
                !line.contains(" proto 16 ") && !is_lease
            };
            let lasting = |text: String| {
                let lines = text.lines().filter(is_lasting);
                lines.map(|line| format!("{line}\n")).collect::<String>()
            };
            let [want, found] = [then, &now].map(|view| lasting(view.without(&new)));
            assert!(found == want, "{}{}", label(), difference(&want, &found));
        }
        for (guest, bridge) in &then.guests {
            let is_lost = bridge.is_some_and(|bridge| gone.contains(&bridge)) || is_refused;
            assert!(is_lost || now.guests.get(guest) == Some(bridge), "{guest}: {}", label());
        }
    }
}

/// The bridge of each guest's link.
fn guests(host: &Host) -> BTreeMap<IfName, Option<LinkIndex>> {
    let taps = host.links().filter(|link| link.kind == LinkKind::Tun);
    taps.map(|tap| (tap.name, tap.master)).collect()
}

fn is_of_kind(definition: &Interface, kind: &LinkKind) -> bool {
    matches!(
        (&definition.kind, kind),
        (Kind::Bridge(_), LinkKind::Bridge(_))
            | (Kind::Bond(_), LinkKind::Bond(_))
            | (Kind::Vlan(_), LinkKind::Vlan { .. })
    )
}

/// Checks that each defined address exists and is permanent, unless DHCP or autoconfiguration also
/// sets addresses.
fn check_addresses(definition: &Interface, host: &Host, link: LinkIndex) {
    let addresses = host.addresses_of(link);
    for protocol in &definition.protocols {
        let learns = protocol.dhcp.is_some() || protocol.autoconf;
        for ip in &protocol.addresses {
            let own = addresses.iter().find(|own| own.prefix == ip.prefix());
            let lifetime = own.map(|own| own.lifetime);
            let lasts = lifetime == Some(Lifetime::Permanent) || (learns && lifetime.is_some());
            assert!(lasts, "{}: {ip:?}, which is {lifetime:?}", definition.name);
        }
        let strangers = addresses.iter().filter(|own| {
            own.prefix.family() == protocol.family
                && !protocol.addresses.iter().any(|ip| ip.prefix() == own.prefix)
        });
        assert!(learns || strangers.count() == 0, "{}: {addresses:?}", definition.name);
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! A small host with a link of each kind, and a daemon with a few clients, for targets and tests to
//! query.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::rc::Rc;

use virtinterfaced::auth;
use virtinterfaced::backend::DefinitionFiles;
use virtinterfaced::backend::native::Native;
use virtinterfaced::change::decision::Decision;
use virtinterfaced::change::request::RequestedCall;
use virtinterfaced::change::transaction::Status;
use virtinterfaced::config::Settings;
use virtinterfaced::config::logging_spec::{LogDestination, LogFilter, LogLevel, LogOutput};
use virtinterfaced::error::CallError;
use virtinterfaced::handler::admin::{self, ClientDetails, ClientEntry, Order, ServerStatus};
use virtinterfaced::handler::interface::{self, query};
use virtinterfaced::handler::uri::UriSettings;
use virtinterfaced::handler::{Answers, Facts, Outcome, Question, World, connect};
use virtinterfaced::host::Host;
use virtinterfaced::host::describe::{Findings, Inspection};
use virtinterfaced::host::survey::Survey;
use virtinterfaced::model::address::{IpPrefix, MacAddr};
use virtinterfaced::model::client::{Caller, ClientState, Endpoint, Identity, Privilege};
use virtinterfaced::model::interface::{BondMode, ForwardDelay, OperState};
use virtinterfaced::model::name::IfName;
use virtinterfaced::model::server::ServerName;
use virtinterfaced::netlink::Event;
use virtinterfaced::netlink::address::{
    Address, AddressEvent, AddressOrigin, Lifetime, Role, Scope,
};
use virtinterfaced::netlink::link::{Link, LinkBond, LinkBridge, LinkEvent, LinkIndex, LinkKind};
use virtinterfaced::proto::admin::AdminCall;
use virtinterfaced::proto::{Call, Reply};

const FACTS: Facts = Facts { privilege: Privilege::System, uid: 0 };

/// A client of the daemon's own user.
pub fn caller(endpoint: Endpoint) -> Caller {
    Caller { endpoint, number: 1, uid: FACTS.uid, gid: 0, pid: 7, identity: None }
}

/// The host: loopback, a bridge over a veth and a VLAN, a bond over two NICs, a guest's tap.
pub fn host() -> Host {
    let bond = LinkBond { mode: Some(BondMode::ActiveBackup), miimon: 100, ..LinkBond::default() };
    let bridge = LinkBridge { stp: true, forward_delay: ForwardDelay(1500) };
    let mut host = Host::default();
    let links = [
        Link { mac: None, ..link(1, "lo", LinkKind::Nic) },
        link(2, "br0", LinkKind::Bridge(bridge)),
        Link { master: Some(LinkIndex(2)), ..link(3, "veth0", LinkKind::Nic) },
        link(4, "bond0", LinkKind::Bond(Box::new(bond))),
        Link { master: Some(LinkIndex(4)), ..link(5, "eth0", LinkKind::Nic) },
        Link { master: Some(LinkIndex(4)), up: false, ..link(6, "eth1", LinkKind::Nic) },
        Link {
            master: Some(LinkIndex(2)),
            parent: Some(LinkIndex(4)),
            ..link(7, "bond0.7", LinkKind::Vlan { tag: 7 })
        },
        Link { up: false, oper_state: OperState::Down, ..link(8, "dummy0", LinkKind::Nic) },
        link(9, "vnet0", LinkKind::Tun),
    ];
    for link in links {
        host.apply(Event::Link(LinkEvent::New(link)));
    }
    let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    host.apply(Event::Address(AddressEvent::New(address(2, v4, 24))));
    host.apply(Event::Address(AddressEvent::New(address(2, v6, 64))));
    host
}

/// A link that is up, with an address made from its index.
fn link(index: u8, name: &str, kind: LinkKind) -> Link {
    Link {
        index: LinkIndex(u32::from(index)),
        name: name_of(name),
        up: true,
        mtu: 1500,
        mac: MacAddr::new(&[2, 0, 0, 0, 0, index]),
        carrier: true,
        oper_state: OperState::Up,
        master: None,
        parent: None,
        kind,
    }
}

fn address(link: u32, address: IpAddr, prefix_len: u8) -> Address {
    Address {
        link: LinkIndex(link),
        prefix: prefix(address, prefix_len),
        peer: None,
        role: Role::Primary,
        scope: Scope::Global,
        lifetime: Lifetime::Permanent,
        origin: AddressOrigin::Unknown,
    }
}

#[expect(clippy::expect_used, reason = "the names stand in tests and above")]
fn name_of(name: &str) -> IfName {
    IfName::new(name).expect("a name that the kernel takes")
}

#[expect(clippy::expect_used, reason = "the prefixes stand above")]
fn prefix(address: IpAddr, len: u8) -> IpPrefix {
    IpPrefix::new(address, len).expect("a length that the family has")
}

/// The daemon's answer to a call while the kernel has `host`. Every change succeeds.
pub fn outcome(call: &Call, client: &ClientState, host: &Host) -> Result<Reply, CallError> {
    auth::check(client.access(), call)?;
    let files = DefinitionFiles::new(Rc::new(Native::new(PathBuf::new())));
    let world = World { host, files: &files };
    match call {
        Call::Connect(call) => answered(|answers| connect::handle(call, client, &FACTS, answers)),
        Call::Query(call) => answered(|answers| query::handle(call, &world, answers)),
        Call::Change(call) => decided(&call.clone().into(), &world),
        Call::Transaction(call) => decided(&(*call).into(), &world),
        Call::Refused(call) => call.answer.clone(),
        Call::Admin(call) => administered(call).map(|(reply, _)| reply),
    }
}

/// The result of a call whose questions are all answered.
fn answered(handle: impl Fn(&Answers) -> Result<Outcome, CallError>) -> Result<Reply, CallError> {
    let mut answers = Answers::default();
    loop {
        match handle(&answers)? {
            Outcome::Reply(reply) => return Ok(reply),
            Outcome::Ask(question) => answer(&question, &mut answers),
        }
    }
}

/// The reply to a request. Every change succeeds.
fn decided(call: &RequestedCall, world: &World<'_>) -> Result<Reply, CallError> {
    let survey = Survey::default();
    let mut known = None;
    loop {
        match interface::decide(call, world, Status::default(), known)? {
            Decision::Survey(_) => known = Some(&survey),
            Decision::Change(change) => return Ok(change.reply),
            Decision::Transact(_) => return Ok(Reply::Empty),
        }
    }
}

/// Adds the host's answer to a handler's question.
fn answer(question: &Question, answers: &mut Answers) {
    match question {
        Question::Hostname => answers.hostname = Some("host.example".to_owned()),
        Question::UriSettings => {
            answers.uri_settings = Some(UriSettings {
                default: Some("interface:///system".to_owned()),
                aliases: vec!["here=interface:///system".to_owned(), "bad".to_owned()],
            });
        }
        Question::Speeds(links) => {
            answers.speeds = Some(links.iter().map(|(index, _)| (*index, 1000)).collect());
        }
        Question::Links(inspection) => answers.links = Some(findings(inspection)),
    }
}

pub(super) fn findings(inspection: &Inspection) -> Findings {
    Findings {
        gateways: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254))],
        speeds: inspection.speeds_of.iter().map(|(index, _)| (*index, 1000)).collect(),
        ..Findings::default()
    }
}

/// The reply to an admin call once its questions are answered, and the order that is carried out first, if
/// it has one.
pub(super) fn administered(call: &AdminCall) -> Result<(Reply, Option<Order>), CallError> {
    let mut answer = None;
    loop {
        match admin::handle(call, answer.as_ref()) {
            admin::Outcome::Done(outcome) => return outcome.map(|reply| (reply, None)),
            admin::Outcome::Order(order) => return Ok((Reply::Empty, Some(order))),
            admin::Outcome::Ask(question) => answer = Some(admin_answer(question)),
        }
    }
}

/// The running daemon's answer: it has its default settings, and three clients, which are one that
/// has identified itself, one that has sent nothing, and virt-admin.
pub(super) fn admin_answer(question: admin::Question) -> admin::Answer {
    match question {
        admin::Question::Server(server) => admin::Answer::Server(server_status(server)),
        admin::Question::Clients(server) => {
            let entries = clients(server).into_iter().map(|client| client.entry);
            admin::Answer::Clients(entries.collect())
        }
        admin::Question::Client { server, id } => {
            let client = clients(server).into_iter().find(|client| client.entry.id == id);
            admin::Answer::Client(client)
        }
        admin::Question::Logging => {
            let (level, pattern) = (LogLevel::Debug, "rpc".to_owned());
            admin::Answer::Logging {
                outputs: vec![LogOutput {
                    level: LogLevel::Warning,
                    destination: LogDestination::Stderr,
                }],
                filters: vec![LogFilter { level, pattern }],
            }
        }
    }
}

fn server_status(server: ServerName) -> ServerStatus {
    let settings = Settings::defaults(Privilege::System);
    let limits = match server {
        ServerName::Main => settings.main,
        ServerName::Admin => settings.admin,
    };
    let client_count = u32::try_from(clients(server).len()).unwrap_or_default();
    ServerStatus { limits, client_count, anonymous_count: 0 }
}

fn clients(server: ServerName) -> Vec<ClientDetails> {
    let client = |id, identity| {
        let entry = ClientEntry { id, connected_at: 1_700_000_000 + id };
        ClientDetails {
            entry,
            read_only: false,
            identity,
            peer_user_id: None,
            open_transaction: None,
        }
    };
    let root = Identity {
        user_name: Some("root".to_owned()),
        unix_user_id: Some(0),
        group_name: Some("root".to_owned()),
        unix_group_id: Some(0),
        process_id: Some(4711),
        ..Identity::default()
    };
    match server {
        ServerName::Main => vec![client(1, Some(root)), client(3, None)],
        ServerName::Admin => vec![client(1, Some(root))],
    }
}

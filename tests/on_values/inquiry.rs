// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel's dumps: requests, and the record made of the answers. A kernel made of values
//! answers with the messages of its record.

use std::collections::BTreeSet;

use simulation::value_kernel::ValueKernel;
use virtinterfaced::error::HostError;
use virtinterfaced::host::inquiry::record::RecordInquiry;
use virtinterfaced::host::inquiry::survey::SurveyInquiry;
use virtinterfaced::host::inquiry::{Dialogue, Inquiry, Topic};
use virtinterfaced::host::record::HostRecord;
use virtinterfaced::host::survey::SurveyOrder;
use virtinterfaced::model::address::Family;
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::conversation::encode_end;
use virtinterfaced::netlink::wire::{FLAG_DUMP_INTERRUPTED, Message, first_len, messages};

const HOST: &str = "
    link br0 bridge up
    link eth0 nic up master br0
    link eth1 nic up
    addr br0 192.0.2.1/24
    addr eth1 198.51.100.1/24
    addr eth1 2001:db8::1/64
    route br0 default via 192.0.2.254
    route eth1 203.0.113.0/24 via 198.51.100.2
    route eth1 2001:db8:1::/48 via 2001:db8::2
";

/// The type (`RTM_NEW*`) of the messages that answer a topic.
fn kind_of(topic: Topic) -> u16 {
    match topic {
        Topic::Links | Topic::Link(_) | Topic::Vlans => 16,
        Topic::Addresses | Topic::AddressesOf(_) => 20,
        Topic::Routes(..) => 24,
        Topic::Rules(_) => 32,
        Topic::BridgeFdb(_) | Topic::VxlanFdb(_) => 28,
        Topic::Neighbours => 64,
        Topic::Nexthops => 104,
    }
}

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn kernel() -> ValueKernel {
    HOST.parse().unwrap()
}

/// All messages of the kernel's dumps.
fn told(kernel: &ValueKernel) -> Vec<u8> {
    let mut bytes = Vec::new();
    kernel.record().encode(&mut bytes);
    bytes
}

/// An inquiry, and its unanswered topics in the order of the requests.
struct Watched<'a> {
    inquiry: &'a mut dyn Inquiry,
    asked: Vec<Topic>,
}

impl Inquiry for Watched<'_> {
    fn topics(&mut self) -> Vec<Topic> {
        let topics = self.inquiry.topics();
        self.asked.extend(&topics);
        topics
    }

    fn handle_message(&mut self, topic: Topic, message: &Message<'_>) {
        self.inquiry.handle_message(topic, message);
    }

    fn forget(&mut self, topic: Topic) {
        self.asked.push(topic);
        self.inquiry.forget(topic);
    }

    fn handle_end(&mut self, topic: Topic, end: Result<(), HostError>) -> Result<(), HostError> {
        self.inquiry.handle_end(topic, end)
    }
}

/// Has `inquiry` dump a kernel that has the messages `told`. `end` decides how the n-th dump of a
/// topic ends: complete, torn, or with an errno.
fn converse(
    inquiry: &mut dyn Inquiry,
    told: &[u8],
    end: impl Fn(Topic, usize) -> Result<(), End>,
) -> Result<(), HostError> {
    let mut inquiry = Watched { inquiry, asked: Vec::new() };
    let mut dialogue = Dialogue::default();
    let mut sequence = 0;
    let mut asked = Vec::new();
    loop {
        let mut requests = Vec::new();
        dialogue.ask(&mut inquiry, &mut requests, || {
            sequence += 1;
            sequence
        });
        if requests.is_empty() {
            assert!(!dialogue.is_waiting(), "it waits for nothing");
            return Ok(());
        }
        let under_way = std::mem::take(&mut inquiry.asked);
        assert_eq!(messages(&requests).count(), under_way.len());
        for (topic, request) in under_way.into_iter().zip(messages(&requests)) {
            let sequence = request.unwrap().sequence;
            asked.push(topic);
            let count = asked.iter().filter(|it| **it == topic).count();
            let end = end(topic, count);
            let mut rest = told;
            while let Some(len) = first_len(rest) {
                let (message, others) = rest.split_at(len);
                rest = others;
                let header = messages(message).next().unwrap().unwrap();
                if header.kind != kind_of(topic) {
                    continue;
                }
                let mut message = message.to_vec();
                message[8..12].copy_from_slice(&sequence.to_ne_bytes());
                if end == Err(End::Torn) {
                    message[6..8].copy_from_slice(&FLAG_DUMP_INTERRUPTED.to_ne_bytes());
                }
                dialogue.handle_message(&mut inquiry, &message)?;
            }
            let mut message = Vec::new();
            let errno = if let Err(End::Refused(errno)) = end { errno } else { 0 };
            encode_end(&mut message, sequence, errno);
            dialogue.handle_message(&mut inquiry, &message)?;
        }
    }
}

/// A failed end of a dump.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Torn,
    Refused(i32),
}

/// Builds the record in parts of `entry_count` entries; returns it and the number of parts.
fn finish(mut inquiry: RecordInquiry, entry_count: usize) -> (HostRecord, usize) {
    let mut count = 0;
    loop {
        count += 1;
        if let Some(record) = inquiry.poll(entry_count) {
            return (record, count);
        }
    }
}

#[test]
fn a_record_is_what_the_kernel_has_whether_its_dumps_are_torn_or_not() {
    let kernel = kernel();
    let told = told(&kernel);
    let want = HostRecord::decode(&told).unwrap();
    for (label, torn_first) in [("whole", 0), ("torn once", 1), ("torn as often as can be", 8)] {
        let mut inquiry = RecordInquiry::of_all();
        converse(
            &mut inquiry,
            &told,
            |_, count| {
                if count <= torn_first { Err(End::Torn) } else { Ok(()) }
            },
        )
        .unwrap();
        let (record, part_count) = finish(inquiry, 1);
        assert_eq!(record, want, "{label}");
        assert!(part_count > 6, "{part_count}: an address or a route at a time");
    }
}

#[test]
fn a_refused_dump_fails_or_is_left_out() {
    let told = told(&kernel());
    let refused = |refused: Topic, errno| {
        let mut inquiry = RecordInquiry::of_all();
        let end = |topic, _| if topic == refused { Err(End::Refused(errno)) } else { Ok(()) };
        converse(&mut inquiry, &told, end).map(|()| finish(inquiry, usize::MAX).0)
    };
    let err = refused(Topic::Links, libc::EPERM).unwrap_err();
    assert_eq!(err.errno(), libc::EPERM);
    assert_eq!(
        refused(Topic::Routes(Family::Ipv6, None), libc::ENOMEM).unwrap_err().errno(),
        libc::ENOMEM
    );
    // A kernel built without next hops or bridge VLANs.
    assert!(refused(Topic::Nexthops, libc::EOPNOTSUPP).is_ok());
    assert!(refused(Topic::Vlans, libc::EIO).is_ok());
    assert!(refused(Topic::Neighbours, libc::EIO).is_ok());
    // Every dump is torn.
    let mut inquiry = RecordInquiry::of_all();
    let err = converse(&mut inquiry, &told, |_, _| Err(End::Torn)).unwrap_err();
    assert_eq!(err.errno(), libc::EAGAIN);
}

#[test]
fn a_link_whose_message_makes_no_sense_is_named_and_noted_and_others_are_kept() {
    let kernel = kernel();
    let mut told = told(&kernel);
    let index = kernel.host().link_named(&name("eth0")).unwrap().index;
    // The MTU attribute is shorter than its declared length.
    let mut rest = told.as_mut_slice();
    while let Some(len) = first_len(rest) {
        let (message, others) = rest.split_at_mut(len);
        rest = others;
        // The family is 0: messages of the bridge family have another.
        let is_it = kind_of(Topic::Links).to_ne_bytes() == message[4..6]
            && message[16] == 0
            && index.0.to_ne_bytes() == message[20..24];
        if is_it {
            let mtu = message.windows(4).position(|it| *it == [8, 0, 4, 0]).unwrap();
            message[mtu] = 6;
        }
    }
    let mut inquiry = RecordInquiry::of_all();
    converse(&mut inquiry, &told, |_, _| Ok(())).unwrap();
    let lacks = inquiry.lacks().to_vec();
    let want = format!(
        "cannot decode the kernel's message about eth0 (index {}): IFLA_MTU: input ends early",
        index.0
    );
    assert_eq!(lacks, [want]);
    let (record, _) = finish(inquiry, usize::MAX);
    assert!(record.is_unread(index));
    let names: Vec<_> = record.iter().map(|it| it.link().name.to_string()).collect();
    assert_eq!(names, ["br0", "eth1"]);
    let mut written = Vec::new();
    record.encode(&mut written);
    assert_eq!(HostRecord::decode(&written), Ok(record), "it is kept on the disk, too");
}

#[test]
fn a_few_links_are_asked_about_alone() {
    let kernel = kernel();
    let names = BTreeSet::from([name("eth1"), name("eth7")]);
    let mut inquiry = RecordInquiry::of(&names, &kernel.host());
    let index = kernel.host().link_named(&name("eth1")).unwrap().index;
    assert_eq!(inquiry.topics(), [Topic::Link(index)], "there is no eth7");
    let mut inquiry = RecordInquiry::of(&BTreeSet::new(), &kernel.host());
    assert!(inquiry.topics().contains(&Topic::Rules(Family::Ipv4)), "what belongs to no link");
    let order = SurveyOrder { links: names };
    let mut inquiry = SurveyInquiry::new(order.clone(), &kernel.host());
    converse(&mut inquiry, &told(&kernel), |_, count| match count {
        1 => Err(End::Torn),
        _ => Ok(()),
    })
    .unwrap();
    let survey = inquiry.finish();
    let (found, want) = (survey.named(&name("eth1")).unwrap(), kernel.survey(&order));
    let want = want.named(&name("eth1")).unwrap();
    assert_eq!(found.addresses, want.addresses);
    assert_eq!(found.routes, want.routes);
    assert!(survey.named(&name("eth7")).is_none());
}

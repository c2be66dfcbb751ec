// SPDX-License-Identifier: LGPL-2.1-or-later
//! Numeric attributes of links that `ip` does not know, read and set by netlink requests.

use std::fs;

use virtinterfaced::netlink::wire::{
    FLAG_ACK, FLAG_REQUEST, NetlinkHeader, PayloadWriter, attributes, messages, write_message,
};
use virtinterfaced::sys;
use virtinterfaced::sys::netlink::{Datagram, Groups, receive, route_socket, send};

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const LINK_HEADER_LEN: usize = 16;

/// A numeric attribute of a link; `None` from a kernel that does not know it.
pub(crate) fn link_number(link: &str, attribute: u16) -> Option<u32> {
    let header = NetlinkHeader { kind: RTM_GETLINK, flags: FLAG_REQUEST, sequence: 1 };
    let answer = ask(header, link, |_| {});
    let message = messages(&answer).next().unwrap().unwrap();
    assert_eq!(message.kind, RTM_NEWLINK, "{link}: {message:?}");
    let mut attributes = attributes(&message.payload[LINK_HEADER_LEN..]).flatten();
    attributes.find(|it| it.kind == attribute).map(|it| it.u32("a number").unwrap())
}

/// Sets a numeric attribute of a link.
pub(crate) fn set_link_number(link: &str, attribute: u16, value: u32) {
    let flags = FLAG_REQUEST | FLAG_ACK;
    let header = NetlinkHeader { kind: RTM_NEWLINK, flags, sequence: 1 };
    let answer = ask(header, link, |payload| payload.attribute_u32(attribute, value));
    let message = messages(&answer).next().unwrap().unwrap();
    assert_eq!(message.kind, NLMSG_ERROR);
    assert_eq!(message.payload[..4], [0; 4], "{link}: {attribute} = {value}");
}

fn ask(header: NetlinkHeader, link: &str, fill: impl FnOnce(&mut PayloadWriter<'_>)) -> Vec<u8> {
    let index = fs::read_to_string(format!("/sys/class/net/{link}/ifindex")).unwrap();
    let index: u32 = index.trim().parse().unwrap();
    let mut request = Vec::new();
    write_message(&mut request, header, |payload| {
        payload.bytes(&[0; 4]);
        payload.bytes(&index.to_ne_bytes());
        payload.bytes(&[0; 8]);
        fill(payload);
    });
    let socket = route_socket(Groups::NONE).unwrap();
    send(&socket, &request).unwrap();
    assert!(sys::wait_readable(&socket, super::PATIENCE));
    let mut answer = vec![0; 1 << 16];
    let Datagram::Kernel(len) = receive(&socket, &mut answer).unwrap() else { panic!("{link}") };
    answer.truncate(len);
    answer
}

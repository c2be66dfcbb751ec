// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every XML document from the daemon is valid by libvirt's own schema, or at least well-formed.

use std::fs;

use crate::scene::{Scene, shown};
use crate::support::client::RawClient;
use crate::support::command::{command, ip_batch, run};
use crate::support::daemon::Daemon;
use crate::support::namespace::{DIR, in_namespace, is_installed};
use crate::support::wire::{Arg, procedure};

const XMLLINT: &str = "/usr/bin/xmllint";
const SCHEMA: &str = "/usr/share/libvirt/schemas/interface.rng";

/// `VIR_INTERFACE_XML_INACTIVE`.
const VIEWS: [(&str, u32); 2] = [("live", 0), ("inactive", 1)];

/// Writes both XML documents of each interface into a directory; returns the files.
fn dump(client: &mut RawClient, names: &[String]) -> Vec<String> {
    let mut files = Vec::new();
    for (number, name) in names.iter().enumerate() {
        for (view, flags) in VIEWS {
            let arguments = [Arg::Text(name), Arg::Text(""), Arg::Word(flags)];
            let reply = client.call(procedure::INTERFACE_GET_XML_DESC, &arguments);
            let file = format!("{DIR}/{number}-{view}.xml");
            fs::write(&file, reply.results().text()).unwrap();
            files.push(file);
        }
    }
    files
}

#[test]
fn every_description_is_valid_by_libvirts_schema() {
    if !is_installed(XMLLINT) || !is_installed(SCHEMA) {
        return;
    }
    in_namespace(|| {
        let _scene = Scene::build();
        let _daemon = Daemon::start();
        let names: Vec<_> = shown("").into_iter().map(|link| link.name).collect();
        let files = dump(&mut RawClient::open(), &names);
        let mut xmllint = command(XMLLINT);
        run(xmllint.args(["--noout", "--relaxng", SCHEMA]).args(files)).ok();
    });
}

#[test]
fn a_name_that_only_the_kernel_likes_comes_through_unchanged() {
    const NAMES: [&str; 9] =
        ["a&b", "it's", "\"quoted\"", "<b>]]>", "eth0.5", "-dash", "@at", "ünïcode", "{}"];
    if !is_installed(XMLLINT) {
        return;
    }
    in_namespace(|| {
        for name in NAMES {
            run(command("ip").args(["link", "add", "name", name, "type", "bridge"])).ok();
        }
        ip_batch("link add port0 type veth peer name port1\nlink set port0 master a&b\n");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let listed = client.list_all();
        let files = dump(&mut client, &NAMES.map(str::to_owned));
        for (name, file) in NAMES.iter().zip(files.chunks(VIEWS.len())) {
            assert!(listed.iter().any(|it| it == name), "{name} is not in {listed:?}");
            for file in file {
                let query = ["--xpath", "string(/interface/@name)", file];
                let read = run(command(XMLLINT).args(query)).ok();
                assert_eq!(read.trim_end_matches('\n'), *name, "{file}");
            }
        }
    });
}

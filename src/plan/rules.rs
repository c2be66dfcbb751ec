// SPDX-License-Identifier: LGPL-2.1-or-later
//! The part of a plan about policy rules that name a link as input (`iif`) or output (`oif`).
//!
//! Once a bridge or bond has the traffic of a port, a rule of the port matches no packet. So the
//! same rule is added for the link that takes over, and removed with that link. The port's own rule
//! stays, and matches again when the port has its traffic back.

use crate::host::state::LinkState;
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::record::apart::Apart;
use crate::netlink::record::rule::RuleRecord;
use crate::plan::builder::Builder;
use crate::plan::request::KernelRequest;
use crate::plan::step::Step;

impl<'a> Builder<'a> {
    /// Adds the rules of sources for `definition`'s link.
    pub(super) fn add_rules(&mut self, definition: &Interface, sources: &[&'a LinkState]) {
        let (rules, link) = (&self.survey.rules, definition.name);
        let mut added = Vec::new();
        for rule in rules {
            let mut names = sources.iter().map(|source| source.link().name);
            let Some(rule) = names.find_map(|name| rule.renamed(&name, &link)) else { continue };
            if !rules.contains(&rule) && !added.contains(&rule) {
                added.push(rule);
            }
        }
        for rule in added.into_iter().map(Apart::Rule) {
            let undo = vec![Step::Request(KernelRequest::DeleteApart(rule.clone()))];
            self.push(KernelRequest::AddApart(rule), undo);
        }
    }

    /// Removes the rules of a link that one of its ports has too.
    pub(super) fn delete_rules(&mut self, link: IfName, ports: &[IfName]) {
        let rules = &self.survey.rules;
        let is_a_ports = |rule: &&RuleRecord| {
            let mut of_ports = ports.iter().filter_map(|port| rule.renamed(&link, port));
            of_ports.any(|of_port| rules.contains(&of_port))
        };
        for rule in rules.iter().filter(is_a_ports).cloned().map(Apart::Rule) {
            let undo = vec![Step::Request(KernelRequest::AddApart(rule.clone()))];
            self.push(KernelRequest::DeleteApart(rule), undo);
        }
    }
}

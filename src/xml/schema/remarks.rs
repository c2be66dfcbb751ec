// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Remarks`]: parts of an accepted definition that may not mean what its author intends.
//!
//! libvirt's parser ignores elements and attributes that it does not know, and takes an address
//! without a prefix for a network of its own. Both are accepted here too, and listed, so that the
//! log can name a misspelt element. Values are not checked: the parser refuses wrong ones.

use std::fmt;

use crate::limits::XML_REMARK_COUNT_MAX;
use crate::xml::schema::{ROOTS, Rule, rule_for};
use crate::xml::tree::Element;

/// The places that deserve a warning, in the order of the document.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remarks {
    remarks: Vec<Remark>,
    /// The number of further places.
    omitted: usize,
}

/// One place of the document.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Remark {
    line: usize,
    text: String,
}

impl Remarks {
    /// Those about an accepted definition.
    pub(in crate::xml) fn of(root: &Element) -> Self {
        let mut remarks = Self::default();
        if let Ok(rule) = rule_for(root, &ROOTS) {
            remarks.check(root, rule);
        }
        remarks
    }

    /// One text a warning.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let omitted = (self.omitted > 0).then(|| format!("{} more remarks", self.omitted));
        self.remarks.iter().map(Remark::to_string).chain(omitted)
    }

    fn add(&mut self, line: usize, text: impl FnOnce() -> String) {
        if self.remarks.len() < XML_REMARK_COUNT_MAX {
            self.remarks.push(Remark { line, text: text() });
        } else {
            self.omitted += 1;
        }
    }

    fn check(&mut self, element: &Element, rule: &Rule) {
        let Element { name, line, .. } = element;
        if element.has_text {
            self.add(*line, || format!("the text in <{name}> is ignored"));
        }
        for attribute in &element.attributes {
            let is_known = rule.attributes.iter().any(|known| known.name == attribute.name)
                || rule.told_by.is_some_and(|(told_by, _)| told_by == attribute.name);
            if !is_known {
                let attribute = &attribute.name;
                self.add(*line, || format!("attribute '{attribute}' of <{name}> is ignored"));
            }
        }
        let address = element.attribute("address").filter(|_| name == "ip");
        if let (Some(address), None) = (address, element.attribute("prefix")) {
            let len = if address.contains(':') { 128 } else { 32 };
            self.add(*line, || format!("<ip address='{address}'/> has no prefix: /{len} is used"));
        }
        let mut counts = vec![0_usize; rule.children.len()];
        for child in &element.children {
            self.check_child(element, child, rule, &mut counts);
        }
    }

    fn check_child(
        &mut self,
        parent: &Element,
        child: &Element,
        rule: &Rule,
        counts: &mut [usize],
    ) {
        let rules = rule.children.iter().zip(counts);
        let fitting = rules
            .filter_map(|(it, count)| Some((rule_for(child, it.any_of).ok()?, it.count, count)))
            .next();
        let Element { name, line, .. } = child;
        let Some((child_rule, allowed, count)) = fitting else {
            if is_left_by_virsh(parent, child) {
                return;
            }
            return self.add(*line, || format!("<{name}> in <{}> is ignored", parent.name));
        };
        *count += 1;
        if *count > 1 && !allowed.allows_many() {
            let parent = &parent.name;
            return self
                .add(*line, || format!("<{parent}> has more than one <{name}>: only one is used"));
        }
        self.check(child, child_rule);
    }
}

/// `virsh iface-unbridge` makes the definition of a bridge into its port's, and leaves `<bridge>` in, with
/// the emptied port.
fn is_left_by_virsh(parent: &Element, child: &Element) -> bool {
    let is_emptied = |port: &Element| {
        port.name == "interface"
            && port.attribute("name") == parent.attribute("name")
            && port.children.is_empty()
    };
    parent.name == "interface"
        && child.name == "bridge"
        && !child.has_text
        && child.children.iter().all(is_emptied)
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::parse::{Strictness, remarked};

    fn remarks(text: &str) -> Vec<String> {
        let (_, remarks) = remarked(text, Strictness::Parser).unwrap();
        remarks.texts().collect()
    }

    #[test]
    fn what_is_passed_over_is_named_with_its_line() {
        struct Case<'a>(&'static str, &'static str, &'static str, &'a [&'static str]);
        let cases = [
            Case(
                "nothing",
                "type='ethernet'",
                "<mtu size='1500'/><protocol family='ipv4'><ip address='192.0.2.1' prefix='24'/></protocol>",
                &[],
            ),
            Case(
                "no prefix",
                "type='ethernet'",
                "<protocol family='ipv4'>\n<ip address='192.0.2.1'/></protocol>\n\
                 <protocol family='ipv6'><ip address='2001:db8::1'/></protocol>",
                &[
                    "line 2: <ip address='192.0.2.1'/> has no prefix: /32 is used",
                    "line 3: <ip address='2001:db8::1'/> has no prefix: /128 is used",
                ],
            ),
            Case(
                "misspelt",
                "type='ethernet' mtu='9000'",
                "\n<mttu size='9000'/><protocol family='ipv4'><dchp/></protocol>",
                &[
                    "line 1: attribute 'mtu' of <interface> is ignored",
                    "line 2: <mttu> in <interface> is ignored",
                    "line 2: <dchp> in <protocol> is ignored",
                ],
            ),
            Case(
                "of another kind, once too often, a text",
                "type='bridge'",
                "<mac address='02:00:00:00:00:01'/><protocol family='ipv4'><autoconf/>\
                 <route gateway='192.0.2.1'/><route gateway='192.0.2.2'/></protocol><bridge>\
                 eth0<interface type='ethernet' name='eth1'><mtu size='9000'/></interface></bridge>",
                &[
                    "line 1: <mac> in <interface> is ignored",
                    "line 1: <autoconf> in <protocol> is ignored",
                    "line 1: <protocol> has more than one <route>: only one is used",
                    "line 1: the text in <bridge> is ignored",
                    "line 1: <mtu> in <interface> is ignored",
                ],
            ),
            Case(
                "what virsh leaves",
                "type='ethernet'",
                "<bridge stp='on' delay='2'>\n<interface type='ethernet' name='a'/>\n</bridge>",
                &[],
            ),
            Case(
                "a bridge with a port",
                "type='ethernet'",
                "<bridge><interface type='ethernet' name='eth1'/></bridge>",
                &["line 1: <bridge> in <interface> is ignored"],
            ),
            Case(
                "two monitors",
                "type='bond'",
                "<bond><arpmon/><miimon freq='100'/><interface type='ethernet' name='eth1'/></bond>",
                &["line 1: <bond> has more than one <miimon>: only one is used"],
            ),
        ];
        for Case(label, kind, content, want) in cases {
            let text = format!("<interface {kind} name='a'>{content}</interface>");
            assert_eq!(remarks(&text), want, "{label}");
        }
    }

    #[test]
    fn a_document_of_another_kind_is_no_flood() {
        let of = |count: usize| {
            let content = "<x/>".repeat(count);
            remarks(&format!("<interface type='ethernet' name='a'>{content}</interface>"))
        };
        assert_eq!(of(XML_REMARK_COUNT_MAX).len(), XML_REMARK_COUNT_MAX);
        let many = of(XML_REMARK_COUNT_MAX + 2);
        assert_eq!(many.last().unwrap(), "2 more remarks");
        assert_eq!(many.len(), XML_REMARK_COUNT_MAX + 1);
    }
}

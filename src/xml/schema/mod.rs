// SPDX-License-Identifier: LGPL-2.1-or-later
//! The rules of libvirt's `interface.rng`, for callers that want their XML validated.
//!
//! The schema's facts as a table: one [`Rule`] an element, with its attributes, its children and
//! how often each may occur. Order never matters there. A test that asks xmllint checks that the
//! table agrees with the schema. [`values`] has the notation of values.

mod values;
mod remarks;

pub(crate) use remarks::Remarks;

use crate::xml::error::XmlError;
use crate::xml::schema::values::Datatype::{self, *};
use crate::xml::tree::Element;

/// The contents that one element may have.
#[derive(Debug)]
struct Rule {
    element: &'static str,
    /// An attribute with a fixed value that distinguishes this rule from others of the element's
    /// name.
    told_by: Option<(&'static str, &'static str)>,
    attributes: &'static [AttributeRule],
    children: &'static [ChildRule],
}

/// An attribute that an element may have.
#[derive(Debug)]
struct AttributeRule {
    name: &'static str,
    presence: Presence,
    datatype: Datatype,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Presence {
    Required,
    Optional,
}

/// Children that an element may have: each follows one of the rules, and the count is of all of
/// them together.
#[derive(Debug)]
struct ChildRule {
    count: Count,
    any_of: &'static [&'static Rule],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Count {
    AtMostOne,
    One,
    Any,
    AtLeastOne,
}

impl Count {
    const fn allows_none(self) -> bool {
        match self {
            Self::AtMostOne | Self::Any => true,
            Self::One | Self::AtLeastOne => false,
        }
    }

    const fn allows_many(self) -> bool {
        match self {
            Self::Any | Self::AtLeastOne => true,
            Self::AtMostOne | Self::One => false,
        }
    }
}

/// The rules that a document may follow.
static ROOTS: [&Rule; 4] = [&ETHERNET, &BRIDGE, &BOND, &VLAN];

/// Reports the first error, from the root down.
pub(super) fn check(root: &Element) -> Result<(), XmlError> {
    let rule = rule_for(root, &ROOTS)?;
    check_element(root, rule)
}

/// The rule for `element` among `rules`, all of which are for elements of this name.
fn rule_for<'a>(element: &Element, rules: &[&'a Rule]) -> Result<&'a Rule, XmlError> {
    let mut wanted = None;
    for rule in rules.iter().filter(|rule| rule.element == element.name) {
        let Some((attribute, word)) = rule.told_by else { return Ok(rule) };
        wanted = Some(attribute);
        if element.attribute(attribute).is_some_and(|value| values::is_token(value, word)) {
            return Ok(rule);
        }
    }
    let name = &element.name;
    Err(match wanted.map(|attribute| (attribute, element.attribute(attribute))) {
        None => problem(element, format!("no element '{name}' is allowed here")),
        Some((attribute, None)) => lacks_attribute(element, attribute),
        Some((attribute, Some(value))) => bad_value(element, attribute, value),
    })
}

fn check_element(element: &Element, rule: &Rule) -> Result<(), XmlError> {
    let name = &element.name;
    if element.has_text {
        return Err(problem(element, format!("element '{name}' has text")));
    }
    check_attributes(element, rule)?;
    let mut counts = vec![0_usize; rule.children.len()];
    for child in &element.children {
        let fits = |children: &&ChildRule| rule_for(child, children.any_of).is_ok();
        let Some(at) = rule.children.iter().position(|children| fits(&children)) else {
            let all: Vec<_> =
                rule.children.iter().flat_map(|children| children.any_of).copied().collect();
            return rule_for(child, &all).map(drop);
        };
        let (Some(count), Some(children)) = (counts.get_mut(at), rule.children.get(at)) else {
            continue;
        };
        *count += 1;
        if *count > 1 && !children.count.allows_many() {
            let what = any_of(children);
            return Err(problem(child, format!("element '{name}' has more than one {what}")));
        }
        check_element(child, rule_for(child, children.any_of)?)?;
    }
    for (children, count) in rule.children.iter().zip(counts) {
        if count == 0 && !children.count.allows_none() {
            let what = any_of(children);
            return Err(problem(element, format!("element '{name}' has no {what}")));
        }
    }
    Ok(())
}

fn check_attributes(element: &Element, rule: &Rule) -> Result<(), XmlError> {
    let told_by = rule.told_by.map(|(attribute, _)| attribute);
    for attribute in &element.attributes {
        if told_by == Some(attribute.name.as_str()) {
            continue;
        }
        match rule.attributes.iter().find(|known| known.name == attribute.name) {
            Some(known) if known.datatype.has(&attribute.value) => {}
            Some(known) => return Err(bad_value(element, known.name, &attribute.value)),
            None => {
                let (name, attribute) = (&element.name, &attribute.name);
                let text = format!("element '{name}' has an attribute '{attribute}'");
                return Err(problem(element, text));
            }
        }
    }
    for known in rule.attributes.iter().filter(|known| known.presence == Presence::Required) {
        if element.attribute(known.name).is_none() {
            return Err(lacks_attribute(element, known.name));
        }
    }
    Ok(())
}

/// The children of a rule in words.
fn any_of(children: &ChildRule) -> String {
    let one = |rule: &&Rule| match rule.told_by {
        Some((attribute, value)) => format!("'{}' of {attribute} '{value}'", rule.element),
        None => format!("'{}'", rule.element),
    };
    let all: Vec<_> = children.any_of.iter().map(one).collect();
    all.join(" or ")
}

fn lacks_attribute(element: &Element, attribute: &str) -> XmlError {
    problem(element, format!("element '{}' has no attribute '{attribute}'", element.name))
}

fn bad_value(element: &Element, attribute: &str, value: &str) -> XmlError {
    let name = &element.name;
    problem(element, format!("attribute '{attribute}' of element '{name}' cannot be '{value}'"))
}

fn problem(element: &Element, problem: String) -> XmlError {
    XmlError::Schema { line: element.line, problem }
}

const fn required(name: &'static str, datatype: Datatype) -> AttributeRule {
    AttributeRule { name, presence: Presence::Required, datatype }
}

const fn optional(name: &'static str, datatype: Datatype) -> AttributeRule {
    AttributeRule { name, presence: Presence::Optional, datatype }
}

const fn children(count: Count, any_of: &'static [&'static Rule]) -> ChildRule {
    ChildRule { count, any_of }
}

/// An element of this name that holds nothing but attributes.
const fn leaf(element: &'static str, attributes: &'static [AttributeRule]) -> Rule {
    Rule { element, told_by: None, attributes, children: &[] }
}

/// An interface of this type.
const fn interface(
    kind: &'static str,
    attributes: &'static [AttributeRule],
    children: &'static [ChildRule],
) -> Rule {
    Rule { element: "interface", told_by: Some(("type", kind)), attributes, children }
}

const fn protocol(family: &'static str, children: &'static [ChildRule]) -> Rule {
    Rule { element: "protocol", told_by: Some(("family", family)), attributes: &[], children }
}

use Count::{Any, AtLeastOne, AtMostOne, One};

const NAME: &[AttributeRule] = &[required("name", DeviceName)];
/// A VLAN's name follows from its parent and its tag.
const VLAN_NAME: &[AttributeRule] = &[optional("name", DeviceName)];

static START: Rule = leaf("start", &[required("mode", OneOf(&["onboot", "none", "hotplug"]))]);
static MTU: Rule = leaf("mtu", &[required("size", PlainUnsigned)]);
static MAC: Rule = leaf("mac", &[required("address", Mac)]);
static LINK: Rule = leaf(
    "link",
    &[
        optional("speed", PlainUnsigned),
        optional(
            "state",
            OneOf(&["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"]),
        ),
    ],
);

static DHCP: Rule = leaf("dhcp", &[optional("peerdns", OneOf(&["yes", "no"]))]);
static AUTOCONF: Rule = leaf("autoconf", &[]);
static IPV4: Rule = leaf("ip", &[required("address", Ipv4), optional("prefix", UpTo(32))]);
static IPV6: Rule = leaf("ip", &[required("address", Ipv6), optional("prefix", UpTo(128))]);
static ROUTE4: Rule = leaf("route", &[required("gateway", Ipv4)]);
static ROUTE6: Rule = leaf("route", &[required("gateway", Ipv6)]);
static PROTOCOL4: Rule = protocol(
    "ipv4",
    &[children(AtMostOne, &[&DHCP]), children(Any, &[&IPV4]), children(AtMostOne, &[&ROUTE4])],
);
static PROTOCOL6: Rule = protocol(
    "ipv6",
    &[
        children(AtMostOne, &[&AUTOCONF]),
        children(AtMostOne, &[&DHCP]),
        children(Any, &[&IPV6]),
        children(AtMostOne, &[&ROUTE6]),
    ],
);

static ETHERNET: Rule = interface(
    "ethernet",
    NAME,
    &[
        children(AtMostOne, &[&START]),
        children(AtMostOne, &[&MTU]),
        children(AtMostOne, &[&PROTOCOL4]),
        children(AtMostOne, &[&PROTOCOL6]),
        children(AtMostOne, &[&LINK]),
        children(AtMostOne, &[&MAC]),
    ],
);
static BARE_ETHERNET: Rule =
    interface("ethernet", NAME, &[children(AtMostOne, &[&LINK]), children(AtMostOne, &[&MAC])]);

static VLAN_PARENT: Rule = leaf("interface", NAME);
static VLAN_DEVICE: Rule = Rule {
    element: "vlan",
    told_by: None,
    attributes: &[required("tag", UpTo(4095))],
    children: &[children(One, &[&VLAN_PARENT])],
};
static VLAN: Rule = interface(
    "vlan",
    VLAN_NAME,
    &[
        children(AtMostOne, &[&START]),
        children(AtMostOne, &[&MTU]),
        children(AtMostOne, &[&PROTOCOL4]),
        children(AtMostOne, &[&PROTOCOL6]),
        children(AtMostOne, &[&LINK]),
        children(One, &[&VLAN_DEVICE]),
    ],
);
static BARE_VLAN: Rule =
    interface("vlan", VLAN_NAME, &[children(AtMostOne, &[&LINK]), children(One, &[&VLAN_DEVICE])]);

static MIIMON: Rule = leaf(
    "miimon",
    &[
        required("freq", PlainUnsigned),
        optional("downdelay", PlainUnsigned),
        optional("updelay", PlainUnsigned),
        optional("carrier", OneOf(&["ioctl", "netif"])),
    ],
);
static ARPMON: Rule = leaf(
    "arpmon",
    &[
        required("interval", PlainUnsigned),
        required("target", Ipv4),
        optional("validate", OneOf(&["none", "active", "backup", "all"])),
    ],
);
static BOND_DEVICE: Rule = Rule {
    element: "bond",
    told_by: None,
    attributes: &[optional(
        "mode",
        OneOf(&[
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
        ]),
    )],
    children: &[children(AtMostOne, &[&MIIMON, &ARPMON]), children(AtLeastOne, &[&BARE_ETHERNET])],
};
static BOND: Rule = interface(
    "bond",
    NAME,
    &[
        children(AtMostOne, &[&START]),
        children(AtMostOne, &[&MTU]),
        children(AtMostOne, &[&PROTOCOL4]),
        children(AtMostOne, &[&PROTOCOL6]),
        children(AtMostOne, &[&LINK]),
        children(One, &[&BOND_DEVICE]),
    ],
);
static BARE_BOND: Rule =
    interface("bond", NAME, &[children(AtMostOne, &[&LINK]), children(One, &[&BOND_DEVICE])]);

static BRIDGE_DEVICE: Rule = Rule {
    element: "bridge",
    told_by: None,
    attributes: &[optional("stp", OneOf(&["on", "off"])), optional("delay", Seconds)],
    children: &[children(Any, &[&BARE_ETHERNET, &BARE_VLAN, &BARE_BOND])],
};
static BRIDGE: Rule = interface(
    "bridge",
    NAME,
    &[
        children(AtMostOne, &[&START]),
        children(AtMostOne, &[&MTU]),
        children(AtMostOne, &[&PROTOCOL4]),
        children(AtMostOne, &[&PROTOCOL6]),
        children(One, &[&BRIDGE_DEVICE]),
    ],
);

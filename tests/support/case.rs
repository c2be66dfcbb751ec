// SPDX-License-Identifier: LGPL-2.1-or-later
//! The cases below `tests/golden/plan`: a host, a definition, a call, and the resulting plan. Each
//! directory is a case and has all four files; an empty definition file stands for none.
//! `simulation::value_kernel::text` describes the syntax of hosts.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::PathBuf;

use simulation::value_kernel::ValueKernel;
use simulation::xml;
use virtinterfaced::model::interface::Interface;
use virtinterfaced::model::name::IfName;
use virtinterfaced::plan::refusal::PlanRefusal;
use virtinterfaced::plan::{self, Plan, bring_up, tear_down};

use crate::golden;

/// One case.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// The host before the call.
    pub(crate) kernel: ValueKernel,
    /// The call's name.
    pub(crate) verb: String,
    interface: IfName,
    definition: Option<Interface>,
    /// The result of the call.
    pub(crate) plan: Result<Plan, PlanRefusal>,
}

/// All cases, in the order of their names.
pub(crate) fn cases() -> Vec<Case> {
    let entries = std::fs::read_dir(golden::folder("plan")).unwrap();
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(!folders.is_empty(), "the folder was listed");
    folders.sort();
    folders.into_iter().map(Case::read).collect()
}

impl Case {
    fn read(folder: PathBuf) -> Self {
        let text = |file: &str| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
        };
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let kernel = text("host.txt").parse().unwrap_or_else(|err| panic!("{name}: {err}"));
        let xml = text("definition.xml");
        let is_defined = !xml.trim().is_empty();
        let parsed = is_defined.then(|| xml::parse(&xml)).transpose();
        let definition = parsed.unwrap_or_else(|err| panic!("{name}: {err}"));
        let call = text("call.txt");
        let (verb, interface) = call.trim().split_once(' ').unwrap();
        let interface = IfName::new(interface).unwrap();
        let defined = definition.as_ref().map_or(interface, |definition| definition.name);
        assert_eq!(defined, interface, "{name}: the definition is another's");
        let (verb, plan) = (verb.to_owned(), Err(PlanRefusal::Running));
        let mut case = Self { name, folder, kernel, verb, interface, definition, plan };
        case.plan = case.plan_on(&case.kernel);
        case
    }

    /// The result of the same call on another kernel.
    pub(crate) fn plan_on(&self, kernel: &ValueKernel) -> Result<Plan, PlanRefusal> {
        let (name, definition) = (self.interface, self.definition.as_ref());
        let host = kernel.host();
        let survey = kernel.survey(&plan::survey_order(name, definition));
        match (self.verb.as_str(), definition) {
            ("create", Some(definition)) => bring_up::bring_up(definition, &host, &survey),
            ("create", None) => bring_up::bring_up_undefined(name, &host, &survey),
            ("destroy", _) => tear_down::tear_down(name, definition, &host, &survey),
            (verb, _) => panic!("{}: {verb}?", self.name),
        }
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Programs`]: the programs that the daemon may have executed, with all that starts them.

use std::io;
use std::process::Child;

use super::dhcp::DhcpCommands;
use super::executor::Spawn;
use super::file_check::CheckCommands;
use super::hooks::HookFolder;
use super::standby::StandbySpec;
use crate::execution::Program;

/// See the module.
#[derive(Clone, Debug)]
pub struct Programs {
    pub hooks: HookFolder,
    pub dhcp: DhcpCommands,
    pub standby: StandbySpec,
    pub checks: CheckCommands,
}

impl Programs {
    /// Returns the function that starts a program.
    pub fn spawn(self) -> Spawn {
        Box::new(move |program| self.start(program))
    }

    fn start(&self, program: &Program) -> io::Result<Child> {
        match program {
            Program::Hook { script, occasion } => self.hooks.command(script, *occasion).spawn(),
            Program::DhcpClient { client, lease } => self.dhcp.client(*client, lease)?.spawn(),
            Program::ForeignClient { link, family } => self.dhcp.foreign(*link, *family)?.spawn(),
            Program::LeaseEnd { link, family } => self.dhcp.lease_end(*link, *family).spawn(),
            Program::Standby { deadline } => self.standby.spawn(*deadline),
            Program::FileCheck { dialect } => self.checks.command(*dialect)?.spawn(),
        }
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
//! The public API behind each procedure of a hypervisor: its name, and its checks.
//!
//! A table of facts: numbers are those of libvirt 11.0.0's protocol files, names are those in its
//! error messages. This module does not know why a procedure is refused. Rows are sorted by number,
//! as [`find`] requires. Rows with `checked` list their arguments. Rows with `api` have arguments
//! that do not affect the answer to an ordinary call, so they are not decoded; a call that libvirt
//! cannot decode is refused like any other.

use crate::error::{CallError, Domain, ErrorCode};

use super::RefusedCall;
use super::argument::*;
use crate::call_errors::Driver;
use crate::proto::Reply;
use crate::proto::requirement::Requirement;

use Domain::{Dom, DomainCheckpoint, DomainSnapshot, Nodedev};
use Needs::{Anyone, Writer, WriterLast};

/// A function of libvirt's public API.
#[derive(Debug)]
pub struct Api {
    pub(super) procedure: i32,
    domain: Domain,
    needs: Needs,
    pub(super) name: &'static str,
    arguments: &'static [Argument],
}

/// The clients that may call a function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Needs {
    Anyone,
    /// Not a read-only connection; checked before the arguments.
    Writer,
    /// Not a read-only connection; checked after the arguments.
    WriterLast,
}

impl Api {
    /// Makes a call with these arguments, by libvirt's order of checks before it looks for a
    /// driver. `answer` is for valid arguments.
    pub(super) fn judge(
        &self,
        payload: &[u8],
        answer: impl FnOnce() -> Result<Reply, CallError>,
    ) -> Result<RefusedCall, CallError> {
        let complaint = complaint(self.arguments, payload, self.domain, self.name)?;
        let driver = Driver::Hypervisor;
        let requirement = match (self.needs, &complaint) {
            (Anyone, _) | (WriterLast, Some(_)) => Requirement::Open(driver),
            (Writer, _) | (WriterLast, None) => {
                Requirement::Write { driver, domain: self.domain, api: self.name }
            }
        };
        let answer = complaint.map_or_else(answer, Err);
        Ok(RefusedCall { requirement, answer })
    }

    /// The error for a call that passes all checks.
    pub(super) fn no_support(&self) -> CallError {
        CallError::new(ErrorCode::NoSupport, self.domain, self.name)
    }

    pub(super) fn no_fd_passing(&self) -> CallError {
        let detail = "fd passing is not supported by this connection";
        CallError::new(ErrorCode::ArgumentUnsupported, self.domain, detail)
    }
}

/// The row of `procedure` in `table`.
pub(super) fn find(table: &'static [Api], procedure: i32) -> Option<&'static Api> {
    let at = table.binary_search_by_key(&procedure, |api| api.procedure).ok()?;
    table.get(at)
}

const fn api(procedure: i32, domain: Domain, needs: Needs, name: &'static str) -> Api {
    checked(procedure, domain, needs, name, &[])
}

const fn checked(
    procedure: i32,
    domain: Domain,
    needs: Needs,
    name: &'static str,
    arguments: &'static [Argument],
) -> Api {
    Api { procedure, domain, needs, name, arguments }
}

const BASELINE_CPU: &[Argument] = &[URI, URI, URI, URI, CPUS, FLAGS];

pub(super) static LXC: &[Api] =
    &[checked(1, Domain::None, Writer, "virDomainLxcOpenNamespace", &[DOMAIN, FLAGS])];

pub(super) static QEMU: &[Api] = &[
    checked(1, Domain::None, Writer, "virDomainQemuMonitorCommand", &[DOMAIN, TEXT, FLAGS]),
    checked(2, Domain::None, WriterLast, "virDomainQemuAttach", &[PID_WORD, FLAGS]),
    checked(3, Domain::None, Writer, "virDomainQemuAgentCommand", &[DOMAIN, TEXT, INT, FLAGS]),
    api(4, Domain::None, Writer, "virConnectDomainQemuMonitorEventRegister"),
    checked(
        7,
        Domain::None,
        Anyone,
        "virDomainQemuMonitorCommandWithFiles",
        &[DOMAIN, TEXT, FLAGS],
    ),
];

pub(super) static REMOTE: &[Api] = &[
    api(4, Dom, Anyone, "virConnectGetVersion"),
    api(5, Dom, Anyone, "virConnectGetMaxVcpus"),
    api(6, Dom, Anyone, "virNodeGetInfo"),
    api(7, Dom, Anyone, "virConnectGetCapabilities"),
    api(8, Dom, Writer, "virDomainAttachDevice"),
    api(9, Dom, Writer, "virDomainCreate"),
    api(10, Dom, Writer, "virDomainCreateXML"),
    api(11, Dom, Writer, "virDomainDefineXML"),
    api(12, Dom, Writer, "virDomainDestroy"),
    api(13, Dom, Writer, "virDomainDetachDevice"),
    api(14, Dom, Anyone, "virDomainGetXMLDesc"),
    api(15, Dom, Anyone, "virDomainGetAutostart"),
    api(16, Dom, Anyone, "virDomainGetInfo"),
    api(17, Dom, Anyone, "virDomainGetMaxMemory"),
    api(18, Dom, Anyone, "virDomainGetMaxVcpus"),
    api(19, Dom, Anyone, "virDomainGetOSType"),
    checked(20, Dom, Anyone, "virDomainGetVcpus", &[DOMAIN, VCPU_INFO, INT]),
    api(21, Dom, Anyone, "virConnectListDefinedDomains"),
    api(22, Dom, Anyone, "virDomainLookupByID"),
    api(23, Dom, Anyone, "virDomainLookupByName"),
    api(24, Dom, Anyone, "virDomainLookupByUUID"),
    api(25, Dom, Anyone, "virConnectNumOfDefinedDomains"),
    checked(26, Dom, Writer, "virDomainPinVcpu", &[DOMAIN, WORD, CPUMAP]),
    api(27, Dom, Writer, "virDomainReboot"),
    api(28, Dom, Writer, "virDomainResume"),
    api(29, Dom, Writer, "virDomainSetAutostart"),
    checked(30, Dom, Writer, "virDomainSetMaxMemory", &[DOMAIN, MEMORY]),
    checked(31, Dom, Writer, "virDomainSetMemory", &[DOMAIN, MEMORY]),
    checked(32, Dom, Writer, "virDomainSetVcpus", &[DOMAIN, VCPUS]),
    api(33, Dom, Writer, "virDomainShutdown"),
    api(34, Dom, Writer, "virDomainSuspend"),
    api(35, Dom, Writer, "virDomainUndefine"),
    api(37, Dom, Anyone, "virConnectListDomains"),
    api(51, Dom, Anyone, "virConnectNumOfDomains"),
    api(53, Dom, Writer, "virDomainCoreDump"),
    api(54, Dom, Writer, "virDomainRestore"),
    api(55, Dom, Writer, "virDomainSave"),
    api(56, Dom, Anyone, "virDomainGetSchedulerType"),
    checked(57, Dom, Anyone, "virDomainGetSchedulerParameters", &[DOMAIN, NPARAMS]),
    checked(58, Dom, Writer, "virDomainSetSchedulerParameters", &[DOMAIN, PARAMS]),
    api(61, Dom, Writer, "virDomainMigratePrepare"),
    api(62, Dom, Writer, "virDomainMigratePerform"),
    checked(63, Dom, Writer, "virDomainMigrateFinish", &[DNAME, COOKIE, TEXT, HYPER]),
    api(64, Dom, Anyone, "virDomainBlockStats"),
    api(65, Dom, Anyone, "virDomainInterfaceStats"),
    checked(101, Dom, Anyone, "virNodeGetCellsFreeMemory", &[INT, MAX_CELLS]),
    api(102, Dom, Anyone, "virNodeGetFreeMemory"),
    checked(103, Dom, Writer, "virDomainBlockPeek", &[DOMAIN, DISK, HYPER, WORD, FLAGS]),
    api(104, Dom, Writer, "virDomainMemoryPeek"),
    api(105, Dom, Anyone, "virConnectDomainEventRegisterAny"),
    api(108, Dom, Writer, "virDomainMigratePrepare2"),
    checked(109, Dom, Writer, "virDomainMigrateFinish2", &[DNAME, COOKIE, TEXT, HYPER, INT]),
    api(118, Nodedev, Writer, "virNodeDeviceDettach"),
    api(119, Nodedev, Writer, "virNodeDeviceReAttach"),
    api(120, Nodedev, Writer, "virNodeDeviceReset"),
    api(121, Dom, Anyone, "virDomainGetSecurityLabel"),
    api(122, Dom, Anyone, "virNodeGetSecurityModel"),
    api(135, Dom, Writer, "virConnectDomainXMLFromNative"),
    api(136, Dom, Writer, "virConnectDomainXMLToNative"),
    api(148, Dom, Writer, "virDomainMigratePrepareTunnel"),
    api(150, Dom, Anyone, "virDomainIsActive"),
    api(151, Dom, Anyone, "virDomainIsPersistent"),
    api(158, Dom, Anyone, "virConnectCompareCPU"),
    checked(159, Dom, Anyone, "virDomainMemoryStats", &[DOMAIN, WORD, FLAGS]),
    api(160, Dom, Writer, "virDomainAttachDeviceFlags"),
    api(161, Dom, Writer, "virDomainDetachDeviceFlags"),
    checked(162, Dom, Anyone, "virConnectBaselineCPU", &[CPUS, FLAGS]),
    api(163, Dom, Anyone, "virDomainGetJobInfo"),
    api(164, Dom, Writer, "virDomainAbortJob"),
    api(166, Dom, Writer, "virDomainMigrateSetMaxDowntime"),
    checked(167, Dom, Anyone, "virConnectDomainEventRegisterAny", &[INT]),
    api(174, Dom, Writer, "virDomainUpdateDeviceFlags"),
    api(182, Dom, Writer, "virDomainManagedSave"),
    api(183, Dom, Anyone, "virDomainHasManagedSaveImage"),
    api(184, Dom, Writer, "virDomainManagedSaveRemove"),
    api(185, DomainSnapshot, Writer, "virDomainSnapshotCreateXML"),
    api(186, DomainSnapshot, Anyone, "virDomainSnapshotGetXMLDesc"),
    api(187, DomainSnapshot, Anyone, "virDomainSnapshotNum"),
    api(188, DomainSnapshot, Anyone, "virDomainSnapshotListNames"),
    api(189, DomainSnapshot, Anyone, "virDomainSnapshotLookupByName"),
    api(190, DomainSnapshot, Anyone, "virDomainHasCurrentSnapshot"),
    api(191, DomainSnapshot, Anyone, "virDomainSnapshotCurrent"),
    api(192, DomainSnapshot, Writer, "virDomainRevertToSnapshot"),
    api(193, DomainSnapshot, Writer, "virDomainSnapshotDelete"),
    checked(194, Dom, Anyone, "virDomainGetBlockInfo", &[DOMAIN, DISK, FLAGS]),
    api(196, Dom, Writer, "virDomainCreateWithFlags"),
    checked(197, Dom, Writer, "virDomainSetMemoryParameters", &[DOMAIN, PARAMS, FLAGS]),
    api(198, Dom, Anyone, "virDomainGetMemoryParameters"),
    checked(199, Dom, Writer, "virDomainSetVcpusFlags", &[DOMAIN, VCPUS, FLAGS]),
    api(200, Dom, Anyone, "virDomainGetVcpusFlags"),
    api(201, Dom, Writer, "virDomainOpenConsole"),
    api(202, Dom, Anyone, "virDomainIsUpdated"),
    api(203, Dom, Anyone, "virConnectGetSysinfo"),
    checked(204, Dom, Writer, "virDomainSetMemoryFlags", &[DOMAIN, MEMORY, FLAGS]),
    checked(205, Dom, Writer, "virDomainSetBlkioParameters", &[DOMAIN, PARAMS, FLAGS]),
    api(206, Dom, Anyone, "virDomainGetBlkioParameters"),
    api(207, Dom, Writer, "virDomainMigrateSetMaxSpeed"),
    api(210, Dom, Writer, "virDomainInjectNMI"),
    api(211, Dom, Writer, "virDomainScreenshot"),
    api(212, Dom, Anyone, "virDomainGetState"),
    api(213, Dom, Writer, "virDomainMigrateBegin3"),
    api(214, Dom, Writer, "virDomainMigratePrepare3"),
    api(215, Dom, Writer, "virDomainMigratePrepareTunnel3"),
    api(216, Dom, Writer, "virDomainMigratePerform3"),
    checked(217, Dom, Writer, "virDomainMigrateFinish3", &[DNAME, COOKIE, URI, URI, HYPER, INT]),
    api(218, Dom, Writer, "virDomainMigrateConfirm3"),
    checked(219, Dom, Writer, "virDomainSetSchedulerParametersFlags", &[DOMAIN, PARAMS, FLAGS]),
    checked(223, Dom, Anyone, "virDomainGetSchedulerParametersFlags", &[DOMAIN, NPARAMS, FLAGS]),
    checked(225, Dom, Writer, "virDomainPinVcpuFlags", &[DOMAIN, WORD, CPUMAP, FLAGS]),
    checked(226, Dom, Writer, "virDomainSendKey", &[DOMAIN, WORD, WORD, KEYCODES, FLAGS]),
    api(227, Dom, Anyone, "virNodeGetCPUStats"),
    api(228, Dom, Anyone, "virNodeGetMemoryStats"),
    api(229, Dom, Anyone, "virDomainGetControlInfo"),
    checked(230, Dom, Anyone, "virDomainGetVcpuPinInfo", &[DOMAIN, CPUMAPS, CPUMAPS_ROOM, FLAGS]),
    api(231, Dom, Writer, "virDomainUndefineFlags"),
    api(232, Dom, Writer, "virDomainSaveFlags"),
    api(233, Dom, Writer, "virDomainRestoreFlags"),
    api(234, Dom, Writer, "virDomainDestroyFlags"),
    api(235, Dom, Writer, "virDomainSaveImageGetXMLDesc"),
    api(236, Dom, Writer, "virDomainSaveImageDefineXML"),
    api(237, Dom, Writer, "virDomainBlockJobAbort"),
    api(238, Dom, Anyone, "virDomainGetBlockJobInfo"),
    api(239, Dom, Writer, "virDomainBlockJobSetSpeed"),
    api(240, Dom, Writer, "virDomainBlockPull"),
    api(242, Dom, Writer, "virDomainMigrateGetMaxSpeed"),
    api(243, Dom, Anyone, "virDomainBlockStatsFlags"),
    api(244, DomainSnapshot, Anyone, "virDomainSnapshotGetParent"),
    api(245, Dom, Writer, "virDomainReset"),
    api(246, DomainSnapshot, Anyone, "virDomainSnapshotNumChildren"),
    api(247, DomainSnapshot, Anyone, "virDomainSnapshotListChildrenNames"),
    checked(249, Dom, Anyone, "virDomainOpenGraphics", &[DOMAIN, WORD, FLAGS]),
    api(250, Dom, Writer, "virNodeSuspendForDuration"),
    api(251, Dom, Writer, "virDomainBlockResize"),
    checked(252, Dom, Writer, "virDomainSetBlockIoTune", &[DOMAIN, TEXT, TUNE_PARAMS, FLAGS]),
    api(253, Dom, Anyone, "virDomainGetBlockIoTune"),
    checked(254, Dom, Writer, "virDomainSetNumaParameters", &[DOMAIN, PARAMS, FLAGS]),
    api(255, Dom, Anyone, "virDomainGetNumaParameters"),
    checked(256, Dom, Writer, "virDomainSetInterfaceParameters", &[DOMAIN, TEXT, PARAMS, FLAGS]),
    api(257, Dom, Anyone, "virDomainGetInterfaceParameters"),
    api(258, Dom, Writer, "virDomainShutdownFlags"),
    api(261, Dom, Writer, "virDomainPMSuspendForDuration"),
    api(262, Dom, Anyone, "virDomainGetCPUStats"),
    api(263, Dom, Anyone, "virDomainGetDiskErrors"),
    api(264, Dom, Writer, "virDomainSetMetadata"),
    api(265, Dom, Anyone, "virDomainGetMetadata"),
    api(266, Dom, Writer, "virDomainBlockRebase"),
    api(267, Dom, Writer, "virDomainPMWakeup"),
    api(271, DomainSnapshot, Anyone, "virDomainSnapshotIsCurrent"),
    api(272, DomainSnapshot, Anyone, "virDomainSnapshotHasMetadata"),
    api(273, Dom, Anyone, "virConnectListAllDomains"),
    api(274, DomainSnapshot, Anyone, "virDomainListAllSnapshots"),
    api(275, DomainSnapshot, Anyone, "virDomainSnapshotListAllChildren"),
    api(277, Dom, Writer, "virDomainGetHostname"),
    api(278, Dom, Anyone, "virDomainGetSecurityLabelList"),
    checked(279, Dom, Writer, "virDomainPinEmulator", &[DOMAIN, CPUMAP, FLAGS]),
    checked(280, Dom, Anyone, "virDomainGetEmulatorPinInfo", &[DOMAIN, CPUMAP_ROOM, FLAGS]),
    checked(288, Dom, Writer, "virNodeSetMemoryParameters", &[MANY_PARAMS, FLAGS]),
    api(289, Dom, Anyone, "virNodeGetMemoryParameters"),
    api(290, Dom, Writer, "virDomainBlockCommit"),
    api(293, Dom, Anyone, "virNodeGetCPUMap"),
    api(294, Dom, Writer, "virDomainFSTrim"),
    checked(295, Dom, WriterLast, "virDomainSendProcessSignal", &[DOMAIN, PID, WORD, FLAGS]),
    api(296, Dom, Writer, "virDomainOpenChannel"),
    api(298, Dom, Anyone, "virDomainGetJobStats"),
    api(299, Dom, Anyone, "virDomainMigrateGetCompressionCache"),
    api(300, Dom, Writer, "virDomainMigrateSetCompressionCache"),
    api(301, Nodedev, Writer, "virNodeDeviceDetachFlags"),
    api(302, Dom, Writer, "virDomainMigrateBegin3Params"),
    api(303, Dom, Writer, "virDomainMigratePrepare3Params"),
    api(304, Dom, Writer, "virDomainMigratePrepareTunnel3Params"),
    api(305, Dom, Writer, "virDomainMigratePerform3Params"),
    api(306, Dom, Writer, "virDomainMigrateFinish3Params"),
    api(307, Dom, Writer, "virDomainMigrateConfirm3Params"),
    api(308, Dom, Writer, "virDomainSetMemoryStatsPeriod"),
    api(309, Dom, Writer, "virDomainCreateXMLWithFiles"),
    api(310, Dom, Writer, "virDomainCreateWithFiles"),
    api(312, Dom, Anyone, "virConnectGetCPUModelNames"),
    checked(316, Dom, Anyone, "virConnectDomainEventRegisterAny", &[INT, OPTIONAL_DOMAIN]),
    api(334, Dom, Writer, "virDomainCoreDumpWithFormat"),
    api(335, Dom, Writer, "virDomainFSFreeze"),
    api(336, Dom, Writer, "virDomainFSThaw"),
    api(337, Dom, Writer, "virDomainGetTime"),
    api(338, Dom, Writer, "virDomainSetTime"),
    checked(340, Dom, Anyone, "virNodeGetFreePages", &[PAGES, INT, CELL_COUNT, FLAGS]),
    api(342, Dom, Writer, "virConnectGetDomainCapabilities"),
    checked(343, Dom, Writer, "virDomainOpenGraphicsFD", &[DOMAIN, WORD, FLAGS]),
    api(344, Dom, Anyone, "virConnectGetAllDomainStats"),
    api(345, Dom, Writer, "virDomainBlockCopy"),
    checked(347, Dom, Writer, "virNodeAllocPages", &[PAGES, PAGE_COUNTS, INT, CELL_COUNT, FLAGS]),
    api(349, Dom, Writer, "virDomainGetFSInfo"),
    api(350, Dom, Writer, "virDomainDefineXMLFlags"),
    api(351, Dom, Anyone, "virDomainGetIOThreadInfo"),
    checked(352, Dom, Writer, "virDomainPinIOThread", &[DOMAIN, WORD, CPUMAP, FLAGS]),
    api(353, Dom, Anyone, "virDomainInterfaceAddresses"),
    api(355, Dom, Writer, "virDomainAddIOThread"),
    checked(356, Dom, Writer, "virDomainDelIOThread", &[DOMAIN, IOTHREAD, FLAGS]),
    checked(357, Dom, Writer, "virDomainSetUserPassword", &[DOMAIN, USER, PASSWORD, FLAGS]),
    checked(358, Dom, WriterLast, "virDomainRename", &[DOMAIN, NEW_NAME, FLAGS]),
    api(364, Dom, Writer, "virDomainMigrateStartPostCopy"),
    api(365, Dom, Anyone, "virDomainGetPerfEvents"),
    checked(366, Dom, Writer, "virDomainSetPerfEvents", &[DOMAIN, MANY_PARAMS, FLAGS]),
    api(371, Dom, Writer, "virDomainGetGuestVcpus"),
    api(372, Dom, Writer, "virDomainSetGuestVcpus"),
    api(384, Dom, Writer, "virDomainSetVcpu"),
    api(386, Dom, Writer, "virDomainSetBlockThreshold"),
    api(387, Dom, Anyone, "virDomainMigrateGetMaxDowntime"),
    api(388, Dom, Anyone, "virDomainManagedSaveGetXMLDesc"),
    api(389, Dom, Writer, "virDomainManagedSaveDefineXML"),
    api(390, Dom, Writer, "virDomainSetLifecycleAction"),
    api(392, Dom, Writer, "virDomainDetachDeviceAlias"),
    api(393, Dom, Writer, "virConnectCompareHypervisorCPU"),
    checked(394, Dom, WriterLast, "virConnectBaselineHypervisorCPU", BASELINE_CPU),
    api(395, Dom, Writer, "virNodeGetSEVInfo"),
    api(396, Dom, Writer, "virDomainGetLaunchSecurityInfo"),
    checked(402, Dom, Writer, "virDomainSetIOThreadParams", &[DOMAIN, WORD, MANY_PARAMS, FLAGS]),
    api(411, DomainCheckpoint, Writer, "virDomainCheckpointCreateXML"),
    api(412, DomainCheckpoint, Anyone, "virDomainCheckpointGetXMLDesc"),
    api(413, DomainCheckpoint, Anyone, "virDomainListAllCheckpoints"),
    api(414, DomainCheckpoint, Anyone, "virDomainCheckpointListAllChildren"),
    api(415, DomainCheckpoint, Anyone, "virDomainCheckpointLookupByName"),
    api(416, DomainCheckpoint, Anyone, "virDomainCheckpointGetParent"),
    api(417, DomainCheckpoint, Writer, "virDomainCheckpointDelete"),
    api(418, Dom, Writer, "virDomainGetGuestInfo"),
    api(420, Dom, Writer, "virDomainAgentSetResponseTimeout"),
    api(421, Dom, Writer, "virDomainBackupBegin"),
    api(422, Dom, Anyone, "virDomainBackupGetXMLDesc"),
    api(424, Dom, Writer, "virDomainAuthorizedSSHKeysGet"),
    api(425, Dom, Writer, "virDomainAuthorizedSSHKeysSet"),
    api(426, Dom, Anyone, "virDomainGetMessages"),
    api(427, Dom, Writer, "virDomainStartDirtyRateCalc"),
    checked(439, Dom, WriterLast, "virDomainSetLaunchSecurityState", &[DOMAIN, MANY_PARAMS, FLAGS]),
    api(440, Dom, Writer, "virDomainSaveParams"),
    api(441, Dom, Writer, "virDomainRestoreParams"),
    api(442, Dom, Writer, "virDomainAbortJobFlags"),
    checked(443, Dom, Anyone, "virDomainFDAssociate", &[DOMAIN, TEXT, FLAGS]),
    api(448, Dom, Writer, "virDomainGraphicsReload"),
];

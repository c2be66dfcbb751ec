// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every cap of the program: one constant each, with the reason for its value.
//!
//! Lengths count bytes (`_LEN`), the others count items. What the wire protocol fixes is
//! libvirt's `virnetprotocol.x` and `remote_protocol.x`; those values must not be changed.

use std::time::Duration;

/// A message without its length word (`VIR_NET_MESSAGE_MAX`).
pub const MESSAGE_LEN_MAX: usize = 33_554_432;

/// The header behind the length word: six words (`VIR_NET_MESSAGE_HEADER_MAX`).
pub const HEADER_LEN: usize = 24;

/// The word that stands before each message and counts itself (`VIR_NET_MESSAGE_LEN_MAX`).
pub(crate) const LENGTH_WORD_LEN: usize = 4;

/// Any string on the wire (`REMOTE_STRING_MAX`).
pub const STRING_LEN_MAX: usize = 4_194_304;

/// File descriptors that may follow one message (`VIR_NET_MESSAGE_NUM_FDS_MAX`).
pub(crate) const MESSAGE_FD_COUNT_MAX: u32 = 32;

/// Names or interfaces in one answer (`REMOTE_INTERFACE_LIST_MAX`).
pub(crate) const INTERFACE_LIST_COUNT_MAX: usize = 16_384;

/// Parameters of one SET_IDENTITY (`REMOTE_CONNECT_IDENTITY_PARAMS_MAX`).
pub(crate) const IDENTITY_PARAM_COUNT_MAX: usize = 20;

/// Parameters of one thread pool or of one server's client limits
/// (`ADMIN_SERVER_THREADPOOL_PARAMETERS_MAX`, `ADMIN_SERVER_CLIENT_LIMITS_MAX`).
pub(crate) const SERVER_PARAM_COUNT_MAX: usize = 32;

/// Clients in one answer (`ADMIN_CLIENT_LIST_MAX`).
pub(crate) const CLIENT_LIST_COUNT_MAX: usize = 16_384;

/// A typed parameter's name, without the NUL that libvirt stores behind it
/// (`VIR_TYPED_PARAM_FIELD_LENGTH` less one).
pub(crate) const PARAM_FIELD_LEN_MAX: usize = 79;

/// A network device's name: the kernel's `IFNAMSIZ` less the NUL.
pub(crate) const IFNAME_LEN_MAX: usize = 15;

/// A link-layer address: the kernel's `MAX_ADDR_LEN`.
pub(crate) const LINK_ADDR_LEN_MAX: usize = 32;

/// A configuration file. libvirt refuses larger ones too.
pub(crate) const CONFIG_LEN_MAX: u64 = 10 * 1024 * 1024;

/// The buffer into which the loop reads from clients and from netlink: the kernel fills dump
/// messages up to 32 KiB, and twice that leaves room for one that is larger.
pub(crate) const READ_BUFFER_LEN: usize = 65_536;

/// A datagram of the kernel's that is read at all: what the kernel can make in one piece
/// (`KMALLOC_MAX_SIZE`). A link with as many alternative names as it may have takes 66 KiB; before
/// Linux 5.18 there was no bound.
pub(crate) const DATAGRAM_LEN_MAX: usize = 4 * 1024 * 1024;

/// Calls of one client handled in one turn of the loop, so that a client with a full pipeline
/// cannot keep the others waiting.
pub(crate) const CALLS_PER_TURN_MAX: usize = 16;

/// Netlink datagrams folded into the table in one turn of the loop. Calls wait until the queue is
/// empty, but signals and writes must not wait for a kernel that reports without pause.
pub(crate) const EVENTS_PER_TURN_MAX: usize = 4_096;

/// Connections accepted in one turn of the loop from one socket.
pub(crate) const ACCEPTS_PER_TURN_MAX: usize = 64;

/// Dumps begun anew, because the kernel called the last one interrupted, before the loop is given
/// a turn. Each takes milliseconds.
pub(crate) const RESYNCS_PER_TURN_MAX: usize = 8;

/// What an idle client's buffers may keep: enough for a common call or its reply, so that a busy
/// client does not ask for memory each time, and little enough for thousands of idle ones.
pub const SPARE_BUFFER_LEN: usize = 256;

/// Data of one SASL step (`REMOTE_AUTH_SASL_DATA_MAX`).
pub(crate) const SASL_DATA_LEN_MAX: usize = 65_536;

/// Bytes of whole messages that may wait unhandled for one client before it is not read any
/// further: one full read. A single larger message is still collected.
pub(crate) const CLIENT_BYTES_UNREAD_MAX: usize = READ_BUFFER_LEN;

/// Seconds between two pings to a client. libvirt counts them in milliseconds in an `int` and
/// takes a longer interval for none.
pub(crate) const KEEPALIVE_INTERVAL_MAX: u32 = 2_147_483;

/// The event socket's receive buffer in bytes: room for thousands of changes between two turns.
/// Only what waits takes memory.
pub(crate) const EVENT_BUFFER_LEN: u32 = 8 * 1024 * 1024;

/// Addresses that a bond's ARP monitor asks: the kernel's `BOND_MAX_ARP_TARGETS`.
pub(crate) const BOND_TARGET_COUNT_MAX: usize = 16;

/// Events that one poll can bring: enough that a turn's fixed costs are shared by many clients.
pub(crate) const EVENT_BATCH_COUNT: usize = 256;

/// libvirt.conf, which is read when a client opens by an alias or by nothing: an ordinary one has a
/// few hundred bytes.
pub(crate) const CLIENT_CONFIG_LEN_MAX: u64 = 64 * 1024;

/// A text that SET_IDENTITY leaves with the session, in bytes: names and labels are shorter by far,
/// and an idle client must not keep more.
pub(crate) const IDENTITY_STRING_LEN_MAX: usize = 1024;

/// The detail of an error, in bytes. It quotes what the client wrote, which may have megabytes.
pub const ERROR_DETAIL_LEN_MAX: usize = 4096;

/// Bytes that may wait to be written before a client's next call is looked at. One answer may be
/// larger.
pub(crate) const CLIENT_BYTES_UNWRITTEN_MAX: usize = 1024 * 1024;

/// A log line with its line feed: what a pipe takes whole or not at all (`PIPE_BUF`), so that no
/// line is torn, and none mixes with those of others. The journal and syslog take as much.
pub(crate) const LOG_LINE_LEN_MAX: usize = 4096;

/// Log lines that one user's clients may cause in [`LOG_SHARE_TIME`]: what an administrator who looks at
/// the levels info or debug can read, and some forty megabytes a day for a user who floods.
pub(crate) const LOG_LINES_PER_USER_MAX: u32 = 240;

/// How long a user's share of the log lasts.
pub(crate) const LOG_SHARE_TIME: Duration = Duration::from_secs(60);

/// Users whose lines are counted at a time. Lines of further ones are left out: only an attack has so
/// many users.
pub(crate) const LOG_USER_COUNT_MAX: usize = 64;

/// What a daemon that fails to start tells the process that started it, in bytes: a line about a
/// configuration file, with room for its path.
pub(crate) const START_REASON_LEN_MAX: usize = 4096;

/// Descriptors that a supervisor may pass in. Three are usual; more of one name are several
/// addresses of one socket.
pub(crate) const ACTIVATION_FD_COUNT_MAX: u32 = 64;

/// Descriptors that no client gets, for what the daemon opens itself: some twenty for its sockets,
/// locks and logs, one for each DHCP client of an earlier daemon, and those that a rollback needs at
/// its deadline for files, for the kernel and for programs.
pub(crate) const OWN_DESCRIPTOR_COUNT: u64 = 128;

/// Descriptors that only clients of the admin socket get, so that a crowd at the others does not lock
/// the administrator out.
pub(crate) const ADMIN_DESCRIPTOR_COUNT: u64 = 32;

/// Inherited descriptors are closed one by one up to this number where the kernel cannot close them
/// all at once: a shell opens numbers below ten, and the tenth part of a second closes so many.
pub(crate) const CLOSED_BY_NUMBER_MAX: i32 = 65_536;

/// Hook scripts that wait to be run. A host has a handful.
pub(crate) const HOOK_SCRIPT_COUNT_MAX: usize = 64;

/// How long one hook script may take: longer than anything takes that does not hang.
pub(crate) const HOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a stop may take, hooks and clients that do not read included: the manual promises init
/// systems that it is over within five seconds.
pub(crate) const STOP_TIME_MAX: Duration = Duration::from_secs(4);

/// How long a client that has the daemon stopped may take to close its connection: it needs
/// milliseconds, unless it hangs. The rest of [`STOP_TIME_MAX`] is for what it still has to be told.
pub(crate) const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);

/// /etc/machine-id: 32 digits and a line feed, or the longest way to write a UUID.
pub(crate) const MACHINE_ID_LEN_MAX: u64 = 256;

/// A definition in bytes: room for a bridge with all the ports that the kernel gives it (1,024), and
/// read within a few hundredths of a second, in which no other client is answered.
pub(crate) const XML_LEN_MAX: usize = 256 * 1024;

/// Elements of one definition: 1,024 ports of a bridge with link and address each, and as many
/// addresses.
pub(crate) const XML_ELEMENT_COUNT_MAX: usize = 8_192;

/// Elements within each other: a bond's member in a bridge needs six, and others may say more than
/// we read.
pub(crate) const XML_DEPTH_MAX: usize = 32;

/// Attributes of one element, and namespaces it can use. The schema has no element with more than
/// four.
pub(crate) const XML_ATTRIBUTE_COUNT_MAX: usize = 32;

/// What an error shows of a line that is not well-formed, in characters: two lines of a terminal.
pub(crate) const XML_EXCERPT_LEN_MAX: usize = 160;

/// Remarks about one definition that are logged: enough to mend it by, and no flood from a document
/// of another kind.
pub(crate) const XML_REMARK_COUNT_MAX: usize = 16;

/// An MTU in bytes: the bound of libvirt's own parser.
pub const MTU_MAX: u32 = 100_000;

/// A VLAN's tag: IEEE 802.1Q has twelve bits and reserves the last value, and the kernel takes the rest.
pub(crate) const VLAN_TAG_MAX: u16 = 4_094;

/// A definition's file, which is read as a whole: as long as what a client may send.
pub(crate) const DEFINITION_LEN_MAX: u64 = XML_LEN_MAX as u64;

/// Reads of news about the definitions' folder in one turn of the loop: several times what the
/// kernel queues (16,384 events, 128 a read). Past it the folder is read as a whole.
pub(crate) const FOLDER_NEWS_PER_TURN_MAX: usize = 1_024;

/// How long a change waits for the kernel to say of a link's operational state what its carrier
/// says: it tells such news once a second at the least (`linkwatch`).
pub(crate) const SETTLE_TIME_MAX: Duration = Duration::from_millis(1500);

/// How long the description of a link waits for its speed, before it is left out: the kernel takes a
/// microsecond, unless it is busy with changes of links. Nobody else waits.
pub(crate) const SPEED_TIME_MAX: Duration = Duration::from_secs(2);

/// How long the loop waits for the kernel's answer to a change before it sees to its clients meanwhile: an
/// answer takes a few hundredths of a millisecond, and between two steps of a change packets may be lost.
pub(crate) const KERNEL_WAIT_MAX: Duration = Duration::from_millis(1);

/// Steps of a change that are sent along with the one before: the kernel takes some hundredths of a
/// millisecond for each, and somebody who has a change undone waits until they are done.
pub(crate) const STEPS_AHEAD_MAX: usize = 32;

/// How long it waits so in one turn, for one answer after the other: a change of a few links takes less.
pub(crate) const KERNEL_WAITS_PER_TURN_MAX: Duration = Duration::from_millis(2);

/// Messages of the kernel that are made sense of in one turn of the loop: a millisecond's worth.
pub(crate) const MESSAGES_PER_TURN_MAX: usize = 500;

/// How long the process stays that asks the kernel, without anything to ask.
pub(crate) const MESSENGER_IDLE_TIME_MAX: Duration = Duration::from_secs(10);

/// Links that are out of the way and wait to be deleted, before further changes wait for that: the
/// kernel takes some forty milliseconds for each.
pub(crate) const DISCARDED_COUNT_MAX: usize = 16;

/// How long a change waits for a link that was deleted to be gone: that takes a few milliseconds,
/// unless the kernel is in trouble.
pub(crate) const LINK_GONE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the addresses of an interface are remembered that was taken down: long enough for `virsh
/// iface-unbridge`, which takes a bridge down and then brings its port up, and too short for a cable
/// to be plugged into another network.
pub const LEASE_REST_TIME_MAX: Duration = Duration::from_secs(5);

/// How many links are remembered that were taken down with their interfaces, each in a kilobyte or two.
pub(crate) const REMOVED_LINKS_MAX: usize = 256;

/// Those links in a file, in bytes: twice as many as they usually take.
pub const LINK_MEMORY_LEN_MAX: u64 = 1024 * 1024;

/// That file, with the numbers of the VLANs and bonds that were there before their bridges: some ten
/// thousand of them.
pub(crate) const LINK_MEMORY_FILE_LEN_MAX: u64 = LINK_MEMORY_LEN_MAX + 64 * 1024;

/// What is remembered of one link that was taken down, in bytes: some ten thousand addresses and
/// routes.
pub(crate) const SHELVED_LEN_MAX: u64 = 4 * 1024 * 1024;

/// DHCP clients of one link: one for each family.
pub const SHELVED_LEASE_COUNT_MAX: usize = 2;

/// Steps of changes that are carried out in one turn of the loop, while no client calls: more than a
/// bridge with a few ports takes.
pub(crate) const STEPS_PER_TURN_MAX: usize = 64;

/// What is written down about a DHCP client, and what the kernel says about a process: a few lines
/// each.
pub(crate) const DHCP_RECORD_LEN_MAX: u64 = 4096;

/// A file of another program that manages links: stanzas of a thousand interfaces take some hundred
/// kilobytes.
pub(crate) const MANAGER_FILE_LEN_MAX: u64 = 256 * 1024;

/// Files of other managers that are read for one change: an interface each for hosts with very many,
/// and a few milliseconds.
pub(crate) const MANAGER_FILE_COUNT_MAX: usize = 256;

/// Links of other managers that are told of in the log at once: more than most hosts have.
pub(crate) const HOLDS_TOLD_MAX: usize = 64;

/// Processes that are looked at to find other managers, which start early and so have low numbers:
/// some ten milliseconds, and only where one of them has left its files.
pub(crate) const PROCESS_COUNT_MAX: usize = 2_048;

/// A process's command line, and its environment, in bytes: DHCP clients have a few hundred of each.
pub(crate) const PROCESS_TEXT_LEN_MAX: u64 = 64 * 1024;

/// Arguments of one process, and variables of its environment: more than fit into their bytes.
pub(crate) const PROCESS_WORD_COUNT_MAX: usize = 32 * 1024;

/// dhclient's file of leases, which it writes anew from time to time: some hundred leases.
pub(crate) const DHCP_LEASES_LEN_MAX: u64 = 1024 * 1024;

/// The kernel's list of AppArmor profiles: a line each, and a desktop has two hundred.
pub(crate) const APPARMOR_PROFILES_LEN_MAX: u64 = 1024 * 1024;

/// The largest busybox that is searched for a DHCP client: four times what distributions build.
pub(crate) const BUSYBOX_LEN_MAX: u64 = 8 * 1024 * 1024;

/// The largest dhcpcd that is searched for its version: ten times what distributions build.
pub(crate) const DHCPCD_LEN_MAX: u64 = 4 * 1024 * 1024;

/// What a dhcpcd says of all its links: a few hundred bytes each, and more with long lists of options.
pub(crate) const DHCPCD_ANSWER_LEN_MAX: usize = 1024 * 1024;

/// How long a DHCP client may take to end when it is asked to. They need milliseconds, unless their
/// script hangs.
pub(crate) const DHCP_STOP_TIME_MAX: Duration = Duration::from_secs(3);

/// A snapshot's file: four thousand links take some three megabytes, and a thousand definitions of
/// the longest kind as many hundreds.
pub(crate) const SNAPSHOT_LEN_MAX: u64 = 512 * 1024 * 1024;

/// Definition files in a snapshot: more than a folder is kept with.
pub(crate) const DEFINITION_COUNT_MAX: usize = 1 << 20;

/// Sets of files that a rollback has put aside, before the oldest goes.
pub(crate) const ASIDE_COUNT_MAX: usize = 20;

/// How often a rollback compares what it has come to with what was, before it gives up: the kernel
/// may do something of its own accord in between, but not for ever.
pub(crate) const ROLLBACK_ROUNDS_MAX: u32 = 4;

/// The pause before another process stands by in the place of one that has ended: the first, doubled each
/// time, and the longest. A host that is short of memory kills the next one too.
pub(crate) const STANDBY_PAUSE_MIN: Duration = Duration::from_secs(1);
pub(crate) const STANDBY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The pause before the next try of a rollback that has failed: the first, doubled each time, and the
/// longest. A disk that is remounted is back within seconds; a line of the log each half minute shows
/// that the host needs help, and fills no disk.
pub(crate) const ROLLBACK_PAUSE_MIN: Duration = Duration::from_secs(1);
pub(crate) const ROLLBACK_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long the process that stands by for a change waits for the one before it to end: that one does
/// nothing but wait.
pub(crate) const STANDBY_TAKE_OVER_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a daemon that starts waits for such a process to roll a change back: longer than that takes
/// unless the host hangs.
pub(crate) const STANDBY_ROLLBACK_TIME_MAX: Duration = Duration::from_secs(20);

/// The sentence that tells how the last change ended, in bytes: it names files, and perhaps links.
pub(crate) const CHANGE_NOTE_LEN_MAX: u64 = 4096;

/// Addresses, routes or steps that a rollback compares in one turn of the loop: a millisecond's worth.
pub(crate) const COMPARED_PER_TURN_MAX: usize = 1_000;

/// Entries of a snapshot that are encoded in one turn of the loop, or kilobytes of it that are summed up or
/// written: a millisecond's worth.
pub(crate) const KEPT_PER_TURN_MAX: usize = 4_000;

/// Changes that wait for their turn. A call stays when its client goes, and who comes back may ask
/// again; with definitions of the longest kind so many take some hundred megabytes.
pub(crate) const CHANGES_WAITING_MAX: usize = 512;

/// The marker that names the interfaces of a boot that are not complete yet: a line each, for two
/// thousand of them.
pub(crate) const BOOT_MARKER_LEN_MAX: u64 = 64 * 1024;

/// The first and the longest pause before an interface is brought up again by itself that the kernel
/// has refused in part: a driver may need a moment, and what only an administrator can mend is not
/// worth more.
pub(crate) const BOOT_RETRY_TIME_MIN: Duration = Duration::from_secs(5);
pub(crate) const BOOT_RETRY_TIME_MAX: Duration = Duration::from_secs(300);

// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every limit of the program: one constant each, with the reason for its value.
//!
//! Names in `_LEN` count bytes, the others count items. Values fixed by the wire protocol come from
//! libvirt's `virnetprotocol.x` and `remote_protocol.x`, and must not be changed.

use std::time::Duration;

/// A message without its length word (`VIR_NET_MESSAGE_MAX`).
pub const MESSAGE_LEN_MAX: usize = 33_554_432;

/// The header that follows the length word: six words (`VIR_NET_MESSAGE_HEADER_MAX`).
pub const HEADER_LEN: usize = 24;

/// The word that precedes each message and counts itself (`VIR_NET_MESSAGE_LEN_MAX`).
pub(crate) const LENGTH_WORD_LEN: usize = 4;

/// Any string on the wire (`REMOTE_STRING_MAX`).
pub const STRING_LEN_MAX: usize = 4_194_304;

/// File descriptors that may follow one message (`VIR_NET_MESSAGE_NUM_FDS_MAX`).
pub(crate) const MESSAGE_FD_COUNT_MAX: u32 = 32;

/// Names or interfaces in one reply (`REMOTE_INTERFACE_LIST_MAX`).
pub(crate) const INTERFACE_LIST_COUNT_MAX: usize = 16_384;

/// Parameters of one SET_IDENTITY (`REMOTE_CONNECT_IDENTITY_PARAMS_MAX`).
pub(crate) const IDENTITY_PARAM_COUNT_MAX: usize = 20;

/// Parameters of one thread pool or of one server's client limits
/// (`ADMIN_SERVER_THREADPOOL_PARAMETERS_MAX`, `ADMIN_SERVER_CLIENT_LIMITS_MAX`).
pub(crate) const SERVER_PARAM_COUNT_MAX: usize = 32;

/// Clients in one reply (`ADMIN_CLIENT_LIST_MAX`).
pub(crate) const CLIENT_LIST_COUNT_MAX: usize = 16_384;

/// A typed parameter's name, without the NUL that libvirt stores after it
/// (`VIR_TYPED_PARAM_FIELD_LENGTH` less one).
pub(crate) const PARAM_FIELD_LEN_MAX: usize = 79;

/// A network device's name: the kernel's `IFNAMSIZ` less the NUL.
pub(crate) const IFNAME_LEN_MAX: usize = 15;

/// A link-layer address: the kernel's `MAX_ADDR_LEN`.
pub(crate) const LINK_ADDR_LEN_MAX: usize = 32;

/// A configuration file. libvirt refuses larger ones too.
pub(crate) const CONFIG_LEN_MAX: u64 = 10 * 1024 * 1024;

/// The buffer into which the loop reads from clients and from netlink. The kernel fills dump
/// messages up to 32 KiB; twice that leaves room for a single larger message.
pub(crate) const READ_BUFFER_LEN: usize = 65_536;

/// The longest netlink datagram that is read: the kernel's limit for one allocation
/// (`KMALLOC_MAX_SIZE`). A link with the maximum of alternative names takes 66 KiB; before Linux
/// 5.18 there was no maximum.
pub(crate) const DATAGRAM_LEN_MAX: usize = 4 * 1024 * 1024;

/// Calls of one client handled in one turn of the loop, so that a client with a full pipeline does
/// not delay the others.
pub(crate) const CALLS_PER_TURN_MAX: usize = 16;

/// Clients read and served in one turn of the loop: between two turns, clients of other users and
/// other sockets go first.
pub(crate) const CLIENTS_PER_TURN_MAX: usize = 32;

/// Of these, those that are left to the read-only socket when the other sockets could fill a turn.
pub(crate) const READERS_PER_TURN_MIN: usize = 4;

/// The time after which a turn serves no further client: many times that of a call.
pub(crate) const TURN_TIME_MAX: Duration = Duration::from_millis(2);

/// Polls in one turn, so that all clients with news are known when the next ones are chosen: as many
/// as [`EVENT_BATCH_COUNT`] needs for twice the default of `max_clients`.
pub(crate) const POLLS_PER_TURN_MAX: usize = 40;

/// Netlink datagrams applied to the table in one turn of the loop. Calls wait until the queue is
/// empty, but signals and writes must not wait for a kernel that reports events without pause.
pub(crate) const EVENTS_PER_TURN_MAX: usize = 4_096;

/// Connections accepted or refused in one turn of the loop: they take less time than the calls of a
/// turn.
pub(crate) const ACCEPTS_PER_TURN_MAX: usize = 32;

/// Dumps repeated, because the kernel reported an interrupted one, before the loop gets a turn.
/// Each takes milliseconds.
pub(crate) const RESYNCS_PER_TURN_MAX: usize = 8;

/// The buffer memory that an idle client may keep: enough for a common call or its reply, so that a
/// busy client does not allocate each time, and little enough for thousands of idle clients.
pub const SPARE_BUFFER_LEN: usize = 256;

/// Data of one SASL step (`REMOTE_AUTH_SASL_DATA_MAX`).
pub(crate) const SASL_DATA_LEN_MAX: usize = 65_536;

/// Bytes of whole unhandled messages of one client at which reading from it stops: one full read. A
/// single larger message is still read to its end.
pub(crate) const CLIENT_BYTES_UNREAD_MAX: usize = READ_BUFFER_LEN;

/// The longest message that is kept of a client that may not define interfaces, without its length
/// word: one read. Names, addresses, URIs and the parameters of an identity, as the handlers accept
/// them, take less than half of it.
pub const CALL_LEN_MAX: usize = READ_BUFFER_LEN;

/// The arguments of a definition: the longest string of the protocol, its length, and flags. Its
/// parser refuses it with libvirt's message if it is over [`XML_LEN_MAX`].
pub(crate) const DEFINE_LEN_MAX: usize = STRING_LEN_MAX + 8;

/// The arguments of an administrator's call: a text (a presence, a length, the longest string) and
/// flags, or [`SERVER_PARAM_COUNT_MAX`] parameters, which take less.
pub(crate) const ADMIN_CALL_LEN_MAX: usize = STRING_LEN_MAX + 12;

/// The longest interval between two pings to a client, in seconds. libvirt stores milliseconds in
/// an `int`, and treats a longer interval as none.
pub(crate) const KEEPALIVE_INTERVAL_MAX: u32 = 2_147_483;

/// The event socket's receive buffer in bytes: room for thousands of changes between two turns.
/// Memory is used only by queued events.
pub(crate) const EVENT_BUFFER_LEN: u32 = 8 * 1024 * 1024;

/// Targets of a bond's ARP monitor: the kernel's `BOND_MAX_ARP_TARGETS`.
pub(crate) const BOND_TARGET_COUNT_MAX: usize = 16;

/// Events returned by one poll: enough that many clients share a turn's fixed costs.
pub(crate) const EVENT_BATCH_COUNT: usize = 256;

/// libvirt.conf, which is read when a client opens with an alias or an empty URI. An ordinary one
/// has a few hundred bytes.
pub(crate) const CLIENT_CONFIG_LEN_MAX: u64 = 64 * 1024;

/// A text that SET_IDENTITY stores in the session, in bytes. Names and labels are far shorter, and
/// an idle client must not hold more memory.
pub(crate) const IDENTITY_STRING_LEN_MAX: usize = 1024;

/// The detail of an error, in bytes. It quotes the client's input, which may have megabytes.
pub const ERROR_DETAIL_LEN_MAX: usize = 4096;

/// Unwritten bytes at which no further call of a client is handled. One reply may be larger.
pub(crate) const CLIENT_BYTES_UNWRITTEN_MAX: usize = 1024 * 1024;

/// The memory that the buffers of all clients may hold, less [`CLIENT_BYTES_FREE`] for each. One
/// user alone may have half of it, and more users share it.
pub const CLIENT_BYTES_POOL: usize = 32 * 1024 * 1024;

/// The memory that each client's buffers may hold in any case: a few common calls or their replies.
pub const CLIENT_BYTES_FREE: usize = 1024;

/// The memory beyond its share that a user may take for replies to clients that read theirs: more
/// than most replies.
pub const CLIENT_BYTES_CREDIT: usize = 256 * 1024;

/// Memory of clients' buffers whose end has the allocator return it to the kernel, which takes some
/// milliseconds: more than usual clients ever hold at a time.
pub const FLOOD_BYTES_MIN: usize = 2 * 1024 * 1024;

/// Clients' places that are reserved for root and the daemon's own user, and as many for other users
/// of the read-write socket. Of few places, this part is reserved.
pub const RESERVED_CLIENT_COUNT_MAX: u32 = 32;
pub const RESERVED_CLIENT_DIVISOR: u32 = 16;

/// A log line with its line feed: the length that a pipe takes whole or not at all (`PIPE_BUF`), so
/// that lines are neither torn nor mixed with those of other programs. The journal and syslog
/// accept this length.
pub(crate) const LOG_LINE_LEN_MAX: usize = 4096;

/// Log lines that one user's clients may cause in [`LOG_SHARE_TIME`]: a rate that an administrator
/// can still read at level info or debug, and some forty megabytes a day from a user who floods the
/// log.
pub(crate) const LOG_LINES_PER_USER_MAX: u32 = 240;

/// The period of [`LOG_LINES_PER_USER_MAX`].
pub(crate) const LOG_SHARE_TIME: Duration = Duration::from_secs(60);

/// Users whose lines are counted at a time. Lines of further users are suppressed: only an attacker
/// has so many user IDs.
pub(crate) const LOG_USER_COUNT_MAX: usize = 64;

/// The error text that a daemon in the background sends to the process that started it, in bytes: a
/// line about a configuration file, with room for its path.
pub(crate) const START_REASON_LEN_MAX: usize = 4096;

/// Descriptors that a supervisor may pass in. Three are usual; several of one name are several
/// addresses of one socket.
pub(crate) const ACTIVATION_FD_COUNT_MAX: u32 = 64;

/// Descriptors reserved for the daemon itself: some twenty for its sockets, locks and logs, one for
/// each DHCP client of an earlier daemon, and those that a rollback at its deadline needs for
/// files, netlink sockets and programs.
pub(crate) const OWN_DESCRIPTOR_COUNT: u64 = 128;

/// Descriptors reserved for clients of the admin socket, so that many clients of the other sockets
/// do not lock the administrator out.
pub(crate) const ADMIN_DESCRIPTOR_COUNT: u64 = 32;

/// A message between the daemon and the process that executes programs: names and numbers. The longest
/// has the name of a script.
pub(crate) const EXECUTION_MESSAGE_LEN_MAX: usize = 512;

/// The longest name of a file (NAME_MAX).
pub(crate) const FILE_NAME_LEN_MAX: usize = 255;

/// The time that the daemon waits until a program is loaded: milliseconds, unless a disk hangs.
pub(crate) const EXECUTION_TIME_MAX: Duration = Duration::from_secs(5);

/// The highest inherited descriptor that is closed on a kernel without close_range(2). Shells open
/// numbers below ten; closing this many takes a tenth of a second.
pub(crate) const CLOSED_BY_NUMBER_MAX: i32 = 65_536;

/// Hook scripts that wait to be run. A host has a handful.
pub(crate) const HOOK_SCRIPT_COUNT_MAX: usize = 64;

/// The time limit of one hook script: longer than any script takes that does not hang.
pub(crate) const HOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// The time limit of a stop, including hooks and clients that do not read: the manual promises init
/// systems that the daemon stops within five seconds.
pub(crate) const STOP_TIME_MAX: Duration = Duration::from_secs(4);

/// The time that a client whose call stops the daemon may take to close its connection. A client
/// needs milliseconds, unless it hangs. The rest of [`STOP_TIME_MAX`] is for writing the remaining
/// replies.
pub(crate) const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);

/// /etc/machine-id: 32 digits and a line feed, or the longest notation of a UUID.
pub(crate) const MACHINE_ID_LEN_MAX: u64 = 256;

/// A definition in bytes: room for a bridge with the kernel's maximum of ports (1,024). Parsing it
/// takes a few hundredths of a second, in which other clients wait.
pub(crate) const XML_LEN_MAX: usize = 256 * 1024;

/// Elements of one definition: 1,024 ports of a bridge with link and address each, and as many
/// addresses.
pub(crate) const XML_ELEMENT_COUNT_MAX: usize = 8_192;

/// Nesting depth of elements. A bond's member in a bridge needs six levels, and other elements,
/// which are skipped, may need more.
pub(crate) const XML_DEPTH_MAX: usize = 32;

/// Attributes of one element, and namespaces in scope. The schema has no element with more than
/// four.
pub(crate) const XML_ATTRIBUTE_COUNT_MAX: usize = 32;

/// The excerpt of a malformed line in an error, in characters: two lines of a terminal.
pub(crate) const XML_EXCERPT_LEN_MAX: usize = 160;

/// Remarks about one definition that are logged: enough to correct it by, without flooding the log
/// for a document of another kind.
pub(crate) const XML_REMARK_COUNT_MAX: usize = 16;

/// An MTU in bytes: the maximum of libvirt's own parser.
pub const MTU_MAX: u32 = 100_000;

/// A VLAN tag: IEEE 802.1Q has twelve bits and reserves the last value; the kernel accepts the
/// others.
pub(crate) const VLAN_TAG_MAX: u16 = 4_094;

/// Stanzas of `/etc/network/interfaces` that inherit from each other: more than a file needs that
/// people can follow, and an end for those that inherit from themselves.
pub(crate) const INHERITANCE_DEPTH_MAX: usize = 8;

/// A definition's file, which is read as a whole: as long as a client's definition may be.
pub(crate) const DEFINITION_LEN_MAX: u64 = XML_LEN_MAX as u64;

/// Folders that contain definition files, each of which has an inotify watch and is looked at before
/// each call: several times those of any host.
pub(crate) const DEFINITION_FOLDER_COUNT_MAX: usize = 256;

/// Paths and patterns that definition files may name: a few on any host. Files could name each other
/// without an end, by ever longer paths.
pub(crate) const DEFINITION_SOURCE_COUNT_MAX: usize = 1_024;

/// The time that the host's own program may take to read the configuration: a thousand times the
/// usual. The change fails afterwards.
pub(crate) const FILE_CHECK_TIME_MAX: Duration = Duration::from_secs(5);

/// The file of a program in which texts are sought: several times BusyBox with everything.
pub(crate) const PROGRAM_LEN_MAX: u64 = 16 * 1024 * 1024;

/// Such a text: the longest ones that are sought are format strings of one line.
pub(crate) const PROGRAM_TEXT_LEN_MAX: usize = 256;

/// The output of that program that is read: some lines, the first of which is quoted.
pub(crate) const FILE_CHECK_OUTPUT_LEN_MAX: u64 = 4_096;

/// A path, including its final NUL: the kernel's `PATH_MAX`.
pub(crate) const PATH_LEN_MAX: usize = 4_096;

/// Reads of inotify events of the definitions' folder in one turn of the loop: several times the
/// kernel's queue (16,384 events, 128 a read). After that the folder is read as a whole.
pub(crate) const FOLDER_NEWS_PER_TURN_MAX: usize = 1_024;

/// The time that a change waits until the kernel has announced the operational state that matches a
/// link's carrier. The kernel delays such announcements by up to a second (`linkwatch`).
pub(crate) const SETTLE_TIME_MAX: Duration = Duration::from_millis(1500);

/// The time that the description of a link waits for its speed before it omits it. The kernel takes
/// a microsecond, unless it is busy with changes of links. Other calls do not wait.
pub(crate) const SPEED_TIME_MAX: Duration = Duration::from_secs(2);

/// The time that the loop waits for the kernel's answer to a change before it serves clients. An
/// answer takes a few hundredths of a millisecond, and packets may be lost between two steps of a
/// change.
pub(crate) const KERNEL_WAIT_MAX: Duration = Duration::from_millis(1);

/// Steps of a change that are sent to the kernel before the previous one is answered. The kernel
/// takes some hundredths of a millisecond for each, and a client that requests a rollback waits for
/// all of them.
pub(crate) const STEPS_AHEAD_MAX: usize = 32;

/// The total of these waits in one turn, over consecutive answers. A change of a few links takes
/// less.
pub(crate) const KERNEL_WAITS_PER_TURN_MAX: Duration = Duration::from_millis(2);

/// Netlink messages that are decoded in one turn of the loop: they take a millisecond.
pub(crate) const MESSAGES_PER_TURN_MAX: usize = 500;

/// The time after which the process that asks the kernel lets other processes run. A dump of many
/// routes takes a tenth of a second, and a kernel without preemption moves a client that waits for
/// the same processor only at a tick of its clock, after up to ten milliseconds.
pub(crate) const MESSENGER_RUN_TIME_MAX: Duration = Duration::from_millis(1);

/// The time that the process that asks the kernel stays without a request.
pub(crate) const MESSENGER_IDLE_TIME_MAX: Duration = Duration::from_secs(10);

/// Links renamed and waiting to be deleted, above which further changes wait for the deletions. The
/// kernel takes some forty milliseconds for each.
pub(crate) const DISCARDED_COUNT_MAX: usize = 16;

/// The time that a change waits for a deleted link to disappear. It takes a few milliseconds,
/// unless the kernel is in trouble.
pub(crate) const LINK_GONE_TIME_MAX: Duration = Duration::from_secs(10);

/// The time that the addresses of an interface are remembered after it was destroyed: long enough
/// for `virsh iface-unbridge`, which destroys a bridge and then starts its port, and too short for
/// a cable to be moved to another network.
pub const LEASE_REST_TIME_MAX: Duration = Duration::from_secs(5);

/// The number of links remembered after their interfaces were destroyed; each takes one or two
/// kilobytes.
pub(crate) const REMOVED_LINKS_MAX: usize = 256;

/// The encoded size of those links in bytes: twice the usual size.
pub const LINK_MEMORY_LEN_MAX: u64 = 1024 * 1024;

/// The file with those links, and with the indexes of VLANs and bonds that existed before their
/// bridges: some ten thousand of them.
pub(crate) const LINK_MEMORY_FILE_LEN_MAX: u64 = LINK_MEMORY_LEN_MAX + 64 * 1024;

/// The remembered configuration of one link that was taken down, in bytes: some ten thousand
/// addresses and routes.
pub(crate) const SHELVED_LEN_MAX: u64 = 4 * 1024 * 1024;

/// DHCP clients of one link: one for each family.
pub const SHELVED_LEASE_COUNT_MAX: usize = 2;

/// Steps of changes performed in one turn of the loop while no client calls: more than a bridge
/// with a few ports needs.
pub(crate) const STEPS_PER_TURN_MAX: usize = 64;

/// The time after which a turn of the loop begins no further step of a change: clients that have
/// called meanwhile are read before it.
pub(crate) const STEPS_TIME_PER_TURN_MAX: Duration = Duration::from_millis(1);

/// The record of a DHCP client, and the kernel's status of a process: a few lines each.
pub(crate) const DHCP_RECORD_LEN_MAX: u64 = 4096;

/// A configuration file of another program that manages links: stanzas of a thousand interfaces
/// take some hundred kilobytes.
pub(crate) const MANAGER_FILE_LEN_MAX: u64 = 256 * 1024;

/// Files of other managers that are read for one change: enough for hosts with very many interfaces
/// and one file each, in a few milliseconds.
pub(crate) const MANAGER_FILE_COUNT_MAX: usize = 256;

/// Links of other managers that are listed in the log at once: more than most hosts have.
pub(crate) const HOLDS_TOLD_MAX: usize = 64;

/// Processes that are examined to find other managers, which start early and so have low pids. It
/// takes some ten milliseconds, and only where a manager has left its files.
pub(crate) const PROCESS_COUNT_MAX: usize = 2_048;

/// A process's command line, and its environment, in bytes: those of DHCP clients have a few
/// hundred each.
pub(crate) const PROCESS_TEXT_LEN_MAX: u64 = 64 * 1024;

/// Arguments of one process, and variables of its environment: more than fit in
/// [`PROCESS_TEXT_LEN_MAX`].
pub(crate) const PROCESS_WORD_COUNT_MAX: usize = 32 * 1024;

/// dhclient's lease file, which dhclient rewrites from time to time: some hundred leases.
pub(crate) const DHCP_LEASES_LEN_MAX: u64 = 1024 * 1024;

/// The kernel's list of AppArmor profiles, one per line. A desktop has two hundred.
pub(crate) const APPARMOR_PROFILES_LEN_MAX: u64 = 1024 * 1024;

/// The largest busybox that is searched for a DHCP client: four times the size in distributions.
pub(crate) const BUSYBOX_LEN_MAX: u64 = 8 * 1024 * 1024;

/// The largest dhcpcd that is searched for its version: ten times the size in distributions.
pub(crate) const DHCPCD_LEN_MAX: u64 = 4 * 1024 * 1024;

/// The answer of a dhcpcd about all its links: a few hundred bytes each, and more with long lists
/// of options.
pub(crate) const DHCPCD_ANSWER_LEN_MAX: usize = 1024 * 1024;

/// The time that a DHCP client may take to end when asked to. It needs milliseconds, unless its
/// script hangs.
pub(crate) const DHCP_STOP_TIME_MAX: Duration = Duration::from_secs(3);

/// A snapshot's file: four thousand links take some three megabytes, and a thousand definitions of
/// maximum length hundreds of megabytes.
pub(crate) const SNAPSHOT_LEN_MAX: u64 = 512 * 1024 * 1024;

/// Definition files in a snapshot: more than a folder usually holds.
pub(crate) const DEFINITION_COUNT_MAX: usize = 1 << 20;

/// Sets of files set aside by rollbacks, above which the oldest is removed.
pub(crate) const ASIDE_COUNT_MAX: usize = 20;

/// The comparisons of the host with the snapshot after which a rollback gives up. The kernel may
/// change something by itself in between, but not for ever.
pub(crate) const ROLLBACK_ROUNDS_MAX: u32 = 4;

/// The pause before a standby process that has ended is replaced: the first, which doubles each
/// time, and the longest. On a host that is short of memory the next one would be killed too.
pub(crate) const STANDBY_PAUSE_MIN: Duration = Duration::from_secs(1);
pub(crate) const STANDBY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The pause before a failed rollback is tried again: the first, which doubles each time, and the
/// longest. A disk that is remounted is back within seconds; a log line each half minute shows that
/// the host needs attention, and does not fill the disk.
pub(crate) const ROLLBACK_PAUSE_MIN: Duration = Duration::from_secs(1);
pub(crate) const ROLLBACK_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The time that a standby process waits for its predecessor to end, which only waits itself.
pub(crate) const STANDBY_TAKE_OVER_TIME_MAX: Duration = Duration::from_secs(2);

/// The time that a starting daemon waits for a standby process to finish a rollback: longer than a
/// rollback takes, unless the host hangs.
pub(crate) const STANDBY_ROLLBACK_TIME_MAX: Duration = Duration::from_secs(20);

/// The sentence that states how the last transaction ended, in bytes: it names files, and perhaps
/// links.
pub(crate) const TRANSACTION_NOTE_LEN_MAX: u64 = 4096;

/// Addresses, routes or steps that a rollback compares in one turn of the loop: they take a
/// millisecond.
pub(crate) const COMPARED_PER_TURN_MAX: usize = 1_000;

/// Processes whose names are read in one turn of the loop, in a search for DHCP clients: they take
/// half a millisecond, and one millisecond the first time.
pub(crate) const PROCESSES_SEARCHED_PER_TURN_MAX: usize = 40;

/// Entries of a snapshot that are encoded, or kilobytes of it that are checksummed, written or
/// freed, in one turn of the loop: they take half a millisecond.
pub(crate) const KEPT_PER_TURN_MAX: usize = 1_500;

/// Entries of finished records and plans that are freed in one turn of the loop: they take a fifth
/// of a millisecond.
pub(crate) const FREED_PER_TURN_MAX: usize = 4_000;

/// Changes that wait for their turn. A call stays queued when its client disconnects, and the
/// client may reconnect and call again.
pub const CHANGES_WAITING_MAX: usize = 512;

/// The arguments of these changes, in bytes: some sixty definitions of maximum length.
pub const CHANGES_WAITING_LEN_MAX: usize = 16 * 1024 * 1024;

/// The marker file that lists the interfaces of the boot that are not complete: one line each, for
/// two thousand of them.
pub(crate) const BOOT_MARKER_LEN_MAX: u64 = 64 * 1024;

/// The first and the longest pause before an interface is started again after the kernel refused a
/// part of it. A driver may need a moment; a fault that only an administrator can correct does not
/// justify frequent tries.
pub(crate) const BOOT_RETRY_TIME_MIN: Duration = Duration::from_secs(5);
pub(crate) const BOOT_RETRY_TIME_MAX: Duration = Duration::from_secs(300);

/// The longest `--timeout`, in seconds: libvirt counts milliseconds in an `int`.
pub(crate) const TIMEOUT_SECS_MAX: u32 = 2_147_483;

/// The id of a boot (`/proc/sys/kernel/random/boot_id`): a UUID of 36 characters and a line feed.
pub(crate) const BOOT_ID_LEN_MAX: usize = 64;

/// The name of a link in a file of the daemon (`IFNAMSIZ`).
pub(crate) const LINK_NAME_LEN_MAX: usize = 16;

/// Links, and whatever else a file of the daemon lists: more than the kernel has numbers for names.
pub(crate) const KEPT_COUNT_MAX: usize = 1 << 20;

/// Texts of the daemon in a snapshot: a moment, the id of a boot.
pub(crate) const KEPT_TEXT_LEN_MAX: usize = 256;

/// Links that the command line of one DHCP client may name.
pub(crate) const CLIENT_LINK_COUNT_MAX: usize = 1024;

/// The name of the program that supervises a DHCP client.
pub(crate) const KEEPER_LEN_MAX: usize = 64;

/// The answer of a DHCP client to a question. dhcpcd is slow while its hooks run.
pub(crate) const DHCP_ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// Searches for DHCP clients. A client that has just ended remains visible until it is reaped.
pub(crate) const CLIENT_SEARCHES_MAX: usize = 2;

/// The time that a manager of all links may take to release or take a link, since its hooks may
/// run.
pub(crate) const MANAGER_ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// The time that a started DHCP client may take to clear its link.
pub(crate) const CLEARING_TIME_MAX: Duration = Duration::from_secs(3);

/// The time that the script of such a client may take to end after that.
pub(crate) const SCRIPT_TIME_MAX: Duration = Duration::from_secs(1);

/// The longest pause before a DHCP client that has died is restarted. After a client has run for
/// longer than that, the pause is the first again.
pub(crate) const CLIENT_PAUSE_MAX: Duration = Duration::from_secs(60);

/// A value below /sys/class/net: a bond has at most sixteen targets, and all other values are
/// shorter.
pub(crate) const SYS_VALUE_LEN_MAX: u64 = 1024;

/// The name of a process (`/proc/PID/comm`): the kernel cuts it at fifteen characters.
pub(crate) const PROCESS_NAME_LEN_MAX: u64 = 64;

/// A sysctl: one number.
pub(crate) const SYSCTL_LEN_MAX: usize = 64;

/// Links on top of each other; the kernel allows fewer (`MAX_NEST_DEV`).
pub(crate) const LINK_DEPTH_MAX: usize = 16;

// SPDX-License-Identifier: LGPL-2.1-or-later
//! DHCP: each of the three clients gets a lease from a real server (dnsmasq), through the daemon's
//! own module.
//!
//! The server, its end of the cable and the pinging host are in a network namespace of their own.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use virtinterfaced::config::choice::DhcpClient;
use virtinterfaced::io::dhcp::{Choice, DhcpClients, DhcpCommands, DhcpError, script};
use virtinterfaced::io::executor::Executor;
use virtinterfaced::io::file_check::CheckCommands;
use virtinterfaced::io::hooks::HookFolder;
use virtinterfaced::io::programs::Programs;
use virtinterfaced::io::standby::StandbySpec;
use virtinterfaced::model::address::{Family, IpPrefix};
use virtinterfaced::model::lease::{Lease, NameServers};
use virtinterfaced::model::name::IfName;

use crate::support::command::{command, ip, ip_batch, run, run_with_input};
use crate::support::namespace::{DIR, in_namespace, is_installed};
use crate::support::{PATIENCE, eventually};

const CLIENTS: [DhcpClient; 3] = [DhcpClient::Udhcpc, DhcpClient::Dhcpcd, DhcpClient::Dhclient];

/// The link's MAC address. The lease belongs to it, whichever link has it.
const MAC: &str = "02:00:00:00:00:05";

/// A cable with a DHCP server at its far end.
#[derive(Debug)]
pub(crate) struct Scene {
    server: Option<Child>,
    /// The process that holds the server's namespace.
    holder: Child,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::of("eth0")
    }

    /// The same, with this link at the near end.
    pub(crate) fn of(nic: &str) -> Self {
        let mut holder = command("unshare");
        let holder = holder.args(["-n", "sleep", "1000"]).spawn().unwrap();
        let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
        let path = format!("/proc/{}/ns/net", holder.id());
        eventually("a namespace for the server", || {
            fs::read_link(&path).is_ok_and(|namespace| namespace != own)
        });
        let scene = Self { server: None, holder };
        let pid = scene.holder.id();
        ip_batch(&format!(
            "link add {nic} address {MAC} type veth peer name far0 netns {pid}\nlink set {nic} up\n"
        ));
        for line in [
            "link set lo up",
            "address add 192.0.2.1/24 dev far0",
            "address add 2001:db8::1/64 dev far0 nodad",
            "link set far0 up",
        ] {
            run(scene.far("ip").args(line.split(' '))).ok();
        }
        scene
    }

    /// A command that runs at the far end.
    pub(crate) fn far(&self, program: &str) -> Command {
        let mut there = command("nsenter");
        there.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg(program);
        there
    }

    /// Starts the server.
    pub(crate) fn serve(&mut self) {
        self.serve_with(
            ("192.0.2.100", "192.0.2.120"),
            &[
                "--dhcp-option=3,192.0.2.1",
                "--dhcp-option=6,192.0.2.53",
                "--dhcp-option=15,example.org",
                "--dhcp-option=option6:dns-server,[2001:db8::53]",
                "--dhcp-option=121,10.9.0.0/16,192.0.2.9,0.0.0.0/0,192.0.2.1",
            ],
        );
    }

    /// Starts the server with this range of addresses and these options.
    pub(crate) fn serve_with(&mut self, (first, last): (&str, &str), options: &[&str]) {
        let mut server = self.far("dnsmasq");
        server.args(["--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--no-ping"]);
        server.args(["--interface=far0", "--bind-interfaces", "--user=root", "--pid-file="]);
        server.args(["--dhcp-authoritative", "--leasefile-ro", "--log-dhcp"]);
        server.arg(format!("--dhcp-range={first},{last},255.255.255.0,3600"));
        server.arg("--dhcp-range=2001:db8::100,2001:db8::1ff,64,3600");
        server.args(options);
        server.arg(format!("--log-facility={DIR}/dnsmasq.log"));
        server.stderr(Stdio::null());
        self.server = Some(server.spawn().unwrap());
    }

    /// Ends the server.
    pub(crate) fn end_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Starts a server that advertises a prefix, and itself as the router.
    pub(crate) fn advertise(&mut self) {
        let options = ["--enable-ra", "--dhcp-range=2001:db8:7::,ra-only"];
        let address = "address add 2001:db8:7::1/64 dev far0 nodad";
        run(self.far("ip").args(address.split(' '))).ok();
        self.serve_with(("192.0.2.100", "192.0.2.120"), &options);
    }

    /// Whether a host at the far end answers.
    pub(crate) fn reaches(&self, address: &str) -> bool {
        let ping = ["ping", "-c", "1", "-W", "2", address];
        let output = command("busybox").args(ping).output();
        output.is_ok_and(|output| output.status.success())
    }

    /// The process that holds the network namespace of the far end.
    pub(crate) fn server_pid(&self) -> u32 {
        self.holder.id()
    }

    /// The server's log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(format!("{DIR}/dnsmasq.log")).unwrap_or_default()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{}\n{}\n{}", self.log(), ip("address"), ip("-4 route"));
        }
        for child in self.server.iter_mut().chain([&mut self.holder]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The daemon's part: its module for clients, and the calls that a loop would make to it.
pub(crate) struct Clients {
    clients: RefCell<DhcpClients>,
}

impl Clients {
    pub(crate) fn open(client: DhcpClient) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_virtinterfaced"));
        let choice = Choice::new(client, None);
        let dir = Path::new(DIR);
        let programs = Programs {
            hooks: HookFolder { dir: PathBuf::new(), environment: Vec::new() },
            dhcp: DhcpCommands::new(dir, None),
            standby: StandbySpec { program: program.clone(), options: Vec::new() },
            checks: CheckCommands::new(dir),
        };
        let executor = Executor::within(programs.spawn());
        let clients = DhcpClients::open(dir, program, choice, executor, Instant::now());
        Self { clients: RefCell::new(clients) }
    }

    pub(crate) fn start(&self, lease: &Lease) {
        self.clients.borrow_mut().start(lease, Instant::now()).unwrap();
    }

    fn stop(&self, lease: &Lease) {
        self.clients.borrow_mut().stop(lease.link, lease.family, Instant::now());
    }

    fn is_running(&self, lease: &Lease) -> bool {
        self.clients.borrow().is_running(lease.link, lease.family)
    }

    /// The loop's calls: on SIGCHLD, and when a timer is due.
    fn turn(&self) {
        let now = Instant::now();
        let mut clients = self.clients.borrow_mut();
        clients.handle_child(now);
        if clients.deadline().is_some_and(|deadline| deadline <= now) {
            clients.handle_timeout(now);
        }
    }

    pub(crate) fn until(&self, what: &str, mut fact: impl FnMut() -> bool) {
        eventually(what, || {
            self.turn();
            fact()
        });
    }

    /// Stops a client and waits until all its processes have ended.
    pub(crate) fn end(&self, lease: &Lease) {
        self.stop(lease);
        self.until("the client ends", || !self.is_running(lease));
        // Killed helper processes take a moment to end.
        eventually("nothing lives on", || processes(lease.link.as_str()).is_empty());
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        // A failing test leaves no client behind.
        let leases: Vec<Lease> = self.clients.borrow().running().copied().collect();
        for lease in &leases {
            self.stop(lease);
        }
        let deadline = Instant::now() + PATIENCE;
        while leases.iter().any(|lease| self.is_running(lease)) && Instant::now() < deadline {
            self.turn();
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A process that sends a ping every 5 ms, for three seconds.
struct Ping(Child);

impl Ping {
    const COUNT: usize = 600;

    /// Returns after the first answer.
    fn start(scene: &Scene, address: IpPrefix) -> Self {
        let address = address.address().to_string();
        run(scene.far("busybox").args(["ping", "-c", "1", "-w", "10", &address])).ok();
        let mut ping = scene.far("busybox");
        ping.args(["ping", "-q", "-i", "0.005", "-W", "1", "-c", &Self::COUNT.to_string()]);
        Self(ping.arg(&address).stdout(Stdio::piped()).spawn().unwrap())
    }

    #[track_caller]
    fn lost_nothing(self) {
        let output = self.0.wait_with_output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let count = Self::COUNT;
        let want = format!("{count} packets transmitted, {count} packets received");
        assert!(output.contains(&want), "{output}");
    }
}

pub(crate) fn lease(link: &str) -> Lease {
    let link = IfName::new(link).unwrap();
    Lease { link, family: Family::Ipv4, name_servers: NameServers::Taken, wanted: None, like: None }
}

/// The addresses of a link, except those that no server gave it.
pub(crate) fn addresses(link: &str, family: Family) -> Vec<String> {
    let family = match family {
        Family::Ipv4 => "-4",
        Family::Ipv6 => "-6",
    };
    let text = ip(&format!("{family} -o address show dev {link} scope global"));
    let address = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
    text.lines().filter_map(address).collect()
}

/// Waits for the one IPv4 address that a link gets.
pub(crate) fn bound(clients: &Clients, link: &str) -> IpPrefix {
    let mut found = Vec::new();
    clients.until("an address", || {
        found = addresses(link, Family::Ipv4);
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{found:?}");
    let (address, len) = found[0].split_once('/').unwrap();
    assert_eq!(len, "24", "{found:?}");
    IpPrefix::new(address.parse().unwrap(), 24).unwrap()
}

/// The processes in our network namespace whose command lines contain this word.
pub(crate) fn processes(word: &str) -> String {
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let mut lines = String::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let is_near = fs::read_link(entry.path().join("ns/net")).is_ok_and(|net| net == own);
        if is_near && line.split(' ').any(|part| part == word) {
            lines.push_str(&format!("{}: {line}\n", entry.path().display()));
        }
    }
    lines
}

/// The process number in the record of a lease's client.
fn pid(lease: &Lease) -> u32 {
    let path = format!("{DIR}/dhcp/{}.ipv4.pid", lease.link);
    fs::read_to_string(path).unwrap().lines().next().unwrap().parse().unwrap()
}

/// Checks that a client has the right to configure links and to send and receive any packet, and that
/// dhcpcd can run parts of itself as another user: no more.
fn assert_privileges(client: DhcpClient, pid: u32) {
    let want = match client {
        DhcpClient::Dhcpcd => "00000000000434e0",
        DhcpClient::Auto | DhcpClient::Udhcpc | DhcpClient::Dhclient => "0000000000003400",
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("\nCapBnd:\t{want}\n")), "{status}");
}

/// Runs a test for each client that is installed, each in namespaces of its own.
pub(crate) fn with_each_client(test: impl Fn(DhcpClient) + Copy + Send + 'static) {
    for (client, program) in CLIENTS.into_iter().zip(["udhcpc", "dhcpcd", "dhclient"]) {
        if is_installed(&format!("/usr/sbin/{program}")) && is_installed("/usr/sbin/dnsmasq") {
            in_namespace(move || {
                println!("{program}");
                test(client);
            });
        }
    }
}

#[test]
fn a_lease_is_bound_and_a_stop_keeps_it() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        let clients = Clients::open(client);
        let eth0 = lease("eth0");
        scene.serve();
        let started = Instant::now();
        clients.start(&eth0);
        let spawned = started.elapsed();
        let address = bound(&clients, "eth0");
        assert_privileges(client, pid(&eth0));
        println!("{client:?}: started in {spawned:?}, bound after {:?}", started.elapsed());
        clients.until("a default route", || ip("-4 route show default").contains("192.0.2.1"));
        clients.until("a route without class", || ip("-4 route").contains("10.9.0.0/16"));
        clients.until("a name server", || {
            fs::read_to_string("/etc/resolv.conf").unwrap().contains("nameserver 192.0.2.53")
        });
        assert!(ip("-4 address show dev eth0").contains("dynamic"), "a lifetime");

        let before = (ip("-4 -o route"), fs::read_to_string("/etc/resolv.conf").unwrap());
        let started = Instant::now();
        clients.end(&eth0);
        println!("{client:?}: ended after {:?}", started.elapsed());
        assert_eq!(addresses("eth0", Family::Ipv4), [address.to_string()]);
        assert_eq!((ip("-4 -o route"), fs::read_to_string("/etc/resolv.conf").unwrap()), before);
        assert!(!scene.log().contains("DHCPRELEASE"), "{}", scene.log());
        assert!(!Path::new(&format!("{DIR}/dhcp/eth0.ipv4.pid")).exists());
        clients.turn();
        assert!(!clients.is_running(&eth0), "what was stopped stays so");
    });
}

#[test]
fn name_servers_that_are_not_wanted_stay_out() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        let clients = Clients::open(client);
        let eth0 = Lease { name_servers: NameServers::Left, ..lease("eth0") };
        scene.serve();
        clients.start(&eth0);
        bound(&clients, "eth0");
        // The default route is set last, so name servers would be set by now; the lease asks for
        // none.
        clients.until("a default route", || ip("-4 route show default").contains("192.0.2.1"));
        clients.end(&eth0);
        let names = fs::read_to_string("/etc/resolv.conf").unwrap();
        assert_eq!(names, "nameserver 203.0.113.1\n");
    });
}

#[test]
fn a_lease_moves_to_a_bridge_without_a_lost_answer() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        let clients = Clients::open(client);
        let (eth0, br0) = (lease("eth0"), lease("br0"));
        scene.serve();
        clients.start(&eth0);
        let address = bound(&clients, "eth0");
        clients.until("a default route", || ip("-4 route show default").contains("192.0.2.1"));

        let ping = Ping::start(&scene, address);
        clients.end(&eth0);
        ping.lost_nothing();

        // The requests that a plan sends in one burst.
        ip_batch(&format!(
            "link add br0 address {MAC} type bridge forward_delay 0\nlink set br0 up\n\
             address add {address} broadcast + dev br0 valid_lft 900 preferred_lft 900\n\
             link set eth0 master br0\naddress del {address} dev eth0\n\
             route flush dev eth0\nroute add default via 192.0.2.1 dev br0\n"
        ));
        let before = scene.log().matches("DHCPACK").count();
        let ping = Ping::start(&scene, address);
        let started = Instant::now();
        clients.start(&Lease { wanted: Some(address), ..br0 });
        clients
            .until("the lease for the bridge", || scene.log().matches("DHCPACK").count() > before);
        println!("{client:?}: acknowledged after {:?}", started.elapsed());
        ping.lost_nothing();
        clients.turn();
        assert_eq!(addresses("br0", Family::Ipv4), [address.to_string()]);
        assert_eq!(addresses("eth0", Family::Ipv4), [""; 0]);
        let text = ip("-4 address show dev br0");
        let lifetime = text.split("valid_lft ").nth(1).unwrap().split("sec").next().unwrap();
        assert!(lifetime.parse::<u32>().unwrap() > 900, "the lease's own lifetime: {text}");
        let routes = ip("-4 route");
        assert!(routes.contains("default via 192.0.2.1 dev br0"), "{routes}");
        assert!(!routes.contains("dev eth0"), "{routes}");
        clients.end(&br0);
        assert_eq!(addresses("br0", Family::Ipv4), [address.to_string()]);
        assert!(!scene.log().contains("DHCPRELEASE"), "{}", scene.log());
    });
}

#[test]
fn a_client_without_a_server_waits_for_one() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        let clients = Clients::open(client);
        let eth0 = lease("eth0");
        clients.start(&eth0);
        let number = pid(&eth0);
        let deadline = Instant::now() + Duration::from_secs(2);
        clients.until("two seconds", || Instant::now() >= deadline);
        assert_eq!(addresses("eth0", Family::Ipv4), [""; 0]);
        assert!(clients.is_running(&eth0));
        scene.serve();
        bound(&clients, "eth0");
        assert_eq!(pid(&eth0), number, "it is the same process");
        clients.end(&eth0);
    });
}

#[test]
fn a_client_that_is_killed_comes_back_and_keeps_the_address() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        let clients = Clients::open(client);
        let eth0 = lease("eth0");
        scene.serve();
        clients.start(&eth0);
        let address = bound(&clients, "eth0");
        let number = pid(&eth0);
        let before = scene.log().matches("DHCPACK").count();
        kill(number);
        clients.until("another client", || {
            let record = format!("{DIR}/dhcp/eth0.ipv4.pid");
            assert_eq!(addresses("eth0", Family::Ipv4), [address.to_string()]);
            Path::new(&record).exists() && pid(&eth0) != number
        });
        clients.until("the lease again", || scene.log().matches("DHCPACK").count() > before);
        assert_eq!(addresses("eth0", Family::Ipv4), [address.to_string()]);
        clients.end(&eth0);
    });
}

#[test]
fn the_next_daemon_adopts_a_client_and_ends_it() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        let clients = Clients::open(client);
        let eth0 = Lease { name_servers: NameServers::Left, ..lease("eth0") };
        scene.serve();
        clients.start(&eth0);
        let address = bound(&clients, "eth0");
        let number = pid(&eth0);
        // The first daemon ends. Its process is still a child of this test, but the next one must
        // treat it as not being its child.
        drop(clients);
        let clients = Clients::open(client);
        assert!(clients.is_running(&eth0));
        let adopted: Vec<Lease> = clients.clients.borrow().running().copied().collect();
        assert_eq!(adopted, [eth0]);
        clients.start(&eth0);
        assert_eq!(pid(&eth0), number, "nothing is started beside it");
        clients.end(&eth0);
        assert_eq!(addresses("eth0", Family::Ipv4), [address.to_string()]);
        assert!(!Clients::open(client).is_running(&eth0));
    });
}

#[test]
fn a_number_that_another_process_has_by_now_is_not_adopted() {
    in_namespace(|| {
        let mut sleeper = command("sleep").arg("1000").spawn().unwrap();
        fs::create_dir_all(format!("{DIR}/dhcp")).unwrap();
        let record = format!("{DIR}/dhcp/eth0.ipv4.pid");
        let text = format!("{}\nstarted 1\nprogram sleep\npeerdns yes\n", sleeper.id());
        fs::write(&record, text).unwrap();
        let clients = Clients::open(DhcpClient::Auto);
        assert!(!clients.is_running(&lease("eth0")));
        assert!(!Path::new(&record).exists());
        assert!(sleeper.try_wait().unwrap().is_none(), "the process is left alone");
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    });
}

#[test]
fn an_ipv6_lease_is_bound_by_those_that_can() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        let clients = Clients::open(client);
        // The kernel does not form addresses in the advertised prefix.
        fs::write("/proc/sys/net/ipv6/conf/eth0/autoconf", "0").unwrap();
        let eth0 = Lease { family: Family::Ipv6, ..lease("eth0") };
        scene.serve();
        let started = clients.clients.borrow_mut().start(&eth0, Instant::now());
        if client == DhcpClient::Udhcpc {
            assert_eq!(started, Err(DhcpError::NoIpv6 { client: "udhcpc" }));
            assert!(!clients.is_running(&eth0));
            return;
        }
        assert_eq!(started, Ok(()));
        let started = Instant::now();
        clients.until("an address", || !addresses("eth0", Family::Ipv6).is_empty());
        println!("{client:?}: bound after {:?}", started.elapsed());
        let bound = addresses("eth0", Family::Ipv6);
        assert!(bound[0].starts_with("2001:db8::1") && bound[0].ends_with("/128"), "{bound:?}");
        clients.until("a name server", || {
            fs::read_to_string("/etc/resolv.conf").unwrap().contains("nameserver 2001:db8::53")
        });
        clients.end(&eth0);
        assert_eq!(addresses("eth0", Family::Ipv6), bound);
        assert!(!scene.log().contains("DHCPRELEASE"), "{}", scene.log());
    });
}

/// Runs the script for an event of a client, as the client would.
pub(crate) fn event(arguments: &[&str], variables: &[(&str, &str)]) {
    run(&mut event_command(arguments, variables)).ok();
}

/// The command for that, which may be refused.
pub(crate) fn event_command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let script = format!("{DIR}/{}", script::NAME);
    if !Path::new(&script).exists() {
        symlink(env!("CARGO_BIN_EXE_virtinterfaced"), &script).unwrap();
    }
    let mut client = command(&script);
    client.args(arguments).env("interface", "eth0");
    client.env("VIRTINTERFACED_LEASE", format!("{DIR}/eth0.ipv4"));
    client.env("VIRTINTERFACED_PEERDNS", "yes").envs(variables.iter().copied());
    client
}

#[test]
fn the_script_touches_nothing_but_what_the_lease_brought() {
    in_namespace(|| {
        let _scene = Scene::new();
        ip("address add 198.51.100.5/24 dev eth0");
        ip("route add default via 198.51.100.1 metric 7");
        let own = ip("-4 -o route");
        let mask = "255.255.255.128";
        event(&["deconfig"], &[]);
        assert_eq!(addresses("eth0", Family::Ipv4), ["198.51.100.5/24"]);

        let first = [("ip", "192.0.2.5"), ("subnet", mask), ("lease", "600")];
        event(&["bound"], &[&first[..], &[("router", "192.0.2.1 192.0.2.2")]].concat());
        assert_eq!(addresses("eth0", Family::Ipv4), ["198.51.100.5/24", "192.0.2.5/25"]);
        let gateways = || {
            let routes = ip("-4 route show default proto dhcp");
            routes.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(gateways(), ["default via 192.0.2.1 dev eth0"]);
        event(&["renew"], &[&first[..], &[("router", "192.0.2.2")]].concat());
        assert_eq!(gateways(), ["default via 192.0.2.2 dev eth0"]);

        // Another address, in dhclient's format, and routes instead of a router.
        let second = [
            ("reason", "REBIND"),
            ("new_ip_address", "192.0.2.6"),
            ("new_subnet_mask", mask),
            ("new_dhcp_lease_time", "600"),
            ("new_routers", "192.0.2.9"),
            ("new_rfc3442_classless_static_routes", "0 192 0 2 1 20 10 9 16 192 0 2 3"),
            ("new_domain_name", "example.org; reboot"),
            ("new_domain_name_servers", "192.0.2.53"),
        ];
        event(&[], &second);
        assert_eq!(addresses("eth0", Family::Ipv4), ["198.51.100.5/24", "192.0.2.6/25"]);
        assert_eq!(gateways(), ["default via 192.0.2.1 dev eth0"]);
        assert!(ip("-4 route").contains("10.9.16.0/20 via 192.0.2.3 dev eth0"));
        let names = || fs::read_to_string("/etc/resolv.conf").unwrap();
        assert_eq!(names(), "nameserver 203.0.113.1\n", "no domain has such a name");
        let second = [&second[..], &[("new_domain_name", "example.org")]].concat();
        event(&[], &second);
        assert_eq!(names(), "search example.org\nnameserver 192.0.2.53\n");

        event(&[], &[("reason", "STOP")]);
        assert_eq!(addresses("eth0", Family::Ipv4), ["198.51.100.5/24", "192.0.2.6/25"]);
        event(&[], &[("reason", "EXPIRE")]);
        assert_eq!(addresses("eth0", Family::Ipv4), ["198.51.100.5/24"]);
        assert_eq!(ip("-4 -o route"), own);
    });
}

/// Sends an event for a lease with a name server, on any link.
fn named(event_name: &str, link: &str, server: &str) {
    let (state, ip) = (format!("{DIR}/{link}.ipv4"), format!("192.0.2.{}", link.len()));
    let of_lease = [("interface", link), ("VIRTINTERFACED_LEASE", &state), ("ip", &ip)];
    let all = [&of_lease[..], &[("subnet", "255.255.255.0"), ("lease", "90"), ("dns", server)]];
    event(&[event_name], &all.concat());
}

#[test]
fn name_servers_go_with_the_last_lease_that_has_brought_them() {
    in_namespace(|| {
        let _scene = Scene::new();
        ip("link add br1 type bridge");
        ip("link set br1 up");
        ip("link add .dotted type bridge");
        ip("link set .dotted up");
        let names = || fs::read_to_string("/etc/resolv.conf").unwrap();
        let host = "nameserver 203.0.113.1\n";
        named("end", "eth0", "192.0.2.53");
        assert_eq!(names(), host, "there was nothing to undo");

        named("bound", "eth0", "192.0.2.53");
        named("renew", "eth0", "192.0.2.54");
        assert_eq!(names(), "nameserver 192.0.2.54\n");
        named("end", "eth0", "");
        assert_eq!(names(), host);

        // The same lease on another link, as when a bridge takes a port over.
        named("bound", "eth0", "192.0.2.53");
        named("bound", ".dotted", "192.0.2.53");
        named("end", "eth0", "");
        assert_eq!(names(), "nameserver 192.0.2.53\n");
        named("end", ".dotted", "");
        assert_eq!(names(), host);

        // Another lease; after its end the first one's name servers return.
        named("bound", "eth0", "192.0.2.53");
        named("bound", "br1", "192.0.2.54");
        named("end", "br1", "");
        assert_eq!(names(), "nameserver 192.0.2.53\n");
        named("deconfig", "eth0", "");
        assert_eq!(names(), host, "a lease that has run out");

        // A file that was edited since is left alone, and is restored after the next lease.
        named("bound", "eth0", "192.0.2.53");
        fs::write("/etc/resolv.conf", "nameserver 203.0.113.2\n").unwrap();
        named("end", "eth0", "");
        assert_eq!(names(), "nameserver 203.0.113.2\n");
        named("bound", "eth0", "192.0.2.53");
        named("end", "eth0", "");
        assert_eq!(names(), "nameserver 203.0.113.2\n");

        // The host's own name server is the lease's.
        fs::write("/etc/resolv.conf", "nameserver 192.0.2.53\n").unwrap();
        named("bound", "eth0", "192.0.2.53");
        named("end", "eth0", "");
        assert_eq!(names(), "nameserver 192.0.2.53\n");
    });
}

#[test]
fn resolvconf_is_told_of_each_leases_name_servers_and_of_their_end() {
    in_namespace(|| {
        let _scene = Scene::new();
        // Replaces any resolvconf of the host by one that records its calls.
        fs::create_dir_all(format!("{DIR}/bin")).unwrap();
        let resolvconf = format!("{DIR}/bin/resolvconf");
        let calls = format!("{DIR}/calls");
        let text = format!("#!/bin/sh\necho \"$@\" >>{calls}\n[ $1 = -d ] || cat >>{calls}\n");
        fs::write(format!("{DIR}/text"), text).unwrap();
        run(command("install").args(["-m", "755", &format!("{DIR}/text"), &resolvconf])).ok();
        let text = script::TEXT.replace("\nPATH=", &format!("\nPATH={DIR}/bin:"));
        let event = |name: &str, family: &str, variables: &[(&str, &str)]| {
            let mut shell = command("sh");
            shell.args(["-c", &text, "script", name]).envs(variables.iter().copied());
            shell.env("VIRTINTERFACED_LEASE", format!("{DIR}/eth0.{family}"));
            run(shell.env("interface", "eth0")).ok();
            let said = fs::read_to_string(&calls).unwrap_or_default();
            let _ = fs::remove_file(&calls);
            said
        };
        assert_eq!(event("end", "ipv4", &[]), "");
        let v4 = [("ip", "192.0.2.5"), ("lease", "90"), ("dns", "192.0.2.53")];
        assert_eq!(event("bound", "ipv4", &v4), "-a eth0.dhcp\nnameserver 192.0.2.53\n");
        let v6 = [
            ("new_ip6_address", "2001:db8::5"),
            ("new_max_life", "90"),
            ("new_preferred_life", "90"),
            ("new_dhcp6_name_servers", "2001:db8::53"),
        ];
        assert_eq!(event("BOUND6", "ipv6", &v6), "-a eth0.dhcp6\nnameserver 2001:db8::53\n");
        assert_eq!(event("end", "ipv4", &[]), "-d eth0.dhcp\n");
        let expired = event("EXPIRE6", "ipv6", &[("old_ip6_address", "2001:db8::5")]);
        assert_eq!(expired, "-d eth0.dhcp6\n");
        assert_eq!(event("end", "ipv6", &[]), "");
        let names = fs::read_to_string("/etc/resolv.conf").unwrap();
        assert_eq!(names, "nameserver 203.0.113.1\n");
    });
}

#[test]
fn shellcheck_finds_nothing_in_the_script() {
    if is_installed("/usr/bin/shellcheck") {
        let mut shellcheck = command("shellcheck");
        let output = run_with_input(shellcheck.args(["--shell=sh", "-"]), script::TEXT);
        assert!(output.status.success(), "{}", output.stdout);
    }
}

/// Kills a client from outside the daemon.
#[allow(unsafe_code, reason = "std kills none but children")]
fn kill(pid: u32) {
    // SAFETY: kill takes integers; the child is not reaped yet, so the number is still its own.
    let rc = unsafe { libc::kill(i32::try_from(pid).unwrap(), libc::SIGKILL) };
    assert_eq!(rc, 0);
}

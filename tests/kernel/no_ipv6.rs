// SPDX-License-Identifier: LGPL-2.1-or-later
//! Rollbacks on a kernel with IPv6, and on one without: `tests/vm/kernel.sh` boots one of each.
//! Without IPv6, the kernel answers a request for IPv6 routes with IPv4 routes.

use crate::support::client::RawClient;
use crate::support::command::{ip, ip_batch};
use crate::support::daemon::Daemon;
use crate::support::wire::{Arg, OK, procedure};
use crate::{DUMMY, on_kernel_with};

const HOST: &str = "\
link add d0 type dummy
link set d0 up
address add 192.0.2.2/24 dev d0
route add default via 192.0.2.1
route add 10.1.0.0/16 via 192.0.2.1 metric 5
route add blackhole 10.2.0.0/16
rule add pref 100 from 192.0.2.2 lookup 100
";

#[test]
fn a_rollback_needs_no_ipv6() {
    on_kernel_with(&[DUMMY], || {
        ip_batch(HOST);
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let shown = || {
            ["link show d0", "address show d0", "route show table all", "rule"]
                .map(|what| ip(&format!("-4 {what}")))
        };
        let before = shown();
        for change in [
            "link set d0 mtu 1400",
            "route del 10.1.0.0/16",
            "route del blackhole 10.2.0.0/16",
            "rule del pref 100",
            "rule add pref 1 prohibit",
            "address add 192.0.2.3/24 dev d0",
        ] {
            for (procedure, label) in [
                (procedure::INTERFACE_CHANGE_BEGIN, "begin"),
                (procedure::INTERFACE_CHANGE_ROLLBACK, "rollback"),
            ] {
                let reply = client.call(procedure, &[Arg::Word(0)]);
                assert_eq!(reply.head.status, OK, "{change}, {label}: {reply:?}");
                if label == "begin" {
                    ip(change);
                }
            }
            assert_eq!(shown(), before, "{change}");
        }
    });
}

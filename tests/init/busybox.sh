#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The inittab lines, as busybox's init runs them. host.sh makes the host for it.
set -u
# shellcheck source=tests/init/facts.sh
. /tmp/facts.sh

: >/tmp/words
fact "a change is interrupted" interrupt_a_change
cp /tmp/inittab /etc/inittab
# The network's line.
echo "::sysinit:/tmp/network" >>/etc/inittab
cat >/tmp/network <<'END'
#!/bin/sh
. /tmp/facts.sh
is_rolled_back && : >/tmp/network-is-up
END
chmod 755 /tmp/network
# init is process 1 of namespaces of its own; the daemon's pid file has the numbers of those.
unshare --pid --fork --kill-child busybox init >>/tmp/words 2>&1 &
kill_daemon() { kill "-$1" "$(pgrep -x virtinterfaced)"; }

fact "it is started" soon answers
fact "the change was rolled back before the network" test -e /tmp/network-is-up
configure "max_clients = 77"
fact "reload" kill_daemon HUP
fact "the daemon has read its configuration" soon clients_max_is 77
first=$(pid)
fact "kill it" kill_daemon KILL
fact "a killed one is started anew" soon another_than "$first"
last=$(pid)
fact "end it" kill_daemon TERM
fact "so is one that ended" soon another_than "$last"
fact "one runs" test "$(pgrep -cx virtinterfaced)" = 1

# The daemon writes the number that it has among its own processes.
pgrep -x virtinterfaced >"$PIDFILE"
fact "uninstall" uninstall
fact "a line says what is left to do" grep -q "still runs as process .* take it out of /etc/inittab" /tmp/words

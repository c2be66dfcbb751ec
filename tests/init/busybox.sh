#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests the inittab lines with busybox's init. throwaway-host.sh provides the host.
set -u
# shellcheck source=tests/init/facts.sh
. /tmp/facts.sh

: >/tmp/words
fact "a change is interrupted" interrupt_a_change
cp /tmp/inittab /etc/inittab
# The line that starts the network.
echo "::sysinit:/tmp/network" >>/etc/inittab
cat >/tmp/network <<'END'
#!/bin/sh
. /tmp/facts.sh
is_rolled_back && : >/tmp/network-is-up
END
chmod 755 /tmp/network
# init is process 1 of a namespace, and the daemon's pid file contains a number of that namespace.
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

# Writes the daemon's number in this namespace.
pgrep -x virtinterfaced >"$PIDFILE"
fact "uninstall" uninstall
fact "a line says what is left to do" grep -q "still runs as process .* take it out of /etc/inittab" /tmp/words

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests the s6 service with s6-svscan. throwaway-host.sh provides the host.
set -u
# shellcheck source=tests/init/facts.sh
. /tmp/facts.sh

: >/tmp/words
# Debian does not package s6-rc; a oneshot's "up" file is run by execlineb.
oneshot=/etc/s6-rc/source/virtinterfaced-rollback
up() { execlineb -P $oneshot/up >>/tmp/words 2>&1; }
fact "there is a oneshot" grep -qx oneshot $oneshot/type
fact "nothing to roll back is a success" up
fact "a change is interrupted" interrupt_a_change
fact "the oneshot comes up" up
fact "the change is rolled back" is_rolled_back

cp -r /etc/s6/sv /tmp/sv
s6-svscan /tmp/sv >>/tmp/words 2>&1 &
dir=/tmp/sv/virtinterfaced
service() { s6-svc "$@" $dir >>/tmp/words 2>&1; }
is_ready() { [ "$(s6-svstat -o ready $dir)" = true ]; }

fact "it is ready soon" soon is_ready
fact "and then answers" answers
first=$(pid)
configure "max_clients = 77"
fact "reload" service -h
fact "the daemon has read its configuration" soon clients_max_is 77
fact "restart, until it is ready" service -wR -T 9000 -r
fact "it is another one" another_than "$first"
last=$(pid)
kill -KILL "$last"
fact "a killed one is started anew" soon another_than "$last"
echo 'VIRTINTERFACED_OPTS="--timeout 1234 -v"' >$dir/conf
fact "restart with options" service -wR -T 9000 -r
fact "they are given" option_is_given "--timeout 1234 -v"
fact "what it says is kept" soon grep -qs info /var/log/libvirt/virtinterfaced/current
configure "max_clients = none"
fact "restart in vain" service -r
waits() { pgrep -P "$(pgrep -xf "s6-supervise virtinterfaced")" -x sleep; }
fact "a daemon that cannot start waits for its next attempt" soon waits
rm "$CONFIG"
fact "it answers when it can" soon answers
last=$(pid)
fact "stop, until it is gone" service -wd -T 9000 -d
fact "it is gone" no runs "$last"
fact "a socket left behind is not ready" no is_ready
fact "start, until it is ready" service -wU -T 9000 -u
fact "it answers at once" answers

# A longrun of s6-rc is a service directory with more files; s6-rc-compile copies these.
source=/etc/s6-rc/source
mkdir /tmp/longrun
(cd $source/virtinterfaced && cp -r run finish notification-fd data /tmp/longrun)
fact "it comes after the rollback" grep -qx virtinterfaced-rollback $source/virtinterfaced/dependencies
fact "its words go to a logger" grep -qx virtinterfaced-log $source/virtinterfaced/producer-for
fact "which takes them" grep -qx virtinterfaced $source/virtinterfaced-log/consumer-for
for service in virtinterfaced virtinterfaced-log; do
    fact "$service is a longrun" grep -qx longrun $source/$service/type
done
fact "the service directory's is stopped" service -wd -T 9000 -d
echo 'VIRTINTERFACED_OPTS="--timeout 4321"' >/tmp/longrun/data/conf
s6-supervise /tmp/longrun >>/tmp/words 2>&1 &
dir=/tmp/longrun
fact "the longrun is ready soon" soon is_ready
fact "and answers" answers
fact "with its options" option_is_given "--timeout 4321"

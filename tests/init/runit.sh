#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests the runit service with runsv. throwaway-host.sh provides the host.
set -u
# shellcheck source=tests/init/facts.sh
. /tmp/facts.sh

: >/tmp/words
# Stage 1 reads each of these files in a shell of its own, and continues with the next.
stage_1() {
    for part in /etc/runit/core-services/*-virtinterfaced-*.sh; do
        # shellcheck source=/dev/null
        . "$part" >>/tmp/words 2>&1
    done
}
fact "stage 1 has nothing to roll back" stage_1
fact "a change is interrupted" interrupt_a_change
fact "stage 1 comes" stage_1
fact "it is rolled back" is_rolled_back

# The host's boot creates /run/runit. runsv writes there, and not to the service's directory.
mkdir /run/runit /tmp/service
ln -s /etc/sv/virtinterfaced /tmp/service
mount --bind /etc/sv /etc/sv
mount -o remount,bind,ro /etc/sv
runsvdir /tmp/service >>/tmp/words 2>&1 &
status_says() { sv status /tmp/service/virtinterfaced | grep -q "$1"; }
service() { sv "$@" /tmp/service/virtinterfaced >>/tmp/words 2>&1; }

fact "it is started" soon answers
fact "status" service status
first=$(pid)
configure "max_clients = 77"
fact "reload" service reload
fact "the daemon has read its configuration" soon clients_max_is 77
configure "max_clients = none"
fact "reload with a bad file" service reload
fact "the log has its fault" soon grep -qs "virtinterfaced.conf:1:15: " /var/log/libvirt/virtinterfaced/current
fact "and that it was not reloaded" soon grep -qs "is not reloaded" /var/log/libvirt/virtinterfaced/current
# The daemon would log this for a signal.
fact "no signal was sent" no grep -q "the settings are unchanged" /var/log/libvirt/virtinterfaced/current
fact "the daemon has what it had" clients_max_is 77
configure "max_clients = 78"
fact "reload with a good file" service reload
fact "it is read" soon clients_max_is 78
fact "restart" service restart
fact "it is another one" soon another_than "$first"
last=$(pid)
kill -KILL "$last"
fact "a killed one is started anew" soon another_than "$last"
umount -l /etc/sv
echo 'VIRTINTERFACED_OPTS="--timeout 1234 -v"' >/etc/sv/virtinterfaced/conf
last=$(pid)
fact "restart with options" service restart
fact "it is yet another" soon another_than "$last"
fact "the options are given" option_is_given "--timeout 1234 -v"
fact "what it says is kept" soon grep -qs info /var/log/libvirt/virtinterfaced/current
configure "max_clients = none"
# The status depends on whether sv still sees the daemon run, which is random.
service restart || :
fact "a daemon that cannot start waits for its next attempt" soon status_says "^finish: "
rm "$CONFIG"
fact "it answers when it can" soon answers
last=$(pid)
fact "stop" service stop
fact "it is gone" no runs "$last"
fact "start" service start
fact "it answers again" soon answers

fact "uninstall" uninstall
fact "a line says what is left to do" grep -q "/etc/sv/virtinterfaced: end what supervises it" /tmp/words

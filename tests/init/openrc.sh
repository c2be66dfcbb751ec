#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests the OpenRC service with OpenRC itself. throwaway-host.sh provides the host.
set -u
# shellcheck source=tests/init/facts.sh
. /tmp/facts.sh
: >/tmp/words

# OpenRC treats a host with these files as booted.
for dir in starting started stopping inactive wasinactive failed hotplugged daemons options \
    exclusive scheduled init.d tmp; do
    mkdir -p "/run/openrc/$dir"
done
echo default >/run/openrc/softlevel
# A dependency would start the machine's own services.
for service in /etc/init.d/*; do
    case $service in
    */virtinterfaced | */virtinterfaced-rollback | */virtinterfaced-online) ;;
    *) rm "$service" ;;
    esac
done

service() { rc-service --nocolor virtinterfaced "$@" >>/tmp/words 2>&1; }
status_says() { rc-service --nocolor virtinterfaced status 2>&1 | grep -q "$1"; }

rollback() { rc-service --nocolor virtinterfaced-rollback "$@" >>/tmp/words 2>&1; }
fact "a rollback comes before the network" \
    grep -qx "	before net networking virtinterfaced" /etc/init.d/virtinterfaced-rollback
fact "it comes at boot" rc-update --nocolor add virtinterfaced-rollback boot
fact "nothing to roll back is a success" rollback start
fact "it counts as started" rollback status
fact "stop it" rollback stop
fact "a change is interrupted" interrupt_a_change
fact "roll it back" rollback start
fact "it is rolled back" is_rolled_back

fact "it comes before the network" ends 0 grep -qx "	before net networking" /etc/init.d/virtinterfaced
fact "not running is 3" ends 3 service status
fact "start" service start
fact "it answers at once" answers
first=$(pid)
fact "start twice" service start
fact "changes nothing" same_pid_as "$first"
fact "running is 0" service status
configure "max_clients = 77"
fact "reload" service reload
fact "the daemon has read its configuration" soon clients_max_is 77
configure "max_clients = none"
: >/tmp/words
fact "a reload with a wrong configuration fails" no service reload
fact "with the place of the fault" grep -q 'virtinterfaced.conf:1:' /tmp/words
fact "and changes nothing" clients_max_is 77
rm "$CONFIG"
fact "restart" service restart
fact "it is another one" another_than "$first"
fact "restart twice" service restart
last=$(pid)
fact "stop" service stop
fact "it is gone" no runs "$last"
fact "stop twice" service stop

fact "start once more" service start
kill -KILL "$(pid)"
fact "the status shows the kill" soon status_says crashed
fact "a killed one is replaced by restart" service restart
fact "it answers then" answers
fact "stop that" service stop
sleep 1000 &
echo $! >"$PIDFILE"
fact "start with a stale pid file" service start
fact "it answers with that" answers
fact "the other process was left alone" runs $!

echo 'VIRTINTERFACED_OPTS="--timeout 1234 -v"' >/etc/conf.d/virtinterfaced
fact "restart with options" service restart
fact "they are given" option_is_given "--timeout 1234 -v -d"
cp /usr/sbin/virtinterfaced /usr/sbin/virtinterfaced.new
mv /usr/sbin/virtinterfaced.new /usr/sbin/virtinterfaced
last=$(pid)
fact "restart after an upgrade" service restart
fact "is another one" another_than "$last"
fact "stop that too" service stop

configure "max_clients = none"
fact "a wrong configuration does not start" no service start
fact "with a reason" grep -q 'virtinterfaced.conf' /tmp/words
rm "$CONFIG"

echo 'supervisor=supervise-daemon' >/etc/conf.d/virtinterfaced
fact "start supervised" service start
fact "it answers soon" soon answers
configure "max_clients = 78"
fact "reload supervised" service reload
fact "it has read its configuration" soon clients_max_is 78
last=$(pid)
kill -KILL "$last"
fact "a killed one is started anew" soon another_than "$last"
last=$(pid)
fact "stop supervised" service stop
fact "it is gone for good" no runs "$last"

# A service that needs the network, and one that does not.
for service in needs-net needs-daemon; do
    need=virtinterfaced
    [ $service = needs-daemon ] || need=net
    printf '#!/sbin/openrc-run\ndepend() {\n\tneed %s\n}\nstart() {\n\t: >/tmp/%s\n}\n' $need $service \
        >/etc/init.d/$service
    chmod 755 /etc/init.d/$service
    rc-update --nocolor add $service default >/dev/null
done
# OpenRC compares times in whole seconds, so it could miss these new services.
rc-update --nocolor --update >/dev/null
online() { rc-service --nocolor virtinterfaced-online "$@" >>/tmp/words 2>&1; }
online_says() { rc-service --nocolor virtinterfaced-online status 2>&1 | grep -q "$1"; }
other() { rc-service --nocolor "$@" >>/tmp/words 2>&1; }
fact "the network is a part of a runlevel" rc-update --nocolor add virtinterfaced-online default
rm -f /etc/conf.d/virtinterfaced /run/libvirt/interface/booted
mkdir -p /etc/libvirt/interface
echo "<interface type='ethernet' name='late0'><start mode='onboot'/></interface>" \
    >/etc/libvirt/interface/late0.xml
echo VIRTINTERFACED_ONLINE_TIMEOUT=1000 >/etc/conf.d/virtinterfaced-online
fact "start without a NIC that is onboot" service start
# OpenRC reports it with a status other than 0.
online start
fact "the network is not there" online_says inactive
other needs-net start
fact "what needs the network waits for it" test ! -e /tmp/needs-net
fact "what needs the daemon does not" other needs-daemon start
fact "and is there" test -e /tmp/needs-daemon
ip link add late0 type veth peer name late1
fact "the NIC appears, and so the network" soon online_says started
fact "what needs it is started" soon test -e /tmp/needs-net
fact "stop all that" service stop
rm -f /tmp/needs-net /run/libvirt/interface/booted
ip link del late0
echo VIRTINTERFACED_ONLINE_TIMEOUT=1 >/etc/conf.d/virtinterfaced-online
fact "start once more without the NIC" service start
online start
other needs-net start
fact "what needs the network gets what there is of it" soon test -e /tmp/needs-net
fact "stop for the last time" service stop

rm -f /etc/conf.d/virtinterfaced
fact "start to be uninstalled" service start
fact "it comes at boot, too" rc-update --nocolor add virtinterfaced boot
last=$(pid)
fact "uninstall" uninstall
fact "the daemon was stopped" no runs "$last"
fact "no runlevel has it" test -z "$(find /etc/runlevels -name 'virtinterfaced*')"

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests the sysvinit script with the shells that run such scripts. throwaway-host.sh provides the host.
set -u
# shellcheck source=tests/init/facts.sh
. /tmp/facts.sh

: >/tmp/words
# The script must work without start-stop-daemon.
for program in /sbin/start-stop-daemon /usr/sbin/start-stop-daemon; do rm -f "$program"; done

# shellcheck disable=SC2086
script() { $shell /etc/init.d/virtinterfaced "$@" >>/tmp/words 2>&1; }
fact "it is executable" test -x /etc/init.d/virtinterfaced

for shell in "dash" "busybox sh" "bash --posix"; do
    fact "$shell: not running is 3" ends 3 script status
    fact "stopping what does not run succeeds" script stop
    fact "reloading what does not run is 7" ends 7 script reload
    fact "start" script start
    fact "it answers at once" answers
    first=$(pid)
    fact "starting twice succeeds" script start
    fact "and changes nothing" same_pid_as "$first"
    fact "running is 0" script status
    configure "max_clients = 77"
    fact "reload" script reload
    fact "the daemon has read its configuration" soon clients_max_is 77
    fact "reload twice" script reload
    configure "max_clients = none"
    : >/tmp/words
    fact "a reload with a wrong configuration is 1" ends 1 script reload
    fact "with the place of the fault" grep -q 'virtinterfaced.conf:1:' /tmp/words
    fact "and changes nothing" clients_max_is 77
    rm "$CONFIG"
    fact "restart" script restart
    fact "it is another one" another_than "$first"
    fact "restart twice" script restart
    fact "try-restart" script try-restart
    last=$(pid)
    fact "stop" script stop
    fact "it is gone" no runs "$last"
    fact "so is its pid file" test ! -e "$PIDFILE"
    fact "stop twice" script stop
    fact "when the host goes down, that is not worth a word" \
        test -z "$(RUNLEVEL=6 $shell /etc/init.d/virtinterfaced stop)"
    fact "try-restart starts nothing" script try-restart
    fact "not running is 3 again" ends 3 script status

    fact "start once more" script start
    kill -KILL "$(pid)"
    fact "killed is 1" soon ends 1 script status
    fact "a killed one is replaced" script start
    fact "it answers" answers
    fact "stop that one" script stop

    sleep 1000 &
    echo $! >"$PIDFILE"
    fact "another process is not taken for the daemon" ends 1 script status
    fact "stop with a stale pid file" script stop
    fact "does not hit the other process" runs $!
    fact "start with a stale pid file" script start
    fact "it answers then" answers
    kill $!
    fact "restart from not running" script stop
    fact "starts" script restart

    echo 'VIRTINTERFACED_OPTS="--timeout 1234 -v"' >/etc/default/virtinterfaced
    fact "restart with options" script restart
    fact "they are given" option_is_given "-d --timeout 1234 -v"
    rm /etc/default/virtinterfaced
    fact "stop that" script stop

    configure "max_clients = none"
    fact "a wrong configuration is 1" ends 1 script start
    fact "with a reason" grep -q 'virtinterfaced.conf' /tmp/words
    rm "$CONFIG"
    fact "wrong usage is 2" ends 2 script
done

# shellcheck disable=SC2086
rollback() { $shell /etc/init.d/virtinterfaced-rollback "$@" >>/tmp/words 2>&1; }
for shell in "dash" "busybox sh" "bash --posix"; do
    fact "$shell: nothing to roll back is a success" rollback start
    fact "a change is interrupted" interrupt_a_change
    for action in stop restart force-reload status; do fact "$action" rollback "$action"; done
    fact "that has rolled nothing back" no is_rolled_back
    fact "roll it back" rollback start
    fact "it is rolled back" is_rolled_back
    fact "wrong usage is 2" ends 2 rollback
done
fact "start" script start
fact "begin a change" virsh_does iface-begin
fact "define something in it" virsh_does iface-define /tmp/added.xml
boot_anew
fact "a rollback beside a daemon is a success" rollback start
fact "and leaves the change to it" virsh_does iface-commit
fact "what was defined stays" test -e /etc/libvirt/interface/added.xml
fact "stop" script stop
rm /etc/libvirt/interface/*.xml

# No supervisor restarts the daemon here, yet the deadline of a transaction is kept.
configure "change_timeout = 3"
fact "start with a deadline for changes" script start
fact "begin a change that has one" virsh_does iface-begin
fact "define something in it" virsh_does iface-define /tmp/added.xml
kill -KILL "$(pid)"
fact "it is rolled back without a daemon" soon test ! -e /etc/libvirt/interface/added.xml
fact "nothing stands by any more" soon no pgrep -x virt-deadline
fact "no daemon runs" ends 1 script status
rm "$CONFIG"

# shellcheck disable=SC2086
online() { $shell /etc/init.d/virtinterfaced-online "$@" >>/tmp/words 2>&1; }
mkdir -p /etc/libvirt/interface
for shell in "dash" "busybox sh" "bash --posix"; do
    echo "<interface type='ethernet' name='late0'><start mode='onboot'/></interface>" \
        >/etc/libvirt/interface/late0.xml
    rm -f /run/libvirt/interface/booted
    echo 'VIRTINTERFACED_ONLINE_TIMEOUT=1' >/etc/default/virtinterfaced
    fact "$shell: start without a NIC that is onboot" script start
    : >/tmp/words
    fact "the network is waited for, and given up" online start
    fact "with the name of what is missing" grep -q 'not up after 1 s: late0' /tmp/words
    fact "it is not there" no online status
    echo 'VIRTINTERFACED_ONLINE_TIMEOUT=1000' >/etc/default/virtinterfaced
    (sleep 1 && ip link add late0 type veth peer name late1) &
    fact "a NIC that is late is waited for" online start
    fact "it is there" online status
    wait
    ip link del late0
    rm /etc/default/virtinterfaced /etc/libvirt/interface/late0.xml
    for action in stop restart force-reload; do fact "$action" online "$action"; done
    fact "stop the daemon" script stop
    fact "wrong usage is 2" ends 2 online
done
fact "the network is a part of what others need" \
    grep -qxF "\$network +virtinterfaced-online" /etc/insserv.conf.d/virtinterfaced

log=/var/log/libvirt/virtinterfaced.log
logs_to() { readlink "/proc/$(pid)/fd"/* | grep -qx "$1"; }
echo 'VIRTINTERFACED_OPTS=-v' >/etc/default/virtinterfaced
fact "start for the last time" script start
fact "it logs to its file" logs_to $log
echo old >>$log
fact "the file is rotated" logrotate --force --state /tmp/state /etc/logrotate.d/virtinterfaced
fact "what was in it is kept" grep -qx old $log.1
fact "the daemon goes on in the new one" soon logs_to $log
fact "and not in the old one" no logs_to $log.1
last=$(pid)
mount --bind /tmp /proc
fact "without /proc, running is 0" ends 0 script status
fact "without /proc, restart" script restart
fact "without /proc, it is another one" another_than "$last"
umount /proc
last=$(pid)
kill -STOP "$last"
fact "one that hangs is stopped too" script stop
fact "it is gone for good" no runs "$last"
chmod -x /usr/sbin/virtinterfaced
fact "a removed daemon's script does nothing" script start

chmod +x /usr/sbin/virtinterfaced
shell=dash
fact "start to be uninstalled" script start
ln -s ../init.d/virtinterfaced /etc/rcS.d/S01virtinterfaced
last=$(pid)
fact "uninstall" uninstall
fact "the daemon was stopped" no runs "$last"
fact "no runlevel has it" test -z "$(find /etc/rc?.d -name '*virtinterfaced*')"

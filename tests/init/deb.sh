#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests Debian's package: dpkg installs, upgrades, removes and purges it. throwaway-host.sh provides the host.
set -u
# shellcheck source=tests/init/facts.sh
. /tmp/facts.sh

: >/tmp/words
# Container images use this to prevent services from being started.
rm -f /usr/sbin/policy-rc.d
# The host has not been booted, so the runlevel that sysvinit would report is imitated.
printf '#!/bin/sh\necho N 2\n' >/tmp/runlevel
chmod 755 /tmp/runlevel
mv /tmp/runlevel /sbin/runlevel
package() { dpkg "$@" /tmp/virtinterfaced_*.deb >>/tmp/words 2>&1; }
named() { dpkg "$@" virtinterfaced >>/tmp/words 2>&1; }
links() { ls /etc/rc?.d/*virtinterfaced*; }
list_files() { find /etc /usr/sbin /usr/share /lib/systemd -name '*virtinterfaced*' | sort; }

fact "nothing of it is there" test -z "$(list_files)"
fact "install" package --install
fact "it answers" answers
fact "it starts at boot" test -e /etc/rcS.d/S??virtinterfaced
fact "the network is waited for at boot" test -e /etc/rcS.d/S??virtinterfaced-online
fact "what was never committed is rolled back at boot" test -e /etc/rcS.d/S??virtinterfaced-rollback
first=$(pid)
echo "max_clients = 77" >>"$CONFIG"
fact "upgrade" package --install
fact "it is another one" another_than "$first"
fact "the configuration is kept" clients_max_is 77
last=$(pid)
fact "remove" named --remove
fact "it is gone" no runs "$last"
fact "the daemon's file too" test ! -e /usr/sbin/virtinterfaced
fact "the configuration is still there" grep -qx "max_clients = 77" "$CONFIG"
fact "its script does nothing" /etc/init.d/virtinterfaced start
fact "install again" package --install
fact "it answers again" answers
fact "purge" named --purge
fact "nothing of it is left" test -z "$(list_files)"
fact "nor a link" no links
fact "nor a log" test ! -e /var/log/libvirt/virtinterfaced.log

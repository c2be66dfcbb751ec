#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shows a host's interfaces with the real virsh: demo.sh DAEMON
# It runs in a network and a mount namespace of its own, with a bridge and a veth pair, so it
# neither shows nor affects the machine's interfaces and sockets.
set -eu

if [ "${DEMO_NAMESPACE-}" != yes ]; then
    user=
    [ "$(id -u)" = 0 ] || user=--map-root-user
    DEMO_NAMESPACE=yes exec unshare $user --net --mount --propagation private "$0" "$@"
fi

daemon=$1
mount -t tmpfs tmpfs /run
[ ! -d /etc/libvirt ] || mount -t tmpfs tmpfs /etc/libvirt

ip link set lo up
ip link add br0 type bridge
ip link add port0 type veth peer name peer0
ip link set port0 master br0
for link in br0 port0 peer0; do ip link set "$link" up; done
ip address add 192.0.2.1/24 dev br0
ip route add default via 192.0.2.254

"$daemon" &
pid=$!
trap 'kill $pid; wait $pid || true' EXIT
tries=100
until virsh -c interface:///system uri >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "the daemon does not answer" >&2; exit 1; }
    sleep 0.05
done

show() {
    echo "\$ virsh $*"
    virsh -c interface:///system "$@"
}
show iface-list --all
show iface-dumpxml br0
show iface-mac br0
show iface-name "$(ip -o link show peer0 | sed 's/.*ether \([0-9a-f:]*\).*/\1/')"

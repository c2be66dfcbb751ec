#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The first process of the kernel machine: loads the modules, runs the tests, and turns the machine
# off. Lines for boot.sh go to the second serial line.

/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
exec </dev/null >/dev/ttyS1 2>/dev/ttyS0

# By default, modules of tunnels create a link in each network namespace.
echo 2 >/proc/sys/net/core/fb_tunnels_only_for_init_net
while read -r module; do
    case $module in
    # A kernel without IPv6 does not support these tunnels.
    ip6_tunnel | ip6_gre) [ -e /proc/net/if_inet6 ] || continue ;;
    esac
    case $module in
    bonding) options=max_bonds=0 ;;
    dummy) options=numdummies=0 ;;
    ifb) options=numifbs=0 ;;
    *) options= ;;
    esac
    insmod "/modules/$module.ko" $options || echo "FAIL insmod: $module"
done </modules/order

echo "-- Linux $(uname -r)"
export REQUIRE_NETNS=1 REQUIRE_KERNEL=1 TEST_DAEMON=/sbin/virtinterfaced RUST_BACKTRACE=0
[ -z "$(cat /etc/ci)" ] || export CI=true
seed=$(cat /etc/ci-seed)
[ -z "$seed" ] || export CI_SEED="$seed"
{
    # shellcheck disable=SC2046
    /sbin/tests --test-threads=1 $(cat /etc/test-arguments) 2>&1 || echo "FAIL the test program: exit status $?"
} | while IFS= read -r line; do
    case $line in
    test*" ... ok") line=${line#test } && echo "ok ${line% ... ok}" ;;
    test*" ... FAILED") line=${line#test } && echo "FAIL ${line% ... FAILED}" ;;
    *) echo "$line" ;;
    esac
done
echo end
poweroff -f

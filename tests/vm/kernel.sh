#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs the kernel tests on Debian's kernel, in a machine without a disk:
#     kernel.sh DAEMON [ARGUMENT-OF-THE-TEST-PROGRAM...]
# The machine contains only busybox, ip, bridge, the daemon, the test program, and the modules that
# it needs. VM_TIMEOUT sets the time limit in seconds, VM_ACCEL=kvm a faster processor, VM_KERNEL
# additional kernel parameters.
set -eu

daemon=$1
shift
here=$(dirname "$0")
modules="net/llc/llc net/802/stp net/802/garp net/802/mrp net/8021q/8021q net/bridge/bridge
    net/tls/tls drivers/net/bonding/bonding drivers/net/dummy drivers/net/veth drivers/net/tun
    drivers/net/vrf drivers/net/ifb drivers/net/nlmon drivers/net/macvlan drivers/net/ipvlan/ipvlan
    net/ipv4/udp_tunnel net/ipv6/ip6_udp_tunnel drivers/net/vxlan/vxlan drivers/net/geneve
    net/ipv4/ip_tunnel net/ipv4/tunnel4 net/ipv4/gre net/ipv4/ip_gre net/ipv4/ipip net/ipv6/sit
    net/ipv6/tunnel6 net/ipv6/ip6_tunnel net/ipv6/ip6_gre net/ipv4/ip_vti"

tests=$("${CARGO:-cargo}" test --test kernel --no-run --message-format=json-render-diagnostics |
    sed -n 's|.*"executable":"\([^"]*/kernel-[^"]*\)".*|\1|p')
[ -n "$tests" ] || exit 1
kernel=$("$here/kernel-image.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# Copies a program to a path in the machine, and its libraries to the paths that they have here.
carry() {
    install -D "$1" "$root$2"
    ldd "$1" 2>/dev/null | sed -n 's|^[^/]*\(/[^ ]*\) (.*|\1|p' | while read -r library; do
        [ -e "$root$library" ] || install -D "$library" "$root$library"
    done
}

mkdir -p "$root/dev" "$root/etc" "$root/modules" "$root/proc" "$root/run" "$root/sys" "$root/tmp"
install "$here/kernel-init.sh" "$root/init"
carry "$(command -v busybox)" /bin/busybox
carry "$(command -v ip)" /sbin/ip
carry "$(command -v bridge)" /sbin/bridge
carry "$daemon" /sbin/virtinterfaced
carry "$tests" /sbin/tests
strip --strip-debug "$root/sbin/tests"
for module in $modules; do
    cp "$kernel/modules/kernel/$module.ko" "$root/modules"
    echo "${module##*/}" >>"$root/modules/order"
done
echo "$*" >"$root/etc/test-arguments"
# With these, random tests use the same seed in every run of a commit.
echo "${CI-}" >"$root/etc/ci"
echo "${CI_SEED-}" >"$root/etc/ci-seed"
(cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initramfs"

"$here/boot.sh" kernel "${VM_TIMEOUT:-1800}" "$kernel" "$work/initramfs" -no-reboot

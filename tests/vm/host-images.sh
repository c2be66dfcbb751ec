#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Prints the folder of the disks of two Debian hosts, openrc.ext4 and sysvinit.ext4: host-images.sh
# They are made once, in about five minutes, and kept outside the source tree, in $VM_CACHE, until
# this file changes. Everything happens in mount and process namespaces of its own: no service is
# started, and nothing stays mounted.
# Beside what a host needs, each has the programs that manage networks on such hosts. None of them is
# started at boot.
set -eu

suite=bookworm
common="sysvinit-core initscripts ifupdown iproute2 libvirt-clients"
managers="isc-dhcp-client udhcpc dhcpcd-base dnsmasq-base dbus connman network-manager libvirt-daemon"
services="dbus connman network-manager libvirtd virtlogd virtlockd"

# Stands in for a package that nothing of the tests uses: stand_in NAME VERSION
# polkitd would bring systemd, and udev would rename the NICs.
stand_in() {
    mkdir -p "$1/DEBIAN"
    printf '%s\n' "Package: $1" "Version: $2" "Architecture: all" "Maintainer: nobody <nobody@localhost>" \
        "Description: stands in for $1" >"$1/DEBIAN/control"
    dpkg-deb --build "$1" "$1.deb"
    rm -r "$1"
}

# Installs packages that make the base system a host: host ROOT PACKAGE...
host() {
    root=$1
    shift
    mount -t proc proc "$root/proc"
    # shellcheck disable=SC2086
    chroot "$root" apt-get install -q -y --no-install-recommends $common "$@"
    mkdir "$root/packages"
    cp ./*.deb "$root/packages"
    chroot "$root" sh -c 'dpkg -i /packages/*.deb'
    # shellcheck disable=SC2086
    chroot "$root" apt-get install -q -y --no-install-recommends $managers
    for service in $services; do
        rm -f "$root"/etc/rc?.d/???"$service" "$root"/etc/runlevels/*/"$service"
    done
    # These take the place of ifupdown and of dhcpcd 9 when the tests say so.
    rm "$root"/packages/*
    echo "deb http://deb.debian.org/debian $suite-backports main" >"$root/etc/apt/sources.list.d/backports.list"
    chroot "$root" apt-get update -q
    chroot "$root" sh -c "cd /packages && apt-get download -q ifupdown-ng dhcpcd-base/$suite-backports"
    rm "$root/etc/apt/sources.list.d/backports.list"
    chroot "$root" apt-get clean
    umount "$root/proc"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/locale \
        "$root"/usr/share/man "$root/usr/sbin/policy-rc.d"

    echo "/dev/vda / ext4 defaults 0 0" >"$root/etc/fstab"
    echo host >"$root/etc/hostname"
    cat >"$root/etc/network/interfaces" <<'END'
auto lo
iface lo inet loopback
auto dummy0
iface dummy0 inet static
    address 192.0.2.1/24
    pre-up ip link add dummy0 type dummy
    post-down ip link delete dummy0
END
    # No terminals; instead, the tests, when everything of the run level is up.
    sed -i '/getty/d' "$root/etc/inittab"
    echo 'vm:2345:once:/vm/host-tests.sh' >>"$root/etc/inittab"
}

# Everything, within the namespaces: build FOLDER
build() {
    cd "$1"
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C
    echo "-- $suite, the base system"
    debootstrap --variant=minbase "$suite" base
    printf '#!/bin/sh\nexit 101\n' >base/usr/sbin/policy-rc.d
    chmod +x base/usr/sbin/policy-rc.d
    stand_in polkitd 999
    stand_in udev 999
    for flavour in openrc:openrc sysvinit:sysv-rc; do
        echo "-- a host with ${flavour#*:}"
        cp -a base root
        host root "${flavour#*:}"
        truncate -s 1G "${flavour%:*}.ext4"
        mkfs.ext4 -q -d root "${flavour%:*}.ext4"
        rm -rf root
    done
}

if [ "${1-}" = build ]; then
    build "$2"
    exit
fi

cache=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/virtinterfaced}
disks=$cache/hosts-$(sha256sum "$0" | cut -c 1-16)
if [ ! -d "$disks" ]; then
    [ "$(id -u)" = 0 ] || { echo "only root can make a root file system" >&2; exit 1; }
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/tmp.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    : >"$work/log"
    unshare --mount --pid --fork --kill-child --mount-proc "$0" build "$work" >"$work/log" 2>&1 &
    wait=$!
    tail -n +1 -f --pid="$wait" "$work/log" | sed -n '/^-- /p' >&2
    wait "$wait" || { tail -n 30 "$work/log" >&2; exit 1; }
    mkdir "$work/disks"
    mv "$work"/*.ext4 "$work/disks"
    rm -rf "$cache"/hosts-*
    mv "$work/disks" "$disks"
fi
echo "$disks"

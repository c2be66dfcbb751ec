#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Prints the folder of the disks of two Debian hosts, openrc.ext4 and sysvinit.ext4: host-images.sh
# They are made once, in about three minutes, and kept outside the source tree, in $VM_CACHE, until
# this file changes. Everything happens in mount and process namespaces of its own: no service is
# started, and nothing stays mounted.
set -eu

suite=bookworm
common="sysvinit-core initscripts ifupdown iproute2 libvirt-clients"

# What makes the base system into a host: host ROOT PACKAGE...
host() {
    root=$1
    shift
    mount -t proc proc "$root/proc"
    # shellcheck disable=SC2086
    chroot "$root" apt-get install -q -y --no-install-recommends $common "$@"
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
    for flavour in openrc:openrc sysvinit:sysv-rc; do
        echo "-- a host with ${flavour#*:}"
        cp -a base root
        host root "${flavour#*:}"
        truncate -s 640M "${flavour%:*}.ext4"
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

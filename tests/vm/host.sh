#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests the daemon on a Debian host without systemd, in a virtual machine: host.sh openrc|sysvinit BINARY
# The files of `make install INIT=...`, and for sysvinit the package of `make deb`, are copied onto
# a fresh copy of the host's disk. host-tests.sh contains the tests.
set -eu

flavour=$1 binary=$2
here=$(dirname "$0")
kernel=$("$here/kernel-image.sh")
disks=$("$here/host-images.sh")
busybox=$("$here/../busybox.sh")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
initramfs=$work/initramfs
mkdir -p "$initramfs/bin" "$initramfs/modules" "$initramfs/vm"
cp /bin/busybox "$initramfs/bin"
cp "$here/host-init.sh" "$initramfs/init"
modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk
    failover net_failover virtio_net llc stp bridge dummy"
for module in $modules; do
    find "$kernel/modules/" -name "$module.ko" -exec cp {} "$initramfs/modules" \;
done

make -s install INIT="$flavour" BINARY="$binary" DESTDIR="$initramfs/tree"
cp -a "$initramfs/tree" "$initramfs/vm/tree"
cp "$here/host-tests.sh" "$here/host-network.sh" "$here/host-managers.sh" "$initramfs/vm"
cp "$busybox" "$initramfs/vm/busybox"
echo "$flavour" >"$initramfs/vm/flavour"
# The host with OpenRC loses its power three times.
case $flavour in
openrc) echo 5 ;;
sysvinit) echo 2 ;;
esac >"$initramfs/vm/boot-count"
if [ "$flavour" = sysvinit ]; then
    for package in "${CARGO_TARGET_DIR:-target}"/deb/*.deb; do
        cp "$package" "$initramfs/vm/virtinterfaced.deb"
        dpkg-deb --contents "$package" | sed -n 's/^-.* \.\//\//p' >"$initramfs/vm/package-files"
    done
fi
(cd "$initramfs" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"

boot() {
    cp --sparse=always "$disks/$flavour.ext4" "$work/disk"
    "$here/boot.sh" "$flavour" "${VM_TIMEOUT:-900}" "$kernel" "$work/initrd" \
        -drive "if=virtio,format=raw,cache=unsafe,file=$work/disk" \
        -netdev hubport,id=inside,hubid=0 -device virtio-net-pci,romfile=,netdev=inside,id=eth0 \
        -netdev hubport,id=outside,hubid=0 -device virtio-net-pci,romfile=,netdev=outside \
        -netdev hubport,id=spare,hubid=1 -device virtio-net-pci,romfile=,netdev=spare
}
status=0
boot || status=$?
if [ "$status" = 2 ]; then
    # Emulated processors without enough time have stalled before, so one more attempt is made. A
    # daemon that stalls fails twice.
    echo "$flavour machine: it did not come to its end; once more"
    status=0
    boot || status=$?
    [ "$status" != 0 ] || echo "$flavour machine: passed at the second attempt"
fi
exit "$status"

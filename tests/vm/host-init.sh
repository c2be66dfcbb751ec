#!/bin/busybox sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=dash
# The initramfs of the test hosts: loads the disk's modules, copies the files under test to the disk
# at the first boot, and starts the disk's own init.

PATH=/bin
/bin/busybox mkdir -p /bin /proc /sys /dev /disk
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
# In the order of their dependencies. The host needs only the disk; the tests need the others.
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk \
    failover net_failover virtio_net llc stp bridge; do
    insmod "/modules/$module.ko"
done
insmod /modules/dummy.ko numdummies=0
# See host-network.sh.
ip link set eth1 name beyond
late=$(readlink /sys/class/net/eth2/device)
echo "${late##*/}" >/sys/bus/virtio/drivers/virtio_net/unbind
mount -t ext4 /dev/vda /disk

boot=$(($(cat /disk/vm/boots 2>/dev/null || echo 0) + 1))
echo "-- boot $boot: the kernel runs" >/dev/ttyS1
if [ "$boot" = 1 ]; then
    cp -a /tree/. /disk/
    cp -a /vm /disk/
    chroot /disk /vm/host-tests.sh enable >/dev/ttyS1 2>&1
fi
if [ "$boot" -gt "$(cat /disk/vm/boot-count)" ]; then
    echo "FAIL machine: it boots again and again" >/dev/ttyS1
    umount /disk
    poweroff -f
fi
echo "$boot" >/disk/vm/boots
umount /proc /sys
mount --move /dev /disk/dev
exec switch_root /disk /sbin/init

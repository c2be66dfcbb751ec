#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs the test of an init system on a host of its own: throwaway-host.sh INIT DAEMON CACHE
# The host consists of this machine's files below a temporary writable layer, namespaces for
# network, mounts and processes, and the files of `make install` for that init system. The init
# system's Debian packages are unpacked there, from CACHE. INIT can also be "deb", for our own
# package. The test cannot affect the machine. If such a host cannot be created, the test is skipped
# with a reason; with CI or REQUIRE_NETNS set it fails.
set -eu

init=$1 daemon=$2 cache=$3
shift 3
install=$init packages=
case $init in
sysvinit) packages="logrotate libpopt0" ;;
openrc) packages="openrc librc1 libeinfo1 insserv" ;;
runit) packages="runit" ;;
s6) packages="s6 execline libs6-2.11 libexecline2.9 libskarnet2.13" ;;
busybox) install=none ;;
deb) install= ;;
esac
skip() {
    [ -z "${CI-}${REQUIRE_NETNS-}" ] || { echo "FAILED: $init: cannot run: $1" && exit 1; }
    echo "SKIP: $init: $1"
    exit 0
}

if [ "${INIT_HOST-}" != yes ]; then
    [ "$(id -u)" = 0 ] || skip "needs root to make a host"
    # Packages are fetched before the network is gone.
    # shellcheck disable=SC2086
    files=$("$(dirname "$0")/../fetch.sh" "$cache" $packages) || skip "cannot fetch $packages"
    # shellcheck disable=SC2086
    INIT_HOST=yes exec unshare --net --mount --pid --fork --kill-child --propagation private \
        "$0" "$init" "$daemon" "$cache" $files
fi

tree=$(cd "$(dirname "$0")/../.." && pwd)
layer=$(mktemp -d)
trap 'cd /; umount -l "$layer" && rmdir "$layer"' EXIT
mount -t tmpfs tmpfs "$layer"
root=$layer/root
mkdir "$layer/top" "$layer/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/top,workdir=$layer/work" "$root" ||
    skip "the kernel has no overlayfs"
for package in "$@"; do
    dpkg-deb --fsys-tarfile "$package" | tar -C "$root" -x --keep-directory-symlink
done
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
for dir in run tmp dev etc/libvirt var/lib/libvirt var/log; do
    mkdir -p "$root/$dir"
    mount -t tmpfs tmpfs "$root/$dir"
done
for node in null:3 zero:5 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
done
ln -s /proc/self/fd "$root/dev/fd"
cd "$tree"
if [ -n "$install" ]; then
    make -s install "DESTDIR=$root" PREFIX=/usr "INIT=$install" "BINARY=$daemon"
else
    init/debian/build.sh "$daemon" "$root/tmp" >/dev/null
fi
cp tests/init/facts.sh "tests/init/$init.sh" init/busybox/inittab init/install.sh "$root/tmp"
ip link set lo up

rc=0
chroot "$root" sh "/tmp/$init.sh" >"$layer/out" 2>&1 || rc=$?
if [ "$rc" = 0 ]; then
    echo "ok: $init: $(grep -c '^ok: ' "$layer/out") facts"
else
    cat "$layer/out"
    [ ! -s "$root/tmp/words" ] || sed 's/^/    /' "$root/tmp/words"
    echo "FAILED: $init"
    exit 1
fi

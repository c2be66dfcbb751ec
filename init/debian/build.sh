#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes a package for Debian and Devuan of a built daemon: build.sh DAEMON FOLDER
# It has the script for sysvinit (and OpenRC there) and the units of systemd, as Debian's have.
set -eu

daemon=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
version=$(sed -n '/^\[package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
maintainer=$(sed -n 's/^authors = \["\(.*\)"\]$/\1/p' Cargo.toml)
arch=${ARCH:-$(dpkg --print-architecture)}
date=$(git log -1 --format=%cD 2>/dev/null || date -R)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

${MAKE:-make} -s install DESTDIR="$root" RECORD= BINARY="$daemon" INIT="sysvinit systemd" \
    PREFIX=/usr UNITDIR=/lib/systemd/system SYSCONFDIR=/etc LOCALSTATEDIR=/var RUNSTATEDIR=/run
gzip -9n "$root"/usr/share/man/man?/*

doc=$root/usr/share/doc/virtinterfaced
mkdir -p "$doc/examples" "$root/DEBIAN"
cp init/busybox/inittab "$doc/examples/inittab.busybox"
cp "$here/copyright" "$doc"
printf 'virtinterfaced (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md of the sources.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$date" |
    gzip -9n >"$doc/changelog.gz"

# A static daemon needs nothing.
depends=
needed=$(LC_ALL=C objdump -p "$daemon" | sed -n 's/^ *NEEDED *//p')
case $needed in
*libc.so.6*)
    glibc=$(LC_ALL=C objdump -T "$daemon" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    depends="libc6 (>= ${glibc#GLIBC_})"
    ;;
esac
case $needed in *libgcc_s.so.1*) depends="$depends, libgcc-s1" ;; esac

(cd "$root" && find etc -type f | sort | sed 's|^|/|') >"$root/DEBIAN/conffiles"
(cd "$root" && find usr lib -type f | sort | xargs md5sum) >"$root/DEBIAN/md5sums"
for script in postinst prerm postrm; do
    cp "$here/$script" "$root/DEBIAN"
    chmod 755 "$root/DEBIAN/$script"
done
size=$(du -sk --exclude DEBIAN "$root" | cut -f 1)
sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/; s/@MAINTAINER@/$maintainer/; s/@DEPENDS@/$depends/; /^Depends: \$/d" \
    "$here/control" >"$root/DEBIAN/control"
find "$root" -type d -exec chmod 755 {} +

# The folder contains only the package that was built last.
rm -f "$out"/virtinterfaced_*.deb
package=$out/virtinterfaced_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"

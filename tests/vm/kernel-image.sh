#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Prints the directory of the kernel that the test machines boot: kernel-image.sh
# It contains `vmlinuz` and `modules`: Debian's current cloud kernel, unpacked but not installed. It
# is fetched once and kept outside the source tree, in $VM_CACHE.
set -eu

cache=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/virtinterfaced}
name_of_package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-\)/\1/p'
}

package=$(name_of_package)
if [ -z "$package" ]; then
    apt-get update -q >/dev/null
    package=$(name_of_package)
fi
[ -n "$package" ] || { echo "apt-get knows no linux-image-cloud-amd64" >&2; exit 1; }
version=$(apt-cache show --no-all-versions "$package" | sed -n 's/^Version: //p')

kernel=$cache/kernel-${package#linux-image-}-$version
if [ ! -e "$kernel/vmlinuz" ]; then
    echo "-- fetching $package $version" >&2
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/tmp.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && apt-get download -q "$package=$version" >fetch.log 2>&1) ||
        { cat "$work/fetch.log" >&2; exit 1; }
    dpkg-deb -x "$work"/*.deb "$work/root"
    mkdir "$work/kernel"
    mv "$work"/root/boot/vmlinuz-* "$work/kernel/vmlinuz"
    mv "$work"/root/lib/modules/* "$work/kernel/modules"
    rm -rf "$cache"/kernel-*
    mv "$work/kernel" "$kernel"
fi
echo "$kernel"

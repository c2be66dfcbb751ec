#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Prints the path of a BusyBox whose ifup configures addresses, unlike Debian's: busybox.sh
# It is built once, in half a minute, from the sources of Debian's package, and kept outside the
# source tree, in $VM_CACHE, until this file changes. Its applets configure a network as on Alpine.
set -eu

suite=bookworm
options="STATIC LFS LONG_OPTS SHOW_USAGE IFUP IFDOWN FEATURE_IFUPDOWN_IP FEATURE_IFUPDOWN_IPV4
    FEATURE_IFUPDOWN_IPV6 FEATURE_IFUPDOWN_MAPPING IP IPADDR IPLINK IPROUTE FEATURE_IP_ADDRESS
    FEATURE_IP_LINK FEATURE_IP_ROUTE FEATURE_IPV6 UDHCPC RUN_PARTS FEATURE_RUN_PARTS_LONG_OPTIONS"
texts='IFUPDOWN_IFSTATE_PATH="/var/run/ifstate"
IFUPDOWN_UDHCPC_CMD_OPTIONS="-R -n"
UDHCPC_DEFAULT_SCRIPT="/etc/udhcpc/default.script"'

# Fetches the sources that apt trusts, without a change to apt's own lists: fetch FOLDER
fetch() {
    mkdir -p "$1/lists/partial"
    echo "deb-src http://deb.debian.org/debian $suite main" >"$1/sources.list"
    set -- -q -o "Dir::Etc::SourceList=$1/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$1/lists" -o APT::Sandbox::User=root
    apt-get "$@" update
    apt-get "$@" source --download-only busybox
}

# Sets the options of the configuration in the current folder.
configure() {
    make -s allnoconfig
    for option in $options; do
        sed -i "s/^# CONFIG_$option is not set/CONFIG_$option=y/" .config
    done
    # Options that appear with those take their defaults.
    yes '' | make -s oldconfig
    echo "$texts" | while read -r text; do
        sed -i "s|^CONFIG_${text%%=*}=.*|CONFIG_$text|" .config
    done
    for option in $options; do
        grep -qx "CONFIG_$option=y" .config || { echo "BusyBox has no option $option" >&2; exit 1; }
    done
}

# build FOLDER
build() {
    cd "$1"
    fetch "$1"
    tar -xf busybox_*.orig.tar.bz2
    cd busybox-*/
    configure
    make -s -j "$(nproc)"
}

cache=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/virtinterfaced}
program=$cache/busybox-$(sha256sum "$0" | cut -c 1-16)
if [ ! -e "$program" ]; then
    "$(dirname "$0")/needs.sh" gcc:gcc make:make bzip2:bzip2 >&2
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/tmp.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    (build "$work") >"$work/log" 2>&1 || { tail -n 30 "$work/log" >&2; exit 1; }
    rm -f "$cache"/busybox-*
    mv "$work"/busybox-*/busybox "$program"
fi
echo "$program"

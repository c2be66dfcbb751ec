#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Fetches Debian packages without installing them, and prints their paths: fetch.sh CACHE PACKAGE...
# Fetched packages are kept in CACHE. Ends with 77 if apt is not available.
set -eu

cd "$1" 2>/dev/null || { mkdir -p "$1" && cd "$1"; }
shift
for package in "$@"; do
    set -- "${package}"_*.deb
    if [ ! -e "$1" ]; then
        command -v apt-get >/dev/null || exit 77
        apt-get download -q "$package" >/dev/null 2>&1 || {
            apt-get update -q >/dev/null
            apt-get download -q "$package" >/dev/null
        }
        set -- "${package}"_*.deb
    fi
    echo "$PWD/$1"
done

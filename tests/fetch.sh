#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Fetches Debian packages without installing them, and prints the paths of their files:
#     fetch.sh CACHE PACKAGE[=VERSION]...
# Of a VERSION the first part is enough: rustc-web=1.85 is any revision of 1.85. Without one it is the
# version that apt would install. A file that is in CACHE already is not fetched again. The status is 77 on
# a host without apt.
set -eu

cd "$1" 2>/dev/null || { mkdir -p "$1" && cd "$1"; }
shift
for package in "$@"; do
    name=${package%%=*}
    case $package in
    *=*) version=${package#*=} wanted="$package*" ;;
    *) version='' wanted=$package ;;
    esac
    set -- "${name}_$version"*.deb
    if [ ! -e "$1" ]; then
        command -v apt-get >/dev/null || exit 77
        apt-get download -q "$wanted" >/dev/null 2>&1 || {
            apt-get update -q >/dev/null
            apt-get download -q "$wanted" >/dev/null
        }
        set -- "${name}_$version"*.deb
    fi
    echo "$PWD/$1"
done

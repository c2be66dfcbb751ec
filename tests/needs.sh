#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sees to it that what the tests use is there: needs.sh THING:PACKAGE...
# A THING is a command, or a file by its path. What is missing is installed as PACKAGE, by root on a
# Debian-like host; anywhere else it is named in one line.
set -eu

missing=
for need in "$@"; do
    thing=${need%:*}
    case $thing in
    /*) [ -e "$thing" ] || missing="$missing ${need##*:}" ;;
    *) command -v "$thing" >/dev/null || missing="$missing ${need##*:}" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing, by their Debian names:$missing (as root on Debian, this installs them)" >&2
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing >/dev/null

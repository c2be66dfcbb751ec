#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks the requirements of the tests: needs.sh THING:PACKAGE...
# A THING is a command, or the path of a file. On a Debian-like host, root installs the missing
# PACKAGE; otherwise one line names what is missing.
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

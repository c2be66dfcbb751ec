#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks the crates of the daemon against today's advisories of RustSec: advisories.sh CHECKOUT
# The database is fetched into CHECKOUT, or brought up to date there. Without a network this is skipped, also
# in CI; tests/advisories.rs holds the crates against the copy in tests/advisories in any case.
set -eu

url=https://github.com/RustSec/advisory-db
checkout=$1
if [ -d "$checkout/.git" ]; then
    timeout 300 git -C "$checkout" pull -q --ff-only --depth 1 || fetched=no
else
    timeout 300 git clone -q --depth 1 "$url" "$checkout" || fetched=no
fi
if [ "${fetched-}" = no ]; then
    echo "SKIP: $url cannot be fetched; today's advisories are not checked"
    exit 0
fi
echo "-- advisories of $(git -C "$checkout" log -1 --format=%cs)"
ADVISORY_DB=$(cd "$checkout" && pwd)
export ADVISORY_DB
"${CARGO:-cargo}" test --test advisories

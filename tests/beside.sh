#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes several lists of targets beside each other, each in its order: beside.sh MAKE "TARGET..."...
# The first list shows its output as it comes, the others when they end. Each list stops at its first
# failure; the status is 0 if none fails.
set -eu

make=$1 first=$2
shift 2
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# work TARGET...
work() {
    for target in "$@"; do
        begin=$(date +%s)
        $make --no-print-directory "$target" || return
        echo "-- $target: $(($(date +%s) - begin)) s"
    done
}

number=0
jobs=
for targets in "$@"; do
    number=$((number + 1))
    # shellcheck disable=SC2086
    work $targets >"$logs/$number" 2>&1 </dev/null &
    jobs="$jobs $!"
done
status=0
# shellcheck disable=SC2086
work $first </dev/null || status=$?
number=0
for job in $jobs; do
    number=$((number + 1))
    wait "$job" || status=$?
    cat "$logs/$number"
done
exit "$status"

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks that the files of init systems and all other shell scripts are well-formed; systemd's units
# too, if systemd-analyze is installed.
set -eu

cd "$(dirname "$0")/../.."
scripts=$(find .ci init tests -type f \
    -exec grep -lE '^(#!.*(/sh|busybox sh|openrc-run)|# shellcheck shell=sh)$' {} +)
settings="init/openrc/virtinterfaced.confd init/openrc/virtinterfaced-online.confd
    init/sysvinit/virtinterfaced.default init/runit/conf init/s6/conf"
# shellcheck disable=SC2086
shellcheck --shell=sh --external-sources $scripts
# Settings are used by other files.
# shellcheck disable=SC2086
shellcheck --shell=sh --exclude=SC2034 $settings
for script in $scripts $settings; do
    dash -n "$script"
    busybox sh -n "$script"
done
# systemd accepts only assignments.
if grep -vE '^(#.*|[A-Z_]+="[^"$]*"|)$' init/sysvinit/virtinterfaced.default; then
    echo "init/sysvinit/virtinterfaced.default: not for systemd" >&2
    exit 1
fi
command -v systemd-analyze >/dev/null || { echo "SKIP: systemd's units: no systemd-analyze" && exit 0; }
# systemd-analyze requires the program to exist.
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
for unit in init/systemd/*; do
    sed 's|/usr/sbin/virtinterfaced|/bin/true|' "$unit" >"$folder/${unit##*/}"
done
sed -i '/^Documentation=/d' "$folder"/*
said=$(systemd-analyze verify --man=no "$folder"/* 2>&1) || { echo "$said" && exit 1; }
# Messages about the machine's own units do not matter; unknown settings of ours are only warnings.
if echo "$said" | grep virtinterfaced; then exit 1; fi

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Are the init systems' files, and all other shell scripts, well-formed? systemd's units too, if
# systemd-analyze is there.
set -eu

cd "$(dirname "$0")/../.."
scripts=$(find .ci init tests -type f \
    -exec grep -lE '^(#!.*(/sh|busybox sh|openrc-run)|# shellcheck shell=sh)$' {} +)
settings="init/openrc/virtinterfaced.confd init/openrc/virtinterfaced-online.confd
    init/sysvinit/virtinterfaced.default init/runit/conf init/s6/conf"
# shellcheck disable=SC2086
shellcheck --shell=sh --external-sources $scripts
# Nothing in a settings file uses what it sets.
# shellcheck disable=SC2086
shellcheck --shell=sh --exclude=SC2034 $settings
for script in $scripts $settings; do
    dash -n "$script"
    busybox sh -n "$script"
done
# systemd takes assignments alone.
if grep -vE '^(#.*|[A-Z_]+="[^"$]*"|)$' init/sysvinit/virtinterfaced.default; then
    echo "init/sysvinit/virtinterfaced.default: not for systemd" >&2
    exit 1
fi
command -v systemd-analyze >/dev/null || { echo "SKIP: systemd's units: no systemd-analyze" && exit 0; }
# It wants the program to be there.
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
for unit in init/systemd/*; do
    sed 's|/usr/sbin/virtinterfaced|/bin/true|' "$unit" >"$folder/${unit##*/}"
done
sed -i '/^Documentation=/d' "$folder"/*
said=$(systemd-analyze verify --man=no "$folder"/* 2>&1) || { echo "$said" && exit 1; }
# What it says of the machine's own units is not ours; what it ignores of ours it only mentions.
if echo "$said" | grep virtinterfaced; then exit 1; fi

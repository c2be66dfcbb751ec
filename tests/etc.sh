#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks the files in etc with the programs that read them: etc.sh CACHE
# Augeas's lens must read and write the configuration, and polkit's file must have what its actions
# need. If Augeas is not installed, its Debian packages are unpacked from CACHE. If they are not
# available either, the test is skipped; with CI set it fails.
set -eu

cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
if ! command -v augparse >/dev/null; then
    files=$(tests/fetch.sh "$1" augeas-tools libaugeas0) || {
        [ -z "${CI-}" ] || { echo "FAILED: there is no augparse" && exit 1; }
        echo "SKIP: there is no augparse" && exit 0
    }
    for file in $files; do dpkg-deb -x "$file" "$folder/tools"; done
    PATH=$folder/tools/usr/bin:$PATH
    LD_LIBRARY_PATH=$(echo "$folder"/tools/usr/lib/*)
    export PATH LD_LIBRARY_PATH
fi

augparse --nostdinc --include etc etc/test_virtinterfaced.aug

conf=$folder/etc/libvirt/virtinterfaced.conf
mkdir -p "$folder/etc/libvirt"
tree=/files/etc/libvirt/virtinterfaced.conf

# edit KEY VALUE: changes one key, and prints Augeas's errors.
edit() {
    augtool --nostdinc --include "$PWD/etc" --root "$folder" --noautoload \
        --transform "Virtinterfaced incl /etc/libvirt/virtinterfaced.conf" <<END >"$folder/said"
load
set $tree/$1 "$2"
save
print /augeas//error
END
    [ "$(cat "$folder/said")" = "Saved 1 file(s)" ] || { cat "$folder/said" && exit 1; }
}

# In the shipped file a new key is added at the end, and nothing else changes.
cp etc/virtinterfaced.conf "$conf"
edit max_clients 17
{ cat etc/virtinterfaced.conf && echo "max_clients = 17"; } | cmp - "$conf"

# With every key set, one of them is changed and changed back.
sed 's/^#\([a-z_]* = \)/\1/; s/^# Example: \(unix\|sasl\|host\)/\1/' etc/virtinterfaced.conf >"$conf"
cp "$conf" "$folder/before"
edit max_clients 17
sed 's/^max_clients = .*/max_clients = 17/' "$folder/before" | cmp - "$conf"
edit max_clients 5000
cmp "$folder/before" "$conf"
known=$(grep -c '^ *key("' src/config/keys.rs)
[ "$(grep -c '^[a-z]' "$conf")" = "$known" ] || { echo "not $known keys" && exit 1; }
echo "ok: Augeas reads and writes $known keys"

# Each action has a default for every kind of session, in the file that polkit reads.
ours='@id="org.libvirt.unix.monitor" or @id="org.libvirt.unix.manage"'
whole='allow_any and allow_inactive and allow_active'
answers=$(xmllint --nonet --xpath "count(//action[$ours]/defaults[$whole])" etc/polkit.policy)
[ "$answers" = 2 ] || { echo "polkit's file has $answers whole actions of 2" && exit 1; }
echo "ok: polkit's file has both actions"

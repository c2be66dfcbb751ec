#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes a source archive that builds without a network, with all crates in it: dist.sh FOLDER
# It holds the files that git knows, as they are in the working tree. Of crates for other systems
# only the outside is there: cargo wants to see them, and nothing is compiled from them.
set -eu

out=$1
cd "$(dirname "$0")/.."
version=$(sed -n '/^\[package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=virtinterfaced-$version
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

date=$(git log -1 --format=%ct) || { echo "make dist needs a git clone" >&2 && exit 1; }
mkdir "$folder/$name"
git ls-files -z | tar -c --null -T - -f "$folder/tree.tar"
tar -xf "$folder/tree.tar" -C "$folder/$name"
vendor=$folder/$name/.cargo/vendor
${CARGO:-cargo} vendor --quiet --locked "$vendor" >/dev/null
for crate in "$vendor"/wasi "$vendor"/windows*; do
    sum=$(sed 's/.*"package":"\([0-9a-f]*\)".*/\1/' "$crate/.cargo-checksum.json")
    cp "$crate/Cargo.toml" "$folder"
    rm -r "$crate"
    mkdir -p "$crate/src"
    mv "$folder/Cargo.toml" "$crate"
    : >"$crate/src/lib.rs"
    echo "{\"files\":{},\"package\":\"$sum\"}" >"$crate/.cargo-checksum.json"
done
cat >"$folder/$name/.cargo/config.toml" <<'END'
[source.crates-io]
replace-with = "vendored"

[source.vendored]
directory = ".cargo/vendor"
END

mkdir -p "$out"
tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner "--mtime=@$date" \
    -cf "$folder/tree.tar" "$name"
gzip -9n <"$folder/tree.tar" >"$out/$name.tar.gz"
echo "$out/$name.tar.gz"

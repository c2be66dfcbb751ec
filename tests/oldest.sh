#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Compiles the daemon, the tests and the benchmark with the oldest compiler that Cargo.toml permits
# (rust-version), and runs the tests that need no other program: oldest.sh PACKAGES
# The compiler is a Debian package, unpacked below PACKAGES and not installed.
set -eu

packages=$1
version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
mkdir -p "$packages"
rust=$(cd "$packages" && pwd)/rust-$version

# The last two hold libraries of the compiler and of cargo.
if [ ! -e "$rust/unpacked" ]; then
    files=$(tests/fetch.sh "$packages" "rustc-web=$version" "cargo-web=$version" \
        "libstd-rust-web-$version=$version" "libstd-rust-web-dev=$version" libllvm19 libpcre3) || {
        status=$?
        [ -z "${CI-}" ] || exit "$status"
        echo "SKIP: Rust $version is not compiled with, as apt-get cannot fetch rustc-web $version of Debian 12"
        exit 0
    }
    rm -rf "$rust"
    for file in $files; do
        dpkg-deb -x "$file" "$rust"
    done
    : >"$rust/unpacked"
fi

libraries=$(find "$rust" -name 'lib*.so*' -exec dirname {} + | sort -u | tr '\n' ':')
export LD_LIBRARY_PATH="${libraries%:}" RUSTC="$rust/usr/bin/rustc"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/oldest"
# A panic prints line numbers; nothing here reads more debug information.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
case $("$RUSTC" --version) in
"rustc $version."*) ;;
*)
    echo "$RUSTC is not Rust $version" >&2
    exit 1
    ;;
esac

"$rust/usr/bin/cargo" check --locked --workspace --all-targets
"$rust/usr/bin/cargo" test --locked --lib --bins --test 'golden_*' --test on_values --test undo

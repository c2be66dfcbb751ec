#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the daemon as one static binary for this architecture: static.sh OUTPUT
#
# On a host with musl, and with a rustup that has the musl target, cargo suffices. Debian has no
# standard library for musl, but its sources: there it is built with the daemon, by Debian's own
# compiler. The library requires an unwinder, although a panic ends the process without unwinding.
# The script links that of gcc, which is built for glibc and asks the loader where objects are; as a
# static program has no loader, a stub answers "none".
set -eu

output=$1
target=${CARGO_TARGET_DIR:-target}
library=/usr/lib/rustlib/src/rust/library
triple=$(rustc -vV 2>/dev/null | sed -n 's/^host: //p')
case $triple in
*-musl*) ;;
*-gnu*) triple=$(echo "$triple" | sed 's/-gnu/-musl/') ;;
*) triple=$(uname -m)-unknown-linux-musl ;;
esac

# Size and memory matter most here. Inlining only the smallest functions makes the binary smaller
# and, with thousands of links, faster; and panics do not contain paths of the build machine.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=z
unset CARGO_ENCODED_RUSTFLAGS
export RUSTFLAGS="-C target-feature=+crt-static -C llvm-args=-inline-threshold=10 \
--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src/= --remap-path-prefix=$library/="

if [ -d "$(rustc --print target-libdir --target "$triple" 2>/dev/null || true)" ]; then
    cargo build --release --target "$triple"
else
    "$(dirname "$0")/needs.sh" \
        /usr/bin/rustc:rustc-web /usr/bin/cargo:cargo-web \
        "$library/Cargo.lock:rust-web-src" \
        musl-gcc:musl-tools /usr/bin/gcc:gcc

    mkdir -p "$target/unwinder"
    unwinder=$(cd "$target/unwinder" && pwd)
    cp "$(gcc -print-file-name=libgcc_eh.a)" "$unwinder/libunwind.a"
    echo 'int _dl_find_object(void *address, void *found) { (void)address; (void)found; return -1; }' |
        gcc -Os -x c -c -o "$unwinder/find_object.o" -
    ar r "$unwinder/libunwind.a" "$unwinder/find_object.o" 2>/dev/null

    # An archive of `make dist` contains the daemon's crates, and the library's sources contain
    # theirs; cargo requires them in one directory.
    set --
    if [ -d .cargo/vendor ]; then
        rm -rf "$target/crates"
        mkdir -p "$target/crates"
        ln -s "$PWD"/.cargo/vendor/* "$library"/vendor/* "$target/crates"
        crates=$(cd "$target/crates" && pwd)
        set -- --offline --config "source.vendored.directory = '$crates'"
    fi

    # Overflows are checked in the daemon and its crates, but not in the library, as in the one that
    # is shipped with Rust.
    set -- "$@" --config 'profile.release.package."*".overflow-checks = false'
    for crate in env_filter env_logger getopts libc log mio xml-rs; do
        set -- "$@" --config "profile.release.package.$crate.overflow-checks = true"
    done

    export PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1
    RUSTFLAGS="$RUSTFLAGS -C linker=musl-gcc -C link-self-contained=no -C relocation-model=static \
-C force-unwind-tables=no -L native=$unwinder"
    cargo build --release --target "$triple" \
        -Z build-std=std,panic_abort -Z build-std-features=optimize_for_size "$@"
fi
install -D "$target/$triple/release/virtinterfaced" "$output"
if objdump -p "$output" | grep NEEDED; then
    echo "$output is not static" >&2
    exit 1
fi

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the daemon for other architectures and runs its unit tests, and those on values, there:
#     cross.sh [i686|aarch64]...
# One has 32-bit words, the other is not x86. Debian's compiler has no standard library for them and builds
# it along. An x86-64 kernel runs what comes out for i686; qemu's user mode runs what it does not.
set -eu

export PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C target-feature=+crt-static"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/cross"
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
unset CARGO_ENCODED_RUSTFLAGS

# After vfork, the kernel lets the parent go on when the child runs another program, qemu's user mode
# before that: the child's name is still that of its parent then.
UNLIKE_THE_KERNEL="--skip an_adopted_client_is_looked_at_and_started_again"

# Whether the kernel runs a program that exits with status 0, for this architecture.
runs_here() {
    program=$(mktemp)
    echo 'int main(void) { return 0; }' | "$1-gcc" -static -x c -o "$program" -
    status=0
    "$program" 2>/dev/null || status=$?
    rm "$program"
    return "$status"
}

# cross ARCHITECTURE QEMU-ARCHITECTURE
cross() {
    triple=$1-unknown-linux-gnu
    gnu=$1-linux-gnu
    variable=CARGO_TARGET_$(echo "$triple" | tr a-z- A-Z_)
    export "${variable}_LINKER=$gnu-gcc"
    set -- "$2"
    if runs_here "$gnu"; then
        set --
    else
        qemu=qemu-$1-static
        tests/needs.sh "$qemu:qemu-user-static"
        export "${variable}_RUNNER=$qemu"
        # shellcheck disable=SC2086
        set -- $UNLIKE_THE_KERNEL
    fi
    echo "-- $triple"
    cargo test --locked --lib --bins --test on_values -Z build-std=std,panic_abort --target "$triple" -- "$@"
}

[ $# != 0 ] || set -- i686 aarch64
for architecture in "$@"; do
    case $architecture in
    i686)
        tests/needs.sh i686-linux-gnu-gcc:gcc-i686-linux-gnu /usr/i686-linux-gnu/lib/crt1.o:libc6-dev-i386-cross
        cross i686 i386
        ;;
    aarch64)
        tests/needs.sh aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu \
            /usr/aarch64-linux-gnu/lib/crt1.o:libc6-dev-arm64-cross
        cross aarch64 aarch64
        ;;
    *)
        echo "cross.sh [i686|aarch64]..." >&2
        exit 1
        ;;
    esac
done

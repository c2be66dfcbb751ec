#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the daemon for other kinds of machines and runs its unit tests, and those on values,
# as they would: cross.sh
# One has 32-bit words, one is not x86. As no standard library is at hand for them, it is built
# along, by Debian's compiler; qemu's user mode runs what comes out. Slow, so nobody waits for it
# but who asks.
set -eu

export PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

# A process that vfork has made is let go on by the kernel when its child is another program; by qemu's
# user mode before that. So what is written down of a child's name there is its parent's.
SKIPPED="an_adopted_client_is_looked_at_and_started_again"

# cross RUST-ARCHITECTURE GNU-ARCHITECTURE QEMU-ARCHITECTURE
cross() {
    triple=$1-unknown-linux-gnu
    gnu=$2-linux-gnu
    variable=CARGO_TARGET_$(echo "$triple" | tr a-z- A-Z_)
    export "${variable}_LINKER=$gnu-gcc" "${variable}_RUNNER=qemu-$3-static -L /usr/$gnu"
    echo "-- $triple"
    cargo test --lib --bins --test on_values -Z build-std=std,panic_abort --target "$triple" -- --skip "$SKIPPED"
}

cross i686 i686 i386
cross aarch64 aarch64 aarch64

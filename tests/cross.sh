#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the daemon for other architectures, and runs its unit tests and those on values: cross.sh
# One has 32-bit words, one is not x86. Debian has no standard library for them, so it is built as
# well, by Debian's compiler; qemu's user mode runs the tests. It is slow, so it only runs on
# request.
set -eu

export PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

# The kernel resumes a process after vfork once its child has executed a program; qemu's user mode
# resumes it earlier. The recorded name of the child is then still its parent's.
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

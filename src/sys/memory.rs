// SPDX-License-Identifier: LGPL-2.1-or-later
//! The memory of the allocator.

/// Returns the allocator's free memory to the kernel. musl does so by itself.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        let kept_len = 0;
        // SAFETY: malloc_trim takes one integer, and changes no memory that is in use.
        unsafe { libc::malloc_trim(kept_len) };
    }
}

//! Bounds what an input may allocate.

use cap::Cap;
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that a call may leave behind: caches that libraries fill when they are first used.
const MAX_KEPT: usize = 64 << 10;

/// Calls a function that may allocate so many bytes at a time. More ends the process: the
/// allocation fails, in whatever thread it is.
///
/// # Panics
///
/// If the function leaves memory behind.
pub(crate) fn limited(limit: usize, function: impl FnOnce()) {
    let before = ALLOCATOR.allocated();
    let limited = ALLOCATOR.set_limit(before + limit + MAX_KEPT);
    function();
    let lifted = ALLOCATOR.set_limit(usize::MAX);
    assert_eq!(
        (limited, lifted),
        (Ok(()), Ok(())),
        "no other thread does this"
    );
    let kept = ALLOCATOR.allocated().saturating_sub(before);
    assert!(kept <= MAX_KEPT, "{kept} bytes stay allocated");
}

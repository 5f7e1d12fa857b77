//! Bounds what an input may allocate.

use cap::Cap;
use std::{alloc::System, panic, sync::Once};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that a call may leave behind: caches that libraries fill when they are first used.
const MAX_KEPT: usize = 64 << 10;

/// Panics are reported without a limit.
static LIFTED: Once = Once::new();

/// Calls a function that may allocate so many bytes at a time. More ends the process: the
/// allocation fails, in whatever thread it is.
///
/// # Panics
///
/// If the function leaves memory behind.
pub(crate) fn limited(limit: usize, function: impl FnOnce()) {
    LIFTED.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A report takes memory, which is not the function's to answer for.
            let _lifted = ALLOCATOR.set_limit(usize::MAX);
            report(info);
        }));
    });
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn what_is_kept_and_what_breaks_is_told() {
        limited(1 << 20, || drop(black_box(vec![0_u8; 1 << 19])));
        let kept = panic::catch_unwind(|| {
            limited(1 << 20, || std::mem::forget(black_box(vec![0_u8; 1 << 19])));
        });
        let told = kept.unwrap_err().downcast::<String>();
        assert!(told.is_ok_and(|text| text.contains("stay allocated")));
        let broken = panic::catch_unwind(|| limited(0, || panic!("a broken promise")));
        assert!(broken.is_err());
    }
}

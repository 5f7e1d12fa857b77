//! What a test allocates and keeps, counted by an allocator that stands in front of the system's.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static KEPT: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator, which upholds the contract.
#[expect(unsafe_code, reason = "an allocator can't be written otherwise")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        KEPT.with(|kept| kept.set(kept.get() + size(layout)));
        // SAFETY: the caller's promises about `layout` are the ones that are needed.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: The contract is that of the trait.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        KEPT.with(|kept| kept.set(kept.get() - size(layout)));
        // SAFETY: the pointer came from `alloc` above, and so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn size(layout: Layout) -> i64 {
    i64::try_from(layout.size()).unwrap_or(i64::MAX)
}

/// How often this thread has allocated: a measure of work that no clock disturbs.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// How many bytes more this thread has allocated than given back.
pub(crate) fn kept() -> i64 {
    KEPT.with(Cell::get)
}

#[test]
fn allocations_are_counted() {
    let before = (allocations(), kept());
    let boxed = std::hint::black_box(Box::new([0u8; 100]));
    assert_eq!((allocations(), kept()), (before.0 + 1, before.1 + 100));
    drop(boxed);
    assert_eq!((allocations(), kept()), (before.0 + 1, before.1));
}

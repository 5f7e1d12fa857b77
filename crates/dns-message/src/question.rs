//! The question of a message, RFC 1035 section 4.1.2.

use crate::{header::HEADER, name::MAX_NAME};

/// Where the question ends, which starts behind the header: its name is never compressed.
#[inline]
pub(crate) fn question_end(bytes: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length > 63 || at - HEADER > MAX_NAME {
            return None;
        }
        if length == 0 {
            let end = at + 4;
            return (end <= bytes.len()).then_some(end);
        }
    }
}

/// Whether two questions are equal: letters of names have no case, types and classes are numbers.
pub(crate) fn same_question(one: &[u8], other: &[u8]) -> bool {
    let (Some((name, numbers)), Some((other_name, other_numbers))) =
        (one.split_last_chunk::<4>(), other.split_last_chunk::<4>())
    else {
        return false;
    };
    numbers == other_numbers && name.eq_ignore_ascii_case(other_name)
}

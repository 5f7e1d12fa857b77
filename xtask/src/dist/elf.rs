//! Whether a program needs nothing of the system but its kernel.

use anyhow::{Context as _, Result, ensure};
use std::{fs, path::Path};

/// A program header that names a dynamic linker.
const PT_INTERP: u32 = 3;

/// Fails for a program that needs a dynamic linker.
pub(super) fn require_static(program: &Path) -> Result<()> {
    let content = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let kinds = segment_kinds(&content)
        .with_context(|| format!("{} is no 64-bit ELF program", program.display()))?;
    ensure!(
        !kinds.contains(&PT_INTERP),
        "{} is not static",
        program.display()
    );
    Ok(())
}

/// The kinds of all program headers of a little-endian 64-bit ELF file.
fn segment_kinds(file: &[u8]) -> Option<Vec<u32>> {
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let number = |at: usize, length: usize| {
        let bytes = file.get(at..at.checked_add(length)?)?;
        let digits = bytes.iter().rev();
        Some(digits.fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte)))
    };
    let start = usize::try_from(number(32, 8)?).ok()?;
    let (size, count) = (number(54, 2)?, number(56, 2)?);
    let step = usize::try_from(size).ok()?;
    (0..usize::try_from(count).ok()?)
        .map(|n| number(start.checked_add(n * step)?, 4).and_then(|kind| kind.try_into().ok()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_segments() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        // PT_LOAD
        assert!(segment_kinds(&own).unwrap().contains(&1));
    }

    #[test]
    fn other_files_are_no_programs() {
        assert_eq!(segment_kinds(b"#!/bin/sh"), None);
        assert_eq!(segment_kinds(b"\x7fELF\x02\x01"), None);
        assert_eq!(segment_kinds(&[]), None);
    }
}

//! Resource records, RFC 1035 section 4.1.3.

use super::{HEADER, query::MAX_NAME, read_u16};
use std::ops::Range;

/// Bytes of a record between its name and its data.
const FIXED: usize = 10;

/// Option of a query that asks on behalf of a network, RFC 7871.
const CLIENT_SUBNET: u16 = 8;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Answer,
    Authority,
    Additional,
}

/// Where the parts of a record are.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) section: Section,
    pub(crate) start: usize,
    pub(crate) rtype: u16,
    /// Where the class is; the lifetime follows it.
    pub(crate) class_at: usize,
    pub(crate) ttl: u32,
    pub(crate) data: Range<usize>,
}

impl Record {
    pub(crate) fn ttl_at(&self) -> usize {
        self.class_at + 2
    }
}

/// Why a message is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// All records of a message, as far as they are whole.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    left: [(Section, u16); 3],
}

impl<'a> Records<'a> {
    /// The records behind the question.
    pub(crate) fn new(bytes: &'a [u8], question_end: usize) -> Self {
        let count = |at| read_u16(bytes, at).unwrap_or(0);
        let left = [
            (Section::Answer, count(6)),
            (Section::Authority, count(8)),
            (Section::Additional, count(10)),
        ];
        let at = question_end;
        Self { bytes, at, left }
    }

    /// Where the next record starts, or the message ends.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    fn read(&self, section: Section) -> Option<Record> {
        let fixed = name_end(self.bytes, self.at)?;
        let ttl = self.bytes.get(fixed + 4..)?.first_chunk::<4>()?;
        let start = fixed + FIXED;
        let end = start + usize::from(read_u16(self.bytes, start - 2)?);
        (end <= self.bytes.len()).then_some(Record {
            section,
            start: self.at,
            rtype: read_u16(self.bytes, fixed)?,
            class_at: fixed + 2,
            ttl: u32::from_be_bytes(*ttl),
            data: start..end,
        })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (section, left) = self.left.iter_mut().find(|(_, left)| *left > 0)?;
        *left -= 1;
        let section = *section;
        let record = self.read(section);
        match &record {
            Some(record) => self.at = record.data.end,
            None => self.left = self.left.map(|(section, _)| (section, 0)),
        }
        Some(record.ok_or(Malformed))
    }
}

/// Where a name ends that may be compressed, RFC 1035 section 4.1.4.
///
/// Each pointer must lead further back than the one before, so that there are no loops.
fn name_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut end, mut earliest) = (start, None, start);
    let mut length = 0;
    loop {
        let label = usize::from(*bytes.get(at)?);
        match label {
            0 => return Some(end.unwrap_or(at + 1)),
            1..=63 => {
                at += 1 + label;
                length += 1 + label;
                if length >= MAX_NAME {
                    return None;
                }
            }
            192.. => {
                let target = usize::from(read_u16(bytes, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                if target >= earliest || target < HEADER {
                    return None;
                }
                (at, earliest) = (target, target);
            }
            _ => return None,
        }
    }
}

/// Whether the options of an OPT record name a client's network; none if they are malformed.
pub(crate) fn has_client_subnet(mut options: &[u8]) -> Option<bool> {
    let mut found = false;
    while !options.is_empty() {
        let length = usize::from(read_u16(options, 2)?);
        found |= read_u16(options, 0)? == CLIENT_SUBNET;
        options = options.get(4 + length..)?;
    }
    Some(found)
}

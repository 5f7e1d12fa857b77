//! Resource records, RFC 1035 section 4.1.3.

use crate::{
    header::{ADDITIONALS, ANSWERS, AUTHORITIES, read_u16},
    name::{leading_name, name_end},
};
use std::ops::Range;

/// Bytes of a record between its name and its data.
const FIXED: usize = 10;

/// Option of a query that asks on behalf of a network, RFC 7871.
const CLIENT_SUBNET: u16 = 8;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who knows, or why there is no answer.
    Authority,
    /// What may help, and pseudo records.
    Additional,
}

/// What a record says, and where its parts are, as offsets into the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The section that it is in.
    pub section: Section,
    /// Where its name starts.
    pub start: usize,
    /// Its type; names of some are in [`rtype`](crate::rtype).
    pub rtype: u16,
    /// Its class; of an OPT record the largest UDP payload.
    pub class: u16,
    /// Its lifetime in seconds; of an OPT record code, version and flags.
    pub ttl: u32,
    /// Where its data are.
    pub data: Range<usize>,
    /// Where the class is; the lifetime follows it.
    pub(crate) class_at: usize,
}

impl Record {
    /// Where the four bytes of the lifetime are.
    pub fn ttl_at(&self) -> usize {
        self.class_at + 2
    }
}

/// A record that does not belong to a message: whole, and without compression, as resolvers hand
/// them out one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UncompressedRecord<'a> {
    bytes: &'a [u8],
    owner: &'a [u8],
}

impl<'a> UncompressedRecord<'a> {
    /// Checks one record; none if it is not whole, or if bytes follow.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let owner = leading_name(bytes)?;
        let rest = &bytes[owner.len()..];
        let length = usize::from(read_u16(rest, FIXED - 2)?);
        (rest.len() == FIXED + length).then_some(Self { bytes, owner })
    }

    /// All bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The name that it belongs to, as labels.
    pub fn owner(&self) -> &'a [u8] {
        self.owner
    }

    /// What it says about that name.
    pub fn data(&self) -> &'a [u8] {
        &self.bytes[self.owner.len() + FIXED..]
    }
}

/// A record is announced and not there, or not whole.
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
            (Section::Answer, count(ANSWERS)),
            (Section::Authority, count(AUTHORITIES)),
            (Section::Additional, count(ADDITIONALS)),
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
            class: read_u16(self.bytes, fixed + 2)?,
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

/// Whether the options of an OPT record name a client's network, RFC 7871; none if they are
/// malformed.
pub fn has_client_subnet(mut options: &[u8]) -> Option<bool> {
    let mut found = false;
    while !options.is_empty() {
        let length = usize::from(read_u16(options, 2)?);
        found |= read_u16(options, 0)? == CLIENT_SUBNET;
        options = options.get(4 + length..)?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORD: &[u8] = b"\x01a\0\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";

    #[test]
    fn a_single_record_is_whole_and_nothing_else() {
        let record = UncompressedRecord::parse(RECORD).unwrap();
        assert_eq!(record.bytes(), RECORD);
        assert_eq!(record.owner(), b"\x01a\0");
        assert_eq!(record.data(), [192, 0, 2, 1]);
        for broken in [
            &b""[..],
            &RECORD[..RECORD.len() - 1],
            &[RECORD, b"x"].concat(),
            &[64; 20],
            &[0; 5],
        ] {
            assert_eq!(UncompressedRecord::parse(broken), None);
        }
    }

    #[test]
    fn client_subnets_are_found_among_other_options() {
        let (cookie, subnet) = (&[0, 10, 0, 2, 1, 2][..], &[0, 8, 0, 4, 0, 1, 0, 0][..]);
        for (options, expected) in [
            (&b""[..], Some(false)),
            (cookie, Some(false)),
            (subnet, Some(true)),
            (&[cookie, subnet].concat(), Some(true)),
            (&[subnet, cookie].concat(), Some(true)),
            (&subnet[..7], None),
            (&[cookie, &[0]].concat(), None),
        ] {
            assert_eq!(has_client_subnet(options), expected, "{options:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(record) = UncompressedRecord::parse(&bytes) {
                prop_assert_eq!(record.owner().len() + 10 + record.data().len(), bytes.len());
            }
            let _subnet = has_client_subnet(&bytes);
        }
    }
}

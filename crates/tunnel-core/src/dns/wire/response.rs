//! Responses.

use super::{
    HEADER, Query, flag, id, question_end, read_u16,
    record::{Malformed, Record, Records},
};

/// A message that responds to one question and whose records are whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Response<'a> {
    bytes: &'a [u8],
    question_end: usize,
}

impl<'a> Response<'a> {
    /// Checks a message; bytes behind it are ignored.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        if header[2] & flag::RESPONSE == 0 || header[4..6] != [0, 1] {
            return None;
        }
        let question_end = question_end(bytes)?;
        let mut records = Records::new(bytes, question_end);
        if records.by_ref().any(|record| record.is_err()) {
            return None;
        }
        let bytes = &bytes[..records.position()];
        Some(Self {
            bytes,
            question_end,
        })
    }

    /// Whether it responds to a query that went out with this ID.
    pub(crate) fn answers(&self, query: &Query<'_>, wire_id: u16) -> bool {
        let same_operation = (self.bytes[2] ^ query.bytes()[2]) & flag::OPCODE == 0;
        let (asked, answered) = (query.question(), self.question());
        // Letters of names have no case; types and classes are numbers.
        let same_question = asked.len() == answered.len()
            && asked[asked.len() - 4..] == answered[answered.len() - 4..]
            && asked.eq_ignore_ascii_case(answered);
        id(self.bytes) == Some(wire_id) && same_operation && same_question
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn question(&self) -> &'a [u8] {
        &self.bytes[HEADER..self.question_end]
    }

    /// The type that was asked for.
    pub(crate) fn rtype(&self) -> Option<u16> {
        read_u16(self.bytes, self.question_end - 4)
    }

    /// The response code without the bits of an OPT record.
    pub(crate) fn rcode(&self) -> u16 {
        u16::from(self.bytes[3] & flag::RCODE)
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.bytes[2] & flag::TRUNCATED != 0
    }

    pub(crate) fn records(self) -> impl Iterator<Item = Record> + use<'a> {
        Records::new(self.bytes, self.question_end).filter_map(Result::<Record, Malformed>::ok)
    }
}

//! Responses.

use crate::{
    MessageFault, class,
    header::{self, HEADER, flag, read_u16},
    query::Query,
    question::question_end,
    record::{Malformed, Record, Records, Section},
    rtype,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A message that responds to one question, or does not say to which, and whose records are whole.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    bytes: &'a [u8],
    question_end: usize,
    extended_rcode: u8,
}

impl<'a> Response<'a> {
    /// Checks a message; bytes behind it are ignored.
    ///
    /// # Errors
    ///
    /// It is a query, has more than one question, or a part of it is malformed or missing.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MessageFault> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(MessageFault::Short)?;
        if header[2] & flag::RESPONSE == 0 {
            return Err(MessageFault::Direction);
        }
        let question_end = match header[4..6] {
            [0, 0] => Some(HEADER),
            [0, 1] => question_end(bytes),
            _ => None,
        };
        let question_end = question_end.ok_or(MessageFault::Question)?;
        let mut extended_rcode = 0;
        let mut records = Records::new(bytes, question_end);
        for record in records.by_ref() {
            let record = record.map_err(|Malformed| MessageFault::Record)?;
            if record.rtype == rtype::OPT && record.section == Section::Additional {
                [extended_rcode, ..] = record.ttl.to_be_bytes();
            }
        }
        let bytes = &bytes[..records.position()];
        Ok(Self {
            bytes,
            question_end,
            extended_rcode,
        })
    }

    /// Whether it responds to a query that went out with this ID, and says so by its question.
    pub fn answers(&self, query: &Query<'_>, wire_id: u16) -> bool {
        self.question().is_some() && query.is_answered_by(self.bytes, wire_id)
    }

    /// All bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Name, type and class as they stand in the message; none if it repeats no question.
    pub fn question(&self) -> Option<&'a [u8]> {
        let question = &self.bytes[HEADER..self.question_end];
        (!question.is_empty()).then_some(question)
    }

    /// The type that was asked for; none if it repeats no question.
    pub fn rtype(&self) -> Option<u16> {
        read_u16(self.question()?, self.question_end - HEADER - 4)
    }

    /// The response code with the bits of an OPT record, RFC 6891 section 6.1.3.
    pub fn rcode(&self) -> u16 {
        u16::from(self.extended_rcode) << 4 | u16::from(self.bytes[3] & flag::RCODE)
    }

    /// Whether records are missing, which can be had over TCP.
    pub fn is_truncated(&self) -> bool {
        header::is_truncated(self.bytes)
    }

    /// All records in the order of the message.
    pub fn records(self) -> impl Iterator<Item = Record> + use<'a> {
        Records::new(self.bytes, self.question_end).filter_map(Result::<Record, Malformed>::ok)
    }

    /// The addresses of the answer, of whatever name: aliases before them are not followed.
    pub fn addresses(self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let bytes = self.bytes;
        self.records().filter_map(move |record| {
            if record.section != Section::Answer || record.class != class::IN {
                return None;
            }
            let data = &bytes[record.data];
            match record.rtype {
                rtype::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
                rtype::AAAA => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
                _ => None,
            }
        })
    }
}

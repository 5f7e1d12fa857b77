//! Queries.

use crate::{
    MessageFault,
    header::{HEADER, flag, id},
    name::NameBuffer,
    question::{question_end, same_question},
    record::{Malformed, Records, Section, has_client_subnet},
    rtype,
};

/// UDP payload that everybody takes, in bytes. RFC 1035 section 4.2.1
const PLAIN_PAYLOAD: usize = 512;

/// A message that asks exactly one question.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    bytes: &'a [u8],
    question_end: usize,
    edns: Option<Edns>,
    is_signed: bool,
}

/// What the OPT record of a query says, RFC 6891 section 6.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// Largest UDP payload that the requestor takes, in bytes.
    pub max_payload: u16,
    /// Version; 0 is the only one.
    pub version: u8,
    /// The flag DO: whether signatures are wanted, RFC 3225.
    pub dnssec_ok: bool,
    /// Whether the query asks on behalf of a network, RFC 7871.
    pub has_client_subnet: bool,
    /// There is more than one OPT record, or one is malformed.
    pub is_malformed: bool,
    /// Where the largest UDP payload stands.
    pub(crate) payload_at: usize,
}

impl<'a> Query<'a> {
    /// Checks a message; bytes behind it are ignored.
    ///
    /// # Errors
    ///
    /// It is a response, does not ask exactly one question, or a part of it is malformed or
    /// missing.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MessageFault> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(MessageFault::Short)?;
        if header[2] & flag::RESPONSE != 0 {
            return Err(MessageFault::Direction);
        }
        let is_single = header[4..6] == [0, 1];
        let question_end = is_single.then(|| question_end(bytes)).flatten();
        let question_end = question_end.ok_or(MessageFault::Question)?;
        let mut query = Self {
            bytes: &bytes[..question_end],
            question_end,
            edns: None,
            is_signed: false,
        };
        if header[6..] != [0; 6] {
            query
                .read_records(bytes)
                .map_err(|Malformed| MessageFault::Record)?;
        }
        Ok(query)
    }

    fn read_records(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut records = Records::new(bytes, self.question_end);
        for record in records.by_ref() {
            let record = record?;
            if record.section != Section::Additional {
                continue;
            }
            match record.rtype {
                rtype::OPT => {
                    let [_, version, flags, _] = record.ttl.to_be_bytes();
                    let subnet = has_client_subnet(&bytes[record.data.clone()]);
                    let is_root = record.class_at - record.start == 3;
                    self.edns = Some(Edns {
                        max_payload: record.class,
                        version,
                        dnssec_ok: flags & 0x80 != 0,
                        has_client_subnet: subnet.unwrap_or(false),
                        is_malformed: self.edns.is_some() || subnet.is_none() || !is_root,
                        payload_at: record.class_at,
                    });
                }
                rtype::TSIG | rtype::SIG => self.is_signed = true,
                _ => {}
            }
        }
        self.bytes = &bytes[..records.position()];
        Ok(())
    }

    /// Whether a message answers this query, if it went out with this ID: a response of the same
    /// operation to the same question. A server that could not read the question may leave it out.
    ///
    /// Looks at header and question only; the records behind them may be missing or malformed.
    pub fn is_answered_by(&self, message: &[u8], wire_id: u16) -> bool {
        let Some(header) = message.first_chunk::<HEADER>() else {
            return false;
        };
        let is_response = header[2] & flag::RESPONSE != 0;
        let same_operation = (header[2] ^ self.bytes[2]) & flag::OPCODE == 0;
        let same_question = match header[4..6] {
            [0, 0] => true,
            [0, 1] => question_end(message)
                .is_some_and(|end| same_question(self.question(), &message[HEADER..end])),
            _ => false,
        };
        is_response && same_operation && same_question && id(header) == Some(wire_id)
    }

    /// All bytes.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The ID.
    #[inline]
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    /// Name, type and class as they stand in the message.
    #[inline]
    pub fn question(&self) -> &'a [u8] {
        &self.bytes[HEADER..self.question_end]
    }

    /// The name that is asked for, as uncompressed labels.
    #[inline]
    pub fn name_bytes(&self) -> &'a [u8] {
        &self.bytes[HEADER..self.question_end - 4]
    }

    /// The type that is asked for; names of some are in [`rtype`].
    #[inline]
    pub fn rtype(&self) -> u16 {
        u16::from_be_bytes([
            self.bytes[self.question_end - 4],
            self.bytes[self.question_end - 3],
        ])
    }

    /// The class that is asked for; names of some are in [`class`](crate::class).
    #[inline]
    pub fn class(&self) -> u16 {
        u16::from_be_bytes([
            self.bytes[self.question_end - 2],
            self.bytes[self.question_end - 1],
        ])
    }

    /// Whether it is a standard query: no update, no notification.
    #[inline]
    pub fn is_standard(&self) -> bool {
        self.bytes[2] & flag::OPCODE == 0
    }

    /// The flags on which an answer may depend, as a part of a cache's key: AD and CD at their
    /// places in the fourth byte of the header, RD in the bit of value 2. All others are 0.
    #[inline]
    pub fn cache_flags(&self) -> u8 {
        let checks = self.bytes[3] & (flag::AUTHENTIC | flag::CHECKING_DISABLED);
        checks | (self.bytes[2] & flag::RECURSION_DESIRED) << 1
    }

    /// Whether it has no OPT record, or a well-formed one of version 0.
    #[inline]
    pub fn has_supported_edns(&self) -> bool {
        self.edns
            .is_none_or(|edns| edns.version == 0 && !edns.is_malformed)
    }

    /// What its OPT record says; none if there is none.
    #[inline]
    pub fn edns(&self) -> Option<Edns> {
        self.edns
    }

    /// Whether a signature covers the message (TSIG or SIG(0)), so that it must stay as it is.
    #[inline]
    pub fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// Largest response over UDP, in bytes: what the requestor takes, and not more than `largest`,
    /// which is what a packet to it holds.
    #[inline]
    pub fn reply_limit(&self, largest: usize) -> usize {
        let asked = self
            .edns
            .map_or(PLAIN_PAYLOAD, |edns| usize::from(edns.max_payload));
        asked.max(PLAIN_PAYLOAD).min(largest)
    }

    /// The name in lower case without the final dot; none for the root and for names with a label
    /// that is not printable ASCII or has a dot in it.
    #[inline]
    pub fn name<'b>(&self, buffer: &'b mut NameBuffer) -> Option<&'b str> {
        let mut rest = self.name_bytes();
        let mut end = 0;
        while let Some((&length, tail)) = rest.split_first() {
            if length == 0 {
                break;
            }
            let (label, tail) = tail.split_at(usize::from(length));
            for (byte, to) in label.iter().zip(&mut buffer[end..]) {
                if !byte.is_ascii_graphic() || *byte == b'.' {
                    return None;
                }
                *to = byte.to_ascii_lowercase();
            }
            end += label.len();
            buffer[end] = b'.';
            end += 1;
            rest = tail;
        }
        let text = buffer.get(..end.checked_sub(1)?)?;
        std::str::from_utf8(text).ok()
    }
}

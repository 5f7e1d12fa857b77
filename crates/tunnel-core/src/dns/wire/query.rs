//! Queries.

use super::{
    HEADER, PLAIN_PAYLOAD, flag, largest_payload, question_end, read_u16,
    record::{Records, Section, has_client_subnet},
    rtype,
};

/// Longest name in its form on the wire, RFC 1035 section 2.3.4.
pub(crate) const MAX_NAME: usize = 255;

/// Room for the text of a name.
pub(crate) type NameBuffer = [u8; MAX_NAME];

/// A message that asks exactly one question. spec: data-plane 12.2
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    bytes: &'a [u8],
    question_end: usize,
    edns: Option<Edns>,
    is_signed: bool,
}

/// What the OPT record of a query says, RFC 6891 section 6.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edns {
    /// Where the largest UDP payload of the requestor stands.
    pub(crate) payload_at: usize,
    /// Largest UDP payload that the requestor takes, in bytes.
    pub(crate) max_payload: u16,
    pub(crate) version: u8,
    /// Whether signatures are wanted.
    pub(crate) dnssec_ok: bool,
    /// Whether the query asks on behalf of a network.
    pub(crate) has_client_subnet: bool,
    /// There is more than one OPT record, or one is malformed.
    pub(crate) is_malformed: bool,
}

impl<'a> Query<'a> {
    /// Checks a message; bytes behind it are ignored.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        if header[2] & flag::RESPONSE != 0 || header[4..6] != [0, 1] {
            return None;
        }
        let question_end = question_end(bytes)?;
        let mut query = Self {
            bytes: &bytes[..question_end],
            question_end,
            edns: None,
            is_signed: false,
        };
        if header[6..] != [0; 6] {
            query.read_records(bytes)?;
        }
        Some(query)
    }

    fn read_records(&mut self, bytes: &'a [u8]) -> Option<()> {
        let mut records = Records::new(bytes, self.question_end);
        for record in records.by_ref() {
            let record = record.ok()?;
            if record.section != Section::Additional {
                continue;
            }
            match record.rtype {
                rtype::OPT => {
                    let [_, version, flags, _] = record.ttl.to_be_bytes();
                    let subnet = has_client_subnet(&bytes[record.data.clone()]);
                    let is_root = record.class_at - record.start == 3;
                    self.edns = Some(Edns {
                        payload_at: record.class_at,
                        max_payload: read_u16(bytes, record.class_at)?,
                        version,
                        dnssec_ok: flags & 0x80 != 0,
                        has_client_subnet: subnet.unwrap_or(false),
                        is_malformed: self.edns.is_some() || subnet.is_none() || !is_root,
                    });
                }
                rtype::TSIG | rtype::SIG => self.is_signed = true,
                _ => {}
            }
        }
        self.bytes = &bytes[..records.position()];
        Some(())
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn id(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    /// Name, type and class as they stand in the message.
    pub(crate) fn question(&self) -> &'a [u8] {
        &self.bytes[HEADER..self.question_end]
    }

    /// The type that is asked for.
    pub(crate) fn rtype(&self) -> u16 {
        u16::from_be_bytes([
            self.bytes[self.question_end - 4],
            self.bytes[self.question_end - 3],
        ])
    }

    pub(crate) fn class(&self) -> u16 {
        u16::from_be_bytes([
            self.bytes[self.question_end - 2],
            self.bytes[self.question_end - 1],
        ])
    }

    /// Whether it is the ordinary kind of message: no update, no notification.
    pub(crate) fn is_standard(&self) -> bool {
        self.bytes[2] & flag::OPCODE == 0
    }

    /// The flags on which an answer may depend, without the lowest bit: what is wanted of
    /// recursion, authenticity and checks.
    pub(crate) fn cache_flags(&self) -> u8 {
        let checks = self.bytes[3] & (flag::AUTHENTIC | flag::CHECKING_DISABLED);
        checks | (self.bytes[2] & flag::RECURSION_DESIRED) << 1
    }

    /// Whether nothing about its options is wrong or from the future.
    pub(crate) fn has_supported_edns(&self) -> bool {
        self.edns
            .is_none_or(|edns| edns.version == 0 && !edns.is_malformed)
    }

    pub(crate) fn edns(&self) -> Option<Edns> {
        self.edns
    }

    /// Whether a signature covers the message, so that it must stay as it is.
    pub(crate) fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// Largest reply over UDP, in bytes: what the requestor takes and what a packet holds.
    pub(crate) fn reply_limit(&self, is_v4: bool) -> usize {
        let asked = self
            .edns
            .map_or(PLAIN_PAYLOAD, |edns| usize::from(edns.max_payload));
        asked.max(PLAIN_PAYLOAD).min(largest_payload(is_v4))
    }

    /// The name in lower case without the final dot; none for the root and for names that no
    /// resource can have.
    pub(crate) fn name<'b>(&self, buffer: &'b mut NameBuffer) -> Option<&'b str> {
        let mut rest = &self.bytes[HEADER..self.question_end - 4];
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

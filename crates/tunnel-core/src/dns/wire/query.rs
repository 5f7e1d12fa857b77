//! Queries.

use super::{
    HEADER, PLAIN_PAYLOAD, flag, kind, largest_payload, question_end,
    record::{Records, Section, names_client_subnet},
    word,
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
    options: Option<Options>,
    is_signed: bool,
}

/// What the OPT record of a query says, RFC 6891 section 6.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where the largest UDP payload of the asker stands.
    pub(crate) size_at: usize,
    /// Largest UDP payload that the asker takes, in bytes.
    pub(crate) size: u16,
    pub(crate) version: u8,
    /// Whether signatures are wanted.
    pub(crate) wants_dnssec: bool,
    /// Whether the query asks on behalf of a network.
    pub(crate) names_subnet: bool,
    /// There is more than one OPT record, or one is malformed.
    pub(crate) is_broken: bool,
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
            options: None,
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
            match record.kind {
                kind::OPT => {
                    let [_, version, flags, _] = record.ttl.to_be_bytes();
                    let subnet = names_client_subnet(&bytes[record.data.clone()]);
                    let is_root = record.class_at - record.start == 3;
                    self.options = Some(Options {
                        size_at: record.class_at,
                        size: word(bytes, record.class_at)?,
                        version,
                        wants_dnssec: flags & 0x80 != 0,
                        names_subnet: subnet.unwrap_or(false),
                        is_broken: self.options.is_some() || subnet.is_none() || !is_root,
                    });
                }
                kind::TSIG | kind::SIG => self.is_signed = true,
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
    pub(crate) fn kind(&self) -> u16 {
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
    pub(crate) fn wishes(&self) -> u8 {
        let checks = self.bytes[3] & (flag::AUTHENTIC | flag::CHECKING_DISABLED);
        checks | (self.bytes[2] & flag::RECURSION_DESIRED) << 1
    }

    /// Whether nothing about its options is wrong or from the future.
    pub(crate) fn is_understood(&self) -> bool {
        self.options
            .is_none_or(|options| options.version == 0 && !options.is_broken)
    }

    pub(crate) fn options(&self) -> Option<Options> {
        self.options
    }

    /// Whether a signature covers the message, so that it must stay as it is.
    pub(crate) fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// Largest reply over UDP, in bytes: what the asker takes and what a packet holds.
    pub(crate) fn reply_limit(&self, is_v4: bool) -> usize {
        let asked = self
            .options
            .map_or(PLAIN_PAYLOAD, |options| usize::from(options.size));
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

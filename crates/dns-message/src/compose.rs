//! Messages that a stub resolver makes or changes.

use crate::{
    class,
    header::{ADDITIONALS, ANSWERS, HEADER, flag, read_u16, set_id},
    name::{NameFault, encode_name},
    query::Query,
    rcode,
    record::UncompressedRecord,
    rtype,
};

/// Largest UDP payload that our own OPT records offer to take, in bytes: it fits a packet of 1280
/// bytes, which every link of IPv6 carries whole (RFC 8200 section 5), behind 48 bytes of headers.
pub const ADVERTISED_PAYLOAD: u16 = 1232;

/// A pointer to the name of the question.
const SAME_NAME: [u8; 2] = [0xc0, 12];

/// Longest message, in bytes: its length has two bytes over TCP. RFC 1035 section 4.2.2
const MAX_MESSAGE: usize = 65_535;

/// Which protocol a response is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 1035: RD and CD come back, and recursion is available.
    Dns,
    /// RFC 4795 section 2.1.1: no flags but that it is a response.
    Llmnr,
}

/// A response in the making.
///
/// It starts with header and question; records follow; one of the `finish` methods ends it.
#[derive(Debug)]
#[must_use = "a message is not valid before it is finished"]
pub struct MessageBuilder<'a> {
    out: &'a mut Vec<u8>,
    rcode: u16,
    count: u16,
}

impl<'a> MessageBuilder<'a> {
    /// Starts with the ID and the question of a query; what was in `out` is gone. Of codes above 15
    /// the upper bits go into the OPT record, so that they need [`Self::finish`].
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, query: &Query<'_>, protocol: Protocol, rcode: u16) -> Self {
        let asked = query.bytes();
        let low = rcode.to_be_bytes()[1] & flag::RCODE;
        let flags = match protocol {
            Protocol::Dns => [
                flag::RESPONSE | asked[2] & (flag::OPCODE | flag::RECURSION_DESIRED),
                flag::RECURSION_AVAILABLE | asked[3] & flag::CHECKING_DISABLED | low,
            ],
            Protocol::Llmnr => [flag::RESPONSE, low],
        };
        out.clear();
        out.extend_from_slice(&asked[..2]);
        out.extend_from_slice(&flags);
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(query.question());
        let count = 0;
        Self { out, rcode, count }
    }

    /// Adds an answer of the question's name and of class IN, with a lifetime in seconds. Does
    /// nothing if the data have more than 65,535 bytes.
    #[inline]
    pub fn record(&mut self, rtype: u16, ttl: u32, data: &[u8]) {
        let Ok(length) = u16::try_from(data.len()) else {
            return;
        };
        self.out.extend_from_slice(&SAME_NAME);
        self.out.extend_from_slice(&rtype.to_be_bytes());
        self.out.extend_from_slice(&class::IN.to_be_bytes());
        self.out.extend_from_slice(&ttl.to_be_bytes());
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(data);
        self.count = self.count.saturating_add(1);
    }

    /// Adds an answer as it is; says whether it fits into the longest message.
    #[must_use = "a record that does not fit is left out"]
    pub fn uncompressed_record(&mut self, record: &UncompressedRecord<'_>) -> bool {
        let fits = self.out.len() + record.bytes().len() <= MAX_MESSAGE;
        if fits {
            self.out.extend_from_slice(record.bytes());
            self.count = self.count.saturating_add(1);
        }
        fits
    }

    /// Ends the message; a query with an OPT record gets one in return, RFC 6891 section 6.1.1.
    #[inline]
    pub fn finish(self, query: &Query<'_>) {
        let [_, extended_rcode] = (self.rcode >> 4).to_be_bytes();
        let out = self.write_count();
        append_opt_with(out, query, extended_rcode);
    }

    /// Ends the message without an OPT record, for those who hand on what somebody else knows and
    /// cannot say what that server would have said about EDNS.
    pub fn finish_without_opt(self) {
        self.write_count();
    }

    #[inline]
    fn write_count(self) -> &'a mut Vec<u8> {
        self.out[ANSWERS..ANSWERS + 2].copy_from_slice(&self.count.to_be_bytes());
        self.out
    }
}

/// Adds our OPT record to a message without one if the query had one, RFC 6891 section 6.1.1.
pub fn append_opt(message: &mut Vec<u8>, query: &Query<'_>) {
    append_opt_with(message, query, 0);
}

#[inline]
fn append_opt_with(message: &mut Vec<u8>, query: &Query<'_>, extended_rcode: u8) {
    let (Some(edns), Some(count)) = (query.edns(), read_u16(message, ADDITIONALS)) else {
        return;
    };
    // RFC 3225 section 3: the bit comes back.
    let flags = if edns.dnssec_ok { 0x80 } else { 0 };
    message.push(0);
    message.extend_from_slice(&rtype::OPT.to_be_bytes());
    message.extend_from_slice(&ADVERTISED_PAYLOAD.to_be_bytes());
    message.extend_from_slice(&[extended_rcode, 0, flags, 0, 0, 0]);
    let count = count.saturating_add(1).to_be_bytes();
    message[ADDITIONALS..ADDITIONALS + 2].copy_from_slice(&count);
}

/// Writes a response without its records and with the flag TC, which tells the requestor to retry
/// over TCP. RFC 2181 section 9
pub fn compose_truncated(out: &mut Vec<u8>, response: &[u8], query: &Query<'_>) {
    let Some(header) = response.first_chunk::<HEADER>() else {
        return;
    };
    MessageBuilder::new(out, query, Protocol::Dns, rcode::NOERROR).finish(query);
    out[2] = header[2] | flag::TRUNCATED;
    out[3] = header[3];
}

/// A query as it goes on to a server: with another ID, and with `limit` as the largest UDP payload
/// that the requestor takes, if it named one. A signed one stays as it is.
pub fn compose_forwarded(query: &Query<'_>, wire_id: u16, limit: Option<usize>) -> Vec<u8> {
    let mut message = query.bytes().to_vec();
    if query.is_signed() {
        return message;
    }
    set_id(&mut message, wire_id);
    if let (Some(edns), Some(limit)) = (query.edns(), limit)
        && let Ok(limit) = u16::try_from(limit)
    {
        let payload = edns.payload_at..edns.payload_at + 2;
        message[payload.clone()].copy_from_slice(&limit.to_be_bytes());
        // A name behind these bytes may point at them, whatever for: then they are better left alone.
        if Query::parse(&message).is_err() {
            message[payload.clone()].copy_from_slice(&query.bytes()[payload]);
        }
    }
    message
}

/// A standard query of class IN that desires recursion, without EDNS.
///
/// # Errors
///
/// The text is no name.
pub fn compose_query(id: u16, name: &str, rtype: u16) -> Result<Vec<u8>, NameFault> {
    let name = encode_name(name)?;
    let mut message = Vec::with_capacity(HEADER + name.len() + 4);
    message.extend_from_slice(&id.to_be_bytes());
    message.extend_from_slice(&[flag::RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&name);
    message.extend_from_slice(&rtype.to_be_bytes());
    message.extend_from_slice(&class::IN.to_be_bytes());
    Ok(message)
}

//! Messages that the resolver makes or changes.

use super::{HEADER, INTERNET, Query, flag, largest_payload, rcode, rtype, set_id};

/// A pointer to the name of the question.
const SAME_NAME: [u8; 2] = [0xc0, 12];

/// Where the number of records of a section stands.
const ANSWERS: usize = 6;
const ADDITIONALS: usize = 10;

/// Which protocol an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Dns,
    /// RFC 4795 section 2.1.1: no flags but that it is a response.
    Llmnr,
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct MessageBuilder<'a> {
    out: &'a mut Vec<u8>,
    rcode: u16,
    count: u16,
}

impl<'a> MessageBuilder<'a> {
    /// Starts with header and question; what was in `out` is gone.
    pub(crate) fn new(
        out: &'a mut Vec<u8>,
        query: &Query<'_>,
        protocol: Protocol,
        rcode: u16,
    ) -> Self {
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

    /// Adds a record of the question's name.
    pub(crate) fn record(&mut self, rtype: u16, ttl: u32, data: &[u8]) {
        let Ok(length) = u16::try_from(data.len()) else {
            return;
        };
        self.out.extend_from_slice(&SAME_NAME);
        self.out.extend_from_slice(&rtype.to_be_bytes());
        self.out.extend_from_slice(&INTERNET.to_be_bytes());
        self.out.extend_from_slice(&ttl.to_be_bytes());
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(data);
        self.count += 1;
    }

    /// Ends the message; a query with an OPT record gets one in return.
    pub(crate) fn finish(self, query: &Query<'_>) {
        self.out[ANSWERS..ANSWERS + 2].copy_from_slice(&self.count.to_be_bytes());
        let [_, low] = (self.rcode >> 4).to_be_bytes();
        append_opt_with(self.out, query, low);
    }
}

/// Adds our OPT record to a message without one if the query had one, RFC 6891 section 6.1.1.
pub(crate) fn append_opt(message: &mut Vec<u8>, query: &Query<'_>) {
    append_opt_with(message, query, 0);
}

fn append_opt_with(message: &mut Vec<u8>, query: &Query<'_>, extended_rcode: u8) {
    let Some(edns) = query.edns() else {
        return;
    };
    let size = u16::try_from(largest_payload(false)).unwrap_or(u16::MAX);
    // RFC 3225 section 3: the bit comes back.
    let flags = if edns.dnssec_ok { 0x80 } else { 0 };
    message.push(0);
    message.extend_from_slice(&rtype::OPT.to_be_bytes());
    message.extend_from_slice(&size.to_be_bytes());
    message.extend_from_slice(&[extended_rcode, 0, flags, 0, 0, 0]);
    let count = super::read_u16(message, ADDITIONALS).unwrap_or(0);
    let count = count.saturating_add(1).to_be_bytes();
    message[ADDITIONALS..ADDITIONALS + 2].copy_from_slice(&count);
}

/// A response without its records, which tells the asker to come again over TCP.
pub(crate) fn truncated(out: &mut Vec<u8>, response: &[u8], query: &Query<'_>) {
    let Some(header) = response.first_chunk::<HEADER>() else {
        return;
    };
    MessageBuilder::new(out, query, Protocol::Dns, rcode::NOERROR).finish(query);
    out[2] = header[2] | flag::TRUNCATED;
    out[3] = header[3];
}

/// A query as it goes to its server: with another ID, and with the largest answer that can
/// be handed on as the size that the asker takes. A signed one stays as it is.
pub(crate) fn outgoing(query: &Query<'_>, wire_id: u16, limit: Option<usize>) -> Vec<u8> {
    let mut message = query.bytes().to_vec();
    if query.is_signed() {
        return message;
    }
    set_id(&mut message, wire_id);
    if let (Some(edns), Some(limit)) = (query.edns(), limit)
        && let Ok(limit) = u16::try_from(limit)
    {
        let at = edns.payload_at;
        message[at..at + 2].copy_from_slice(&limit.to_be_bytes());
    }
    message
}

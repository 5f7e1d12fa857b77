//! DNS messages as checked views, RFC 1035 section 4: what the resolver has to know of them and
//! no more, without a copy.

mod compose;
mod query;
mod record;
mod response;

pub(crate) use compose::{MessageBuilder, Protocol, append_opt, outgoing, truncated};
pub(crate) use query::{MAX_NAME, NameBuffer, Query};
pub(crate) use record::{Section, has_client_subnet};
pub(crate) use response::Response;

use model::limits;

/// Bytes of a header.
pub(crate) const HEADER: usize = 12;

/// UDP payload that everybody takes, RFC 1035 section 4.2.1.
const PLAIN_PAYLOAD: usize = 512;

/// Types of records.
pub(crate) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const SIG: u16 = 24;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const HTTPS: u16 = 65;
    pub(crate) const TSIG: u16 = 250;
}

/// The class of the Internet.
pub(crate) const INTERNET: u16 = 1;

/// Response codes.
pub(crate) mod rcode {
    pub(crate) const NOERROR: u16 = 0;
    pub(crate) const FORMERR: u16 = 1;
    pub(crate) const SERVFAIL: u16 = 2;
    pub(crate) const NXDOMAIN: u16 = 3;
    /// RFC 6891 section 6.1.3.
    pub(crate) const BADVERS: u16 = 16;
}

/// Bits of the third and fourth byte of a header.
mod flag {
    pub(super) const RESPONSE: u8 = 0x80;
    pub(super) const OPCODE: u8 = 0x78;
    pub(super) const AUTHORITATIVE: u8 = 0x04;
    pub(super) const TRUNCATED: u8 = 0x02;
    pub(super) const RECURSION_DESIRED: u8 = 0x01;
    pub(super) const RECURSION_AVAILABLE: u8 = 0x80;
    pub(super) const AUTHENTIC: u8 = 0x20;
    pub(super) const CHECKING_DISABLED: u8 = 0x10;
    pub(super) const RCODE: u8 = 0x0f;
}

/// Largest UDP payload of a packet in the tunnel, in bytes.
pub(crate) const fn largest_payload(is_v4: bool) -> usize {
    limits::MTU - if is_v4 { 28 } else { 48 }
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)
        .map(|b| u16::from_be_bytes([b[0], b[1]]))
}

/// Where the question ends, which starts behind the header: its name is never compressed.
fn question_end(bytes: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length > 63 || at - HEADER > MAX_NAME {
            return None;
        }
        if length == 0 {
            let end = at + 4;
            return (end <= bytes.len()).then_some(end);
        }
    }
}

/// The ID.
pub(crate) fn id(message: &[u8]) -> Option<u16> {
    read_u16(message, 0)
}

/// Replaces the ID.
pub(crate) fn set_id(message: &mut [u8], id: u16) {
    if let Some(bytes) = message.first_chunk_mut::<2>() {
        *bytes = id.to_be_bytes();
    }
}

/// Says that a response is not first-hand.
pub(crate) fn clear_authoritative(message: &mut [u8]) {
    if let Some(flags) = message.get_mut(2) {
        *flags &= !flag::AUTHORITATIVE;
    }
}

#[cfg(test)]
mod tests;

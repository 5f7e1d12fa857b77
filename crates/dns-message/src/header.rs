//! The header of a message, RFC 1035 section 4.1.1.

/// Bytes of a header.
pub const HEADER: usize = 12;

/// Where the number of records of a section stands.
pub(crate) const ANSWERS: usize = 6;
pub(crate) const AUTHORITIES: usize = 8;
pub(crate) const ADDITIONALS: usize = 10;

/// Bits of the third and fourth byte of a header.
pub(crate) mod flag {
    pub(crate) const RESPONSE: u8 = 0x80;
    pub(crate) const OPCODE: u8 = 0x78;
    pub(crate) const AUTHORITATIVE: u8 = 0x04;
    pub(crate) const TRUNCATED: u8 = 0x02;
    pub(crate) const RECURSION_DESIRED: u8 = 0x01;
    pub(crate) const RECURSION_AVAILABLE: u8 = 0x80;
    pub(crate) const AUTHENTIC: u8 = 0x20;
    pub(crate) const CHECKING_DISABLED: u8 = 0x10;
    pub(crate) const RCODE: u8 = 0x0f;
}

/// A number of two bytes at this offset; none if the bytes end before.
#[inline]
pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)
        .map(|b| u16::from_be_bytes([b[0], b[1]]))
}

/// The ID of a message; none if it has fewer than two bytes.
#[inline]
pub fn id(message: &[u8]) -> Option<u16> {
    read_u16(message, 0)
}

/// Replaces the ID of a message.
#[inline]
pub fn set_id(message: &mut [u8], id: u16) {
    if let Some(bytes) = message.first_chunk_mut::<2>() {
        *bytes = id.to_be_bytes();
    }
}

/// Clears the flag AA: the response does not come from an authoritative server.
pub fn clear_authoritative(message: &mut [u8]) {
    if let Some(flags) = message.get_mut(2) {
        *flags &= !flag::AUTHORITATIVE;
    }
}

/// Whether the flag TC of a message is set: the whole response is to be fetched over TCP. Looks at
/// nothing else, so that a response whose records were cut off can be asked, too.
pub fn is_truncated(message: &[u8]) -> bool {
    message
        .get(2)
        .is_some_and(|flags| flags & flag::TRUNCATED != 0)
}

//! Names: labels on the wire, RFC 1035 section 3.1, and text.

use crate::header::{HEADER, read_u16};
use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Longest name in its form on the wire, in bytes. RFC 1035 section 2.3.4
pub const MAX_NAME: usize = 255;

/// Longest label, in bytes. RFC 1035 section 2.3.4
const MAX_LABEL: usize = 63;

/// Room for the text of a name.
pub type NameBuffer = [u8; MAX_NAME];

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has labels of 1 to 63 printable characters and at most 253 in all")]
pub struct NameFault;

/// A name as it stands in messages, without compression. Every printable character stands for
/// itself, a final dot is allowed, and `.` is the root.
///
/// # Errors
///
/// A label is empty, longer than 63 bytes or not printable ASCII, or the whole is longer than
/// [`MAX_NAME`].
pub fn encode_name(text: &str) -> Result<Vec<u8>, NameFault> {
    let mut name = Vec::with_capacity(text.len() + 2);
    let labels = match text {
        "." => None,
        text => Some(text.strip_suffix('.').unwrap_or(text).split('.')),
    };
    for label in labels.into_iter().flatten() {
        let is_label = (1..=MAX_LABEL).contains(&label.len());
        if !is_label || !label.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NameFault);
        }
        name.push(u8::try_from(label.len()).map_err(|_| NameFault)?);
        name.extend_from_slice(label.as_bytes());
    }
    name.push(0);
    (name.len() <= MAX_NAME).then_some(name).ok_or(NameFault)
}

/// The uncompressed name at the beginning of some bytes, its last byte included; none if there is
/// no whole one of at most [`MAX_NAME`] bytes.
pub fn leading_name(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        if length > MAX_LABEL {
            return None;
        }
        at += 1 + length;
        if length == 0 {
            return bytes.get(..at).filter(|name| name.len() <= MAX_NAME);
        }
    }
}

/// The text of an uncompressed name with its final dot, every byte but letters, digits, `-` and
/// `_` as a decimal number behind a backslash. RFC 1035 section 5.1
pub fn presentation(name: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((&length, tail)) = rest.split_first()
        && length > 0
    {
        let (label, tail) = tail.split_at(tail.len().min(length.into()));
        for &byte in label {
            match byte {
                b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(byte.into()),
                // Writing to a string cannot fail.
                _ => write!(text, "\\{byte:03}").unwrap_or_default(),
            }
        }
        text.push('.');
        rest = tail;
    }
    if text.is_empty() { ".".into() } else { text }
}

/// The address behind a name below `in-addr.arpa` (RFC 1035 section 3.5) or `ip6.arpa` (RFC 3596
/// section 2.5), in lower case without the final dot; none if it stands for no single address.
pub fn reversed_address(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let mut address = [0; 4];
        let mut labels = octets.rsplit('.');
        for octet in &mut address {
            *octet = decimal(labels.next()?)?;
        }
        return labels
            .next()
            .is_none()
            .then(|| Ipv4Addr::from(address).into());
    }
    let nibbles = name.strip_suffix(".ip6.arpa")?;
    let mut address = 0_u128;
    let mut count = 0;
    for nibble in nibbles.rsplit('.') {
        let &[digit] = nibble.as_bytes() else {
            return None;
        };
        address = address << 4 | u128::from(char::from(digit).to_digit(16)?);
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from(address).into())
}

/// An octet as it is written: no sign, no leading zero.
fn decimal(text: &str) -> Option<u8> {
    let is_plain =
        text.bytes().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok())?
}

/// Where a name ends that may be compressed, RFC 1035 section 4.1.4.
///
/// A pointer must lead to an earlier occurrence that ends before what refers to it. So there are no
/// loops, and what a name is does not depend on bytes behind it.
pub(crate) fn name_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut end, mut earliest) = (start, None, start);
    let (mut length, mut limit) = (0, bytes.len());
    loop {
        let label = usize::from(*bytes.get(at).filter(|_| at < limit)?);
        match label {
            0 => return Some(end.unwrap_or(at + 1)),
            1..=MAX_LABEL => {
                at += 1 + label;
                length += 1 + label;
                if length >= MAX_NAME {
                    return None;
                }
            }
            192.. => {
                let target = usize::from(read_u16(bytes, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                if target >= earliest || target < HEADER {
                    return None;
                }
                (at, earliest, limit) = (target, target, earliest);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_written_as_labels() {
        for (text, expected) in [
            (".", &b"\0"[..]),
            ("a", b"\x01a\0"),
            ("a.", b"\x01a\0"),
            ("WWW.example.com", b"\x03WWW\x07example\x03com\0"),
            ("_ldap._tcp.a-b", b"\x05_ldap\x04_tcp\x03a-b\0"),
        ] {
            assert_eq!(encode_name(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn impossible_names_are_refused() {
        let (label, long) = ("a".repeat(64), "a.".repeat(127) + "b");
        for text in ["", "..", ".a", "a..b", "a b", "\u{e4}.test", &label, &long] {
            assert_eq!(encode_name(text), Err(NameFault), "{text}");
        }
        let longest = "a.".repeat(127);
        assert_eq!(encode_name(&longest).map(|name| name.len()), Ok(255));
    }

    #[test]
    fn names_are_written_as_text() {
        for (name, expected) in [
            (&b""[..], "."),
            (b"\0", "."),
            (b"\x04_a-1\x07Example\0", "_a-1.Example."),
            (b"\x05a.b\\\xff\x01x\0", "a\\046b\\092\\255.x."),
        ] {
            assert_eq!(presentation(name), expected);
        }
    }

    #[test]
    fn a_leading_name_is_whole_and_uncompressed() {
        for (bytes, expected) in [
            (&b"\x01a\0rest"[..], Some(&b"\x01a\0"[..])),
            (b"\0", Some(b"\0")),
            (b"", None),
            (b"\x01a", None),
            (b"\xc0\x0c", None),
            (b"\x40", None),
        ] {
            assert_eq!(leading_name(bytes), expected);
        }
        let long = [&[63; 64][..]; 4].concat();
        assert_eq!(leading_name(&[&long[..], &[0]].concat()), None);
    }

    /// The examples of RFC 1035 section 3.5 and RFC 3596 section 2.5.
    #[test]
    fn reverse_names_of_the_rfcs_are_read() {
        let v6 = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
        let ula = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.1.1.1.1.1.2.0.2.0.0.d.f.ip6.arpa";
        for (name, expected) in [
            ("52.0.2.10.in-addr.arpa", "10.2.0.52"),
            ("1.0.96.100.in-addr.arpa", "100.96.0.1"),
            (v6, "4321:0:1:2:3:4:567:89ab"),
            (ula, "fd00:2021:1111:8000::1"),
        ] {
            let address = reversed_address(name).map(|address| address.to_string());
            assert_eq!(address.as_deref(), Some(expected));
        }
    }

    #[test]
    fn names_that_stand_for_no_single_address_are_none() {
        for name in [
            "0.2.10.in-addr.arpa",
            "1.52.0.2.10.in-addr.arpa",
            "052.0.2.10.in-addr.arpa",
            "256.0.2.10.in-addr.arpa",
            "+1.0.2.10.in-addr.arpa",
            "in-addr.arpa",
            "x.0.2.10.in-addr.arpa",
            "1.2.3.4.ip6.arpa",
            "1.ip6.arpa",
            "+.ip6.arpa",
            "ip6.arpa",
            "10.0.0.1",
            "a.test",
            "",
        ] {
            assert_eq!(reversed_address(name), None, "{name}");
        }
    }

    /// The message of RFC 1035 section 4.1.4: a name, one that shares its end, a pointer alone.
    #[test]
    fn compressed_names_of_the_rfc_end_where_it_says() {
        let mut bytes = vec![0; 93];
        bytes[20..32].copy_from_slice(b"\x01F\x03ISI\x04ARPA\0");
        bytes[40..46].copy_from_slice(b"\x03FOO\xc0\x14");
        bytes[64..66].copy_from_slice(b"\xc0\x1a");
        bytes[92] = 0;
        let ends = [20, 40, 64, 92].map(|start| name_end(&bytes, start));
        assert_eq!(ends, [Some(32), Some(46), Some(66), Some(93)]);
    }

    #[test]
    fn a_pointer_leads_to_a_name_that_ends_before_it() {
        let mut bytes = vec![0; 60];
        bytes[20..24].copy_from_slice(b"\x01a\xc0\x13");
        bytes[30..32].copy_from_slice(b"\xc0\x14");
        bytes[32] = 1;
        for (at, label, expected) in [
            (19, 0, Some(32)),
            (19, 1, None),  // and the first label of the name that refers to it
            (19, 12, None), // and bytes behind the pointer
        ] {
            bytes[at] = label;
            assert_eq!(name_end(&bytes, 30), expected, "{label}");
        }
        bytes[29] = 3;
        bytes[30..32].copy_from_slice(b"\xc0\x1d");
        assert_eq!(name_end(&bytes, 30), None, "the pointer itself as a label");
    }

    proptest! {
        #[test]
        fn what_is_behind_a_name_does_not_matter(
            bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(12), Just(0xc0), any::<u8>()], 12..80),
            start in 12_usize..80,
        ) {
            if let Some(end) = name_end(&bytes, start) {
                prop_assert_eq!(name_end(&bytes[..end], start), Some(end));
            }
        }

        #[test]
        fn any_bytes_are_a_name_or_none(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            start in 0_usize..300,
        ) {
            if let Some(name) = leading_name(&bytes) {
                prop_assert!(bytes.starts_with(name) && name.len() <= MAX_NAME);
            }
            if let Some(end) = name_end(&bytes, start) {
                prop_assert!(start < end && end <= bytes.len());
            }
            prop_assert!(presentation(&bytes).len() <= 5 * bytes.len() + 1);
        }

        #[test]
        fn what_is_written_is_read_again(labels in proptest::collection::vec("[a-zA-Z0-9_-]{1,20}", 1..8)) {
            let text = labels.join(".") + ".";
            let name = encode_name(&text).unwrap();
            prop_assert_eq!(leading_name(&name), Some(&name[..]));
            prop_assert_eq!(presentation(&name), text);
        }

        #[test]
        fn any_text_is_an_address_or_none(text in "[0-9a-f.+]{0,70}(\\.in-addr\\.arpa|\\.ip6\\.arpa)?") {
            let _address = reversed_address(&text);
        }

        #[test]
        fn reverse_names_lead_back_to_their_addresses(v4 in any::<[u8; 4]>(), v6 in any::<u128>()) {
            let [a, b, c, d] = v4;
            let name = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
            prop_assert_eq!(reversed_address(&name), Some(IpAddr::from(v4)));
            let nibbles: Vec<String> = (0..32).map(|n| format!("{:x}", v6 >> (4 * n) & 15)).collect();
            let name = format!("{}.ip6.arpa", nibbles.join("."));
            prop_assert_eq!(reversed_address(&name), Some(IpAddr::V6(v6.into())));
        }
    }
}

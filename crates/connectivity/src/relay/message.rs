//! The STUN and TURN messages we exchange with relays. spec: data-plane 4.2

use super::{attribute::Attribute, credentials::Credentials};
use bytecodec::{DecodeExt as _, EncodeExt as _};
use model::limits::CHANNEL_HEADER;
use std::{borrow::Cow, net::SocketAddr, time::Duration};
use stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId,
    rfc5389::{
        attributes::{ErrorCode, MessageIntegrity, Nonce, Realm, Software, XorMappedAddress},
        methods::BINDING,
    },
    rfc5766::{
        attributes::{ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress},
        methods::{ALLOCATE, CHANNEL_BIND, REFRESH},
    },
    rfc8656::attributes::{AdditionalAddressFamily, AddressFamily},
};

/// What we call ourselves towards relays.
const SOFTWARE: &str = "snownet";
/// Protocol number of UDP, the only transport a relay is asked for.
const UDP: u8 = 17;
/// Length of the header of a STUN message. RFC 8489 section 5
const STUN_HEADER: usize = 20;
/// Length of type and length of an attribute. RFC 8489 section 14
const ATTRIBUTE_HEADER: usize = 4;

/// What a relay is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Tells what the relay sees as our address. RFC 8489 section 3
    Binding,
    /// Opens an allocation. RFC 8656 section 7
    Allocate,
    /// Prolongs the allocation. RFC 8656 section 8
    Refresh,
    /// Ends the allocation: a Refresh request with a lifetime of zero.
    Release,
    /// Binds a channel to a peer. RFC 8656 section 12
    ChannelBind {
        /// The number of the channel.
        number: u16,
        /// The address of the peer.
        peer: SocketAddr,
    },
}

impl Request {
    /// The name in logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Allocate => "allocate",
            Self::Refresh => "refresh",
            Self::Release => "release",
            Self::ChannelBind { .. } => "channel-bind",
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Binding => BINDING,
            Self::Allocate => ALLOCATE,
            Self::Refresh | Self::Release => REFRESH,
            Self::ChannelBind { .. } => CHANNEL_BIND,
        }
    }

    /// The bytes of this request; everything but a BINDING is signed with `credentials`.
    ///
    /// `None` if a text is too long for its attribute, which no relay could accept anyway.
    pub(crate) fn emit(
        self,
        id: TransactionId,
        credentials: Option<&Credentials>,
    ) -> Option<Vec<u8>> {
        let mut message = Message::new(MessageClass::Request, self.method(), id);
        match self {
            Self::Binding => {}
            Self::Allocate | Self::Refresh | Self::Release => {
                message.add_attribute(RequestedTransport::new(UDP));
                message.add_attribute(AdditionalAddressFamily::new(AddressFamily::V6));
                if self == Self::Release {
                    message.add_attribute(Lifetime::from_u32(0));
                }
            }
            Self::ChannelBind { number, peer } => {
                message.add_attribute(XorPeerAddress::new(peer));
                message.add_attribute(ChannelNumber::new(number).ok()?);
            }
        }
        message.add_attribute(Software::new(SOFTWARE.to_owned()).ok()?);
        if self != Self::Binding {
            credentials?.sign(&mut message)?;
        }
        MessageEncoder::default().encode_into_bytes(message).ok()
    }
}

/// A relay's answer, taken apart but not yet believed.
#[derive(Debug)]
pub(crate) struct Response(Message<Attribute>);

impl Response {
    /// Reads a success or error response; anything else is `None`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let message = MessageDecoder::<Attribute>::default()
            .decode_from_bytes(&signed_part(bytes))
            .ok()?
            .ok()?;
        let is_response = matches!(
            message.class(),
            MessageClass::SuccessResponse | MessageClass::ErrorResponse
        );
        is_response.then_some(Self(message))
    }

    /// Which request this answers.
    pub(crate) fn id(&self) -> TransactionId {
        self.0.transaction_id()
    }

    /// Whether this can be an answer to that kind of request.
    pub(crate) fn answers(&self, request: Request) -> bool {
        self.0.method() == request.method()
    }

    /// The error code; `None` for a success. An error without code counts as 500.
    pub(crate) fn error(&self) -> Option<u16> {
        match self.0.class() {
            MessageClass::ErrorResponse => Some(
                self.0
                    .get_attribute::<ErrorCode>()
                    .map_or(500, ErrorCode::code),
            ),
            _ => None,
        }
    }

    /// Whether it is signed with the password of these credentials.
    pub(crate) fn is_signed_by(&self, credentials: &Credentials) -> bool {
        self.0
            .get_attribute::<MessageIntegrity>()
            .is_some_and(|integrity| credentials.verify(integrity))
    }

    /// The nonce for the next request.
    pub(crate) fn nonce(&self) -> Option<&Nonce> {
        self.0.get_attribute()
    }

    /// The realm the relay wants credentials for.
    pub(crate) fn realm(&self) -> Option<&str> {
        self.0.get_attribute::<Realm>().map(Realm::text)
    }

    /// Our address as the relay sees it.
    pub(crate) fn mapped_address(&self) -> Option<SocketAddr> {
        self.0
            .get_attribute::<XorMappedAddress>()
            .map(XorMappedAddress::address)
    }

    /// The addresses the relay opened for us.
    pub(crate) fn relayed_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0.attributes().filter_map(|attribute| match attribute {
            Attribute::XorRelayAddress(relayed) => Some(relayed.address()),
            _ => None,
        })
    }

    /// How long the allocation lives from now.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.0.get_attribute::<Lifetime>().map(Lifetime::lifetime)
    }
}

/// A message without what stands behind its MESSAGE-INTEGRITY, which anybody may have appended on the
/// way. RFC 8489 section 14.5
fn signed_part(message: &[u8]) -> Cow<'_, [u8]> {
    let Some((header, mut attributes)) = message.split_first_chunk::<STUN_HEADER>() else {
        return Cow::Borrowed(message);
    };
    let whole = attributes.len();
    while let Some((&[a, b, c, d], rest)) = attributes.split_first_chunk::<ATTRIBUTE_HEADER>() {
        let length = usize::from(u16::from_be_bytes([c, d])).next_multiple_of(4);
        let Some(rest) = rest.get(length..) else {
            break;
        };
        attributes = rest;
        if u16::from_be_bytes([a, b]) == MessageIntegrity::CODEPOINT && !rest.is_empty() {
            let kept = whole - rest.len();
            let Ok(length) = u16::try_from(kept) else {
                break;
            };
            let mut signed = message[..header.len() + kept].to_vec();
            signed[2..4].copy_from_slice(&length.to_be_bytes());
            return Cow::Owned(signed);
        }
    }
    Cow::Borrowed(message)
}

/// The channel and the payload of a ChannelData message whose length is exactly right.
pub(crate) fn parse_channel_data(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (&[a, b, c, d], payload) = datagram.split_first_chunk::<CHANNEL_HEADER>()?;
    let length = usize::from(u16::from_be_bytes([c, d]));
    (length == payload.len()).then_some((u16::from_be_bytes([a, b]), payload))
}

/// The header of a ChannelData message; `None` if the payload is too long for one.
pub(crate) fn channel_header(number: u16, length: usize) -> Option<[u8; CHANNEL_HEADER]> {
    let [a, b] = number.to_be_bytes();
    let [c, d] = u16::try_from(length).ok()?.to_be_bytes();
    Some([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_data_is_the_known_vector() {
        let header = channel_header(0x4000, 4).unwrap();
        let message = [&header[..], &[0xde, 0xad, 0xbe, 0xef]].concat();
        assert_eq!(message, [0x40, 0, 0, 4, 0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(
            parse_channel_data(&message),
            Some((0x4000, &[0xde, 0xad, 0xbe, 0xef][..]))
        );
    }

    #[test]
    fn a_message_ends_with_its_integrity() {
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(value.len()).unwrap();
            let mut bytes = [&kind.to_be_bytes()[..], &length.to_be_bytes(), value].concat();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let message = |attributes: &[Vec<u8>]| {
            let attributes = attributes.concat();
            let length = u16::try_from(attributes.len()).unwrap();
            let mut bytes = vec![1, 3];
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.resize(STUN_HEADER, 7);
            [bytes, attributes].concat()
        };
        let text = attribute(0x8022, b"odd");
        let integrity = attribute(8, &[9; 20]);
        let (before, behind) = (attribute(0x15, b"nonce"), attribute(0x0d, &[0; 4]));
        let signed = message(&[text.clone(), before.clone(), integrity.clone()]);
        let longer = [text.clone(), before.clone(), integrity.clone(), behind];
        assert_eq!(signed_part(&message(&longer)), signed);
        assert_eq!(signed_part(&signed), signed);
        let twice = [integrity.clone(), integrity.clone(), text.clone()];
        assert_eq!(signed_part(&message(&twice)), message(&[integrity]));
        let unsigned = message(&[text, before]);
        for length in 0..=unsigned.len() {
            assert_eq!(signed_part(&unsigned[..length]), &unsigned[..length]);
        }
    }

    #[test]
    fn channel_data_must_have_the_exact_length() {
        for message in [
            &[0x40, 0, 0][..],
            &[0x40, 0, 0, 4, 1, 2, 3],
            &[0x40, 0, 0, 4, 1, 2, 3, 4, 5],
        ] {
            assert_eq!(parse_channel_data(message), None);
        }
        assert_eq!(channel_header(0x4000, 70_000), None);
    }
}

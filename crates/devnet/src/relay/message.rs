//! STUN and TURN messages as a relay reads and writes them.

use super::auth::REALM;
use bytecodec::{DecodeExt as _, EncodeExt as _};
use std::{net::SocketAddr, time::Duration};
use stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId,
    define_attribute_enums,
    rfc5389::{
        attributes::{
            ErrorCode, MessageIntegrity, Nonce, Realm, Software, Username, XorMappedAddress,
        },
        methods::BINDING,
    },
    rfc5766::{
        attributes::{
            ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress, XorRelayAddress,
        },
        methods::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH},
    },
    rfc8656::attributes::{AdditionalAddressFamily, AddressFamily, RequestedAddressFamily},
};
use uuid::Uuid;

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        AdditionalAddressFamily,
        ChannelNumber,
        ErrorCode,
        Lifetime,
        MessageIntegrity,
        Nonce,
        Realm,
        RequestedAddressFamily,
        RequestedTransport,
        Software,
        Username,
        XorMappedAddress,
        XorPeerAddress,
        XorRelayAddress
    ]
);

/// What a relay calls itself.
const SOFTWARE: &str = "firezone-relay; rev=xxxx";

/// An error code with its reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str);

pub(super) const BAD_REQUEST: Refusal = Refusal(400, "Bad Request");
pub(super) const UNAUTHORIZED: Refusal = Refusal(401, "Unauthorized");
pub(super) const ALLOCATION_MISMATCH: Refusal = Refusal(437, "Allocation Mismatch");
pub(super) const STALE_NONCE: Refusal = Refusal(438, "Stale Nonce");
pub(super) const FAMILY_NOT_SUPPORTED: Refusal = Refusal(440, "Address Family not Supported");
pub(super) const FAMILY_MISMATCH: Refusal = Refusal(443, "Peer Address Family Mismatch");
pub(super) const INSUFFICIENT_CAPACITY: Refusal = Refusal(508, "Insufficient Capacity");

/// An address family in a request.
pub(super) use stun_codec::rfc8656::attributes::AddressFamily as Family;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Allocate,
    Binding,
    ChannelBind,
    CreatePermission,
    Refresh,
}

/// A request whose attributes could be decoded.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) kind: Kind,
    message: Message<Attribute>,
}

/// What arrived instead of a usable request.
#[derive(Debug)]
pub(super) enum Unusable {
    /// Not a request at all; silence is the answer.
    Ignore,
    /// A request that must be refused without a signature.
    Refuse(Vec<u8>),
}

impl Request {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        let decoded = MessageDecoder::<Attribute>::default().decode_from_bytes(bytes);
        let message = match decoded {
            Ok(Ok(message)) => message,
            Ok(Err(broken)) if broken.class() == MessageClass::Request => {
                let (method, id) = (broken.method(), broken.transaction_id());
                return Err(refuse_unsigned(method, id, BAD_REQUEST));
            }
            Ok(Err(_)) | Err(_) => return Err(Unusable::Ignore),
        };
        if message.class() != MessageClass::Request {
            return Err(Unusable::Ignore);
        }
        let kind = match message.method() {
            ALLOCATE => Kind::Allocate,
            BINDING => Kind::Binding,
            CHANNEL_BIND => Kind::ChannelBind,
            CREATE_PERMISSION => Kind::CreatePermission,
            REFRESH => Kind::Refresh,
            other => {
                return Err(refuse_unsigned(
                    other,
                    message.transaction_id(),
                    BAD_REQUEST,
                ));
            }
        };
        Ok(Self { kind, message })
    }

    pub(super) fn username(&self) -> Option<&str> {
        self.message.get_attribute::<Username>().map(Username::name)
    }

    pub(super) fn nonce(&self) -> Option<&str> {
        self.message.get_attribute::<Nonce>().map(Nonce::value)
    }

    pub(super) fn has_integrity(&self) -> bool {
        self.message.get_attribute::<MessageIntegrity>().is_some()
    }

    pub(super) fn is_signed_with(&self, username: &str, password: &str) -> bool {
        let integrity = self.message.get_attribute::<MessageIntegrity>();
        let (Some(username), Some(realm)) = (texts(username), realm()) else {
            return false;
        };
        integrity.is_some_and(|integrity| {
            integrity
                .check_long_term_credential(&username, &realm, password)
                .is_ok()
        })
    }

    pub(super) fn transport(&self) -> Option<u8> {
        self.message
            .get_attribute::<RequestedTransport>()
            .map(RequestedTransport::protocol)
    }

    pub(super) fn requested_family(&self) -> Option<AddressFamily> {
        self.message
            .get_attribute::<RequestedAddressFamily>()
            .map(RequestedAddressFamily::address_family)
    }

    pub(super) fn additional_family(&self) -> Option<AddressFamily> {
        self.message
            .get_attribute::<AdditionalAddressFamily>()
            .map(AdditionalAddressFamily::address_family)
    }

    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.message
            .get_attribute::<Lifetime>()
            .map(Lifetime::lifetime)
    }

    pub(super) fn channel(&self) -> Option<u16> {
        self.message
            .get_attribute::<ChannelNumber>()
            .map(|number| number.value())
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.message
            .get_attribute::<XorPeerAddress>()
            .map(XorPeerAddress::address)
    }

    /// The beginning of a success response.
    pub(super) fn success(&self) -> Response {
        Response::new(MessageClass::SuccessResponse, &self.message)
    }

    /// An error response.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response {
        let mut response = Response::new(MessageClass::ErrorResponse, &self.message);
        if let Ok(code) = ErrorCode::new(refusal.0, refusal.1.to_owned()) {
            response.0.add_attribute(code);
        }
        response
    }
}

/// A response in the making.
pub(super) struct Response(Message<Attribute>);

impl Response {
    fn new(class: MessageClass, request: &Message<Attribute>) -> Self {
        let mut message = Message::new(class, request.method(), request.transaction_id());
        if let Ok(software) = Software::new(SOFTWARE.to_owned()) {
            message.add_attribute(software);
        }
        Self(message)
    }

    pub(super) fn mapped(mut self, address: SocketAddr) -> Self {
        self.0.add_attribute(XorMappedAddress::new(address));
        self
    }

    pub(super) fn relayed(mut self, address: SocketAddr) -> Self {
        self.0.add_attribute(XorRelayAddress::new(address));
        self
    }

    pub(super) fn lifetime(mut self, lifetime: Duration) -> Self {
        if let Ok(lifetime) = Lifetime::new(lifetime) {
            self.0.add_attribute(lifetime);
        }
        self
    }

    /// Asks for a signed request with this nonce.
    pub(super) fn challenge(mut self, nonce: Uuid) -> Self {
        if let Some(realm) = realm() {
            self.0.add_attribute(realm);
        }
        if let Ok(nonce) = Nonce::new(nonce.to_string()) {
            self.0.add_attribute(nonce);
        }
        self
    }

    /// Signs and writes the response; clients discard errors without a signature.
    pub(super) fn signed(mut self, username: &str, password: &str) -> Vec<u8> {
        if let (Some(username), Some(realm)) = (texts(username), realm())
            && let Ok(integrity) =
                MessageIntegrity::new_long_term_credential(&self.0, &username, &realm, password)
        {
            self.0.add_attribute(integrity);
        }
        self.unsigned()
    }

    pub(super) fn unsigned(self) -> Vec<u8> {
        MessageEncoder::default()
            .encode_into_bytes(self.0)
            .unwrap_or_default()
    }
}

fn refuse_unsigned(method: Method, id: TransactionId, refusal: Refusal) -> Unusable {
    let mut message = Message::<Attribute>::new(MessageClass::ErrorResponse, method, id);
    if let Ok(software) = Software::new(SOFTWARE.to_owned()) {
        message.add_attribute(software);
    }
    if let Ok(code) = ErrorCode::new(refusal.0, refusal.1.to_owned()) {
        message.add_attribute(code);
    }
    Unusable::Refuse(
        MessageEncoder::default()
            .encode_into_bytes(message)
            .unwrap_or_default(),
    )
}

fn texts(username: &str) -> Option<Username> {
    Username::new(username.to_owned()).ok()
}

fn realm() -> Option<Realm> {
    Realm::new(REALM.to_owned()).ok()
}

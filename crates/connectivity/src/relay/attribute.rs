//! The attributes of STUN and TURN that we read or write, as one enum.

use stun_codec::{
    define_attribute_enums,
    rfc5389::attributes::{
        ErrorCode, MessageIntegrity, Nonce, Realm, Software, Username, XorMappedAddress,
    },
    rfc5766::attributes::{
        ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress, XorRelayAddress,
    },
    rfc8656::attributes::AdditionalAddressFamily,
};

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
        RequestedTransport,
        Software,
        Username,
        XorMappedAddress,
        XorPeerAddress,
        XorRelayAddress
    ]
);

//! The relay's rules, one table for each section of the specification.

mod authenticating;
mod forwarding;
mod requesting;

use super::{
    auth::{REALM, password},
    message::Attribute,
    server::{Forward, Ports, Server, ServerConfig},
};
use bytecodec::{DecodeExt as _, EncodeExt as _};
use model::{Seed, SeedTree};
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId,
    rfc5389::attributes::{
        ErrorCode, MessageIntegrity, Nonce, Realm, Software, Username, XorMappedAddress,
    },
    rfc5766::{
        attributes::{ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress},
        methods::{ALLOCATE, CHANNEL_BIND, REFRESH},
    },
    rfc8656::attributes::{AdditionalAddressFamily, AddressFamily},
};

const SECRET: &str = "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab";
const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// The wall clock of the tests, and an account that is good for longer.
const UNIX_NOW: Duration = Duration::from_secs(1_800_000_000);
const USER: &str = "1892160000:n23JJ2wKKtt30oXi";

/// What the fake socket layer has open.
#[derive(Default)]
struct FakePorts {
    open: BTreeMap<u16, (bool, bool)>,
    is_full: bool,
}

impl Ports for FakePorts {
    fn open(&mut self, port: u16, v4: bool, v6: bool) -> bool {
        !self.is_full && self.open.insert(port, (v4, v6)).is_none()
    }

    fn close(&mut self, port: u16) {
        assert!(
            self.open.remove(&port).is_some(),
            "port {port} was not open"
        );
    }
}

/// A relay with a clock and one account.
struct Bench {
    server: Server,
    ports: FakePorts,
    now: Instant,
    nonce: String,
}

/// A response.
struct Answer(Message<Attribute>);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client() -> SocketAddr {
    address("198.51.100.7:52625")
}

fn request(method: Method, attributes: Vec<Attribute>) -> Message<Attribute> {
    let mut message = Message::new(MessageClass::Request, method, TransactionId::new([7; 12]));
    for attribute in attributes {
        message.add_attribute(attribute);
    }
    message
}

fn encode(message: Message<Attribute>) -> Vec<u8> {
    MessageEncoder::default()
        .encode_into_bytes(message)
        .unwrap()
}

fn decode(bytes: &[u8]) -> Message<Attribute> {
    MessageDecoder::default()
        .decode_from_bytes(bytes)
        .unwrap()
        .unwrap()
}

/// The password that the relay of the tests expects.
fn password_of(username: &str) -> String {
    let (expiry, salt) = username.split_once(':').unwrap();
    password(expiry, &SecretString::from(SECRET), salt).to_string()
}

fn sign(mut message: Message<Attribute>, username: &str, password: &str) -> Message<Attribute> {
    let (name, realm) = (username.to_owned(), REALM.to_owned());
    let (name, realm) = (Username::new(name).unwrap(), Realm::new(realm).unwrap());
    message.add_attribute(name.clone());
    message.add_attribute(realm.clone());
    let key = MessageIntegrity::new_long_term_credential(&message, &name, &realm, password);
    message.add_attribute(key.unwrap());
    message
}

fn udp() -> Attribute {
    RequestedTransport::new(17).into()
}

fn both_families() -> Vec<Attribute> {
    vec![
        udp(),
        AdditionalAddressFamily::new(AddressFamily::V6).into(),
    ]
}

fn channel(number: u16, peer: &str) -> Vec<Attribute> {
    let number = ChannelNumber::new(number).unwrap();
    vec![number.into(), XorPeerAddress::new(address(peer)).into()]
}

fn lifetime(seconds: u32) -> Attribute {
    Lifetime::from_u32(seconds).into()
}

impl Bench {
    fn with(ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) -> Self {
        let config = ServerConfig {
            ipv4,
            ipv6,
            secret: SecretString::from(SECRET),
        };
        let server = Server::new(config, &SeedTree::new(Seed::from_bytes([9; 32])));
        let (ports, now) = (FakePorts::default(), Instant::now());
        let mut this = Self {
            server,
            ports,
            now,
            nonce: String::new(),
        };
        let challenge = this
            .send(client(), &encode(request(REFRESH, vec![])))
            .unwrap();
        this.nonce = challenge.nonce().unwrap();
        this
    }

    fn new() -> Self {
        Self::with(Some(V4), Some(V6))
    }

    /// A relay on which the client has ports in both families.
    fn allocated() -> (Self, u16) {
        let mut this = Self::new();
        let answer = this.ask(client(), ALLOCATE, both_families());
        let port = answer.relayed()[0].port();
        (this, port)
    }

    fn after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.server.handle_timeout(&mut self.ports, self.now);
    }

    fn handle<'a>(&mut self, from: SocketAddr, datagram: &'a [u8]) -> Forward<'a> {
        self.server
            .handle_client(from, datagram, &mut self.ports, (self.now, UNIX_NOW))
    }

    fn send(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Answer> {
        match self.handle(from, datagram) {
            Forward::Reply(reply) => Some(Answer(decode(&reply))),
            Forward::Drop => None,
            other => panic!("{other:?}"),
        }
    }

    /// A request with everything that authentication wants; the answer must be signed.
    fn ask(&mut self, from: SocketAddr, method: Method, attributes: Vec<Attribute>) -> Answer {
        let mut message = request(method, attributes);
        message.add_attribute(Nonce::new(self.nonce.clone()).unwrap());
        let message = sign(message, USER, &password_of(USER));
        let answer = self.send(from, &encode(message)).unwrap();
        assert!(answer.is_signed_for(USER), "{:?}", answer.0);
        answer
    }

    fn bind(&mut self, number: u16, peer: &str) -> u16 {
        self.ask(client(), CHANNEL_BIND, channel(number, peer))
            .code()
    }

    /// The client and channel that a datagram of the peer goes to.
    fn peer(&self, port: u16, from: &str) -> Option<(SocketAddr, u16)> {
        self.server.handle_peer(port, address(from), self.now)
    }
}

impl Answer {
    /// The error code; 0 for success.
    fn code(&self) -> u16 {
        match self.0.class() {
            MessageClass::SuccessResponse => 0,
            MessageClass::ErrorResponse => self.0.get_attribute::<ErrorCode>().unwrap().code(),
            other => panic!("{other:?}"),
        }
    }

    fn nonce(&self) -> Option<String> {
        self.0
            .get_attribute::<Nonce>()
            .map(|nonce| nonce.value().to_owned())
    }

    fn realm(&self) -> Option<&str> {
        self.0.get_attribute::<Realm>().map(Realm::text)
    }

    fn is_signed(&self) -> bool {
        self.0.get_attribute::<MessageIntegrity>().is_some()
    }

    fn is_signed_for(&self, username: &str) -> bool {
        let key = password_of(username);
        let name = Username::new(username.to_owned()).unwrap();
        let realm = Realm::new(REALM.to_owned()).unwrap();
        let integrity = self.0.get_attribute::<MessageIntegrity>();
        integrity.is_some_and(|it| it.check_long_term_credential(&name, &realm, &key).is_ok())
    }

    fn software(&self) -> Option<&str> {
        self.0
            .get_attribute::<Software>()
            .map(Software::description)
    }

    fn mapped(&self) -> Option<SocketAddr> {
        self.0
            .get_attribute::<XorMappedAddress>()
            .map(XorMappedAddress::address)
    }

    fn lifetime(&self) -> Option<u64> {
        self.0
            .get_attribute::<Lifetime>()
            .map(|lifetime| lifetime.lifetime().as_secs())
    }

    fn relayed(&self) -> Vec<SocketAddr> {
        let relayed = |attribute: &Attribute| match attribute {
            Attribute::XorRelayAddress(relayed) => Some(relayed.address()),
            _ => None,
        };
        self.0.attributes().filter_map(relayed).collect()
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

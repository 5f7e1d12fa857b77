//! The relay's data path allocates no memory.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails the test")]

use bytecodec::{DecodeExt as _, EncodeExt as _};
use devnet::relay::{Forward, Ports, Server, ServerConfig};
use model::{Seed, SeedTree};
use ring::digest::{SHA256, digest};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
    time::{Duration, Instant},
};
use stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId,
    define_attribute_enums,
    rfc5389::attributes::{MessageIntegrity, Nonce, Realm, Username},
    rfc5766::{
        attributes::{ChannelNumber, RequestedTransport, XorPeerAddress, XorRelayAddress},
        methods::{ALLOCATE, CHANNEL_BIND},
    },
};

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        ChannelNumber,
        MessageIntegrity,
        Nonce,
        Realm,
        RequestedTransport,
        Username,
        XorPeerAddress,
        XorRelayAddress
    ]
);

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Counts what the current thread asks for.
struct Counting;

#[expect(unsafe_code, reason = "the trait of allocators is unsafe")]
// SAFETY: All calls go unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: The caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: The contract is that of the trait.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: The caller keeps the contract of this function, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct AnyPort;

impl Ports for AnyPort {
    fn open(&mut self, _: u16, _: bool, _: bool) -> bool {
        true
    }

    fn close(&mut self, _: u16) {}
}

struct Client {
    server: Server,
    from: SocketAddr,
    clock: (Instant, Duration),
    nonce: Option<Nonce>,
}

impl Client {
    fn ask(&mut self, method: Method, attributes: &[Attribute]) -> Message<Attribute> {
        use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
        let id = TransactionId::new([1; 12]);
        let mut message = Message::<Attribute>::new(MessageClass::Request, method, id);
        attributes
            .iter()
            .for_each(|attribute| message.add_attribute(attribute.clone()));
        let username = Username::new("1892160000:salt".into()).unwrap();
        let realm = Realm::new("firezone".into()).unwrap();
        let key = STANDARD_NO_PAD.encode(digest(&SHA256, b"1892160000:secret:salt"));
        message.add_attribute(username.clone());
        message.add_attribute(realm.clone());
        self.nonce
            .iter()
            .for_each(|nonce| message.add_attribute(nonce.clone()));
        let key = MessageIntegrity::new_long_term_credential(&message, &username, &realm, &key);
        message.add_attribute(key.unwrap());
        let bytes = MessageEncoder::default()
            .encode_into_bytes(message)
            .unwrap();
        match self
            .server
            .handle_client(self.from, &bytes, &mut AnyPort, self.clock)
        {
            Forward::Reply(reply) => MessageDecoder::default()
                .decode_from_bytes(&reply)
                .unwrap()
                .unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn forwarding_in_both_directions_allocates_nothing() {
    let config = ServerConfig {
        ipv4: Some([192, 0, 2, 1].into()),
        ipv6: None,
        secret: "secret".into(),
    };
    let server = Server::new(config, &SeedTree::new(Seed::from_bytes([1; 32])));
    let clock = (Instant::now(), Duration::from_secs(1_800_000_000));
    let from = SocketAddr::from(([198, 51, 100, 7], 52625));
    let mut client = Client {
        server,
        from,
        clock,
        nonce: None,
    };
    let challenge = client.ask(ALLOCATE, &[]);
    client.nonce = challenge.get_attribute::<Nonce>().cloned();
    let allocated = client.ask(ALLOCATE, &[RequestedTransport::new(17).into()]);
    let port = allocated
        .get_attribute::<XorRelayAddress>()
        .unwrap()
        .address()
        .port();
    let peer = |n: u8| SocketAddr::from(([203, 0, 113, n], 9));
    for n in 0..100 {
        let number = ChannelNumber::new(0x4000 + u16::from(n)).unwrap().into();
        let bound = client.ask(CHANNEL_BIND, &[number, XorPeerAddress::new(peer(n)).into()]);
        // A nonce does not last for all of them.
        if bound.class() == MessageClass::ErrorResponse {
            client.nonce = bound.get_attribute::<Nonce>().cloned();
        }
    }

    let datagram = [&[0x40, 7, 4, 0][..], &[0; 1024]].concat();
    let before = COUNT.get();
    for _ in 0..1000 {
        let forward = client
            .server
            .handle_client(from, &datagram, &mut AnyPort, clock);
        assert!(matches!(forward, Forward::ToPeer { payload, .. } if payload.len() == 1024));
        let back = client.server.handle_peer(port, peer(7), clock.0);
        assert_eq!(back, Some((from, 0x4007)));
        assert_eq!(client.server.handle_peer(port, peer(200), clock.0), None);
    }
    assert_eq!(COUNT.get() - before, 0);

    // The counter counts.
    let before = COUNT.get();
    drop(std::hint::black_box(vec![0_u8; 10]));
    assert_eq!(COUNT.get() - before, 1);
}

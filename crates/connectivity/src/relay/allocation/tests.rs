//! The tables of data-plane 4.4, 4.5 and 4.6, row by row, against a scripted relay.

mod channels;
mod timing;
mod trust;

use super::*;
use crate::relay::attribute::Attribute;
use bytecodec::{DecodeExt as _, EncodeExt as _};
use model::{PeerId, RelayId, Seed, SeedTree};
use std::net::{SocketAddrV4, SocketAddrV6};
use stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, Method,
    rfc5389::{
        attributes::{ErrorCode, Nonce, Realm, Username, XorMappedAddress},
        methods::BINDING,
    },
    rfc5766::{
        attributes::{Lifetime, XorPeerAddress, XorRelayAddress},
        methods::{ALLOCATE, CHANNEL_BIND, REFRESH},
    },
};

const OWNER: PeerId = PeerId::from_bytes([9; 16]);
const SECOND: Duration = Duration::from_secs(1);

fn v4(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], port))
}

fn v6(last: u16, port: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], port))
}

fn local(server: SocketAddr) -> SocketAddr {
    if server.is_ipv4() {
        SocketAddr::from(([192, 168, 1, 2], 52625))
    } else {
        v6(0x99, 52625)
    }
}

const SERVER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(
    std::net::Ipv4Addr::new(198, 51, 100, 1),
    3478,
));

fn relay(username: &str) -> Relay {
    Relay {
        id: RelayId::from_bytes([1; 16]),
        v4: Some(SocketAddrV4::new([198, 51, 100, 1].into(), 3478)),
        v6: Some(SocketAddrV6::new(
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
            3478,
            0,
            0,
        )),
        username: username.to_owned(),
        password: "secret".to_owned().into(),
    }
}

fn encoded(message: Message<Attribute>) -> Vec<u8> {
    MessageEncoder::default()
        .encode_into_bytes(message)
        .unwrap()
}

/// A message with an attribute behind all others that its maker knew nothing of.
fn extended(mut message: Message<Attribute>, attribute: Attribute) -> Vec<u8> {
    let mut bytes = encoded(message.clone());
    let length = bytes.len();
    message.add_attribute(attribute);
    let longer = encoded(message);
    bytes.extend_from_slice(&longer[length..]);
    bytes[2..4].copy_from_slice(&longer[2..4]);
    bytes
}

/// A request as the relay sees it.
struct Seen {
    server: SocketAddr,
    message: Message<Attribute>,
}

impl Seen {
    fn method(&self) -> Method {
        self.message.method()
    }

    fn nonce(&self) -> Option<&str> {
        self.message.get_attribute::<Nonce>().map(Nonce::value)
    }

    fn lifetime(&self) -> Option<Duration> {
        self.message
            .get_attribute::<Lifetime>()
            .map(Lifetime::lifetime)
    }

    fn peer(&self) -> SocketAddr {
        let peer = self.message.get_attribute::<XorPeerAddress>();
        peer.unwrap().address()
    }

    fn number(&self) -> Option<u16> {
        let number = self
            .message
            .get_attribute::<stun_codec::rfc5766::attributes::ChannelNumber>();
        number.map(|number| number.value())
    }
}

struct Bench {
    allocation: Allocation,
    now: Instant,
    /// What became of the last answer.
    handled: Result<(), DropReason>,
}

impl Bench {
    fn new() -> Self {
        let ids = SeedTree::new(Seed::from_bytes([1; 32])).stream("ids");
        let now = Instant::now();
        Self {
            allocation: Allocation::new(relay("2000000000:salt"), ids, now),
            now,
            handled: Ok(()),
        }
    }

    /// With an allocation of both families, and nothing under way.
    fn allocated() -> Self {
        let mut bench = Self::new();
        bench.reach();
        let request = bench.one();
        bench.challenge(&request, 401, "nonce1");
        let request = bench.one();
        bench.grant(&request);
        bench.events();
        bench
    }

    /// Answers the BINDINGs of both families, IPv4 first.
    fn reach(&mut self) {
        for request in self.sent() {
            assert_eq!(request.method(), BINDING);
            self.mapped(&request, v4(200, 40_000));
        }
    }

    fn sent(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.allocation.poll_transmit())
            .map(|(server, bytes)| Seen {
                server,
                message: MessageDecoder::<Attribute>::default()
                    .decode_from_bytes(&bytes)
                    .unwrap()
                    .unwrap(),
            })
            .collect()
    }

    fn one(&mut self) -> Seen {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "one request");
        sent.remove(0)
    }

    fn none(&mut self) {
        let methods: Vec<_> = self.sent().iter().map(Seen::method).collect();
        assert!(methods.is_empty(), "{methods:?}");
    }

    fn events(&mut self) -> Vec<AllocationEvent> {
        std::iter::from_fn(|| self.allocation.poll_event()).collect()
    }

    fn answer(&mut self, to: &Seen, attributes: Vec<Attribute>, key: Option<&Credentials>) {
        let has_error = attributes
            .iter()
            .any(|a| matches!(a, Attribute::ErrorCode(_)));
        let class = if has_error {
            MessageClass::ErrorResponse
        } else {
            MessageClass::SuccessResponse
        };
        let mut reply = Message::new(class, to.method(), to.message.transaction_id());
        for attribute in attributes {
            reply.add_attribute(attribute);
        }
        if let Some(key) = key {
            key.sign(&mut reply).unwrap();
        }
        self.deliver(to, &encoded(reply));
    }

    fn deliver(&mut self, to: &Seen, bytes: &[u8]) {
        let (server, now) = (to.server, self.now);
        self.handled = self
            .allocation
            .handle_stun(server, local(server), bytes, now);
    }

    fn signed(&mut self, to: &Seen, attributes: Vec<Attribute>) {
        let key = Credentials::new(&relay("2000000000:salt"));
        self.answer(to, attributes, key.as_ref());
    }

    fn mapped(&mut self, to: &Seen, address: SocketAddr) {
        self.answer(to, vec![XorMappedAddress::new(address).into()], None);
    }

    fn grant(&mut self, to: &Seen) {
        assert_eq!(to.method(), ALLOCATE);
        self.signed(
            to,
            vec![
                XorRelayAddress::new(v4(1, 50_000)).into(),
                XorRelayAddress::new(v6(1, 50_000)).into(),
                Lifetime::from_u32(600).into(),
            ],
        );
    }

    fn refuse(&mut self, to: &Seen, code: u16) {
        let error = ErrorCode::new(code, String::new()).unwrap();
        self.signed(to, vec![error.into()]);
    }

    fn challenge(&mut self, to: &Seen, code: u16, nonce: &str) {
        self.challenge_from(to, code, nonce, "firezone");
    }

    fn challenge_from(&mut self, to: &Seen, code: u16, nonce: &str, realm: &str) {
        let attributes = vec![
            ErrorCode::new(code, String::new()).unwrap().into(),
            Nonce::new(nonce.to_owned()).unwrap().into(),
            Realm::new(realm.to_owned()).unwrap().into(),
        ];
        // Signed with our realm, as `Credentials` has no other; the relay's is the first of two.
        self.signed(to, attributes);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(wakeup) = self.allocation.deadline().filter(|next| next.at <= end) {
            self.now = self.now.max(wakeup.at);
            self.allocation.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Sends a request of each kind, as if it were due; the allocation is granted already.
    fn provoke(&mut self, request: Request) -> Seen {
        match request {
            Request::Allocate => self
                .allocation
                .send(Pending::new(request, SERVER, self.now)),
            Request::ChannelBind { peer, .. } => self.allocation.bind(peer, OWNER, self.now),
            _ => self
                .allocation
                .send(Pending::new(request, SERVER, self.now)),
        }
        self.one()
    }
}

const BIND: Request = Request::ChannelBind {
    number: 0x4000,
    peer: SocketAddr::V4(SocketAddrV4::new(
        std::net::Ipv4Addr::new(203, 0, 113, 9),
        9,
    )),
};

fn revoked(events: &[AllocationEvent]) -> usize {
    events
        .iter()
        .filter(|event| matches!(event, AllocationEvent::Revoked { .. }))
        .count()
}

#[test]
fn it_starts_with_a_binding_to_every_address_and_uses_the_first_that_answers() {
    for first in [0, 1] {
        let mut bench = Bench::new();
        let bindings = bench.sent();
        let servers: Vec<_> = bindings.iter().map(|seen| seen.server).collect();
        assert_eq!(servers, [v4(1, 3478), v6(1, 3478)]);
        bench.mapped(&bindings[first], v4(200, 40_000));
        let request = bench.one();
        assert_eq!(request.method(), ALLOCATE);
        assert_eq!(request.server, servers[first]);
        let [
            AllocationEvent::Reached {
                local: from,
                mapped,
            },
        ] = bench.events()[..]
        else {
            panic!("one answer, one event");
        };
        assert_eq!(
            (from, mapped),
            (local(servers[first]), Some(v4(200, 40_000)))
        );

        bench.mapped(&bindings[1 - first], v4(200, 40_001));
        bench.none();
        assert_eq!(
            bench.events().len(),
            1,
            "the second answer only updates candidates"
        );
    }
}

#[test]
fn requests_carry_what_the_inventory_says() {
    let mut bench = Bench::new();
    let names = |seen: &Seen| -> Vec<&'static str> {
        let attributes = seen.message.attributes();
        attributes
            .map(|attribute| match attribute {
                Attribute::AdditionalAddressFamily(_) => "family",
                Attribute::ChannelNumber(_) => "number",
                Attribute::Lifetime(_) => "lifetime",
                Attribute::MessageIntegrity(_) => "integrity",
                Attribute::Nonce(_) => "nonce",
                Attribute::Realm(_) => "realm",
                Attribute::RequestedTransport(_) => "transport",
                Attribute::Software(_) => "software",
                Attribute::Username(_) => "username",
                Attribute::XorPeerAddress(_) => "peer",
                other => panic!("{other:?} is not for requests"),
            })
            .collect()
    };
    let bindings = bench.sent();
    assert_eq!(names(&bindings[0]), ["software"]);
    bench.mapped(&bindings[0], v4(200, 1));
    let first = bench.one();
    let auth = ["username", "realm", "integrity"];
    assert_eq!(
        names(&first),
        [&["transport", "family", "software"][..], &auth].concat()
    );
    bench.challenge(&first, 401, "nonce1");
    let auth = ["username", "realm", "nonce", "integrity"];
    let allocate = bench.one();
    assert_eq!(
        names(&allocate),
        [&["transport", "family", "software"][..], &auth].concat()
    );
    bench.grant(&allocate);
    for (request, expected) in [
        (Request::Refresh, &["transport", "family", "software"][..]),
        (
            Request::Release,
            &["transport", "family", "lifetime", "software"],
        ),
        (BIND, &["peer", "number", "software"]),
    ] {
        let seen = bench.provoke(request);
        assert_eq!(names(&seen), [expected, &auth].concat(), "{request:?}");
    }
}

#[test]
fn a_challenge_repeats_the_request_with_the_nonce() {
    for (code, had_nonce) in [(401, false), (438, false), (438, true)] {
        let mut bench = if had_nonce {
            Bench::allocated()
        } else {
            Bench::new()
        };
        let request = if had_nonce {
            bench.provoke(Request::Refresh)
        } else {
            bench.reach();
            bench.one()
        };
        bench.challenge(&request, code, "fresh");
        let again = bench.one();
        assert_eq!(again.method(), request.method());
        assert_eq!(again.nonce(), Some("fresh"), "{code}");
        assert_ne!(
            again.message.transaction_id(),
            request.message.transaction_id()
        );
    }
}

#[test]
fn a_challenge_for_another_realm_is_the_end_without_a_word() {
    let mut bench = Bench::new();
    bench.reach();
    let request = bench.one();
    bench.challenge_from(&request, 401, "fresh", "elsewhere");
    bench.none();
    assert!(!bench.allocation.is_usable());
}

#[test]
fn endless_challenges_end() {
    let mut bench = Bench::new();
    bench.reach();
    let mut rounds = 0;
    while let Some(request) = bench.sent().pop() {
        bench.challenge(&request, 438, &format!("nonce{rounds}"));
        rounds += 1;
        assert!(rounds < 20);
    }
    assert!(!bench.allocation.is_usable());
}

#[test]
fn refused_credentials_end_the_allocation() {
    for code in [401, 420] {
        let mut bench = Bench::allocated();
        let request = bench.provoke(Request::Refresh);
        bench.refuse(&request, code);
        assert_eq!(revoked(&bench.events()), 2, "{code}");
        bench.none();
        assert!(bench.allocation.is_gone(), "{code}");
    }
}

#[test]
fn a_mismatch_starts_over() {
    for (request, follows, lifetime) in [
        (Request::Allocate, REFRESH, Some(Duration::ZERO)),
        (Request::Refresh, ALLOCATE, None),
        (BIND, ALLOCATE, None),
    ] {
        let mut bench = Bench::allocated();
        let seen = bench.provoke(request);
        bench.refuse(&seen, 437);
        assert_eq!(revoked(&bench.events()), 2, "{request:?}");
        let mut next = bench.one();
        assert_eq!(
            (next.method(), next.lifetime()),
            (follows, lifetime),
            "{request:?}"
        );
        if follows == REFRESH {
            bench.signed(&next, vec![Lifetime::from_u32(0).into()]);
            next = bench.one();
            assert_eq!(next.method(), ALLOCATE, "once the old one is gone");
        }
        bench.grant(&next);
        let binds: Vec<_> = bench.sent().iter().map(Seen::method).collect();
        let expected = if request == BIND {
            vec![CHANNEL_BIND]
        } else {
            vec![]
        };
        assert_eq!(binds, expected, "the peer waits for the new allocation");
    }
}

#[test]
fn endless_mismatches_end() {
    let mut bench = Bench::allocated();
    let mut request = bench.provoke(Request::Refresh);
    let mut rounds = 0;
    loop {
        bench.refuse(&request, 437);
        rounds += 1;
        assert!(rounds < 20);
        match bench.sent().pop() {
            Some(next) => request = next,
            None => break,
        }
    }
    assert!(bench.events().contains(&AllocationEvent::Suspended));
}

#[test]
fn other_errors_hit_only_what_was_asked() {
    for code in [400, 441, 443, 486, 508] {
        let mut bench = Bench::new();
        bench.reach();
        bench.allocation.bind(v4(9, 9), OWNER, bench.now);
        let request = bench.one();
        bench.refuse(&request, code);
        assert!(
            bench.events().contains(&AllocationEvent::Suspended),
            "{code}"
        );
        assert!(!bench.allocation.is_usable() && !bench.allocation.is_gone());
        bench.pass(60 * SECOND);
        bench.none();
        bench.allocation.send_refresh(bench.now);
        bench.reach();
        let request = bench.one();
        bench.challenge(&request, 401, "nonce1");
        let request = bench.one();
        bench.grant(&request);
        bench.none();
        assert!(bench.allocation.is_usable(), "a later refresh starts over");

        let mut bench = Bench::allocated();
        let bind = bench.provoke(BIND);
        bench.refuse(&bind, code);
        assert_eq!(bench.events(), [], "{code}");
        assert_ne!(
            bench.provoke(BIND).number(),
            bind.number(),
            "another number"
        );

        let mut bench = Bench::allocated();
        let refresh = bench.provoke(Request::Refresh);
        bench.refuse(&refresh, code);
        assert_eq!(bench.events(), [], "{code}");
        assert!(bench.allocation.is_usable());
    }
}

#[test]
fn a_relay_that_is_left_out_while_it_is_asked_is_asked_once() {
    let mut bench = Bench::new();
    bench.reach();
    assert_eq!(bench.one().method(), ALLOCATE);
    bench.allocation.send_refresh(bench.now);
    bench.none();
}

#[test]
fn a_refresh_under_way_does_not_take_the_place_of_a_keep_alive() {
    let mut bench = Bench::allocated();
    let mut at_once = vec![];
    for _ in 0..12 {
        bench.pass(KEEP_ALIVE);
        let sent = bench.sent();
        at_once = sent.iter().map(Seen::method).collect();
        for request in sent.iter().filter(|request| request.method() == BINDING) {
            bench.mapped(request, v4(200, 40_000));
        }
    }
    assert_eq!(
        at_once,
        [REFRESH, BINDING],
        "both are due after five minutes"
    );
}

#[test]
fn credentials_that_fit_into_no_message_make_a_relay_useless_not_a_panic() {
    let ids = SeedTree::new(Seed::from_bytes([1; 32])).stream("ids");
    let now = Instant::now();
    let allocation = Allocation::new(relay(&"x".repeat(600)), ids, now);
    let mut bench = Bench {
        allocation,
        now,
        handled: Ok(()),
    };
    bench.reach();
    bench.none();
    assert!(bench.allocation.is_gone());
    assert!(Username::new("x".repeat(600)).is_err());
}

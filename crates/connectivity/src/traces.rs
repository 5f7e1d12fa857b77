//! Messages of the programs of July 2025, from the trace `2025-07/relayed/client.pcap`, with the
//! credentials from its `portal.jsonl`. We must understand theirs, and ours must look like theirs.

use crate::{
    Authorization, Role,
    connection::Agent,
    demux::{WireGuard, wireguard},
    relay::{Credentials, Request, Response, channel_header, parse_channel_data},
};
use is::stun::StunMessage;
use model::{Candidate, IceCredentials, PresharedKey, PublicKey, Relay, RelayId};
use ring::hmac;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use stun_codec::{TransactionId, rfc5389::attributes::Nonce};

const USERNAME: &str = "1798128531:fgs2MuIMQpIPLJGybh1SYOpqACtd18sSX0QPirk8/i0";
const PASSWORD: &str = "KYj8iWdyMKE7fVYoORkUzYI5MjuvEIZKtrnTzYb/cOE";
const CLIENT: (&str, &str) = ("gyzc", "udr3r3jr5fajxhdml4eubo");
const GATEWAY: (&str, &str) = ("aco7", "pyjesl3vjqi446pytjh3sq");

const BINDING: &str = "\
    000100582112a4429a8279235737c52d6e71d93280220051736e6f776e65743b2073657373696f6e3d394541 \
    4344393441334532433235343633443330463335373536324435333741393946323139433941423641333132 \
    4338334632413935414637433836384634000000";

const BINDING_ANSWER: &str = "\
    010100282112a4429a8279235737c52d6e71d93280220018666972657a6f6e652d72656c61793b207265763d \
    787878780020000800019766ea12d527";

const ALLOCATE: &str = "\
    000300c82112a442ade5b6b7b9c11215f70148910019000411000000800000040200000080220051736e6f77 \
    6e65743b2073657373696f6e3d39454143443934413345324332353436334433304633353735363244353337 \
    4139394632313943394142364133313243383346324139354146374338363846340000000006003631373938 \
    3132383533313a666773324d75494d517049504c4a477962683153594f707141437464313873535830515069 \
    726b382f6930000000140008666972657a6f6e6500080014c996832c7e169e9899579eb8494d37f61e1726ef";

const ALLOCATE_CHALLENGE: &str = "\
    0113007c2112a442ade5b6b7b9c11215f701489180220018666972657a6f6e652d72656c61793b207265763d \
    787878780009001000000401556e617574686f72697a656400140008666972657a6f6e650015002436643663 \
    303732362d643964312d633938392d633636622d6238643139373632643931390008001473262979edf0980d \
    013d3c23dc8840d7dddb47f9";

const ALLOCATE_WITH_NONCE: &str = "\
    000300f02112a442a623c80cb605cd083cd502070019000411000000800000040200000080220051736e6f77 \
    6e65743b2073657373696f6e3d39454143443934413345324332353436334433304633353735363244353337 \
    4139394632313943394142364133313243383346324139354146374338363846340000000006003631373938 \
    3132383533313a666773324d75494d517049504c4a477962683153594f707141437464313873535830515069 \
    726b382f6930000000140008666972657a6f6e650015002436643663303732362d643964312d633938392d63 \
    3636622d623864313937363264393139000800146a5f6fdecb0f6cbc956bf4953c508dbc4ad45884";

const ALLOCATE_ANSWER: &str = "\
    0103006c2112a442a623c80cb605cd083cd5020780220018666972657a6f6e652d72656c61793b207265763d \
    78787878001600080001d99dea12d557001600140002d99d0113a9faa730c80cb605cd083cd5022600200008 \
    00019766ea12d527000d00040000025800080014c5151c83249e88c1ecedcedcb300bf3df6774194";

const CHANNEL_BIND: &str = "\
    000900f42112a4426209a395f122888db0abf5ad0012000800018cc1ea12d52d000c00044002000080220051 \
    736e6f776e65743b2073657373696f6e3d394541434439344133453243323534363344333046333537353632 \
    4435333741393946323139433941423641333132433833463241393541463743383638463400000000060036 \
    313739383132383533313a666773324d75494d517049504c4a477962683153594f7071414374643138735358 \
    30515069726b382f6930000000140008666972657a6f6e650015002436643663303732362d643964312d6339 \
    38392d633636622d623864313937363264393139000800147d0347fda67ae8f087145f0c262693829b04b1a5";

const CHANNEL_BIND_ANSWER: &str = "\
    010900342112a4426209a395f122888db0abf5ad80220018666972657a6f6e652d72656c61793b207265763d \
    78787878000800142021b55f2fc38c45952199f2b701cfa3427a705d";

const CHECK: &str = "\
    000100442112a44256ff14a772842983a7c5297e0006000961636f373a67797a63000000802a000856ba186e \
    11f1ba0f002400046efffeff0008001460a66fe23e017e99b0fc2dea94c93eb231adac56802800048211dd2d";

const CHANNEL_CHECK: &str = "\
    40000058000100442112a4425041a6190e853b8163694a5e0006000961636f373a67797a63000000802a0008 \
    56ba186e11f1ba0f002400046e3c17ff0008001419e09de6e5bc284ca80e0bab499fd2f62daad8d580280004 \
    224fdb54";

const CHANNEL_CHECK_ANSWER: &str = "\
    4000004c010100382112a4425041a6190e853b8163694a5e002000140002d99d0113a9fa5152a6190e853b81 \
    63694a7f0008001401d6bd9fc52549f0bf055a381f73c41494e07a3580280004ec7d1e91";

const CHECK_OF_THE_PEER: &str = "\
    40000058000100442112a442405a80297715186e13c183050006000967797a633a61636f3700000080290008 \
    c917b0cf506e5c76002400046e3c17ff000800142fbc1f7091070482dcb0e6d644babf1cbb9fb30a80280004 \
    ad509c56";

const INITIATION: &str = "\
    40000094010000000109432ec07c7868593c79452b4a82a6b30991ac94c78c13dfa9c93f2426d1233238720c \
    97e5aaafdd02f4c44d3ef37f38e8d3ecd9d6693070694681b777eba38875cad0a93d93d51b7c9e4195bd6ee6 \
    26dd770caafa0cc19054898719dcc3fb48099a406116ae95c3ea18a39a54c2dff63416827e6c2cb7b507df5c \
    cb0fcc0f00000000000000000000000000000000";

const RESPONSE: &str = "\
    4000005c0200000001a4c1fe0109432e486b294276145f390c4dbf636366b61e7fe75a1aab13cfbb622e96cc \
    684ea1729b0f31a365f27b7e0665d613f2f688198d8adac52426fc8a3d1f9719a54f49590000000000000000 \
    0000000000000000";

const DATA: &str = "\
    400000200400000001a4c1fe000000000000000091631ed24779b66f5768d0319cd198a5";

/// Attribute type of SOFTWARE, the only one whose text differs.
const SOFTWARE: u16 = 0x8022;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}

/// Types and lengths of the attributes of a STUN message, in order.
fn attributes(message: &[u8]) -> Vec<(u16, usize)> {
    let mut rest = &message[20..];
    let mut found = Vec::new();
    while let [a, b, c, d, tail @ ..] = rest {
        let kind = u16::from_be_bytes([*a, *b]);
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let seen = if kind == SOFTWARE { 0 } else { length };
        found.push((kind, seen));
        rest = &tail[length.next_multiple_of(4)..];
    }
    found
}

fn credentials() -> Credentials {
    let relay = Relay {
        id: RelayId::from_bytes([1; 16]),
        v4: None,
        v6: None,
        username: USERNAME.to_owned(),
        password: PASSWORD.to_owned().into(),
    };
    Credentials::new(&relay).unwrap()
}

fn id(message: &[u8]) -> TransactionId {
    TransactionId::new(message[8..20].try_into().unwrap())
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn answers_of_the_relay_are_understood_and_their_signatures_hold() {
    let binding = Response::parse(&bytes(BINDING_ANSWER)).unwrap();
    assert!(binding.answers(Request::Binding));
    assert_eq!(binding.error(), None);
    assert_eq!(binding.id(), id(&bytes(BINDING)));
    assert_eq!(
        binding.mapped_address(),
        Some(address("203.0.113.101:46708"))
    );

    let challenge = Response::parse(&bytes(ALLOCATE_CHALLENGE)).unwrap();
    assert!(challenge.answers(Request::Allocate));
    assert_eq!(challenge.error(), Some(401));
    assert_eq!(challenge.realm(), Some("firezone"));
    assert_eq!(challenge.nonce().map(|nonce| nonce.value().len()), Some(36));
    assert_eq!(challenge.id(), id(&bytes(ALLOCATE)));

    let granted = Response::parse(&bytes(ALLOCATE_ANSWER)).unwrap();
    assert!(granted.answers(Request::Allocate));
    let relayed: Vec<_> = granted.relayed_addresses().collect();
    assert_eq!(
        relayed,
        [
            address("203.0.113.21:63631"),
            address("[2001:db8:113::21]:63631")
        ]
    );
    assert_eq!(granted.lifetime(), Some(Duration::from_secs(600)));
    assert_eq!(granted.id(), id(&bytes(ALLOCATE_WITH_NONCE)));

    let bound = Response::parse(&bytes(CHANNEL_BIND_ANSWER)).unwrap();
    assert_eq!(bound.id(), id(&bytes(CHANNEL_BIND)));

    for signed in [&challenge, &granted, &bound] {
        assert!(signed.is_signed_by(&credentials()));
    }
    assert!(
        !binding.is_signed_by(&credentials()),
        "a BINDING has no signature"
    );
    let mut forged = bytes(ALLOCATE_ANSWER);
    let lifetime = forged
        .windows(4)
        .position(|four| four == [0, 0, 2, 0x58])
        .unwrap();
    forged[lifetime + 3] += 1;
    let forged = Response::parse(&forged).unwrap();
    assert!(!forged.is_signed_by(&credentials()));
}

#[test]
fn our_requests_to_relays_have_the_same_attributes() {
    let challenge = Response::parse(&bytes(ALLOCATE_CHALLENGE)).unwrap();
    let fresh = credentials();
    let mut challenged = credentials();
    challenged.adopt_nonce(Nonce::new(challenge.nonce().unwrap().value().to_owned()).unwrap());
    let bind = Request::ChannelBind {
        number: 0x4001,
        peer: address("203.0.113.111:44499"),
    };
    for (request, credentials, theirs) in [
        (Request::Binding, &fresh, BINDING),
        (Request::Allocate, &fresh, ALLOCATE),
        (Request::Allocate, &challenged, ALLOCATE_WITH_NONCE),
        (bind, &challenged, CHANNEL_BIND),
    ] {
        let theirs = bytes(theirs);
        let ours = request.emit(id(&theirs), Some(credentials)).unwrap();
        assert_eq!(ours[..2], theirs[..2], "{request:?}");
        assert_eq!(attributes(&ours), attributes(&theirs), "{request:?}");
    }
    // No capture lasts long enough for a refresh; it is an allocation's twin.
    let allocate = Request::Allocate.emit(TransactionId::new([1; 12]), Some(&challenged));
    let refresh = Request::Refresh.emit(TransactionId::new([1; 12]), Some(&challenged));
    assert_eq!(
        attributes(&refresh.unwrap()),
        attributes(&allocate.unwrap())
    );
}

fn hmac_sha1(key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut digest = [0; 20];
    digest.copy_from_slice(hmac::sign(&key, &payloads.concat()).as_ref());
    digest
}

fn agent(role: Role) -> Agent {
    let ice = |(username, password): (&str, &str)| IceCredentials {
        username: username.to_owned(),
        password: password.to_owned().into(),
    };
    let (local, remote) = match role {
        Role::Client => (CLIENT, GATEWAY),
        Role::Gateway => (GATEWAY, CLIENT),
    };
    let authorization = Authorization {
        public_key: PublicKey::from_bytes([1; 32]),
        preshared_key: PresharedKey::from_bytes([2; 32]),
        local_ice: ice(local),
        remote_ice: ice(remote),
    };
    Agent::new(role, &authorization, 7)
}

#[test]
fn connectivity_checks_are_understood_and_their_signatures_hold() {
    let (number, theirs) = (0x4000, bytes(CHANNEL_CHECK));
    let (channel, check) = parse_channel_data(&theirs).unwrap();
    assert_eq!(channel, number);
    let (_, answer) = parse_channel_data_of(CHANNEL_CHECK_ANSWER);
    let (_, of_peer) = parse_channel_data_of(CHECK_OF_THE_PEER);
    let direct = bytes(CHECK);
    for (message, password, username) in [
        (check, GATEWAY.1, Some("aco7:gyzc")),
        (&direct, GATEWAY.1, Some("aco7:gyzc")),
        (&answer, GATEWAY.1, None),
        (&of_peer, CLIENT.1, Some("gyzc:aco7")),
    ] {
        let message = StunMessage::parse(message).unwrap();
        assert!(message.verify(password.as_bytes(), hmac_sha1));
        assert_eq!(message.username(), username);
    }
}

fn parse_channel_data_of(hex: &str) -> (u16, Vec<u8>) {
    let message = bytes(hex);
    let (number, payload) = parse_channel_data(&message).unwrap();
    assert_eq!(message[..4], channel_header(number, payload.len()).unwrap());
    (number, payload.to_vec())
}

#[test]
fn our_checks_and_answers_have_the_same_attributes() {
    let now = Instant::now();
    let mut client = agent(Role::Client);
    let host = is::Candidate::host(address("198.18.1.100:52625"), "udp").unwrap();
    client.add_local(host);
    let text = "candidate:fffe3f021846e2025893a2a8 1 udp 37748479 203.0.113.21 60991 \
                typ relay raddr 0.0.0.0 rport 0 ufrag aco7";
    let remote: Candidate = text.parse().unwrap();
    client.add_remote(crate::candidate::remote(&remote).unwrap());
    let mut ours = Vec::new();
    client.advance(now, |_, _, message| ours = message.to_vec());
    assert_eq!(attributes(&ours), attributes(&bytes(CHECK)));

    let mut gateway = agent(Role::Gateway);
    let relayed = address("203.0.113.21:60991");
    gateway.add_local(is::Candidate::relayed(relayed, relayed, "udp").unwrap());
    let theirs = bytes(CHECK);
    let check = StunMessage::parse(&theirs).unwrap();
    assert!(gateway.handle_check(address("203.0.113.101:1153"), relayed, check, now));
    let mut sent = Vec::new();
    gateway.advance(now, |_, _, message| sent.push(message.to_vec()));
    let (_, answer) = parse_channel_data_of(CHANNEL_CHECK_ANSWER);
    let ours = &sent[0];
    assert_eq!(ours[..2], answer[..2]);
    // Theirs came over IPv6 and carries the longer address.
    let kinds = |message: &[u8]| -> Vec<u16> {
        attributes(message).iter().map(|&(kind, _)| kind).collect()
    };
    assert_eq!(kinds(ours), kinds(&answer));
}

#[test]
fn wireguard_messages_are_recognized() {
    for (hex, expected) in [
        (INITIATION, WireGuard::Handshake),
        (RESPONSE, WireGuard::Handshake),
        (DATA, WireGuard::Session(0xfec1_a401)),
    ] {
        let (_, message) = parse_channel_data_of(hex);
        assert_eq!(wireguard(&message), Some(expected));
    }
}

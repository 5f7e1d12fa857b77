//! Who may use the relay, and how it refuses. spec: data-plane 5.1, 5.3

use super::*;
use crate::relay::{auth::Authority, message::Request};
use stun_codec::rfc5389::methods::BINDING;

#[test]
fn passwords_are_those_of_the_vectors() {
    const HEX: &str = "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab";
    // spec: data-plane 22, portal 14.3
    for (expiry, secret, salt, expected) in [
        (
            "1892160000",
            HEX,
            "n23JJ2wKKtt30oXi",
            "00hqldgk5xLeKKOB+xls9mHMVtgqzie9DulfgQwMv68",
        ),
        (
            "1685984278",
            "1cab293a-4032-46f4-862a-40e5d174b0d2",
            "uvdgKvS9GXYZ_vmv",
            "6xUIoZ+QvxKhRasLifwfRkMXl+ETLJUsFkHlXjlHAkg",
        ),
        (
            "1893456000",
            HEX,
            "xXzDtV05+ab3cvUI44IeCigIIjUsDQ8NJZ+6Y7dNqaA",
            "dzLSQxkHUKRNI2HPHAXlk/feOpR5eLJPmCLfsTKoTZc",
        ),
        (
            "2145916800",
            HEX,
            "nXAyqBpHWYA/1G2XTllLzU96O4pcBycOWOnhLBT9TPA",
            "l0lnRpxhggXGZ9YLsDib5FLVDUJqI3k366VjELKw7c8",
        ),
    ] {
        assert_eq!(
            *password(expiry, &SecretString::from(secret), salt),
            expected
        );
    }
}

/// What a request has in it, and how it fares.
struct Row {
    what: &'static str,
    username: Option<&'static str>,
    nonce: Option<&'static str>,
    password: &'static str,
    signed: bool,
    code: u16,
}

/// A row that succeeds, to be spoiled in one respect.
const GOOD: Row = Row {
    what: "everything is right",
    username: Some(USER),
    nonce: Some("the offered one"),
    password: "",
    signed: true,
    code: 437,
};

#[test]
fn requests_are_refused_for_the_first_reason_that_applies() {
    let rows = [
        // Authenticated: REFRESH without an allocation.
        GOOD,
        Row {
            what: "no integrity",
            signed: false,
            code: 401,
            ..GOOD
        },
        Row {
            what: "no nonce",
            nonce: None,
            code: 401,
            ..GOOD
        },
        Row {
            what: "no UUID",
            nonce: Some("nonsense"),
            code: 401,
            ..GOOD
        },
        Row {
            what: "an unknown nonce",
            nonce: Some("01234567-89ab-4def-8123-456789abcdef"),
            code: 438,
            ..GOOD
        },
        Row {
            what: "a wrong password",
            password: "wrong",
            code: 401,
            ..GOOD
        },
        Row {
            what: "expired",
            username: Some("1685984278:salt"),
            code: 401,
            ..GOOD
        },
        Row {
            what: "expires now",
            username: Some("1800000000:salt"),
            code: 401,
            ..GOOD
        },
        Row {
            what: "expires in a second",
            username: Some("1800000001:salt"),
            ..GOOD
        },
        Row {
            what: "the expiry is no number",
            username: Some("later:salt"),
            code: 401,
            ..GOOD
        },
    ];
    for row in rows {
        let mut bench = Bench::new();
        let mut message = request(REFRESH, vec![]);
        if let Some(nonce) = row.nonce {
            let offered = nonce == "the offered one";
            let nonce = if offered {
                bench.nonce.clone()
            } else {
                nonce.to_owned()
            };
            message.add_attribute(Nonce::new(nonce).unwrap());
        }
        let username = row.username.unwrap();
        let right = password_of(username);
        let key = if row.password.is_empty() {
            &right
        } else {
            row.password
        };
        if row.signed {
            message = sign(message, username, key);
        } else {
            message.add_attribute(Username::new(username.to_owned()).unwrap());
        }
        let answer = bench.send(client(), &encode(message)).unwrap();
        assert_eq!(answer.code(), row.code, "{}", row.what);
        assert!(answer.is_signed_for(username), "{}", row.what);
        assert_eq!(
            answer.software(),
            Some("firezone-relay; rev=xxxx"),
            "{}",
            row.what
        );
        if row.code == 401 || row.code == 438 {
            assert_eq!(answer.realm(), Some("firezone"), "{}", row.what);
            let nonce: uuid::Uuid = answer.nonce().unwrap().parse().unwrap();
            assert_ne!(nonce.to_string(), bench.nonce, "{}", row.what);
        } else {
            assert_eq!(answer.nonce(), None, "{}", row.what);
        }
    }
}

#[test]
fn requests_without_a_username_get_an_unsigned_challenge() {
    let mut bench = Bench::new();
    let answer = bench
        .send(client(), &encode(request(ALLOCATE, vec![udp()])))
        .unwrap();
    assert_eq!((answer.code(), answer.realm()), (401, Some("firezone")));
    assert!(!answer.is_signed());
}

#[test]
fn usernames_of_another_form_have_no_password() {
    let mut bench = Bench::new();
    for username in ["1892160000", "1892160000:salt:pepper", ":"] {
        let mut message = request(REFRESH, vec![]);
        message.add_attribute(Nonce::new(bench.nonce.clone()).unwrap());
        let message = sign(message, username, "anything");
        assert_eq!(
            bench.send(client(), &encode(message)).unwrap().code(),
            401,
            "{username}"
        );
    }
}

#[test]
fn a_nonce_is_good_for_a_hundred_requests_and_the_next_one_is_offered() {
    let mut bench = Bench::new();
    for n in 0..100 {
        assert_eq!(bench.ask(client(), REFRESH, vec![]).code(), 437, "{n}");
    }
    let stale = bench.ask(client(), REFRESH, vec![]);
    assert_eq!((stale.code(), stale.realm()), (438, Some("firezone")));
    bench.nonce = stale.nonce().unwrap();
    assert_eq!(bench.ask(client(), REFRESH, vec![]).code(), 437);
}

#[test]
fn remembered_nonces_are_bounded_and_the_oldest_goes_first() {
    let mut bench = Bench::new();
    let challenge = encode(request(REFRESH, vec![]));
    let mut latest = String::new();
    for _ in 0..4096 {
        latest = bench.send(client(), &challenge).unwrap().nonce().unwrap();
    }
    assert_eq!(bench.ask(client(), REFRESH, vec![]).code(), 438);
    bench.nonce = latest;
    assert_eq!(bench.ask(client(), REFRESH, vec![]).code(), 437);
}

#[test]
fn binding_needs_no_account_and_its_answer_no_signature() {
    let mut bench = Bench::new();
    for from in [client(), address("[2001:db8::7]:52625")] {
        let answer = bench.send(from, &encode(request(BINDING, vec![]))).unwrap();
        assert_eq!((answer.code(), answer.mapped()), (0, Some(from)));
        assert_eq!(answer.software(), Some("firezone-relay; rev=xxxx"));
        assert!(!answer.is_signed());
    }
}

/// Trace 2025-07/relayed, client.pcap and portal.jsonl.
const TRACE_SECRET: &str = "f62757fb45d46cf8fee128e3dff0c5288ad3c9cae293d3b1098da794070a398d";
const TRACE_USER: &str = "1798128531:fgs2MuIMQpIPLJGybh1SYOpqACtd18sSX0QPirk8/i0";
const TRACE_PASSWORD: &str = "KYj8iWdyMKE7fVYoORkUzYI5MjuvEIZKtrnTzYb/cOE";

/// The attributes SOFTWARE, USERNAME and REALM of that client.
const TRACE_MIDDLE: &str = "
    80220051 736e6f776e65743b2073657373696f6e3d394541434439344133453243323534363344333046333537
    3536324435333741393946323139433941423641333132433833463241393541463743383638463400000000
    06003631 373938313238353331 3a 666773324d75494d517049504c4a477962683153594f707141437464313873
    535830515069726b382f69300000 00140008 666972657a6f6e65";
const TRACE_NONCE: &str = "
    00150024 36643663303732362d643964312d633938392d633636622d623864313937363264393139";

#[test]
fn requests_of_the_original_client_parse_and_are_genuine() {
    let secret = SecretString::from(TRACE_SECRET);
    let (expiry, salt) = TRACE_USER.split_once(':').unwrap();
    assert_eq!(*password(expiry, &secret, salt), TRACE_PASSWORD);
    for (name, head, nonce, tail) in [
        (
            "allocate, first",
            "000300c82112a442ade5b6b7b9c11215f70148910019000411000000800000040200000080",
            "",
            "00080014c996832c7e169e9899579eb8494d37f61e1726ef",
        ),
        (
            "allocate, again",
            "000300f02112a442a623c80cb605cd083cd502070019000411000000800000040200000080",
            TRACE_NONCE,
            "000800146a5f6fdecb0f6cbc956bf4953c508dbc4ad45884",
        ),
        (
            "channel-bind, IPv6 peer",
            "000901002112a44258ac1c395cbaefb635ea89c4
             001200140002cf2d0113a9fa59bf1c395cbaefb635ea89e5000c00044000000080",
            TRACE_NONCE,
            "00080014ca3e813a57b120f9284f286344d7fb073a9d361d",
        ),
        (
            "channel-bind, IPv4 peer",
            "000900f42112a4426209a395f122888db0abf5ad
             001200080001 8cc1ea12d52d000c00044002000080",
            TRACE_NONCE,
            "000800147d0347fda67ae8f087145f0c262693829b04b1a5",
        ),
    ] {
        // The last byte of each head is the first of the middle.
        let head = hex(head);
        let bytes = [
            &head[..head.len() - 1],
            &hex(TRACE_MIDDLE),
            &hex(nonce),
            &hex(tail),
        ]
        .concat();
        let request = Request::parse(&bytes).unwrap_or_else(|_| panic!("{name} does not parse"));
        assert_eq!(request.username(), Some(TRACE_USER), "{name}");
        assert_eq!(request.nonce().is_some(), !nonce.is_empty(), "{name}");
        assert!(request.is_signed_with(TRACE_USER, TRACE_PASSWORD), "{name}");
        assert!(!request.is_signed_with(TRACE_USER, "another"), "{name}");
        assert!(
            Authority::is_current(TRACE_USER, Duration::from_secs(1_795_536_532)),
            "{name}"
        );
    }
}

#[test]
fn the_first_request_of_the_original_client_is_challenged_as_the_original_relay_does() {
    let config = ServerConfig {
        ipv4: Some(V4),
        ipv6: Some(V6),
        secret: SecretString::from(TRACE_SECRET),
    };
    let mut server = Server::new(config, &SeedTree::new(Seed::from_bytes([9; 32])));
    let head = hex("000300c82112a442ade5b6b7b9c11215f701489100190004110000008000000402000000");
    let tail = hex("00080014c996832c7e169e9899579eb8494d37f61e1726ef");
    let bytes = [head, hex(TRACE_MIDDLE), tail].concat();
    let clock = (Instant::now(), Duration::from_secs(1_795_536_532));
    let reply = server.handle_client(client(), &bytes, &mut FakePorts::default(), clock);
    let Forward::Reply(reply) = reply else {
        panic!("{reply:?}")
    };
    let original = hex("
        0113007c2112a442ade5b6b7b9c11215f701489180220018666972657a6f6e652d72656c61793b207265763d
        787878780009001000000401556e617574686f72697a656400140008666972657a6f6e650015002436643663
        303732362d643964312d633938392d633636622d6238643139373632643931390008001473262979edf0980d
        013d3c23dc8840d7dddb47f9");
    // All but the nonce and the signature over it.
    assert_eq!(reply.len(), original.len());
    assert_eq!(reply[..84], original[..84]);
}

//! Lookups at resolvers on the loopback addresses.

use super::*;
use hickory_proto::rr::{Record, rdata};
use platform::{Platform as _, memory::MemoryPlatform};
use tokio::net::UdpSocket;

const HOST: &str = "portal.example.test";
const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// How a resolver of the tests behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Knows,
    KnowsOnlyV6,
    KnowsNothing,
    Refuses,
    AnswersAnotherQuestion,
    TalksNonsense,
    IsSilent,
}

/// A resolver, on IPv4 or IPv6.
async fn resolver(address: &str, manner: Manner) -> SocketAddr {
    let socket = UdpSocket::bind(address).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if let Some(reply) = reply(manner, &buffer[..length]) {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    });
    address
}

fn reply(manner: Manner, query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).unwrap();
    let question = query.queries[0].clone();
    assert_eq!(question.name().to_ascii(), "portal.example.test.");
    assert!(query.metadata.recursion_desired);
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.add_query(question.clone());
    let mut add = |data| {
        reply.add_answer(Record::from_rdata(question.name().clone(), 60, data));
    };
    let is_v6 = question.query_type() == RecordType::AAAA;
    match (manner, is_v6) {
        (Manner::IsSilent, _) => return None,
        (Manner::TalksNonsense, _) => return Some(b"nonsense".to_vec()),
        (Manner::Knows, false) => {
            add(RData::CNAME(rdata::CNAME(
                Name::from_ascii("b.test.").unwrap(),
            )));
            add(RData::A(rdata::A::new(192, 0, 2, 1)));
        }
        (Manner::Knows | Manner::KnowsOnlyV6, true) => {
            add(RData::AAAA(rdata::AAAA::new(
                0x2001, 0xdb8, 0, 0, 0, 0, 0, 1,
            )));
        }
        (Manner::KnowsOnlyV6 | Manner::Refuses, _) => {
            reply.metadata.response_code = ResponseCode::ServFail;
        }
        (Manner::KnowsNothing, _) => reply.metadata.response_code = ResponseCode::NXDomain,
        (Manner::AnswersAnotherQuestion, _) => {
            add(RData::A(rdata::A::new(192, 0, 2, 66)));
            reply.metadata.id ^= 1;
        }
    }
    Some(reply.to_vec().unwrap())
}

async fn outcome(manners: &[Manner]) -> io::Result<Vec<IpAddr>> {
    let mut servers = vec![];
    for (n, &manner) in manners.iter().enumerate() {
        let address = if n % 2 == 0 { "127.0.0.1:0" } else { "[::1]:0" };
        servers.push(resolver(address, manner).await);
    }
    look_up(&MemoryPlatform::new().0.sockets(), &servers, HOST).await
}

#[tokio::test]
async fn the_first_resolver_that_knows_the_name_decides() {
    use Manner::*;
    for (manners, expected) in [
        (&[Knows][..], &[V4, V6][..]),
        (&[KnowsOnlyV6], &[V6]),
        (&[KnowsNothing, Knows], &[V4, V6]),
        (&[Knows, Refuses], &[V4, V6]),
        (&[AnswersAnotherQuestion, TalksNonsense, Knows], &[V4, V6]),
        (&[IsSilent, Knows], &[V4, V6]),
    ] {
        assert_eq!(outcome(manners).await.unwrap(), expected, "{manners:?}");
    }
}

#[tokio::test]
async fn names_that_nobody_knows_are_errors() {
    use Manner::*;
    for manners in [
        &[][..],
        &[KnowsNothing],
        &[Refuses],
        &[AnswersAnotherQuestion],
        &[TalksNonsense],
    ] {
        assert!(outcome(manners).await.is_err(), "{manners:?}");
    }
    let missing = outcome(&[KnowsNothing]).await.unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn names_that_are_none_are_errors() {
    let server = resolver("127.0.0.1:0", Manner::Knows).await;
    let sockets = MemoryPlatform::new().0.sockets();
    for host in ["", "a..b", &"a".repeat(64)] {
        assert!(look_up(&sockets, &[server], host).await.is_err(), "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_two_seconds() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (sockets, start) = (
        MemoryPlatform::new().0.sockets(),
        tokio::time::Instant::now(),
    );
    let error = look_up(&sockets, &[server.local_addr().unwrap()], HOST)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), start.elapsed().as_secs()),
        (io::ErrorKind::TimedOut, 2)
    );
}

#[tokio::test]
async fn addresses_and_names_of_the_host_table_need_no_resolver() {
    let hosts: HostTable = Arc::new(|name| if name == HOST { vec![V6] } else { vec![] });
    let sockets = MemoryPlatform::new().0.sockets();
    let dialer = OutsideDialer {
        sockets,
        resolvers: Resolvers::default(),
        hosts,
    };
    for (host, expected) in [
        ("192.0.2.1", Some(V4)),
        ("2001:db8::1", Some(V6)),
        (HOST, Some(V6)),
    ] {
        assert_eq!(
            dialer.resolve(host).await.unwrap(),
            [expected.unwrap()],
            "{host}"
        );
    }
    let missing = dialer.resolve("other.test").await.unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[test]
fn our_own_resolver_is_not_asked() {
    let servers = [
        "100.100.111.1",
        "192.0.2.1",
        "fd00:2021:1111:8000:100:100:111:0",
        "2001:db8::1",
    ];
    assert_eq!(
        outside(on_port_53(servers.map(|s| s.parse().unwrap()).to_vec())),
        on_port_53(vec![V4, V6])
    );
}

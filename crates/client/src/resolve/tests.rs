//! Lookups at resolvers on the loopback addresses.

use super::*;
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use platform::{Platform as _, memory::MemoryPlatform};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    time::Instant,
};

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
    IsSilentAboutV6,
    CutsShort,
    KnowsOverTcp,
}

/// A resolver over UDP and TCP, on IPv4 or IPv6.
async fn resolver(address: &str, manner: Manner) -> SystemResolver {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let manner = match manner {
                Manner::KnowsOverTcp => Manner::IsSilent,
                manner => manner,
            };
            if let Some(reply) = reply(manner, &buffer[..length]) {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        let mut silent = vec![];
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut query).await.unwrap();
            let manner = match manner {
                Manner::KnowsOverTcp | Manner::CutsShort => Manner::Knows,
                manner => manner,
            };
            if let Some(reply) = reply(manner, &query) {
                let length = u16::try_from(reply.len()).unwrap();
                stream.write_u16(length).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            } else {
                silent.push(stream);
            }
        }
    });
    SystemResolver::do53(address)
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
        (Manner::IsSilent | Manner::KnowsOverTcp, _) | (Manner::IsSilentAboutV6, true) => {
            return None;
        }
        (Manner::CutsShort, _) => reply.metadata.truncation = true,
        (Manner::TalksNonsense, _) => return Some(b"nonsense".to_vec()),
        (Manner::Knows | Manner::IsSilentAboutV6, false) => {
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
    look_up(&means(), servers, HOST).await
}

fn means() -> DirectExchange {
    let (platform, _) = MemoryPlatform::new();
    DirectExchange {
        sockets: platform.sockets(),
        system: platform.system_exchange(),
    }
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
        (&[Refuses, IsSilent, Knows], &[V4, V6]),
        (&[KnowsNothing, KnowsNothing, Knows], &[V4, V6]),
        (&[CutsShort], &[V4, V6]),
    ] {
        assert_eq!(outcome(manners).await.unwrap(), expected, "{manners:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_resolver_delays_another() {
    use Manner::*;
    for (manners, expected, limit) in [
        (
            &[IsSilent, Refuses, TalksNonsense, Knows][..],
            &[V4, V6][..],
            0,
        ),
        (&[IsSilentAboutV6, IsSilent], &[V4], 50),
        // Datagrams do not come through.
        (&[KnowsOverTcp, KnowsNothing], &[V4, V6], 2000),
    ] {
        let started_at = Instant::now();
        assert_eq!(outcome(manners).await.unwrap(), expected, "{manners:?}");
        let elapsed = started_at.elapsed().as_millis();
        assert!(elapsed <= limit + 20, "{manners:?}: {elapsed} ms");
    }
}

#[tokio::test]
async fn the_system_is_asked_where_only_it_can_ask() {
    let asked: platform::SystemExchange = Arc::new(|link, query| {
        assert_eq!(link, 5);
        Box::pin(async move { Ok(reply(Manner::Knows, &query).unwrap()) })
    });
    let direct = DirectExchange {
        system: asked,
        ..means()
    };
    let resolver = SystemResolver {
        address: "192.0.2.1:853".parse().unwrap(),
        transport: ResolverTransport::Managed { link: 5 },
    };
    let found = look_up(&direct, vec![resolver], HOST).await;
    assert_eq!(found.unwrap(), [V4, V6]);
}

#[tokio::test(start_paused = true)]
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
    for host in ["", "a..b", &"a".repeat(64)] {
        assert!(
            look_up(&means(), vec![server], host).await.is_err(),
            "{host}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_two_seconds_over_each_transport() {
    let started_at = Instant::now();
    let error = outcome(&[Manner::IsSilent]).await.unwrap_err();
    assert_eq!(
        (error.kind(), started_at.elapsed().as_secs()),
        (io::ErrorKind::TimedOut, 4)
    );
}

#[tokio::test]
async fn each_attempt_asks_the_resolvers_of_the_moment() {
    let resolvers = Resolvers::default();
    let dialer = DirectDialer {
        direct: means(),
        resolvers: Arc::clone(&resolvers),
        hosts: Arc::new(|_| vec![]),
    };
    assert!(dialer.resolve(HOST).await.is_err());
    *resolvers.lock() = vec![resolver("127.0.0.1:0", Manner::Knows).await];
    assert_eq!(dialer.resolve(HOST).await.unwrap(), [V4, V6]);
    *resolvers.lock() = vec![resolver("127.0.0.1:0", Manner::KnowsNothing).await];
    assert!(dialer.resolve(HOST).await.is_err());
}

#[tokio::test]
async fn addresses_and_names_of_the_host_table_need_no_resolver() {
    let hosts: HostTable = Arc::new(|name| if name == HOST { vec![V6] } else { vec![] });
    let dialer = DirectDialer {
        direct: means(),
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
    let resolvers = [
        "100.100.111.1:53",
        "192.0.2.1:53",
        "[fd00:2021:1111:8000:100:100:111:0]:53",
        "[2001:db8::1]:53",
    ];
    let resolvers = resolvers.map(|text| SystemResolver::do53(text.parse().unwrap()));
    let kept = without_our_own(resolvers.to_vec()).into_iter();
    let kept: Vec<IpAddr> = kept.map(|resolver| resolver.address.ip()).collect();
    assert_eq!(kept, [V4, V6]);
}

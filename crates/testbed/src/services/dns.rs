//! Name servers: one for everybody, one for the resource network.

use super::super::layout;
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        RData, Record, RecordType,
        rdata::{A, AAAA},
    },
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

/// Port of DNS.
pub(crate) const PORT: u16 = 53;

/// Gateways trust a resolver with their clients' queries only if it knows this name.
const PROBE: &str = "firezone.dev.";

const TTL: u32 = 60;

/// Which names a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// `corp.test` and what is below it, besides the public names.
    Internal,
    /// `public.test` and what is below it.
    Public,
}

impl Zone {
    /// The addresses of a name; nothing if there is no such name.
    fn look_up(self, name: &str) -> Option<(Ipv4Addr, Ipv6Addr)> {
        let within = |zone: &str| name == zone || name.ends_with(&format!(".{zone}"));
        let pair = |v4: &str, v6: &str| v4.parse().ok().zip(v6.parse().ok());
        if name == format!("{}.", layout::PORTAL_NAME) {
            pair(layout::PORTAL, layout::PORTAL6)
        } else if within("public.test.") || name == PROBE {
            pair(layout::RESOLVER, layout::RESOLVER6)
        } else if self == Self::Internal && within("corp.test.") {
            pair(layout::RESOURCE, layout::RESOURCE6)
        } else {
            None
        }
    }
}

/// Answers datagrams.
pub(crate) async fn serve(socket: UdpSocket, zone: Zone) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if let Some(answer) = answer(&buffer[..length], zone) {
            // Whoever is gone asks no more.
            drop(socket.send_to(&answer, from).await);
        }
    }
}

/// Answers connections.
pub(crate) async fn serve_tcp(listener: TcpListener, zone: Zone) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(converse(stream, zone));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(mut stream: TcpStream, zone: Zone) -> io::Result<()> {
    loop {
        let mut query = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut query).await?;
        let Some(answer) = answer(&query, zone) else {
            return Ok(());
        };
        stream
            .write_u16(u16::try_from(answer.len()).map_err(io::Error::other)?)
            .await?;
        stream.write_all(&answer).await?;
    }
}

fn answer(query: &[u8], zone: Zone) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    let question = query.queries.first()?.clone();
    let name = question.name().to_ascii().to_ascii_lowercase();
    match zone.look_up(&name) {
        None => answer.metadata.response_code = ResponseCode::NXDomain,
        Some((v4, v6)) => {
            let data = match question.query_type() {
                RecordType::A => Some(RData::A(A(v4))),
                RecordType::AAAA => Some(RData::AAAA(AAAA(v6))),
                _ => None,
            };
            let record = |data| Record::from_rdata(question.name().clone(), TTL, data);
            answer.add_answers(data.map(record));
        }
    }
    answer.add_query(question);
    answer.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::{op::Query, rr::Name};

    fn ask(name: &str, kind: RecordType, zone: Zone) -> Message {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = answer(&query.to_vec().unwrap(), zone).unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.id, 7);
        answer
    }

    #[test]
    fn zones_know_their_names_and_no_others() {
        for (name, zone, known) in [
            ("app.corp.test.", Zone::Internal, true),
            ("App.Corp.Test.", Zone::Internal, true),
            ("app.corp.test.", Zone::Public, false),
            ("notcorp.test.", Zone::Internal, false),
            ("portal.public.test.", Zone::Public, true),
            ("www.public.test.", Zone::Internal, true),
            ("firezone.dev.", Zone::Internal, true),
        ] {
            for kind in [RecordType::A, RecordType::AAAA] {
                let answer = ask(name, kind, zone);
                assert_eq!(answer.answers.len(), usize::from(known), "{name} {kind}");
                let code = if known {
                    ResponseCode::NoError
                } else {
                    ResponseCode::NXDomain
                };
                assert_eq!(answer.metadata.response_code, code, "{name}");
            }
        }
    }

    #[test]
    fn noise_is_not_answered() {
        assert_eq!(answer(b"", Zone::Public), None);
        assert_eq!(answer(&[0xff; 40], Zone::Public), None);
    }
}

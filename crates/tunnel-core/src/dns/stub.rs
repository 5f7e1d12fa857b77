//! What the stub resolver answers by itself. spec: data-plane 12.4

use super::proxy::ProxyPool;
use crate::resource::ResourceTable;
use hickory_proto::{
    op::{Message, Metadata, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR},
    },
};
use model::{DomainName, IpStack, ResourceId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Lifetime of answers that we make, in seconds: addresses of names may change at any time.
const TTL: u32 = 1;

/// A name whose absence tells Firefox to leave DNS to the system.
const CANARY: &str = "use-application-dns.net";

/// Bytes of a DNS header.
const HEADER: usize = 12;

/// What becomes of a query.
#[derive(Debug)]
pub(crate) enum Decision {
    /// This answer, without any resource.
    Answer(Vec<u8>),
    /// This answer; the name of a resource was asked for.
    Resource {
        answer: Vec<u8>,
        resource: ResourceId,
        domain: DomainName,
    },
    /// The server behind the sentinel is to be asked.
    Forward,
}

pub(crate) fn decide(query: &Message, pool: &mut ProxyPool, resources: &ResourceTable) -> Decision {
    let Some(question) = query.queries.first() else {
        return Decision::Forward;
    };
    let name = question.name();
    let Ok(domain) = name.to_ascii().parse::<DomainName>() else {
        return Decision::Forward;
    };
    // Rows 2 to 7 of the table, in its order.
    if domain.as_str() == CANARY {
        return Decision::Answer(respond(query, ResponseCode::NXDomain, vec![]));
    }
    match question.query_type() {
        RecordType::PTR => answer_reverse(query, name, &domain, pool),
        kind @ (RecordType::A | RecordType::AAAA | RecordType::HTTPS) => {
            let Some((resource, stack)) = resources.by_name(domain.as_str()) else {
                return Decision::Forward;
            };
            let Some(records) = addresses(name, (kind, stack), &domain, pool) else {
                return Decision::Answer(respond(query, ResponseCode::ServFail, vec![]));
            };
            let answer = respond(query, ResponseCode::NoError, records);
            Decision::Resource {
                answer,
                resource,
                domain,
            }
        }
        _ => Decision::Forward,
    }
}

/// The reply "server failure" to a raw query.
pub(crate) fn server_failure(query: &[u8]) -> Vec<u8> {
    const SERVER_FAILURE: u8 = 2;
    let mut reply = question_only(query);
    if let Some(header) = reply.first_chunk_mut::<HEADER>() {
        header[2] |= 0x80;
        header[3] = 0x80 | SERVER_FAILURE;
    }
    reply
}

/// A raw response without its records that tells the asker to come again over TCP.
pub(crate) fn truncated(response: &[u8]) -> Vec<u8> {
    let mut reply = question_only(response);
    if let Some(header) = reply.first_chunk_mut::<HEADER>() {
        header[2] |= 0x02;
    }
    reply
}

/// The bytes of the only question of a raw message, if it is well-formed.
pub(crate) fn question(message: &[u8]) -> Option<&[u8]> {
    let header: &[u8; HEADER] = message.first_chunk()?;
    if header[4..6] != [0, 1] {
        return None;
    }
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        match length {
            0 => return message.get(HEADER..at + 4),
            1..=63 => at += length,
            _ => return None,
        }
    }
}

fn question_only(message: &[u8]) -> Vec<u8> {
    let question = question(message).unwrap_or_default();
    let mut reply = message.get(..HEADER).unwrap_or_default().to_vec();
    if let Some(header) = reply.first_chunk_mut::<HEADER>() {
        header[4..].fill(0);
        header[5] = u8::from(!question.is_empty());
    }
    reply.extend_from_slice(question);
    reply
}

/// Proxy addresses of one family; none if the pool is exhausted.
fn addresses(
    name: &Name,
    (kind, stack): (RecordType, IpStack),
    domain: &DomainName,
    pool: &mut ProxyPool,
) -> Option<Vec<Record>> {
    let assigned = pool.assign(domain)?;
    let record = |data| Record::from_rdata(name.clone(), TTL, data);
    Some(match kind {
        RecordType::A if stack.has_v4() => assigned
            .v4
            .iter()
            .map(|&address| record(RData::A(A(address))))
            .collect(),
        RecordType::AAAA if stack.has_v6() => assigned
            .v6
            .iter()
            .map(|&address| record(RData::AAAA(AAAA(address))))
            .collect(),
        _ => vec![],
    })
}

fn answer_reverse(
    query: &Message,
    name: &Name,
    reverse: &DomainName,
    pool: &ProxyPool,
) -> Decision {
    let domain = reversed_address(reverse.as_str()).and_then(|address| pool.name_of(address));
    let target = domain.and_then(|domain| Name::from_ascii(format!("{domain}.")).ok());
    let Some(target) = target else {
        return Decision::Forward;
    };
    let record = Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(target)));
    Decision::Answer(respond(query, ResponseCode::NoError, vec![record]))
}

/// The address behind a name below `in-addr.arpa` or `ip6.arpa`.
pub(super) fn reversed_address(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<u8> = octets
            .rsplit('.')
            .map(|octet| octet.parse().ok())
            .collect::<Option<_>>()?;
        let octets: [u8; 4] = octets.try_into().ok()?;
        return Some(Ipv4Addr::from(octets).into());
    }
    let nibbles = name.strip_suffix(".ip6.arpa")?;
    let mut address = 0_u128;
    let mut count = 0;
    for nibble in nibbles.rsplit('.') {
        if nibble.len() != 1 {
            return None;
        }
        address = address << 4 | u128::from(u8::from_str_radix(nibble, 16).ok()?);
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from(address).into())
}

fn respond(query: &Message, code: ResponseCode, answers: Vec<Record>) -> Vec<u8> {
    let mut metadata = Metadata::response_from_request(&query.metadata);
    metadata.recursion_available = true;
    metadata.response_code = code;
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata = metadata;
    response.queries.clone_from(&query.queries);
    response.answers = answers;
    response.to_vec().unwrap_or_default()
}

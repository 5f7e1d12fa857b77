//! What the stub resolver answers by itself. spec: data-plane 12.4

use super::proxy::{NameId, Owner, ProxyPool};
use crate::resource::ResourceTable;
use dns_message::{
    MessageBuilder, Protocol, Query, class, encode_name, rcode, reversed_address, rtype,
};
use model::{DomainName, IpStack, ResourceId};

/// Lifetime of answers that we make, in seconds: addresses of names may change at any time.
const TTL: u32 = 1;

/// A name whose absence tells Firefox to leave DNS to the system.
const CANARY: &str = "use-application-dns.net";

/// What becomes of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is answered at once.
    Answer(LocalAnswer),
    /// A name server in a site of this resource is to be asked.
    Site(ResourceId),
    /// The server behind the sentinel is to be asked.
    Forward,
}

/// An answer of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalAnswer {
    pub(crate) rcode: u16,
    pub(crate) content: Content,
    /// The name of a resource that was asked for.
    pub(crate) intercepted: Option<(ResourceId, NameId)>,
}

/// The records of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Nothing,
    /// All IPv4 addresses of a name.
    V4(NameId),
    /// All IPv6 addresses of a name.
    V6(NameId),
    /// The name itself.
    Pointer(NameId),
}

impl LocalAnswer {
    /// An answer without records.
    pub(crate) fn only(rcode: u16) -> Self {
        Self {
            rcode,
            content: Content::Nothing,
            intercepted: None,
        }
    }

    fn records(content: Content) -> Self {
        Self {
            content,
            ..Self::only(rcode::NOERROR)
        }
    }
}

/// Rows 2 to 7 of the table, for a name in lower case without the final dot.
pub(crate) fn decide(
    query: &Query<'_>,
    name: &str,
    pool: &mut ProxyPool,
    resources: &ResourceTable,
) -> Decision {
    if !query.is_standard() || query.class() != class::IN {
        return Decision::Forward;
    }
    if name == CANARY {
        return Decision::Answer(LocalAnswer::only(rcode::NXDOMAIN));
    }
    match query.rtype() {
        rtype::PTR => match reversed_address(name).and_then(|address| pool.find_address(address)) {
            Some(id) => Decision::Answer(LocalAnswer::records(Content::Pointer(id))),
            None => Decision::Forward,
        },
        rtype @ (rtype::A | rtype::AAAA | rtype::HTTPS | rtype::SRV | rtype::TXT) => {
            let (known, owner) = owner(name, pool, resources);
            match (rtype, owner) {
                (_, None) => Decision::Forward,
                (rtype::SRV | rtype::TXT, Some((resource, _))) => Decision::Site(resource),
                (_, Some(owner)) => {
                    let name = (name, known);
                    Decision::Answer(answer_name(rtype, name, owner, pool))
                }
            }
        }
        _ => Decision::Forward,
    }
}

/// The name in the pool, and the resource that it belongs to.
fn owner(name: &str, pool: &mut ProxyPool, resources: &ResourceTable) -> (Option<NameId>, Owner) {
    match pool.find(name) {
        Some(id) => (Some(id), pool.owner(id, resources)),
        None => (None, resources.by_name(name)),
    }
}

/// The answer to a question for addresses of a resource's name, or for how to use them.
fn answer_name(
    rtype: u16,
    (name, known): (&str, Option<NameId>),
    (resource, stack): (ResourceId, IpStack),
    pool: &mut ProxyPool,
) -> LocalAnswer {
    if rtype == rtype::HTTPS {
        let intercepted = known.map(|id| (resource, id));
        return LocalAnswer {
            intercepted,
            ..LocalAnswer::only(rcode::NOERROR)
        };
    }
    let id = known.or_else(|| pool.assign(&name.parse::<DomainName>().ok()?));
    let Some(id) = id else {
        tracing::warn!("No proxy address is left for another name");
        return LocalAnswer::only(rcode::SERVFAIL);
    };
    let content = match rtype {
        rtype::A if stack.has_v4() => Content::V4(id),
        rtype::AAAA if stack.has_v6() => Content::V6(id),
        _ => Content::Nothing,
    };
    LocalAnswer {
        intercepted: Some((resource, id)),
        ..LocalAnswer::records(content)
    }
}

/// Writes an answer.
pub(crate) fn compose(
    out: &mut Vec<u8>,
    query: &Query<'_>,
    protocol: Protocol,
    answer: &LocalAnswer,
    pool: &ProxyPool,
) {
    // RFC 6891 section 6.1.3: nobody knows what later versions ask for.
    if query.edns().is_some_and(|edns| edns.version != 0) {
        return MessageBuilder::new(out, query, protocol, rcode::BADVERS).finish(query);
    }
    let mut builder = MessageBuilder::new(out, query, protocol, answer.rcode);
    match answer.content {
        Content::Nothing => {}
        Content::V4(id) => {
            for address in pool.name(id).into_iter().flat_map(|name| name.v4) {
                builder.record(rtype::A, TTL, &address.octets());
            }
        }
        Content::V6(id) => {
            for address in pool.name(id).into_iter().flat_map(|name| name.v6) {
                builder.record(rtype::AAAA, TTL, &address.octets());
            }
        }
        Content::Pointer(id) => {
            let name = pool.name(id).map(|name| encode_name(name.domain.as_str()));
            if let Some(Ok(name)) = name {
                builder.record(rtype::PTR, TTL, &name);
            }
        }
    }
    builder.finish(query);
}

//! Has `systemd-resolved` ask the servers of one link, and makes a DNS message of what it says.
//!
//! Naming the link keeps the question away from our own. `systemd-resolved` follows aliases and
//! returns the records at their end only, so the chain to them is asked for.

use super::bus::{MANAGER, MANAGER_PATH, error_name, look};
use dns_message::{
    MessageBuilder, Protocol, Query, UncompressedRecord, leading_name, presentation, rcode, rtype,
};
use std::{future::Future, io};
use zbus::Connection;

/// Unicast DNS and nothing else.
const DNS_ONLY: u64 = 1;

/// Longest chain of aliases.
const MAX_CHAIN: usize = 16;

/// A record set that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// In wire format, without compression.
    name: Vec<u8>,
    class: u16,
    rtype: u16,
}

/// Records in wire format, without compression, or the response code that says why there are none.
type Records = Result<Vec<Vec<u8>>, u16>;

/// Answers a DNS query by way of the servers of a link.
pub(crate) async fn ask(connection: &Connection, link: u32, query: &[u8]) -> io::Result<Vec<u8>> {
    let link = i32::try_from(link).map_err(io::Error::other)?;
    answer(query, |question| resolve(connection, link, question)).await
}

async fn answer<F>(query: &[u8], resolve: impl Fn(Question) -> F) -> io::Result<Vec<u8>>
where
    F: Future<Output = io::Result<Records>>,
{
    let query =
        Query::parse(query).map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))?;
    let question = Question {
        name: query.name_bytes().to_vec(),
        class: query.class(),
        rtype: query.rtype(),
    };
    let (records, rcode) = match resolve(question.clone()).await? {
        Ok(records) => (
            with_chain(records, question, resolve).await?,
            rcode::NOERROR,
        ),
        Err(rcode) => (vec![], rcode),
    };
    compose(&query, rcode, &records).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Puts the aliases in front that lead from the question to the records.
async fn with_chain<F>(
    records: Vec<Vec<u8>>,
    question: Question,
    resolve: impl Fn(Question) -> F,
) -> io::Result<Vec<Vec<u8>>>
where
    F: Future<Output = io::Result<Records>>,
{
    let mut chain = Vec::new();
    let mut name = question.name;
    let owns = |record: &[u8], name: &[u8]| {
        UncompressedRecord::parse(record)
            .is_some_and(|record| record.owner().eq_ignore_ascii_case(name))
    };
    while !records.is_empty() && !records.iter().any(|record| owns(record, &name)) {
        let alias = Question {
            name: name.clone(),
            class: question.class,
            rtype: rtype::CNAME,
        };
        let aliases = resolve(alias).await?.unwrap_or_default();
        let found = aliases.into_iter().find(|record| owns(record, &name));
        let target = found.as_deref().and_then(target);
        let (Some(record), Some(target)) = (found, target) else {
            return Err(io::Error::other("the chain of aliases has a gap"));
        };
        chain.push(record);
        name = target;
        if chain.len() > MAX_CHAIN {
            return Err(io::Error::other("the chain of aliases is too long"));
        }
    }
    chain.extend(records);
    Ok(chain)
}

async fn resolve(connection: &Connection, link: i32, question: Question) -> io::Result<Records> {
    type Reply = (Vec<(i32, u16, u16, Vec<u8>)>, u64);
    let arguments = (
        link,
        presentation(&question.name),
        question.class,
        question.rtype,
        DNS_ONLY,
    );
    let manager = (MANAGER_PATH, MANAGER);
    match look::<_, Reply>(connection, manager, "ResolveRecord", &arguments).await {
        Ok((records, _)) => Ok(Ok(records.into_iter().map(|record| record.3).collect())),
        Err(error) => {
            refusal(&error).map_or_else(|| Err(failure(error)), |code| Ok(code_or_empty(code)))
        }
    }
}

/// No records of the type are no failure.
fn code_or_empty(code: u16) -> Records {
    match code {
        rcode::NOERROR => Ok(vec![]),
        code => Err(code),
    }
}

/// What the servers said, if it was they who refused.
fn refusal(error: &zbus::Error) -> Option<u16> {
    let name = error_name(error)?.strip_prefix("org.freedesktop.resolve1.")?;
    Some(match name {
        "NoSuchRR" => rcode::NOERROR,
        "DnsError.NXDOMAIN" => rcode::NXDOMAIN,
        "DnsError.REFUSED" => rcode::REFUSED,
        "DnsError.NOTIMP" => rcode::NOTIMP,
        "DnsError.FORMERR" => rcode::FORMERR,
        name if name.starts_with("DnsError.") => rcode::SERVFAIL,
        _ => return None,
    })
}

fn failure(error: zbus::Error) -> io::Error {
    let timed_out = Some("org.freedesktop.resolve1.QueryTimedOut");
    match &error {
        error if error_name(error) == timed_out => io::ErrorKind::TimedOut.into(),
        zbus::Error::InputOutput(error) => error.kind().into(),
        _ => io::Error::other(error),
    }
}

/// An answer with these records; none if one is not whole or they do not fit.
fn compose(query: &Query<'_>, rcode: u16, records: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut message = vec![];
    let mut builder = MessageBuilder::new(&mut message, query, Protocol::Dns, rcode);
    for record in records {
        let record = UncompressedRecord::parse(record)?;
        builder.uncompressed_record(&record).then_some(())?;
    }
    builder.finish_without_opt();
    Some(message)
}

/// What an alias stands for.
fn target(record: &[u8]) -> Option<Vec<u8>> {
    let record = UncompressedRecord::parse(record)?;
    leading_name(record.data()).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests;

//! Has `systemd-resolved` ask the servers of one link, and makes a DNS message of what it says.
//!
//! Naming the link keeps the question away from our own. `systemd-resolved` follows aliases and
//! returns the records at their end only, so the chain to them is asked for.

use super::bus::{MANAGER, MANAGER_PATH, error_name, look};
use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::RecordType,
};
use std::{future::Future, io};
use zbus::Connection;

/// Unicast DNS and nothing else.
const DNS_ONLY: u64 = 1;

/// Longest chain of aliases.
const MAX_CHAIN: usize = 16;

/// Longest name in wire format, in bytes. RFC 1035 section 2.3.4
const MAX_NAME: usize = 255;

/// Largest DNS message, in bytes.
const MAX_MESSAGE: usize = 65_535;

/// A record set that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// In wire format, without compression.
    name: Vec<u8>,
    class: u16,
    kind: u16,
}

/// Records in wire format, without compression, or the reason why there are none.
type Records = Result<Vec<Vec<u8>>, ResponseCode>;

/// Answers a DNS query by way of the servers of a link.
pub(crate) async fn ask(connection: &Connection, link: u32, query: &[u8]) -> io::Result<Vec<u8>> {
    let link = i32::try_from(link).map_err(io::Error::other)?;
    answer(query, |question| resolve(connection, link, question)).await
}

async fn answer<F>(query: &[u8], resolve: impl Fn(Question) -> F) -> io::Result<Vec<u8>>
where
    F: Future<Output = io::Result<Records>>,
{
    let query = Message::from_vec(query).map_err(io::Error::other)?;
    let [asked] = &query.queries[..] else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let question = Question {
        name: wire_name(asked.name().iter()),
        class: asked.query_class().into(),
        kind: asked.query_type().into(),
    };
    let (records, code) = match resolve(question.clone()).await? {
        Ok(records) => (
            with_chain(records, question, resolve).await?,
            ResponseCode::NoError,
        ),
        Err(code) => (vec![], code),
    };
    let mut head = Message::new(
        query.metadata.id,
        MessageType::Response,
        query.metadata.op_code,
    );
    head.metadata.recursion_desired = query.metadata.recursion_desired;
    head.metadata.recursion_available = true;
    head.metadata.response_code = code;
    head.add_query(asked.clone());
    let head = head.to_vec().map_err(io::Error::other)?;
    compose(head, &records).ok_or_else(|| io::ErrorKind::InvalidData.into())
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
        owner(record).is_some_and(|owner| owner.eq_ignore_ascii_case(name))
    };
    while !records.is_empty() && !records.iter().any(|record| owns(record, &name)) {
        let alias = Question {
            name: name.clone(),
            class: question.class,
            kind: RecordType::CNAME.into(),
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
        question.kind,
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

/// No records of the kind are no failure.
fn code_or_empty(code: ResponseCode) -> Records {
    match code {
        ResponseCode::NoError => Ok(vec![]),
        code => Err(code),
    }
}

/// What the servers said, if it was they who refused.
fn refusal(error: &zbus::Error) -> Option<ResponseCode> {
    let name = error_name(error)?.strip_prefix("org.freedesktop.resolve1.")?;
    Some(match name {
        "NoSuchRR" => ResponseCode::NoError,
        "DnsError.NXDOMAIN" => ResponseCode::NXDomain,
        "DnsError.REFUSED" => ResponseCode::Refused,
        "DnsError.NOTIMP" => ResponseCode::NotImp,
        "DnsError.FORMERR" => ResponseCode::FormErr,
        name if name.starts_with("DnsError.") => ResponseCode::ServFail,
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

/// Appends the records to the message and counts them; none if they do not fit.
fn compose(mut message: Vec<u8>, records: &[Vec<u8>]) -> Option<Vec<u8>> {
    let count = u16::try_from(records.len()).ok()?;
    message.get_mut(6..8)?.copy_from_slice(&count.to_be_bytes());
    for record in records {
        owner(record)?;
        message.extend_from_slice(record);
    }
    (message.len() <= MAX_MESSAGE).then_some(message)
}

fn wire_name<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        // A label has 63 bytes at most.
        name.push(u8::try_from(label.len()).unwrap_or(0));
        name.extend_from_slice(label);
    }
    name.push(0);
    name
}

/// The text of a name, every unusual byte as a decimal number. RFC 1035 section 5.1
fn presentation(name: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((&length, tail)) = rest.split_first()
        && length > 0
    {
        let (label, tail) = tail.split_at(tail.len().min(length.into()));
        for &byte in label {
            match byte {
                b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(byte.into()),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
        text.push('.');
        rest = tail;
    }
    if text.is_empty() { ".".into() } else { text }
}

/// The name at the beginning, its last byte included; none if it is no uncompressed one.
fn leading_name(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        if length > 63 {
            return None;
        }
        at += 1 + length;
        if length == 0 {
            return bytes.get(..at).filter(|name| name.len() <= MAX_NAME);
        }
    }
}

/// The owner of a record that is whole.
fn owner(record: &[u8]) -> Option<&[u8]> {
    let name = leading_name(record)?;
    let rest = &record[name.len()..];
    let length = u16::from_be_bytes(rest.get(8..10)?.try_into().ok()?);
    (rest.len() == 10 + usize::from(length)).then_some(name)
}

/// What an alias stands for.
fn target(record: &[u8]) -> Option<Vec<u8>> {
    let data = record.get(owner(record)?.len() + 10..)?;
    leading_name(data).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests;

//! Answers of servers, for as long as they may be used again. spec: data-plane 12.8

use super::pending::Pending;
use crate::resource::ResourceTable;
use dns_message::{HEADER, MAX_NAME, Query, Response, Section, rcode, rtype};
use lru::LruCache;
use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

/// Answers at a time.
const MAX_ENTRIES: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not 0");

/// Bytes of all answers and their keys.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Largest answer that is kept, in bytes: an OPT record has to fit behind it.
const MAX_ANSWER: usize = 65_000;

/// An answer with records that lives shorter is not kept, in seconds.
const MIN_TTL: u32 = 5;

/// Longest lifetime of an answer with records, in seconds.
const MAX_TTL: u32 = 24 * 3600;

/// Longest lifetime of a negative answer, in seconds, RFC 2308 section 5.
const MAX_NEGATIVE_TTL: u32 = 3600;

/// Longest key: flags, server, question.
const MAX_KEY: usize = 1 + 16 + 2 + 4 + MAX_NAME + 4;

#[derive(Debug)]
struct Entry {
    /// Without an OPT record.
    answer: Box<[u8]>,
    /// Where the lifetimes of its records stand.
    ttls: Box<[u16]>,
    stored_at: Instant,
    ttl: u32,
}

/// Answers by server, question and flags of the query; the least used ones give way.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: LruCache<Box<[u8]>, Entry>,
    bytes: usize,
    epoch: u64,
    generation: u64,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            entries: LruCache::new(MAX_ENTRIES),
            bytes: 0,
            epoch: 0,
            generation: 0,
        }
    }

    /// A number that is another one after each [`Self::flush`]: answers to older questions are
    /// not kept.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Forgets everything.
    pub(crate) fn flush(&mut self) {
        self.entries.clear();
        self.bytes = 0;
        self.epoch += 1;
    }

    /// Forgets everything if the resources changed.
    pub(crate) fn follow(&mut self, resources: &ResourceTable) {
        if self.generation != resources.generation() {
            self.generation = resources.generation();
            self.flush();
        }
    }

    /// Writes the answer that a server gave to the same question, as this requestor would have got
    /// it by now; says whether there is one.
    pub(crate) fn get(
        &mut self,
        out: &mut Vec<u8>,
        query: &Query<'_>,
        server: SocketAddr,
        now: Instant,
    ) -> bool {
        if !is_cacheable(query) {
            return false;
        }
        let mut buffer = [0; MAX_KEY];
        let key = key(&mut buffer, query, server);
        let Some(entry) = self.entries.get(key) else {
            return false;
        };
        let age = now.saturating_duration_since(entry.stored_at);
        if age >= Duration::from_secs(u64::from(entry.ttl)) {
            if let Some(entry) = self.entries.pop(key) {
                self.bytes -= size(key, &entry);
            }
            return false;
        }
        let age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        out.clear();
        out.extend_from_slice(&entry.answer);
        adopt(out, query);
        grow_older(out, &entry.ttls, age);
        dns_message::append_opt(out, query);
        true
    }

    /// Keeps an answer, if it may be given to others.
    pub(crate) fn insert(&mut self, pending: &Pending, answer: &[u8], now: Instant) {
        let (Some(query), Ok(response)) = (pending.query(), Response::parse(answer)) else {
            return;
        };
        let is_whole = !response.is_truncated() && answer.len() <= MAX_ANSWER;
        if pending.epoch != self.epoch || !is_cacheable(&query) || !is_whole {
            return;
        }
        let Some(ttl) = lifetime(&response) else {
            return;
        };
        let Some(mut answer) = without_opt(&response) else {
            return;
        };
        cap_negative(&mut answer, ttl);
        let mut buffer = [0; MAX_KEY];
        let key: Box<[u8]> = key(&mut buffer, &query, pending.server).into();
        let entry = Entry {
            ttls: lifetimes(&answer),
            answer,
            stored_at: now,
            ttl,
        };
        self.bytes += size(&key, &entry);
        if let Some((key, old)) = self.entries.push(key, entry) {
            self.bytes -= size(&key, &old);
        }
        while self.bytes > MAX_BYTES
            && let Some((key, old)) = self.entries.pop_lru()
        {
            self.bytes -= size(&key, &old);
        }
    }

    /// What all answers and their keys take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn size(key: &[u8], entry: &Entry) -> usize {
    key.len() + entry.answer.len() + 2 * entry.ttls.len()
}

/// Ordinary questions of nobody in particular.
fn is_cacheable(query: &Query<'_>) -> bool {
    let special = query
        .edns()
        .is_some_and(|edns| edns.has_client_subnet || edns.version != 0);
    query.is_standard() && !query.is_signed() && !special
}

fn key<'a>(buffer: &'a mut [u8; MAX_KEY], query: &Query<'_>, server: SocketAddr) -> &'a [u8] {
    let dnssec_ok = query.edns().is_some_and(|edns| edns.dnssec_ok);
    buffer[0] = query.cache_flags() | u8::from(dnssec_ok);
    let scope = match server {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(server) => server.scope_id(),
    };
    let address = match server.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    buffer[1..17].copy_from_slice(&address.octets());
    buffer[17..19].copy_from_slice(&server.port().to_be_bytes());
    buffer[19..23].copy_from_slice(&scope.to_be_bytes());
    let question = query.question();
    let (name, numbers) = question.split_at(question.len() - 4);
    let end = 23 + name.len();
    for (to, byte) in buffer[23..end].iter_mut().zip(name) {
        *to = byte.to_ascii_lowercase();
    }
    buffer[end..end + 4].copy_from_slice(numbers);
    &buffer[..end + 4]
}

/// How long an answer may be used, in seconds; none if not at all. RFC 2308
fn lifetime(response: &Response<'_>) -> Option<u32> {
    let wanted = response.rtype()?;
    let (mut answers, mut has_wanted, mut negative) = (None, false, None);
    for record in response.records() {
        // RFC 2181 section 8.
        let ttl = if record.ttl > i32::MAX.unsigned_abs() {
            0
        } else {
            record.ttl
        };
        match record.section {
            Section::Answer => {
                answers = Some(answers.map_or(ttl, |least: u32| least.min(ttl)));
                has_wanted |= record.rtype == wanted;
            }
            Section::Authority if record.rtype == rtype::SOA => {
                let data = response.bytes().get(record.data)?;
                let minimum = data.last_chunk::<4>().copied().map(u32::from_be_bytes)?;
                negative = Some(ttl.min(minimum));
            }
            Section::Authority | Section::Additional => {}
        }
    }
    match response.rcode() {
        rcode::NOERROR if has_wanted => {
            let ttl = answers.unwrap_or(0);
            (ttl >= MIN_TTL).then_some(ttl.min(MAX_TTL))
        }
        // A chain of aliases that ends nowhere lives no longer than its links.
        rcode::NOERROR | rcode::NXDOMAIN => {
            let ttl = negative?.min(answers.unwrap_or(u32::MAX));
            (ttl > 0).then_some(ttl.min(MAX_NEGATIVE_TTL))
        }
        _ => None,
    }
}

/// A copy without the OPT record, which belongs to one exchange only, RFC 6891 section 6.2.1.
///
/// None if that is not the last record, or the answer holds for a network or a signature only.
fn without_opt(response: &Response<'_>) -> Option<Box<[u8]>> {
    let bytes = response.bytes();
    let mut end = bytes.len();
    let mut options = 0;
    for record in response.records() {
        match record.rtype {
            rtype::TSIG | rtype::SIG => return None,
            rtype::OPT => {
                let subnet = dns_message::has_client_subnet(bytes.get(record.data)?)?;
                if subnet || record.section != Section::Additional {
                    return None;
                }
                (end, options) = (record.start, options + 1);
            }
            _ if options > 0 => return None,
            _ => {}
        }
    }
    if options == 0 {
        return Some(bytes.into());
    }
    let mut copy = bytes[..end].to_vec();
    let count = u16::from_be_bytes([copy[10], copy[11]]).checked_sub(options)?;
    copy[10..12].copy_from_slice(&count.to_be_bytes());
    Some(copy.into())
}

/// Gives the answer the ID and the letter case of this query, and clears AA: it is not first-hand.
fn adopt(answer: &mut [u8], query: &Query<'_>) {
    dns_message::set_id(answer, query.id());
    dns_message::clear_authoritative(answer);
    let question = query.question();
    answer[HEADER..HEADER + question.len()].copy_from_slice(question);
}

/// Where the lifetimes of all records stand.
fn lifetimes(answer: &[u8]) -> Box<[u16]> {
    let records = Response::parse(answer)
        .into_iter()
        .flat_map(|r| r.records());
    let places = records.filter_map(|record| u16::try_from(record.ttl_at()).ok());
    places.collect()
}

/// Caps what a negative answer says of its own lifetime, which others compute anew from it.
fn cap_negative(answer: &mut [u8], ttl: u32) {
    let soa = Response::parse(answer).ok().and_then(|response| {
        let mut records = response.records();
        records.find(|r| r.section == Section::Authority && r.rtype == rtype::SOA)
    });
    if let Some(record) = soa {
        let at = record.ttl_at();
        answer[at..at + 4].copy_from_slice(&record.ttl.min(ttl).to_be_bytes());
    }
}

/// Counts the lifetimes down.
fn grow_older(answer: &mut [u8], places: &[u16], age: u32) {
    for &at in places {
        let at = usize::from(at);
        if let Some(bytes) = answer.get_mut(at..).and_then(|b| b.first_chunk_mut::<4>()) {
            *bytes = u32::from_be_bytes(*bytes).saturating_sub(age).to_be_bytes();
        }
    }
}

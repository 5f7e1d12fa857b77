//! DNS messages as checked views over bytes.
//!
//! [`Query::parse`] and [`Response::parse`] look at a buffer once; what they return answers every
//! question of a stub resolver without copying and without failing: ID, flags, question, EDNS,
//! records and where they stand. Beside the views are the messages that a stub resolver makes:
//! queries ([`compose_query`], [`compose_forwarded`]) and responses ([`MessageBuilder`],
//! [`compose_truncated`]); names in their forms on the wire and as text; and messages on a TCP
//! connection ([`Frames`]).
//!
//! What it is not: no resolver and no server, no zone, no validation of DNSSEC, no parsed record
//! data beyond addresses. It holds no clock, does no I/O and draws no IDs.
//!
//! ```
//! use dns_message::{MessageBuilder, Protocol, Query, Response, compose_query, rcode, rtype};
//!
//! let asked = compose_query(0x1234, "www.example.com", rtype::A)?;
//! let query = Query::parse(&asked)?;
//! assert_eq!((query.id(), query.rtype()), (0x1234, rtype::A));
//!
//! // A server answers.
//! let mut message = vec![];
//! let mut builder = MessageBuilder::new(&mut message, &query, Protocol::Dns, rcode::NOERROR);
//! builder.record(rtype::A, 300, &[192, 0, 2, 1]);
//! builder.finish(&query);
//!
//! let response = Response::parse(&message)?;
//! assert!(response.answers(&query, 0x1234));
//! assert_eq!(response.addresses().next(), Some([192, 0, 2, 1].into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Design
//!
//! * **Views.** Nothing is allocated to read a message, and no record is touched before somebody
//!   wants it. What a message announces is checked against what it has, so that work and results
//!   are bounded by its length; the pointers of a compressed name must lead backwards.
//! * **One question.** A query has exactly one, as everywhere in practice (RFC 9619). A response
//!   has the same or none: a server that could not read it may leave it out.
//! * **Inlined.** What every query passes through is marked, so that builds without link-time
//!   optimization do not pay for the border of the crate.
//! * **Numbers stay numbers.** Types, classes and response codes are `u16` with names in
//!   [`rtype`], [`class`] and [`rcode`], because resolvers hand on what they do not know
//!   (RFC 3597).

mod compose;
mod frames;
mod header;
mod name;
mod query;
mod question;
mod record;
mod response;

pub use compose::{
    ADVERTISED_PAYLOAD, MessageBuilder, Protocol, append_opt, compose_forwarded, compose_query,
    compose_truncated,
};
pub use frames::Frames;
pub use header::{HEADER, clear_authoritative, id, is_truncated, set_id};
pub use name::{
    MAX_NAME, NameBuffer, NameFault, encode_name, leading_name, presentation, reversed_address,
};
pub use query::{Edns, Query};
pub use record::{Record, Section, UncompressedRecord, has_client_subnet};
pub use response::Response;

/// Types of records, RFC 1035 section 3.2.2 unless said otherwise.
pub mod rtype {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// An alias.
    pub const CNAME: u16 = 5;
    /// The start of a zone; it says how long a negative answer lives.
    pub const SOA: u16 = 6;
    /// A name for an address.
    pub const PTR: u16 = 12;
    /// Text.
    pub const TXT: u16 = 16;
    /// A signature of a transaction, RFC 2931.
    pub const SIG: u16 = 24;
    /// An IPv6 address, RFC 3596.
    pub const AAAA: u16 = 28;
    /// The servers of a service, RFC 2782.
    pub const SRV: u16 = 33;
    /// The pseudo record of EDNS, RFC 6891.
    pub const OPT: u16 = 41;
    /// How to reach an HTTPS origin, RFC 9460.
    pub const HTTPS: u16 = 65;
    /// A signature of a transaction with a shared key, RFC 8945.
    pub const TSIG: u16 = 250;
}

/// Classes of records, RFC 1035 section 3.2.4.
pub mod class {
    /// The Internet.
    pub const IN: u16 = 1;
}

/// Response codes by the names of the IANA registry, RFC 1035 section 4.1.1 unless said otherwise.
pub mod rcode {
    /// No error.
    pub const NOERROR: u16 = 0;
    /// The server could not read the query.
    pub const FORMERR: u16 = 1;
    /// The server failed.
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u16 = 3;
    /// The server does not support this kind of query.
    pub const NOTIMP: u16 = 4;
    /// The server refuses by policy.
    pub const REFUSED: u16 = 5;
    /// The server does not support this version of EDNS, RFC 6891 section 6.1.3.
    pub const BADVERS: u16 = 16;
}

/// Why bytes are not the message that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// It is a response where a query is expected, or a query where a response is.
    #[error("the message goes in the other direction")]
    Direction,
    /// It does not ask exactly one question with a name of at most 255 bytes.
    #[error("the question is malformed")]
    Question,
    /// A record that the header announces is missing, cut short or has a malformed name.
    #[error("a record is malformed")]
    Record,
    /// It is shorter than a header.
    #[error("the message is too short")]
    Short,
}

#[cfg(test)]
mod tests;

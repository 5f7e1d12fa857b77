//! Asks DNS servers outside the tunnel for programs on this host. spec: data-plane 12.5
//!
//! Each query is a task of its own, so that a silent server holds nobody up. Over TCP each query has
//! a connection of its own, too: programs use it only for what did not fit into a datagram.

use crate::{
    direct::DirectExchange,
    health::{Health, Turn},
};
use platform::{ResolverTransport, SystemResolver};
use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};
use tokio::task::JoinSet;
use tunnel_core::{DnsAccess, DnsFailure, DnsTransport};

/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Queries under way at a time. spec: data-plane 12.5
const MAX_UNDER_WAY: usize = 1000;

/// What the tunnel is to be told about the query of that id.
pub(crate) type Outcome<Id> = (Id, Result<Vec<u8>, DnsFailure>);

/// What is asked.
pub(crate) struct Question {
    pub(crate) server: SocketAddr,
    pub(crate) transport: DnsTransport,
    /// How the server was allowed to be asked when the question came up.
    pub(crate) access: DnsAccess,
    /// The DNS message.
    pub(crate) message: Vec<u8>,
}

/// Who was asked, for whom, and what came of it.
type Finished<Id> = ((SocketAddr, Turn), Id, io::Result<Vec<u8>>);

/// All queries under way, by ids of the caller.
pub(crate) struct Forwarder<Id> {
    direct: DirectExchange,
    // Resolvers that are not simply asked with plain DNS.
    special: BTreeMap<SocketAddr, ResolverTransport>,
    health: Health,
    under_way: JoinSet<Finished<Id>>,
}

impl<Id: Send + 'static> Forwarder<Id> {
    pub(crate) fn new(direct: DirectExchange, resolvers: &[SystemResolver]) -> Self {
        let mut forwarder = Self {
            direct,
            special: BTreeMap::new(),
            health: Health::default(),
            under_way: JoinSet::new(),
        };
        forwarder.use_resolvers(resolvers);
        forwarder
    }

    /// Learns how the system's resolvers are asked. One that the system keeps to itself on any link
    /// is asked by it alone. All other servers speak plain DNS, unless a question says otherwise.
    pub(crate) fn use_resolvers(&mut self, resolvers: &[SystemResolver]) {
        let special = |resolver: &&SystemResolver| resolver.transport != ResolverTransport::Do53;
        let special = resolvers.iter().filter(special);
        self.special = special
            .map(|resolver| (resolver.address, resolver.transport))
            .collect();
        self.health.forget();
    }

    /// Starts to ask. Gives the outcome at once if there is no sense in asking.
    pub(crate) fn begin(&mut self, id: Id, question: Question) -> Option<Outcome<Id>> {
        let server = question.server;
        // What was known when the query was made and what is known now: the stricter one counts.
        let transport = match (self.special.get(&server), question.access) {
            (Some(&managed), _) => managed,
            (None, DnsAccess::Plain) => ResolverTransport::Do53,
            (None, DnsAccess::Managed) => return Some((id, Err(DnsFailure::Failed))),
        };
        let has_room = self.under_way.len() < MAX_UNDER_WAY;
        let Some(turn) = has_room.then(|| self.health.admit(server)).flatten() else {
            return Some((id, Err(DnsFailure::Failed)));
        };
        let resolver = SystemResolver {
            address: server,
            transport,
        };
        let direct = self.direct.clone();
        let _abort = self.under_way.spawn(async move {
            let Question {
                transport, message, ..
            } = question;
            let answer = direct.ask(resolver, transport, &message, TIMEOUT);
            ((server, turn), id, answer.await)
        });
        None
    }

    /// Waits for the next outcome; none if nothing is under way. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Outcome<Id>> {
        loop {
            // A task that was aborted has nothing to tell.
            if let Ok((asked, id, answer)) = self.under_way.join_next().await? {
                return Some((id, self.conclude(asked, answer)));
            }
        }
    }

    /// Forgets all queries: the tunnel does not wait for them any more.
    pub(crate) fn clear(&mut self) {
        self.under_way = JoinSet::new();
        self.health.forget();
    }

    fn conclude(
        &mut self,
        (server, turn): (SocketAddr, Turn),
        answer: io::Result<Vec<u8>>,
    ) -> Result<Vec<u8>, DnsFailure> {
        let failure = match &answer {
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Some(DnsFailure::TimedOut),
            Err(_) => Some(DnsFailure::Failed),
        };
        self.health.on_outcome(server, turn, failure);
        answer.map_err(|error| {
            tracing::debug!(%server, %error, "A DNS server gave no answer");
            failure.unwrap_or(DnsFailure::Failed)
        })
    }
}

#[cfg(test)]
mod tests;

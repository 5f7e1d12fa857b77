//! The task that joins the portal, the operating system and the data plane. Off the packet path.

use crate::{
    candidates::Candidates,
    data_plane::Input,
    error::Disconnected,
    event::{Event, EventSink},
    forward::{Forwarder, Question},
    portal,
    reports::{ReportStream, Reports},
    resolve::{Resolvers, servers, without_our_own},
    status::PortalState,
};
use model::{InterfacePlan, PublicKey, ResourceId};
use parking_lot::Mutex;
use platform::{NetworkEvent, NetworkWatch, Platform, SystemResolver};
use portal_client::{Channel, ChannelEvent, v1};
use std::{collections::BTreeSet, sync::Arc, time::Instant};
use tokio::sync::mpsc;
use tunnel_core::{DnsQuery, PortalRequest, QueryId};

/// What a session is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Reset(&'static str),
    SetDisabledResources(BTreeSet<ResourceId>),
    SetInternetResource(bool),
    SetResolvers(Vec<SystemResolver>),
    Stop,
}

pub(crate) struct Control<P> {
    pub(crate) platform: P,
    pub(crate) watch: NetworkWatch,
    pub(crate) portal: Channel<v1::Client>,
    pub(crate) resolvers: Resolvers,
    pub(crate) to_data: mpsc::Sender<Input>,
    pub(crate) from_data: ReportStream,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: EventSink,
    pub(crate) state: Arc<Mutex<PortalState>>,
    pub(crate) session: SessionState,
}

/// What the task itself remembers.
pub(crate) struct SessionState {
    pub(crate) started_at: Instant,
    pub(crate) key: PublicKey,
    pub(crate) ready: bool,
    /// Whether the session outlives an interface that cannot be configured.
    pub(crate) is_tolerant: bool,
    /// What the interface should look like and does not.
    pub(crate) unapplied: Option<InterfacePlan>,
    /// What gateways are yet to be told, once the portal listens.
    pub(crate) candidates: Candidates,
    pub(crate) forwarder: Forwarder<QueryId>,
}

impl<P: Platform> Control<P> {
    /// Works until the session is over, then puts the host back as it was.
    pub(crate) async fn run(mut self) {
        let result = self.work().await;
        if let Err(fault) = self.platform.revert() {
            tracing::warn!(error = %fault, "The host is not as it was before");
        }
        *self.state.lock() = PortalState::Disconnected;
        if let Err(reason) = result {
            self.events.send(Event::Disconnected(reason));
        }
        self.events.finish();
    }

    async fn work(&mut self) -> Result<(), Disconnected> {
        self.portal.connect(Some(self.session.key));
        loop {
            tokio::select! {
                event = self.portal.next() => self.handle_portal(event?).await?,
                reports = self.from_data.next() => match reports {
                    Some(reports) => self.handle_reports(reports).await?,
                    None => return Err(Disconnected::DataPlane("it stopped".into())),
                },
                event = self.watch.next() => self.handle_network(event).await?,
                command = self.commands.recv() => match command {
                    Some(Command::Stop) | None => return Ok(()),
                    Some(command) => self.handle_command(command).await?,
                },
                Some((id, answer)) = self.session.forwarder.next() => {
                    self.send(Input::DnsAnswer(id, answer)).await?;
                }
            }
        }
    }

    async fn handle_portal(
        &mut self,
        event: ChannelEvent<v1::client::FromPortal>,
    ) -> Result<(), Disconnected> {
        match event {
            ChannelEvent::Joined => {
                tracing::info!("Connected to the portal");
                *self.state.lock() = PortalState::Connected;
                self.tell_candidates();
                Ok(())
            }
            ChannelEvent::Message(message) => {
                self.send(Input::Portal(portal::update(message))).await
            }
            ChannelEvent::Reconnecting { error, retry_in } => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    retry_in_ms = retry_in.as_millis(),
                    "No connection to the portal"
                );
                *self.state.lock() = PortalState::Connecting;
                Ok(())
            }
        }
    }

    /// What the data plane told; the plan is last, because the operating system may take its time.
    async fn handle_reports(&mut self, reports: Reports) -> Result<(), Disconnected> {
        if let Some(key) = reports.key {
            self.session.key = key;
            self.session.forwarder.clear();
            self.session.candidates = Candidates::default();
            self.portal.connect(Some(key));
        } else if reports.reconnect && self.portal.is_joined() {
            // Otherwise the connection that is being made brings relays, when it is due.
            self.portal.connect(Some(self.session.key));
        }
        for request in reports.flows {
            self.tell(request);
        }
        self.session.candidates.extend(reports.candidates);
        if self.portal.is_joined() {
            self.tell_candidates();
        }
        for query in reports.queries {
            self.forward(query).await?;
        }
        if reports.resources_changed {
            self.platform.flush_dns_cache();
            self.events.send(Event::ResourcesChanged);
        }
        for event in reports.events {
            log(&event);
            self.events.send(Event::Gateway(event));
        }
        match reports.plan {
            Some(plan) => self.apply(plan).await,
            None => Ok(()),
        }
    }

    /// Tells the portal what gateways have to know.
    fn tell_candidates(&mut self) {
        for request in self.session.candidates.take() {
            self.tell(request);
        }
    }

    fn tell(&mut self, request: PortalRequest) {
        if let Some(message) = portal::message(request) {
            let sent = self.portal.send(message);
            tracing::debug!(%sent, "Told the portal");
        }
    }

    async fn apply(&mut self, plan: InterfacePlan) -> Result<(), Disconnected> {
        if let Err(fault) = self.platform.apply(&plan).await {
            if !self.session.is_tolerant {
                return Err(fault.into());
            }
            let error = &fault as &dyn std::error::Error;
            tracing::error!(
                error,
                "The interface is not as it should be; the next change of the network tries again"
            );
            self.session.unapplied = Some(plan);
            return Ok(());
        }
        self.session.unapplied = None;
        self.events.send(Event::InterfaceChanged(plan));
        if !self.session.ready {
            self.session.ready = true;
            let after = self.session.started_at.elapsed();
            tracing::info!(after_ms = after.as_millis(), "Tunnel ready");
            self.events.send(Event::Ready(after));
        }
        Ok(())
    }

    async fn forward(&mut self, query: DnsQuery) -> Result<(), Disconnected> {
        let question = Question {
            server: query.server,
            transport: query.transport,
            access: query.access,
            message: query.message,
        };
        match self.session.forwarder.begin(query.id, question) {
            Some((id, outcome)) => self.send(Input::DnsAnswer(id, outcome)).await,
            None => Ok(()),
        }
    }

    async fn handle_network(&mut self, event: NetworkEvent) -> Result<(), Disconnected> {
        match event {
            NetworkEvent::NetworkChanged => {
                tracing::info!("The network changed");
                self.refresh_resolvers().await?;
                self.send(Input::Reset).await?;
            }
            NetworkEvent::ResolversChanged => self.refresh_resolvers().await?,
        }
        match self.session.unapplied.take() {
            Some(plan) => self.apply(plan).await,
            None => Ok(()),
        }
    }

    async fn handle_command(&mut self, command: Command) -> Result<(), Disconnected> {
        match command {
            Command::Reset(reason) => {
                tracing::info!(reason, "Reset");
                self.send(Input::Reset).await
            }
            Command::SetDisabledResources(disabled) => {
                self.send(Input::SetDisabledResources(disabled)).await
            }
            Command::SetInternetResource(enabled) => {
                self.send(Input::SetInternetResource(enabled)).await
            }
            Command::SetResolvers(resolvers) => self.use_resolvers(resolvers).await,
            Command::Stop => Ok(()),
        }
    }

    async fn refresh_resolvers(&mut self) -> Result<(), Disconnected> {
        match self.platform.system_resolvers() {
            Ok(resolvers) => self.use_resolvers(resolvers).await,
            Err(fault) => {
                tracing::warn!(error = %fault, "The system's resolvers are unknown");
                Ok(())
            }
        }
    }

    async fn use_resolvers(&mut self, resolvers: Vec<SystemResolver>) -> Result<(), Disconnected> {
        let resolvers = without_our_own(resolvers);
        for resolver in &resolvers {
            tracing::debug!(server = %resolver.address, "The system has a resolver");
        }
        self.session.forwarder.use_resolvers(&resolvers);
        let servers = servers(&resolvers);
        *self.resolvers.lock() = resolvers;
        self.send(Input::SetResolvers(servers)).await
    }

    async fn send(&mut self, input: Input) -> Result<(), Disconnected> {
        let gone = |_| Disconnected::DataPlane("it stopped".into());
        self.to_data.send(input).await.map_err(gone)
    }
}

/// Tells the administrator what became of a gateway.
fn log(event: &tunnel_core::Event) {
    use tunnel_core::Event as E;

    match event {
        E::GatewayConnected(gateway) => tracing::info!(%gateway, "Connected to a gateway"),
        E::GatewayClosed { gateway, reason } => {
            tracing::info!(%gateway, %reason, "The connection to a gateway ended");
        }
        E::NoCompatibleGateway(resource) => tracing::warn!(
            %resource,
            "No gateway of this resource understands this version: update the gateways or this client"
        ),
        E::ResourcesChanged => {}
    }
}

//! Serving one GUI. spec: client-app 12.2, 13.5, 13.6

use crate::{
    admin::{AdminCommand, AdminCommands},
    machine::Machine,
    resources::resources,
    session::{SessionEvent, Slot, Started, chain},
};
use client::Event;
use model::ResourceId;
use service_ipc::{
    AdvancedSettings, Connect, Fault, Hello, MdmSettings, Resource, ResourceStatus, Resources,
    Server, ToGui, ToService, control,
};
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// How long a GUI may take to read that the service is stopping.
const FAREWELL: Duration = Duration::from_secs(1);

/// What follows a GUI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another GUI.
    Gui,
    /// The end of the service.
    End,
}

/// A GUI and its session.
pub(crate) struct Gui<'a, M: Machine, S> {
    pub(crate) machine: &'a mut M,
    pub(crate) commands: &'a mut AdminCommands,
    pub(crate) server: Server<S>,
    pub(crate) name: String,
    slot: Slot<M>,
    // The GUI waits for the result of its request to connect.
    owes_result: bool,
    // The list of resources changed since it was sent to the GUI.
    is_stale: bool,
    reported_offline: BTreeSet<ResourceId>,
    reported_incompatible: BTreeSet<ResourceId>,
}

/// Outcome of one read from the GUI.
enum Received {
    /// Nothing was read, but all messages are sent.
    Flushed,
    /// The GUI closed the connection.
    Gone,
    /// A message of the GUI.
    Message(ToService),
}

impl<'a, M: Machine, S: AsyncRead + AsyncWrite + Unpin> Gui<'a, M, S> {
    pub(crate) fn new(
        machine: &'a mut M,
        commands: &'a mut AdminCommands,
        server: Server<S>,
        name: String,
    ) -> Self {
        Self {
            machine,
            commands,
            server,
            name,
            slot: Slot::new(),
            owes_result: false,
            is_stale: false,
            reported_offline: BTreeSet::new(),
            reported_incompatible: BTreeSet::new(),
        }
    }

    /// Serves the GUI until it is gone, then ends its session.
    pub(crate) async fn serve(mut self) -> Next {
        let next = match self.work().await {
            Ok(next) => next,
            Err(fault) => {
                let error = &fault as &dyn std::error::Error;
                tracing::warn!(error, gui = self.name, "The GUI is given up");
                Next::Gui
            }
        };
        self.slot.end().await;
        next
    }

    async fn work(&mut self) -> Result<Next, Fault> {
        let hello = Hello {
            firezone_id: self.machine.device_id().to_owned(),
            advanced_settings: self.machine.load_settings(),
            mdm_settings: MdmSettings::default(),
        };
        self.server.send(&ToGui::Hello(Some(Box::new(hello))))?;
        loop {
            self.report();
            if self.is_stale && self.server.is_flushed() {
                self.is_stale = false;
                self.report_resources().await?;
            }
            tokio::select! {
                biased;
                command = self.commands.next() => {
                    if let AdminCommand::Stop = command {
                        self.send_farewell().await;
                        return Ok(Next::End);
                    }
                    self.handle_command(command).await?;
                }
                received = recv(&mut self.server, self.is_stale) => match received? {
                    Received::Flushed => {}
                    Received::Gone => return Ok(Next::Gui),
                    Received::Message(message) => self.handle(message).await?,
                },
                event = self.slot.next() => self.handle_session_event(event).await?,
            }
        }
    }

    fn report(&mut self) {
        let status = format!("Serving a GUI, {}", self.slot.state());
        self.machine.report(&status);
    }

    async fn send_farewell(&mut self) {
        let sent = self.server.send(&ToGui::TerminatingGracefully);
        if sent.is_err() || !matches!(timeout(FAREWELL, self.server.flush()).await, Ok(Ok(()))) {
            tracing::debug!("Cannot tell the GUI that the service is stopping");
        }
    }

    async fn handle_command(&mut self, command: AdminCommand) -> Result<(), Fault> {
        match command {
            AdminCommand::Disconnect(reply) => {
                let was_there = self.slot.end().await;
                if was_there {
                    tracing::info!("An administrator ended the session");
                    self.owes_result = false;
                    self.server.send(&ToGui::OnDisconnect {
                        error_msg: "an administrator ended the session".into(),
                        requires_sign_in: false,
                    })?;
                }
                // Whoever asked may be gone.
                reply.send(was_there).ok();
            }
            AdminCommand::Reset(reason) => {
                if let Some(session) = self.slot.session() {
                    session.reset(reason).await;
                }
            }
            AdminCommand::Status(reply) => {
                let status = self.status().await;
                reply.send(status).ok();
            }
            AdminCommand::Stop => {}
        }
        Ok(())
    }

    async fn status(&self) -> control::Status {
        control::Status {
            gui: Some(self.name.clone()),
            session: self.slot.state(),
            resources: self.resources().await.unwrap_or_default().resources,
            ..crate::admin::idle_status()
        }
    }

    async fn resources(&self) -> Option<Resources> {
        let status = self.slot.session()?.status().await?;
        Some(resources(&status))
    }

    async fn handle(&mut self, message: ToService) -> Result<(), Fault> {
        match message {
            ToService::ApplyAdvancedSettings(settings) => {
                let result = self.apply_settings(settings);
                self.server.send(&ToGui::AdvancedSettingsApplied(result))
            }
            ToService::ApplyLogFilter { directives } => {
                self.apply_log_filter(directives);
                Ok(())
            }
            ToService::ClearLogs => {
                let result = self.machine.clear_logs().map_err(|error| chain(&error));
                self.server.send(&ToGui::ClearedLogs(result))
            }
            ToService::Connect(connect) => self.connect(connect).await,
            ToService::Disconnect => {
                self.slot.end().await;
                self.owes_result = false;
                self.server.send(&ToGui::DisconnectedGracefully)
            }
            ToService::SetDisabledResources(disabled) => {
                self.slot.set_disabled_resources(disabled).await;
                Ok(())
            }
            ToService::SetInternetResourceState(enabled) => {
                self.slot.set_internet_resource(enabled).await;
                Ok(())
            }
            ToService::StartTelemetry { .. } => {
                tracing::debug!("There is no telemetry to start");
                Ok(())
            }
        }
    }

    fn apply_settings(&mut self, settings: AdvancedSettings) -> Result<AdvancedSettings, String> {
        for (url, schemes) in [
            (&settings.auth_url, &["https", "http"][..]),
            (&settings.api_url, &["wss", "ws", "https", "http"]),
        ] {
            if !schemes.contains(&url.scheme()) || url.host().is_none() {
                let schemes = schemes.join(", ");
                return Err(format!(
                    "{url} has no host, or none of the schemes {schemes}"
                ));
            }
        }
        let old = self.machine.load_settings();
        self.machine.set_log_filter(&settings.log_filter)?;
        if let Err(error) = self.machine.save_settings(&settings) {
            // Both apply, or neither does.
            self.machine.set_log_filter(&old.log_filter).ok();
            return Err(format!("the settings cannot be kept: {error}"));
        }
        tracing::info!(log_filter = settings.log_filter, "Settings were replaced");
        Ok(settings)
    }

    /// The older generation gets no answer.
    fn apply_log_filter(&mut self, directives: String) {
        if let Err(error) = self.machine.set_log_filter(&directives) {
            tracing::warn!(error, "The log filter stays");
            return;
        }
        tracing::info!(directives, "The log filter was replaced");
        let settings = AdvancedSettings {
            log_filter: directives,
            ..self.machine.load_settings()
        };
        if let Err(error) = self.machine.save_settings(&settings) {
            tracing::warn!(%error, "The log filter is not kept");
        }
    }

    async fn connect(&mut self, connect: Connect) -> Result<(), Fault> {
        let Connect {
            token,
            api_url,
            is_internet_resource_active,
        } = connect;
        let api_url = api_url.unwrap_or_else(|| self.machine.load_settings().api_url);
        let mut settings = self.machine.session_settings(api_url, token);
        // The older generation uses all resources that it does not switch off.
        settings.internet_resource = is_internet_resource_active.unwrap_or(true);
        settings.tolerate_interface_faults = true;
        self.reported_offline.clear();
        self.reported_incompatible.clear();
        self.owes_result = true;
        let started = self.slot.start(self.machine, settings).await;
        self.report_start(started)
    }

    fn report_start(&mut self, started: Result<Started, String>) -> Result<(), Fault> {
        let result = match started {
            Ok(Started::Waiting) => return Ok(()),
            Ok(Started::Running) => Ok(()),
            Err(reason) => {
                tracing::warn!(reason, "There is no session");
                Err(reason)
            }
        };
        match (std::mem::take(&mut self.owes_result), result) {
            (true, result) => self.server.send(&ToGui::ConnectResult(result)),
            (false, Ok(())) => Ok(()),
            (false, Err(error_msg)) => self.server.send(&ToGui::OnDisconnect {
                error_msg,
                requires_sign_in: false,
            }),
        }
    }

    async fn handle_session_event(&mut self, event: SessionEvent) -> Result<(), Fault> {
        match event {
            SessionEvent::Event(Event::Disconnected(reason)) => {
                let lacks_network = self.slot.lacks_network(self.machine, &reason);
                if lacks_network && self.slot.wait_instead(self.machine).await {
                    tracing::info!(reason = chain(&reason), "Waiting for a network");
                    return Ok(());
                }
                self.on_end(chain(&reason), reason.needs_sign_in()).await
            }
            SessionEvent::Event(Event::ResourcesChanged) => {
                self.is_stale = true;
                Ok(())
            }
            SessionEvent::Event(Event::Gateway(client::GatewayEvent::NoCompatibleGateway(id))) => {
                match self.reported_incompatible.insert(id) {
                    true => self.server.send(&ToGui::GatewayVersionMismatch(id)),
                    false => Ok(()),
                }
            }
            SessionEvent::Event(_) => Ok(()),
            SessionEvent::Over => self.on_end("the session is over".into(), false).await,
            SessionEvent::Retry => {
                let started = self.slot.retry(self.machine).await;
                self.report_start(started)
            }
        }
    }

    async fn on_end(&mut self, error_msg: String, requires_sign_in: bool) -> Result<(), Fault> {
        self.slot.end().await;
        tracing::warn!(reason = error_msg, requires_sign_in, "The session ended");
        self.server.send(&ToGui::OnDisconnect {
            error_msg,
            requires_sign_in,
        })
    }

    async fn report_resources(&mut self) -> Result<(), Fault> {
        let Some(all) = self.resources().await else {
            return Ok(());
        };
        for resource in &all.resources {
            self.report_if_offline(resource)?;
        }
        match self.server.send(&ToGui::OnUpdateResources(all)) {
            Err(Fault::MessageTooLarge(bytes)) => {
                tracing::warn!(bytes, "The list of resources is too long for the GUI");
                Ok(())
            }
            sent => sent,
        }
    }

    fn report_if_offline(&mut self, resource: &Resource) -> Result<(), Fault> {
        let id = resource.id();
        if resource.status() == ResourceStatus::Offline && self.reported_offline.insert(id) {
            self.server.send(&ToGui::AllGatewaysOffline(id))?;
        }
        Ok(())
    }
}

/// Reads one message, or only sends what waits if something else has to be sent first. Cancel-safe.
async fn recv<S>(server: &mut Server<S>, only_flush: bool) -> Result<Received, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if only_flush {
        return server.flush().await.map(|()| Received::Flushed);
    }
    let message = server.next().await?;
    Ok(message.map_or(Received::Gone, Received::Message))
}

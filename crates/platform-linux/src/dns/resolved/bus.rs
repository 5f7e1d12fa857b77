//! One connection to the system bus: calls to `systemd-resolved`, and news from it.
//!
//! Everything waits in the runtime of the control thread and nothing blocks it. A task of its own
//! takes signals in, so that a burst of them never holds up an answer.

use futures_util::StreamExt as _;
use platform::PlatformFault;
use std::{future::pending, io, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use zbus::{Connection, MessageStream, connection::Builder, proxy::MethodFlags};

/// How long one call may take, the start of the service included.
const CALL: Duration = Duration::from_secs(5);

/// Signals that wait inside of the library.
const QUEUE: usize = 64;

/// Where `systemd-resolved` is on the bus.
pub(super) const SERVICE: &str = "org.freedesktop.resolve1";
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/resolve1";
pub(super) const MANAGER: &str = "org.freedesktop.resolve1.Manager";
pub(super) const LINK: &str = "org.freedesktop.resolve1.Link";

/// What changes there, and that it comes or goes.
const RULES: [&str; 2] = [
    "type='signal',sender='org.freedesktop.resolve1',interface='org.freedesktop.DBus.Properties',\
     member='PropertiesChanged',path_namespace='/org/freedesktop/resolve1'",
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
     member='NameOwnerChanged',arg0='org.freedesktop.resolve1'",
];

const NO_BUS: &str = "start the system bus (dbus) and systemd-resolved, or choose another DNS \
                      control method";
const NOT_RUNNING: &str = "install it and run `systemctl enable --now systemd-resolved`, or choose \
                           another DNS control method";
const DENIED: &str = "run as root, or allow the action for the client's user by a polkit rule";
const MANAGED: &str = "keep systemd-networkd away from the interface (a .network file with \
                       `Unmanaged=yes`), or choose another DNS control method";
const OTHER: &str = "look into `journalctl --unit systemd-resolved`, or choose another DNS control \
                     method";

/// The connection, made when it is needed and again when it is lost.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    pulses: mpsc::Receiver<()>,
    reader: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Bus {
    /// The connection, if there is one.
    pub(crate) fn current(&self) -> Option<Connection> {
        let open = self.open.as_ref();
        let alive = open.filter(|open| !open.connection.is_closed());
        alive.map(|open| open.connection.clone())
    }

    /// The connection; makes it if there is none.
    pub(crate) async fn connection(&mut self) -> zbus::Result<Connection> {
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        self.open = None;
        let open = timeout(CALL, Open::new()).await;
        let open = open.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(self.open.insert(open).connection.clone())
    }

    /// Waits until `systemd-resolved` changed something, came or went. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the bus is gone; from then on it waits for ever, until there is a connection again.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return pending().await;
        };
        if open.pulses.recv().await.is_some() {
            return Ok(());
        }
        self.open = None;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Open {
    async fn new() -> zbus::Result<Self> {
        let builder = Builder::system()?.method_timeout(CALL);
        let connection = builder.build().await?;
        let mut streams = Vec::with_capacity(RULES.len());
        for rule in RULES {
            streams.push(MessageStream::for_match_rule(rule, &connection, Some(QUEUE)).await?);
        }
        // One that waits is as good as many.
        let (pulse, pulses) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            let mut signals = futures_util::stream::select_all(streams);
            while let Some(Ok(_)) = signals.next().await {
                if let Err(mpsc::error::TrySendError::Closed(())) = pulse.try_send(()) {
                    return;
                }
            }
        });
        Ok(Self {
            connection,
            pulses,
            reader,
        })
    }
}

/// Calls a method of the manager, and starts the service if it is not running.
pub(super) async fn call<B>(connection: &Connection, method: &str, body: &B) -> zbus::Result<()>
where
    B: serde::Serialize + zbus::zvariant::DynamicType + Sync,
{
    connection
        .call_method(Some(SERVICE), MANAGER_PATH, Some(MANAGER), method, body)
        .await
        .map(|_| ())
}

/// Calls a method of any interface, and never starts the service: whoever stopped it means it.
pub(super) async fn look<B, R>(
    connection: &Connection,
    (path, interface): (&str, &str),
    method: &str,
    body: &B,
) -> zbus::Result<R>
where
    B: serde::Serialize + zbus::zvariant::DynamicType + Sync,
    R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
{
    let proxy = zbus::proxy::Builder::<zbus::Proxy<'_>>::new(connection)
        .destination(SERVICE)?
        .path(path)?
        .interface(interface)?
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await?;
    let answer = proxy.call_with_flags(method, MethodFlags::NoAutoStart.into(), body);
    let answer = timeout(CALL, answer)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    answer.ok_or(zbus::Error::InvalidReply)
}

/// The name of the error that the other side returned.
pub(super) fn error_name(error: &zbus::Error) -> Option<&str> {
    match error {
        zbus::Error::MethodError(name, _, _) => Some(name.as_str()),
        _ => None,
    }
}

/// Sorts an error by who can mend it. `action` is that of polkit.
pub(super) fn fault(error: &zbus::Error, action: &str) -> PlatformFault {
    let dns = |problem: String, remedy| PlatformFault::Dns { problem, remedy };
    match error {
        zbus::Error::MethodError(name, text, _) => {
            let text = text.as_deref().unwrap_or_default();
            match name.as_str() {
                "org.freedesktop.DBus.Error.ServiceUnknown"
                | "org.freedesktop.DBus.Error.NameHasNoOwner"
                | "org.freedesktop.systemd1.NoSuchUnit"
                | "org.freedesktop.systemd1.UnitMasked" => {
                    dns("systemd-resolved does not run".into(), NOT_RUNNING)
                }
                "org.freedesktop.DBus.Error.AccessDenied"
                | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
                    dns(format!("polkit denies {SERVICE}.{action}"), DENIED)
                }
                "org.freedesktop.resolve1.LinkBusy" => {
                    dns("systemd-networkd manages the interface".into(), MANAGED)
                }
                name => dns(format!("systemd-resolved: {text} ({name})"), OTHER),
            }
        }
        zbus::Error::InputOutput(error) if error.kind() == io::ErrorKind::TimedOut => {
            dns("systemd-resolved does not answer".into(), OTHER)
        }
        error => dns(format!("cannot use the system bus: {error}"), NO_BUS),
    }
}

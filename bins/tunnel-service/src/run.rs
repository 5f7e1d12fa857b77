//! The life of the process. spec: client-app 12.1

use crate::{
    cli::{Command, ServiceFlags},
    host,
    linux::{self, Linux},
    store::Store,
};
use anyhow::{Context as _, Result, bail};
use logging::{LogFiles, Logging, Options, StdoutTime};
use program::Supervisor;
use service_ipc::{Access, Claim, Socket};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tunnel_service::{Lifetime, Order, Policy, Service, answer_administrators, orders};

/// How a subcommand differs from the others.
struct Mode {
    is_interactive: bool,
    lifetime: Lifetime,
    policy: Policy,
}

impl Mode {
    fn new(flags: &ServiceFlags, command: &Command) -> Result<Self> {
        let mut mode = Self {
            is_interactive: true,
            lifetime: Lifetime::Unlimited,
            policy: Policy::Programs(flags.gui.clone()),
        };
        match command {
            Command::RunInteractive(options) if options.serves_anyone() => {
                mode.policy = Policy::Anyone;
            }
            Command::RunSmokeTest if cfg!(debug_assertions) => mode.lifetime = Lifetime::OneGui,
            Command::RunSmokeTest => bail!("run-smoke-test is for debug builds"),
            Command::Run => mode.is_interactive = false,
            _ => {}
        }
        Ok(mode)
    }
}

/// Serves GUIs until a signal.
pub(crate) fn run(flags: &ServiceFlags, runtime_dir: &Path, command: Command) -> Result<()> {
    let mode = Mode::new(flags, &command)?;
    if !rustix::process::geteuid().is_root() {
        bail!("the tunnel service has to be root: start it by its unit of systemd, or with sudo");
    }
    let group = linux::group_id(&flags.group)?;
    let log_directory = match (&flags.log_dir, mode.is_interactive) {
        (Some(directory), _) => Some(directory.clone()),
        (None, true) => None,
        (None, false) => Some(PathBuf::from(linux::LOG_DIRECTORY)),
    };
    // It outlives the host, which changes its filter.
    let logging = start_log(flags, log_directory.clone(), mode.is_interactive)?;
    let logging = Arc::new(logging);
    let host = Linux::new(flags, group, Arc::clone(&logging), log_directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(flags, runtime_dir, (host, group), mode))
}

async fn serve(
    flags: &ServiceFlags,
    runtime_dir: &Path,
    (host, group): (Linux, u32),
    mode: Mode,
) -> Result<()> {
    let signals = Signals::new(mode.is_interactive).context("cannot listen for signals")?;
    let claim = Claim::take(runtime_dir)?;
    let access = Access {
        mode: 0o660,
        group: Some(group),
    };
    let listener = claim.bind("tunnel.sock", access).await?;
    let access = Access {
        mode: 0o600,
        group: None,
    };
    let control: Socket = claim.bind("control.sock", access).await?;
    tracing::info!(socket = %listener.path().display(), "Ready for a GUI");
    let (giver, taker) = orders();
    let service = Service {
        host,
        listener,
        policy: mode.policy,
        generation: flags.gui_generation,
        orders: taker,
        lifetime: mode.lifetime,
    };
    Supervisor::default().ready()?;
    tokio::select! {
        () = service.serve() => {}
        () = answer_administrators(control, giver.clone()) => {}
        () = signals.give_orders(giver) => {}
    }
    tracing::info!("Stopped");
    Ok(())
}

/// Starts the log. spec: client-app 8
fn start_log(
    flags: &ServiceFlags,
    directory: Option<PathBuf>,
    is_interactive: bool,
) -> Result<Logging> {
    let stored = Store::new(linux::CONFIG_DIRECTORY).load();
    let stored = stored.ok().flatten().map(|settings| settings.log_filter);
    let stored = stored.filter(|stored| logging::check_filter(stored).is_ok());
    let directives = flags.log_filter.clone().or(stored);
    let directives = directives.unwrap_or_else(|| "info".to_owned());
    let create = |directory: &Path, base: &str, stamp: &str| {
        host::create_log_file(directory, base, stamp).map_err(io::Error::other)
    };
    let logging = logging::start(Options {
        base: linux::LOG_BASE,
        directives: directives.clone(),
        format: flags.log_format,
        stdout_time: match is_interactive {
            true => StdoutTime::Shown,
            false => StdoutTime::Omitted,
        },
        file: directory.map(|directory| LogFiles {
            directory,
            create: Box::new(create),
        }),
    })
    .context("cannot set up logging")?;
    tracing::info!(
        arch = std::env::consts::ARCH,
        os = std::env::consts::OS,
        version = env!("CARGO_PKG_VERSION"),
        directives,
        uptime = ?linux::uptime(),
        log = ?logging.path(),
        "Starting"
    );
    tracing::debug!(?flags);
    Ok(logging)
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    // A terminal that closes takes the service with it; a service manager asks for a reset.
    stops_on_hangup: bool,
}

impl Signals {
    fn new(stops_on_hangup: bool) -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            stops_on_hangup,
        })
    }

    /// Turns signals into orders, until the service is gone.
    async fn give_orders(mut self, orders: mpsc::Sender<Order>) {
        loop {
            let order = tokio::select! {
                _ = self.hangup.recv() => match self.stops_on_hangup {
                    true => Order::Stop,
                    false => Order::Reset("SIGHUP"),
                },
                _ = self.interrupt.recv() => Order::Stop,
                _ = self.terminate.recv() => Order::Stop,
            };
            if let Order::Stop = order {
                tracing::info!("Stopping on a signal");
                Supervisor::default().stopping();
            }
            if orders.send(order).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

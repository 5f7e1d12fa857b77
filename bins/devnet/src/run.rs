//! Runs the party.

use crate::cli::{Cli, Ctl, Gateway, Login, Party, Portal, Relay};
use anyhow::{Context as _, Result};
use cli_support::DnsControl;
use devnet::{gateway, portal, relay};
use host::Signals;
use model::Seed;
use platform::{DnsMethod as _, Platform as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::io::{ErrorKind, Write as _};
use tokio::{net::TcpListener, sync::mpsc, task::LocalSet};
use tracing_subscriber::EnvFilter;

/// The version that portals compare with those of clients. spec: portal 10.6
const VERSION: &str = "1.5.2";

pub(crate) fn run(cli: Cli) -> Result<()> {
    if matches!(cli.party, Party::Up(_)) {
        // Before any thread starts.
        testbed::become_root()?;
    }
    let filter = EnvFilter::try_new(&cli.log_filter)
        .with_context(|| format!("{:?} is no log filter", cli.log_filter))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let stop = {
        let _guard = runtime.enter();
        stop_signals().context("cannot listen for signals")?
    };
    LocalSet::new().block_on(&runtime, async {
        match cli.party {
            Party::Ctl(options) => control(options).await,
            Party::Gateway(options) => run_gateway(options, stop).await,
            Party::Portal(options) => run_portal(options, stop).await,
            Party::Relay(options) => run_relay(options, stop).await,
            Party::Up(options) => crate::up::run(options, &cli.log_filter, stop).await,
        }
    })
}

async fn run_gateway(options: Gateway, stop: mpsc::Receiver<()>) -> Result<()> {
    let platform = cli_support::Platform::open(platform::Options {
        dns_control: DnsControl::DISABLED,
        ..platform::Options::default()
    })?;
    let config = gateway::Config {
        external_id: portal_client::external_id(&options.firezone_id),
        user_agent: user_agent("connlib"),
        name: name(&options.login),
        api_url: options.login.api_url,
        token: options.login.token,
        seed: seed()?,
    };
    Ok(gateway::run(config, platform, stop).await?)
}

async fn run_portal(options: Portal, mut stop: mpsc::Receiver<()>) -> Result<()> {
    let mut listeners = Vec::new();
    for address in &options.listen {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.with_context(|| format!("cannot listen on {address}"))?);
    }
    let files = portal::Options {
        settings: options.config,
        state: options.state,
        control: options.control,
    };
    let stopped = async move { stop.recv().await.unwrap_or_default() };
    Ok(portal::run(files, listeners, stopped).await?)
}

async fn control(options: Ctl) -> Result<()> {
    let command = match options.command.starts_with('{') {
        true => serde_json::from_str(&options.command).context("the command is no JSON")?,
        false => serde_json::json!({ "cmd": options.command }),
    };
    let answer = portal::control(&options.control, &command)
        .await
        .with_context(|| format!("no portal answers at {}", options.control.display()))?;
    // The other end of a pipe may have seen enough.
    writeln!(std::io::stdout(), "{answer:#}").or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })?;
    anyhow::ensure!(answer["ok"] == true, "the portal refuses the command");
    Ok(())
}

async fn run_relay(options: Relay, stop: mpsc::Receiver<()>) -> Result<()> {
    let config = relay::Config {
        user_agent: format!("relay/{VERSION}"),
        name: options.login.firezone_name.unwrap_or_default(),
        api_url: options.login.api_url,
        token: options.login.token,
        ipv4: options.public_ip4_addr,
        ipv6: options.public_ip6_addr,
        port: options.listen_port,
        seed: seed()?,
    };
    Ok(relay::run(config, stop).await?)
}

fn name(login: &Login) -> String {
    login
        .firezone_name
        .clone()
        .or_else(host::host_name)
        .unwrap_or_default()
}

fn user_agent(component: &str) -> String {
    portal_client::user_agent(component, VERSION, &host::os_info())
}

fn seed() -> Result<Seed> {
    let mut bytes = [0; 32];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.ok().context("the system has no entropy")?;
    Ok(Seed::from_bytes(bytes))
}

/// Each signal to stop, as an item.
fn stop_signals() -> std::io::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(2);
    let mut signals = Signals::without_hang_up()?;
    let _task = tokio::spawn(async move {
        loop {
            signals.next().await;
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

//! How the client starts, answers and ends.

use super::{Scene, fault_of};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::UnixDatagram,
    },
    path::Path,
    process::Command,
    time::Duration,
};
use testbed::{
    CLIENT_TOKEN, Program, layout,
    user::{self, Family, Target},
};

/// The user without rights.
const NOBODY: u32 = 65534;

pub(super) fn killed(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    scene.network.start_client()?;
    scene.use_it()?;
    scene.network.kill_client();
    scene.network.start_client()?;
    scene.use_it_soon()?;
    scene.stop(&state)
}

/// The second one has to go; the first one must not even notice.
pub(super) fn second(scene: &mut Scene<'_>) -> Result<()> {
    let before = scene.testbed.client().network_state()?;
    scene.network.start_client()?;
    scene.use_it()?;
    let state = scene.testbed.client().network_state()?;
    let mut second = scene.network.start_second_client()?;
    let status = second.wait(Duration::from_secs(10))?;
    ensure!(
        status.code() == Some(1),
        "the second client ends with {status}"
    );
    let fault = fault_of(&second.printed())?;
    ensure!(
        fault.contains("stop the other client"),
        "the second client does not say what is wrong: {fault}"
    );
    ensure!(
        scene.testbed.client().network_state()? == state,
        "the second client changed something"
    );
    scene.use_it()?;
    scene.stop(&before)
}

/// It tells how it is doing, for scripts and for people.
pub(super) fn asked(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    let (status, _) = scene
        .network
        .ask_client(&["status", "--check", "running"])?;
    ensure!(!status.success(), "a client runs before it is started");
    scene.network.start_client()?;
    scene.use_it()?;
    let (status, _) = scene.network.ask_client(&["status", "--check", "ready"])?;
    ensure!(status.success(), "the client is not ready");
    let (_, printed) = scene.network.ask_client(&["status", "--json"])?;
    let told: Value = serde_json::from_str(&printed).context("the status is no JSON")?;
    ensure!(told["portal"]["state"] == "connected", "{printed}");
    ensure!(told["gateways"][0]["relay"].is_string(), "{printed}");
    ensure!(told["resources"][0]["state"] == "online", "{printed}");
    ensure!(told["dns"][0]["server"] == "203.0.113.53:53", "{printed}");
    let (_, printed) = scene.network.ask_client(&["status"])?;
    let wide = printed.lines().find(|line| line.chars().count() > 80);
    ensure!(wide.is_none(), "a line is too wide: {printed}");
    scene.stop(&state)?;
    let (status, _) = scene
        .network
        .ask_client(&["status", "--check", "running"])?;
    ensure!(!status.success(), "the client still answers");
    Ok(())
}

pub(super) fn wrong_token(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    let mut stranger = scene.network.start_stranger()?;
    let status = stranger.wait(Duration::from_secs(10))?;
    ensure!(status.code() == Some(1), "the client ends with {status}");
    fault_of(&stranger.printed())?;
    ensure!(
        scene.testbed.client().network_state()? == state,
        "the client left something behind"
    );
    Ok(())
}

/// To look changes nothing, and to leave leaves nothing.
pub(super) fn early(scene: &mut Scene<'_>) -> Result<()> {
    let before = scene.testbed.client().network_state()?;
    end_early(scene, "--exit")?;
    scene.require(&before)?;
    scene.network.start_client()?;
    let state = scene.testbed.client().network_state()?;
    let printed = end_early(scene, "--check")?;
    ensure!(
        printed.contains("Everything is in place."),
        "--check says something else: {printed}"
    );
    scene.require(&state)?;
    scene.use_it()?;
    scene.stop(&before)
}

/// Runs a client that ends by itself, and well; returns what it printed.
fn end_early(scene: &Scene<'_>, option: &str) -> Result<String> {
    let mut command = scene.network.client_command();
    command.arg(option);
    let output = scene.output(command)?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{option} ends with {}: {errors}",
        output.status
    );
    Ok(printed)
}

/// SIGHUP makes all connections anew.
pub(super) fn hung_up(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    scene.network.start_client()?;
    scene.use_it()?;
    let client = scene.network.client().context("there is no client")?;
    client.hang_up();
    scene.await_that(|| {
        ensure!(
            client.printed().contains("SIGHUP"),
            "the client's log has no word of SIGHUP"
        );
        Ok(())
    })?;
    scene.use_it_soon()?;
    scene.stop(&state)
}

/// A service manager is not told that a client is ready because it was hung up.
pub(super) fn hung_up_early(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    let path = scene.directory.join("notified");
    let notified = UnixDatagram::bind(&path)?;
    notified.set_nonblocking(true)?;
    let mut command = scene.network.client_command();
    // Nobody listens there.
    command
        .env("FIREZONE_API_URL", format!("ws://{}:9/", layout::PORTAL))
        .env("NOTIFY_SOCKET", &path);
    let mut client = scene.network.start_beside("client", command)?;
    let await_word = |client: &Program, word: &str| {
        scene.await_that(|| {
            ensure!(client.printed().contains(word), "the log lacks {word:?}");
            Ok(())
        })
    };
    await_word(&client, "No connection to the portal")?;
    client.hang_up();
    await_word(&client, "SIGHUP")?;
    client.stop()?;
    let mut told = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(length) = notified.recv(&mut buffer) {
        told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    let is_told = |what: &str| told.iter().any(|message| message.contains(what));
    ensure!(is_told("STOPPING=1"), "the end is not told: {told:?}");
    ensure!(!is_told("READY=1"), "it is told to be ready: {told:?}");
    scene.require(&state)
}

/// A capability is enough when DNS is left alone.
pub(super) fn without_root(scene: &mut Scene<'_>) -> Result<()> {
    let host = scene.testbed.client();
    let state = host.network_state()?;
    host.share_tun()?;
    let ours = scene.network.client_command();
    let program = Path::new("/run/client");
    host.show(Path::new(ours.get_program()), program)?;
    let mut command = Command::new("setpriv");
    command
        .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
        .arg("--clear-groups")
        .args(["--inh-caps=+net_admin", "--ambient-caps=+net_admin"])
        // Another user is not tied to its parent any more.
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(ours.get_args())
        .args(["--dns-control", "disabled"])
        .current_dir("/")
        .env_clear();
    let variables = ours.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let mut client = scene.network.start_beside("client", command)?;
    // Packets that went before the routes are there would be waited for in vain.
    scene.await_that(|| {
        ensure!(
            client.printed().contains("Tunnel ready"),
            "the client does not get ready: {}",
            client.printed()
        );
        Ok(())
    })?;
    scene.await_that(|| {
        for family in [Family::V4, Family::V6] {
            let target = Target::resource(family);
            let host = scene.testbed.client();
            host.run(move || user::download(&target, super::AMOUNT))??;
        }
        Ok(())
    })?;
    let process = fs::read_to_string(format!("/proc/{}/status", client.id()))?;
    let user = format!("\nUid:\t{NOBODY}\t{NOBODY}\t");
    ensure!(process.contains(&user), "another user runs it: {process}");
    let status = client.stop()?;
    ensure!(status.success(), "the client ends with {status}");
    scene.require(&state)
}

/// A file with a token.
struct TokenFile {
    name: &'static str,
    /// None if there is no file.
    content: Option<&'static str>,
    mode: u32,
    owner: u32,
    /// What a client that refuses it says, in part.
    fault: Option<&'static str>,
}

const TOKEN_FILES: [TokenFile; 5] = [
    token_file("good", Some(CLIENT_TOKEN), 0o600, None),
    token_file("open", Some(CLIENT_TOKEN), 0o644, Some("mode 0400 or 0600")),
    TokenFile {
        owner: NOBODY,
        ..token_file("strange", Some(CLIENT_TOKEN), 0o600, Some("owned by"))
    },
    token_file("missing", None, 0, Some("there is no token")),
    token_file("empty", Some("\n"), 0o600, Some("the token is empty")),
];

const fn token_file(
    name: &'static str,
    content: Option<&'static str>,
    mode: u32,
    fault: Option<&'static str>,
) -> TokenFile {
    TokenFile {
        name,
        content,
        mode,
        owner: 0,
        fault,
    }
}

/// Tokens that others could have read or written are not used. spec: client-app 5.3
pub(super) fn token_files(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    for file in &TOKEN_FILES {
        use_token(scene, file).with_context(|| format!("token {}", file.name))?;
        scene.require(&state).context(file.name)?;
    }
    Ok(())
}

fn use_token(scene: &Scene<'_>, file: &TokenFile) -> Result<()> {
    let path = scene.directory.join(format!("token-{}", file.name));
    if let Some(content) = file.content {
        write_token(&path, content, file.mode, file.owner)?;
    }
    let mut command = scene.network.client_command();
    command
        .env_remove("FIREZONE_TOKEN")
        .arg("--token-path")
        .arg(&path)
        .arg("--exit");
    let output = scene.output(command)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    let Some(fault) = file.fault else {
        ensure!(code == Some(0), "the client ends with {code:?}: {errors}");
        return Ok(());
    };
    ensure!(code == Some(1), "the client ends with {code:?}: {errors}");
    ensure!(errors.lines().count() == 1, "not one line: {errors}");
    let told = fault_of(&errors)?;
    ensure!(told.contains(fault), "not {fault:?}: {told}");
    ensure!(!told.contains(CLIENT_TOKEN), "it tells the token");
    Ok(())
}

fn write_token(path: &Path, content: &str, mode: u32, owner: u32) -> Result<()> {
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    chown(path, Some(owner), None).context("give a file to another user: this takes root")
}

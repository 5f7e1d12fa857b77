//! DNS control through `systemd-resolved`, by its command line tool. spec: platform 4.1, 6
//!
//! All settings belong to the interface and vanish with it.

use model::DomainName;
use platform::PlatformFault;
use std::{io, net::IpAddr, path::Path, process::Command};

const REMEDY: &str = "install and start systemd-resolved and run as root, or choose another DNS \
                      control method";

/// Points the interface at our resolvers.
///
/// With a search domain the catch-all route `~.` is set as well, so that other links' resolvers are
/// not asked for unrelated names in parallel.
pub(crate) fn set(
    program: &Path,
    interface: &str,
    servers: &[IpAddr],
    search: Option<&DomainName>,
) -> Result<(), PlatformFault> {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let domains: Vec<String> = search.map(ToString::to_string).into_iter().collect();
    let servers = servers.iter().map(String::as_str);
    let domains = domains.iter().map(String::as_str).chain(["~."]);
    run(program, ["dns", interface].into_iter().chain(servers))?;
    run(program, ["domain", interface].into_iter().chain(domains))?;
    // Single-label names reach the client by LLMNR. spec: data-plane 12.7
    run(program, ["llmnr", interface, "true"])?;
    Ok(())
}

/// Takes all settings from the interface, which may be gone.
pub(crate) fn revert(program: &Path, interface: &str) {
    if let Err(error) = run(program, ["revert", interface]) {
        tracing::debug!(%error, "nothing to revert in systemd-resolved");
    }
}

/// Forgets cached answers.
pub(crate) fn flush(program: &Path) {
    if let Err(error) = run(program, ["flush-caches"]) {
        tracing::warn!(%error, "cannot flush the DNS cache");
    }
}

/// Resolvers of all links and the global ones.
pub(crate) fn resolvers(program: &Path) -> Result<Vec<IpAddr>, PlatformFault> {
    run(program, ["dns"]).map(|output| addresses(&output))
}

/// Picks addresses out of the output; annotations (port, scope, server name) are cut off.
fn addresses(output: &str) -> Vec<IpAddr> {
    output.split_whitespace().filter_map(address).collect()
}

fn address(word: &str) -> Option<IpAddr> {
    let word = word.split(['#', '%']).next()?;
    let bare = word.parse().ok();
    // `address:port`, IPv6 in brackets.
    bare.or_else(|| word.parse().ok().map(|s: std::net::SocketAddr| s.ip()))
}

fn run<'a>(
    program: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<String, PlatformFault> {
    let fault = |problem: String| PlatformFault::Dns {
        problem,
        remedy: REMEDY,
    };
    let name = program.display();
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error: io::Error| fault(format!("cannot run {name}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    let reason = reason.lines().next().unwrap_or_default().trim();
    Err(fault(format!("{name}: {reason} ({})", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    /// A program that writes its arguments to a file and does as told.
    fn fake(name: &str, script: &str) -> (PathBuf, PathBuf) {
        let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (program, log) = (directory.join("resolvectl"), directory.join("log"));
        let text = format!("#!/bin/sh\necho \"$@\" >> {}\n{script}\n", log.display());
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        (program, log)
    }

    fn finish(program: &Path) {
        fs::remove_dir_all(program.parent().unwrap()).unwrap();
    }

    #[test]
    fn three_commands_set_servers_domains_and_llmnr() {
        let (program, log) = fake("resolved-set", "");
        let servers = ["100.100.111.1", "fd00::1"].map(|a| a.parse().unwrap());
        let search = "corp.example".parse().unwrap();
        set(&program, "tun0", &servers, Some(&search)).unwrap();
        set(&program, "tun0", &servers[..1], None).unwrap();
        flush(&program);
        let expected = "dns tun0 100.100.111.1 fd00::1\ndomain tun0 corp.example ~.\n\
                        llmnr tun0 true\ndns tun0 100.100.111.1\ndomain tun0 ~.\n\
                        llmnr tun0 true\nflush-caches\n";
        assert_eq!(fs::read_to_string(log).unwrap(), expected);
        finish(&program);
    }

    #[test]
    fn failure_says_what_and_what_to_do() {
        let (program, _) = fake("resolved-fail", "echo 'Unit not found' >&2; exit 1");
        let text = resolvers(&program).unwrap_err().to_string();
        assert!(text.contains("Unit not found"), "{text}");
        assert!(text.contains("choose another DNS control method"), "{text}");
        finish(&program);
        let text = resolvers(&program).unwrap_err().to_string();
        assert!(text.contains("cannot run"), "{text}");
    }

    #[test]
    fn annotated_servers_are_understood() {
        let output = "Global: 192.0.2.53 1.1.1.1#cloudflare-dns.com\n\
                      Link 2 (eth0): 192.0.2.1:5353 fe80::1%eth0 [2001:db8::1]:53 2001:db8::2\n\
                      Link 3 (tun-firezone): 100.100.111.1\n";
        let expected = [
            "192.0.2.53",
            "1.1.1.1",
            "192.0.2.1",
            "fe80::1",
            "2001:db8::1",
            "2001:db8::2",
            "100.100.111.1",
        ];
        let expected = expected.map(|a| a.parse::<IpAddr>().unwrap());
        assert_eq!(addresses(output), expected);
    }
}

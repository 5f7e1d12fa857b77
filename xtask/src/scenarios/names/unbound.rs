//! The resolver `unbound` on the public resolver's host, with names of its own.

use super::super::{Scene, start_on};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command},
};
use testbed::layout;

/// A name with an address of each family.
pub(super) const NAME: &str = "www.public.test";

/// A name with a text that needs EDNS, and the length of its text in bytes.
pub(super) const MEDIUM: (&str, usize) = ("medium.public.test", 4 * TEXT);

/// A name with a text that fits no packet, and the length of its text in bytes.
pub(super) const BIG: (&str, usize) = ("big.public.test", 16 * TEXT);

/// Bytes of one string of a text.
const TEXT: usize = 200;

/// Beside the resolver that is there already.
const PORT: u16 = 5300;

/// A running resolver; it ends with the value.
pub(super) struct Unbound {
    child: Child,
}

impl Unbound {
    /// Starts it, and waits until it answers.
    pub(super) fn start(scene: &Scene<'_>) -> Result<Self> {
        let file = scene.directory.join("unbound.conf");
        fs::write(&file, config(scene.directory)).context("write the resolver's configuration")?;
        let mut command = Command::new("unbound");
        command.arg("-d").arg("-c").arg(&file);
        let child = start_on(scene.testbed.resolver(), command)?;
        let mut unbound = Self { child };
        let log = unbound.child.stderr.take();
        let mut lines = BufReader::new(log.context("unbound has no log")?).lines();
        let mut printed = String::new();
        while let Some(line) = lines.next().transpose()? {
            if line.contains("start of service") {
                return Ok(unbound);
            }
            printed.push_str(&line);
        }
        bail!("unbound does not start: {printed}")
    }

    /// Where it answers.
    pub(super) fn address(&self) -> String {
        format!("{}:{PORT}", layout::RESOLVER)
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

fn config(directory: &Path) -> String {
    let record = |name: &str, data: &str| format!("  local-data: '{name}. 60 IN {data}'\n");
    let text = |(name, length): (&str, usize)| {
        let strings = vec![format!("\"{}\"", "x".repeat(TEXT)); length / TEXT];
        record(name, &format!("TXT {}", strings.join(" ")))
    };
    let records = [
        record(NAME, &format!("A {}", layout::RESOLVER)),
        record(NAME, &format!("AAAA {}", layout::RESOLVER6)),
        record(layout::PORTAL_NAME, &format!("A {}", layout::PORTAL)),
        record(layout::PORTAL_NAME, &format!("AAAA {}", layout::PORTAL6)),
        text(MEDIUM),
        text(BIG),
    ];
    format!(
        "server:
  directory: '{directory}'
  chroot: ''
  username: ''
  pidfile: ''
  logfile: ''
  use-syslog: no
  do-daemonize: no
  interface: {address}@{PORT}
  access-control: 0.0.0.0/0 allow
  module-config: 'iterator'
  edns-buffer-size: 4096
  max-udp-size: 4096
  local-zone: '.' static
{records}
remote-control:
  control-enable: no
",
        directory = directory.display(),
        address = layout::RESOLVER,
        records = records.concat(),
    )
}

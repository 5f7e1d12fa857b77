//! What is tried on the client's host.

use super::table::{Row, Table};
use std::{io, net::SocketAddr, time::Duration};
use testbed::{
    Fault, Path, Testbed, layout,
    user::{self, Family, Target, Transfer},
};

/// Size of the large transfers, in bytes.
const LARGE: u64 = 100_000_000;

/// Payload of datagrams and pings, in bytes.
const PAYLOAD: usize = 1000;

/// How many datagrams and pings are sent.
const COUNT: u8 = 10;

/// Size of the small downloads: much more than what keeps connections alive, so that the counters
/// tell the path.
const SMALL: u64 = 100_000;

/// One round of checks.
pub(crate) struct Session<'a> {
    testbed: &'a Testbed,
    expected: Path,
}

/// What a check measures.
struct Figures {
    first_byte: Option<Duration>,
    rate: Option<f64>,
}

impl<'a> Session<'a> {
    /// Checks that everything works and goes the expected way.
    pub(crate) const fn new(testbed: &'a Testbed, expected: Path) -> Self {
        Self { testbed, expected }
    }

    pub(crate) fn run(&self, table: &mut Table) {
        let names = [("IPv4", Family::V4), ("IPv6", Family::V6)];
        for (label, family) in names {
            let target = Target::resource(family);
            self.transfer(table, &format!("HTTP by address, {label}"), move || {
                small(&target)
            });
        }
        for (label, family) in names {
            let target = Target::resource_name(family);
            self.transfer(table, &format!("HTTP by name, {label}"), move || {
                small(&target)
            });
        }
        for (label, family) in names {
            self.latency(table, &format!("UDP echo, {label}"), move || {
                let server = Target::resource(family).address()?;
                user::udp_echo(SocketAddr::new(server, layout::ECHO_PORT), PAYLOAD, COUNT)
            });
        }
        for (label, family) in names {
            self.latency(table, &format!("ping, {label}"), move || {
                user::ping(Target::resource(family).address()?, PAYLOAD, COUNT)
            });
        }
        let target = Target::resource(Family::V4);
        let up = target.clone();
        self.transfer(table, "download of 100 MB, hash checked", move || {
            user::download(&target, LARGE)
        });
        self.transfer(table, "upload of 100 MB, hash checked", move || {
            user::upload(&up, LARGE)
        });
    }

    fn latency(
        &self,
        table: &mut Table,
        what: &str,
        job: impl FnOnce() -> io::Result<Duration> + Send + 'static,
    ) {
        self.check(table, what, move || {
            Ok(Figures {
                first_byte: Some(job()?),
                rate: None,
            })
        });
    }

    fn transfer(
        &self,
        table: &mut Table,
        what: &str,
        job: impl FnOnce() -> io::Result<Transfer> + Send + 'static,
    ) {
        let upload = what.starts_with("upload");
        self.check(table, what, move || {
            let transfer = job()?;
            Ok(Figures {
                // What answers an upload comes after all of it.
                first_byte: (!upload).then_some(transfer.first_byte),
                rate: (transfer.bytes == LARGE).then(|| transfer.rate()),
            })
        });
    }

    fn check(
        &self,
        table: &mut Table,
        what: &str,
        job: impl FnOnce() -> io::Result<Figures> + Send + 'static,
    ) {
        let (figures, path, fault) = match self.observe(job) {
            Ok((Ok(figures), path)) if path == Some(self.expected) => (Some(figures), path, None),
            Ok((Ok(figures), path)) => (
                Some(figures),
                path,
                Some(format!("it should be {}", self.expected)),
            ),
            Ok((Err(error), path)) => (None, path, Some(error.to_string())),
            Err(fault) => (
                None,
                None,
                Some(format!("{:#}", anyhow::Error::from(fault))),
            ),
        };
        table.row(&Row {
            what: what.to_owned(),
            path,
            first_byte: figures.as_ref().and_then(|figures| figures.first_byte),
            rate: figures.as_ref().and_then(|figures| figures.rate),
            fault,
        });
    }

    /// Runs a check and says which way its packets went.
    fn observe<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Option<Path>), Fault> {
        let before = self.testbed.counters()?;
        let result = self.testbed.client().run(job)?;
        let went = self.testbed.counters()? - before;
        Ok((result, went.path()))
    }
}

/// The first page, and enough bytes to tell the path.
fn small(target: &Target) -> io::Result<Transfer> {
    let page = user::exchange(target)?;
    user::download(target, SMALL)?;
    Ok(page)
}

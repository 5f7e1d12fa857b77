//! A network of hosts in namespaces of this machine, for demonstrations, benchmarks and scenarios.
//!
//! ```text
//!               the public network: 203.0.113.0/24, 2001:db8:113::/64
//!    +--------+--------+---------+-----------------+------------------+
//!    |        |        |         |                 |                  |
//!  portal   relay1   relay2   resolver       client's router    gateway's router
//!                                                  |                  |
//!                                               client             gateway
//!                                                                     |
//!                                    resource: HTTP, UDP echo, DNS ---+
//! ```
//!
//! What it is not: connected to anything. Links are made in namespaces and end with them, and
//! namespaces end with the process, however it ends.
//!
//! # Contract
//!
//! [`Testbed::build`] lays the network and starts the services of the resource network and the
//! public resolver in this process. [`Deployment`] starts portal, relays, gateways and client as
//! programs in it. [`user`] has what a person would try on the client. It needs root, or a kernel
//! that lets anybody make user namespaces: then call [`become_root`] before any thread starts.
//!
//! ```no_run
//! use testbed::{Deployment, Testbed, Nat, Programs, RunDirectory, Spec};
//! # fn run(programs: Programs) -> Result<(), testbed::Fault> {
//! let directory = RunDirectory::new()?;
//! let testbed = Testbed::build(Spec { client_nat: Nat::Symmetric, ..Spec::default() })?;
//! let mut network = Deployment::start(&testbed, &directory, programs)?;
//! network.start_client()?;
//! let before = testbed.counters()?;
//! // … use it with `testbed.client().run(…)` …
//! println!("{:?}", (testbed.counters()? - before).path());
//! # Ok(())
//! # }
//! ```
//!
//! # Decisions
//!
//! * Everything is done by system calls but address translation, for which `nft` is called.
//! * A host is a thread; a program that it starts is tied to the thread by the kernel. There is
//!   nothing to clean up but the run directory, which the next start does if need be.

#![cfg(target_os = "linux")]

mod deployment;
mod fault;
mod files;
mod host;
pub mod layout;
mod link;
mod namespace;
mod program;
mod router;
mod run_directory;
mod services;
mod testbed;
pub mod user;

pub use self::{
    deployment::{CLIENT_TOKEN, Deployment, Launch, Programs},
    fault::Fault,
    host::Host,
    link::Link,
    program::{Program, Usage, pause},
    router::{Counters, Nat, Path},
    run_directory::RunDirectory,
    testbed::{Spec, Testbed, become_root},
};

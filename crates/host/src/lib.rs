//! The contract with the machine that a program runs on: who it is, where its files are and who may
//! read them, how the process is treated, and what signals and the service manager want of it.
//!
//! What it is not: nothing in here touches the network, which is the contract of `platform`.
//! Sockets between processes of one machine are `local-socket`.
//!
//! # Contract
//!
//! Each system has one private module, chosen in this file and nowhere else. This is all it owes.
//! Whoever calls an item stands behind it: *headless* is the headless client, *service* the tunnel
//! service, *ctl* its command for shells, *devnet* the development parties.
//!
//! | item | what a system owes | callers |
//! |---|---|---|
//! | [`os_info`] | name, version, architecture and kernel, as portals know them | all |
//! | [`host_name`] | the name of the machine, if it has one | all |
//! | [`device_ids`] | serial number and UUID of the firmware, if they can be read | headless, service |
//! | [`load_or_create_device_id`] | an identity of the machine that takes the place of a file, if there is one (the rest is common) | headless, service |
//! | [`device_id_origin`] | nothing in addition; it changes nothing | headless |
//! | [`read_secret`] | reads what nobody but the administrator of the machine can read or write | headless |
//! | [`read_credential`] | reads what the service manager hands over | headless |
//! | [`read_container_secret`] | reads what the manager of a container hands over | headless |
//! | [`read_own_secret`] | reads what nobody but this user and the administrator can read or write | ctl |
//! | [`write_secret`] | writes what [`read_secret`] takes, whole or not at all | headless |
//! | [`StateDirectory`] | files that nobody else can have written, whole or not at all; read by a group if wanted | service, device identity |
//! | [`create_log_file`] | a log file, not to be written by others, and a link to the latest one | headless, service |
//! | [`LogDirectory`] | log files that are there already, and their end | headless, service |
//! | [`check_program`] | whether others can have written a program, or a directory on the way to it | service |
//! | [`places`] | where all of this is unless the operator says otherwise | headless, service |
//! | [`Group`] | the users that a name stands for | headless, service, `local-socket` |
//! | [`is_administrator`] | whether this process may do anything on this machine | service |
//! | [`uptime`] | how long the machine is up | service |
//! | [`forbid_core_dumps`], [`use_small_pages`] | how the process is treated; best effort | all |
//! | [`raise_socket_buffer_limits`] | limits of socket buffers, where the system has them | headless |
//! | [`Signals`] | who wants the program to stop, and who wants it to begin anew | all |
//! | [`ServiceManager`] | what the service manager is told, if there is one | headless, service |
//! | [`service`] | what the service manager says, how it starts a service, how one is installed | headless, service |
//! | [`help`] | words of help texts that differ between systems | headless, service |
//!
//! `tests/contract.rs` holds every system to it, as far as one process can tell.
//!
//! # Decisions
//!
//! * **Permissions go through descriptors.** A file is opened once, without following links where
//!   somebody else could have put one, and examined, read and given away by that descriptor.
//! * **Errors say what to do**, in the words of the system.

mod device_id;
mod fault;
mod files;
mod group;
pub mod help;
mod identity;
mod log_directory;
pub mod places;
mod process;
pub mod service;
mod service_manager;
mod signals;
mod state;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as imp;

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the crate `host` knows no such system yet: write a module like `linux` that keeps the contract \
     of the crate's page, and choose it here"
);

pub use device_id::{DEVICE_ID_FILE, DeviceIdOrigin, device_id_origin, load_or_create_device_id};
pub use fault::FileFault;
pub use files::{
    check_program, create_log_file, read_container_secret, read_credential, read_own_secret,
    read_secret, write_secret,
};
pub use group::{Group, RawGroup};
pub use identity::{device_ids, host_name, os_info};
pub use log_directory::{LogDirectory, LogEntry};
pub use process::{
    forbid_core_dumps, is_administrator, raise_socket_buffer_limits, uptime, use_small_pages,
};
pub use service_manager::ServiceManager;
pub use signals::{Signal, Signals};
pub use state::StateDirectory;

//! Where things are on Linux. spec: client-app 7

use super::service;
use std::path::PathBuf;

pub(crate) fn token() -> PathBuf {
    "/etc/dev.firezone.client/token".into()
}

pub(crate) fn state() -> PathBuf {
    "/var/lib/dev.firezone.client/config".into()
}

pub(crate) fn service_logs() -> PathBuf {
    "/var/log/dev.firezone.client".into()
}

pub(crate) fn service_sockets() -> PathBuf {
    "/run/dev.firezone.client".into()
}

pub(crate) fn client_sockets() -> PathBuf {
    service::runtime_directory().unwrap_or_else(|| "/run/firezone-headless-client".into())
}

pub(crate) fn gui() -> PathBuf {
    "/usr/bin/firezone-client-gui".into()
}

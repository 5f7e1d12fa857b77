//! Who connects, where to, and with what: everything that is fixed for a session. spec: portal 2

use model::{DeviceIds, PublicKey};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use url::{Host, Url, form_urlencoded};
use zeroize::Zeroizing;

/// The port when the URL names none, also for `ws`. spec: portal 2.1
const DEFAULT_PORT: u16 = 443;

/// The longest text the portal takes for a parameter, in characters. spec: portal 13
const MAX_PARAMETER: usize = 255;

/// Why a login cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// A root certificate is neither DER nor PEM, or there is none in the file.
    #[error("an extra root certificate cannot be read")]
    Certificate,
    /// The URL of the portal has no host.
    #[error("the portal's URL has no host")]
    Host,
    /// A relay needs at least one public address.
    #[error("a relay needs a public address")]
    NoAddress,
    /// There is no token, or one that cannot be sent.
    #[error("the token is empty")]
    NoToken,
    /// A parameter is longer than the portal takes.
    #[error("{0} is longer than 255 characters")]
    TooLong(&'static str),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The user agent has characters that no header can have.
    #[error("the user agent has characters that are not printable ASCII")]
    UserAgent,
    /// The URL of the portal has another scheme.
    #[error("the portal's URL must start with https, http, wss or ws")]
    Scheme,
}

/// What kind of party connects. spec: portal 1
#[derive(Debug, Clone)]
pub enum Party {
    /// A client.
    Client,
    /// A gateway.
    Gateway,
    /// A relay and where it is reached.
    Relay {
        /// Its public IPv4 address; at least one of the two is present.
        ipv4: Option<Ipv4Addr>,
        /// Its public IPv6 address.
        ipv6: Option<Ipv6Addr>,
        /// The UDP port it listens on.
        port: u16,
        /// What TURN passwords are derived from; new at each start of the relay.
        stamp_secret: SecretString,
    },
}

impl Party {
    /// The topic of the channel, which is also the first segment of the path.
    pub const fn topic(&self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Relay { .. } => "relay",
        }
    }
}

/// A checked login: what is fixed from the start of a session to its end.
#[derive(Clone)]
pub struct Login {
    secure: bool,
    host: Host<String>,
    port: u16,
    path: String,
    party: Party,
    token: SecretString,
    parameters: Vec<(&'static str, String)>,
    user_agent: String,
    tls: Arc<ClientConfig>,
}

impl Login {
    /// A login for `party` at the portal with this base URL. spec: portal 2.1
    ///
    /// `external_id` is ignored for relays, see [`crate::external_id`]; `user_agent` comes from
    /// [`crate::user_agent`].
    ///
    /// # Errors
    ///
    /// When the URL, the token or a parameter cannot work at all.
    pub fn new(
        api_url: &Url,
        party: Party,
        token: &SecretString,
        external_id: &str,
        user_agent: &str,
    ) -> Result<Self, LoginError> {
        let secure = match api_url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err(LoginError::Scheme),
        };
        let host = api_url.host().ok_or(LoginError::Host)?.to_owned();
        if !user_agent.bytes().all(|b| (b' '..=b'~').contains(&b)) || user_agent.is_empty() {
            return Err(LoginError::UserAgent);
        }
        let mut parameters = Vec::new();
        match &party {
            Party::Client | Party::Gateway => {
                parameters.push(parameter("external_id", external_id)?);
            }
            Party::Relay { ipv4, ipv6, .. } if ipv4.is_none() && ipv6.is_none() => {
                return Err(LoginError::NoAddress);
            }
            Party::Relay { .. } => {}
        }
        Ok(Self {
            secure,
            host,
            port: api_url.port().unwrap_or(DEFAULT_PORT),
            path: path(api_url, &party),
            party,
            token: printable_token(token)?,
            parameters,
            user_agent: user_agent.to_owned(),
            tls: tls_config(&[])?,
        })
    }

    /// The same login with a friendly name.
    ///
    /// # Errors
    ///
    /// When the name has more than 255 characters.
    pub fn named(mut self, name: &str) -> Result<Self, LoginError> {
        if !name.is_empty() {
            self.parameters.push(parameter("name", name)?);
        }
        Ok(self)
    }

    /// The same login with what the firmware calls the machine; leaving it out is always possible.
    /// spec: portal 2.3
    ///
    /// Call it after [`Login::named`]:
    /// parameters travel in the order in which they are given.
    ///
    /// # Errors
    ///
    /// When a value has more than 255 characters.
    pub fn device(mut self, device: &DeviceIds) -> Result<Self, LoginError> {
        if let Some(serial) = device.serial() {
            self.parameters.push(parameter("device_serial", serial)?);
        }
        if let Some(uuid) = device.uuid() {
            self.parameters.push(parameter("device_uuid", uuid)?);
        }
        Ok(self)
    }

    /// The same login, trusting these certificates beside the bundled web roots. Each item is a
    /// certificate in DER or a bundle in PEM.
    ///
    /// # Errors
    ///
    /// When an item holds no certificate, or one that cannot be a root.
    pub fn trusting(mut self, roots: &[Vec<u8>]) -> Result<Self, LoginError> {
        self.tls = tls_config(roots)?;
        Ok(self)
    }

    /// The kind of party.
    pub const fn party(&self) -> &Party {
        &self.party
    }

    /// The host, as it may be shown.
    pub fn host(&self) -> String {
        self.host.to_string()
    }

    /// The port that is dialled.
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) const fn secure(&self) -> bool {
        self.secure
    }

    /// The host if it is an address already: nothing to resolve then.
    pub(crate) const fn literal(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
        }
    }

    pub(crate) fn user_agent(&self) -> &str {
        &self.user_agent
    }

    pub(crate) const fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// What goes with the join. spec: portal 1
    pub(crate) fn join_payload(&self) -> Value {
        match &self.party {
            Party::Client | Party::Gateway => Value::Null,
            Party::Relay { stamp_secret, .. } => {
                json!({"stamp_secret": stamp_secret.expose_secret()})
            }
        }
    }

    /// The whole URL: with the token in it, so it is wiped and must never be shown.
    pub(crate) fn url(&self, key: Option<&PublicKey>) -> Zeroizing<String> {
        let scheme = if self.secure { "wss" } else { "ws" };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("token", self.token.expose_secret());
        // `external_id` and `name` come before a relay's address, the device after it.
        for (name, value) in &self.parameters {
            query.append_pair(name, value);
        }
        if let Party::Relay {
            ipv4, ipv6, port, ..
        } = &self.party
        {
            if let Some(ipv4) = ipv4 {
                query.append_pair("ipv4", &ipv4.to_string());
            }
            if let Some(ipv6) = ipv6 {
                query.append_pair("ipv6", &ipv6.to_string());
            }
            query.append_pair("port", &port.to_string());
        }
        if let Some(key) = key {
            query.append_pair("public_key", &key.to_string());
        }
        let query = Zeroizing::new(query.finish());
        Zeroizing::new(format!(
            "{scheme}://{}:{}{}?{}",
            self.host,
            self.port,
            self.path,
            query.as_str()
        ))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("host", &self.host())
            .field("port", &self.port)
            .field("party", &self.party.topic())
            .finish_non_exhaustive()
    }
}

/// The path of the party's socket below the base URL, without one empty last segment.
fn path(api_url: &Url, party: &Party) -> String {
    let base = api_url.path();
    let base = base.strip_suffix('/').unwrap_or(base);
    format!("{base}/{}/websocket", party.topic())
}

fn parameter(name: &'static str, value: &str) -> Result<(&'static str, String), LoginError> {
    if value.chars().count() > MAX_PARAMETER {
        return Err(LoginError::TooLong(name));
    }
    Ok((name, value.to_owned()))
}

/// The token without white space, which editors and shells like to add to files.
fn printable_token(token: &SecretString) -> Result<SecretString, LoginError> {
    let mut text = Zeroizing::new(String::with_capacity(token.expose_secret().len()));
    let printable = token.expose_secret().chars().filter(|c| !c.is_whitespace());
    text.extend(printable);
    if text.is_empty() {
        return Err(LoginError::NoToken);
    }
    Ok(SecretString::from(text.as_str()))
}

/// TLS 1.2 and 1.3 without ALPN, with the bundled roots and these. spec: portal 2.9
fn tls_config(extra: &[Vec<u8>]) -> Result<Arc<ClientConfig>, LoginError> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    for item in extra {
        let mut certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(item)
            .collect::<Result<_, _>>()
            .map_err(|_| LoginError::Certificate)?;
        if certificates.is_empty() {
            certificates.push(CertificateDer::from(item.as_slice()));
        }
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|_| LoginError::Certificate)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(LoginError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;

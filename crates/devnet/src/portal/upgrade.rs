//! The HTTP request that opens a websocket. spec: portal 2.2, 2.3, 2.8, 10.3

use super::{
    config::{Directory, Owner, Token, TokenKind},
    connections::{Reach, Session},
    identity::version_of,
};
use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};
use url::form_urlencoded;

/// The longest parameter, in characters. spec: portal 13
const MAX_PARAMETER: usize = 255;

/// What the portal looks at in a request.
#[derive(Clone, Copy)]
pub struct Upgrade<'a> {
    /// The path, without the query.
    pub path: &'a str,
    /// The query; may hold the token.
    pub query: &'a str,
    /// The `User-Agent` header.
    pub user_agent: &'a str,
    /// The `X-Authorization` header, where newer parties carry the token.
    pub authorization: Option<&'a str>,
    /// Where the request comes from.
    pub remote: IpAddr,
}

/// Why there is no websocket: an HTTP status and a line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{status} {text}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: &'static str,
}

const fn refuse<T>(status: u16, text: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, text })
}

/// A request that may become a connection.
pub(crate) struct Admission {
    pub(crate) session: Session,
    /// Clients and gateways have one.
    pub(crate) external_id: String,
}

impl Upgrade<'_> {
    /// Checks path, token and parameters, in this order.
    pub(crate) fn admit(&self, directory: &Directory, unix: u64) -> Result<Admission, Refusal> {
        let kind = match self.path {
            "/client/websocket" => TokenKind::Client,
            "/gateway/websocket" => TokenKind::Gateway,
            "/relay/websocket" => TokenKind::Relay,
            _ => return refuse(404, "Not Found"),
        };
        let parameters: BTreeMap<Cow<'_, str>, Cow<'_, str>> =
            form_urlencoded::parse(self.query.as_bytes()).collect();
        let bearer = self
            .authorization
            .and_then(|text| text.strip_prefix("Bearer "));
        let Some(text) = bearer.or(parameters.get("token").map(AsRef::as_ref)) else {
            return refuse(401, "Missing token");
        };
        let Some(token) = directory
            .token(text, unix)
            .filter(|t| t.owner.kind() == kind)
        else {
            return refuse(401, "Invalid token");
        };
        if directory.account.disabled {
            return refuse(403, "The account is disabled");
        }
        self.session(token, &parameters)
    }

    fn session(
        &self,
        token: &Token,
        parameters: &BTreeMap<Cow<'_, str>, Cow<'_, str>>,
    ) -> Result<Admission, Refusal> {
        let parameter = |name: &str| parameters.get(name).map(AsRef::as_ref);
        if parameters
            .iter()
            .any(|(name, text)| name != "token" && text.chars().count() > MAX_PARAMETER)
        {
            return refuse(422, "A parameter is too long");
        }
        let Some(version) = version_of(self.user_agent) else {
            return refuse(422, "The user agent has no version");
        };
        let mut key = None;
        let mut reach = None;
        let mut external_id = "";
        if token.owner == Owner::Relays {
            reach = Some(self::reach(&parameter)?);
        } else {
            external_id = parameter("external_id").unwrap_or_default();
            if external_id.is_empty() {
                return refuse(422, "external_id is missing");
            }
            key = parameter("public_key").and_then(|text| text.parse().ok());
            if key.is_none() {
                return refuse(422, "public_key is missing or invalid");
            }
        }
        let name = parameter("name").unwrap_or(external_id);
        Ok(Admission {
            session: Session {
                token: token.digest,
                owner: token.owner.clone(),
                token_ends: token.expires_at,
                name: name.to_owned(),
                key,
                version: version.to_owned(),
                user_agent: self.user_agent.to_owned(),
                remote: self.remote,
                reach,
            },
            external_id: external_id.to_owned(),
        })
    }
}

/// Where a relay says it is reached; at least one address that parses.
fn reach<'a>(parameter: &impl Fn(&str) -> Option<&'a str>) -> Result<Reach, Refusal> {
    let ipv4 = parameter("ipv4").map(str::parse).transpose();
    let ipv6 = parameter("ipv6").map(str::parse).transpose();
    let port = parameter("port").map(str::parse::<u16>).transpose();
    match (ipv4, ipv6, port) {
        (Ok(None), Ok(None), _) => refuse(422, "A relay needs an address"),
        (Ok(ipv4), Ok(ipv6), Ok(Some(port))) if port != 0 => Ok(Reach { ipv4, ipv6, port }),
        _ => refuse(422, "An address or the port is invalid"),
    }
}

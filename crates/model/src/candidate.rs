//! ICE candidates in the text form that travels through the portal. spec: data-plane 2.7

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// The longest candidate text that is looked at, in bytes.
const MAX_TEXT: usize = 512;

/// Where a candidate's address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CandidateKind {
    /// An address of the host itself.
    Host,
    /// Learned from a connectivity check of the peer.
    PeerReflexive,
    /// An address of a relay's allocation.
    Relay,
    /// What a relay saw as our address.
    ServerReflexive,
}

impl CandidateKind {
    /// The token after `typ`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::PeerReflexive => "prflx",
            Self::Relay => "relay",
            Self::ServerReflexive => "srflx",
        }
    }
}

/// Why a text is not a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UDP candidate of component 1: {0} is missing or malformed")]
pub struct CandidateFault(&'static str);

/// One address under which a peer may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Opaque text that groups candidates of one origin, at most 32 characters.
    pub foundation: String,
    /// RFC 8445 priority, larger is better.
    pub priority: u32,
    /// The address itself.
    pub address: SocketAddr,
    /// Where the address comes from.
    pub kind: CandidateKind,
    /// The base behind a reflexive or relayed address; a placeholder when the sender hides it.
    pub base: Option<SocketAddr>,
    /// User fragment of the sender's ICE credentials.
    pub ufrag: Option<String>,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "candidate:{} 1 udp {} {} {} typ {}",
            self.foundation,
            self.priority,
            self.address.ip(),
            self.address.port(),
            self.kind.token()
        )?;
        if let Some(base) = self.base {
            write!(f, " raddr {} rport {}", base.ip(), base.port())?;
        }
        if let Some(ufrag) = &self.ufrag {
            write!(f, " ufrag {ufrag}")?;
        }
        Ok(())
    }
}

impl FromStr for Candidate {
    type Err = CandidateFault;

    fn from_str(text: &str) -> Result<Self, CandidateFault> {
        if text.len() > MAX_TEXT {
            return Err(CandidateFault("a reasonable length"));
        }
        let rest = text
            .strip_prefix("candidate:")
            .ok_or(CandidateFault("the prefix"))?;
        let mut words = rest.split_ascii_whitespace();
        let mut next = |what| words.next().ok_or(CandidateFault(what));

        let foundation = next("the foundation")?;
        if foundation.len() > 32 {
            return Err(CandidateFault("the foundation"));
        }
        if next("the component")? != "1" {
            return Err(CandidateFault("the component"));
        }
        if !next("the transport")?.eq_ignore_ascii_case("udp") {
            return Err(CandidateFault("the transport"));
        }
        let priority = parse(next("the priority")?, "the priority")?;
        let ip: IpAddr = parse(next("the address")?, "the address")?;
        let port: u16 = parse(next("the port")?, "the port")?;
        if next("the type")? != "typ" {
            return Err(CandidateFault("the type"));
        }
        let kind = match next("the type")? {
            "host" => CandidateKind::Host,
            "prflx" => CandidateKind::PeerReflexive,
            "relay" => CandidateKind::Relay,
            "srflx" => CandidateKind::ServerReflexive,
            _ => return Err(CandidateFault("the type")),
        };
        let (base, ufrag) = parse_extensions(words)?;
        Ok(Self {
            foundation: foundation.to_owned(),
            priority,
            address: SocketAddr::new(ip, port),
            kind,
            base,
            ufrag,
        })
    }
}

/// Reads the key and value pairs after the type; unknown keys are skipped.
fn parse_extensions<'a>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<(Option<SocketAddr>, Option<String>), CandidateFault> {
    let mut ip: Option<IpAddr> = None;
    let mut port: Option<u16> = None;
    let mut ufrag = None;
    while let Some(key) = words.next() {
        let value = words.next().ok_or(CandidateFault("an extension's value"))?;
        match key {
            "raddr" => ip = Some(parse(value, "the base address")?),
            "rport" => port = Some(parse(value, "the base port")?),
            "ufrag" => ufrag = Some(value.to_owned()),
            _ => {}
        }
    }
    let base = match (ip, port) {
        (Some(ip), Some(port)) => Some(SocketAddr::new(ip, port)),
        _ => None,
    };
    Ok((base, ufrag))
}

fn parse<T: FromStr>(word: &str, what: &'static str) -> Result<T, CandidateFault> {
    word.parse().map_err(|_| CandidateFault(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_round_trip() {
        for text in [
            "candidate:8473625 1 udp 2130706175 203.0.113.20 52625 typ host",
            "candidate:1122334 1 udp 1686109951 203.0.113.7 40000 typ srflx raddr 0.0.0.0 rport 0",
            "candidate:ab 1 udp 37748479 2001:db8::9 50000 typ relay raddr :: rport 0 ufrag o4ei",
            "candidate:4850632116527233482 1 udp 16777215 198.51.100.9 50000 typ relay \
             raddr 192.168.1.5 rport 52625",
        ] {
            let candidate: Candidate = text.parse().unwrap();
            assert_eq!(candidate.to_string(), text);
        }
    }

    #[test]
    fn unknown_extensions_are_skipped() {
        let candidate: Candidate =
            "candidate:1 1 UDP 1 192.0.2.1 9 typ host generation 0 network-id 3 ufrag x"
                .parse()
                .unwrap();
        assert_eq!(candidate.ufrag.as_deref(), Some("x"));
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in [
            "",
            "candidate:",
            "1 1 udp 1 192.0.2.1 9 typ host",
            "candidate:1 2 udp 1 192.0.2.1 9 typ host",
            "candidate:1 1 tcp 1 192.0.2.1 9 typ host",
            "candidate:1 1 udp x 192.0.2.1 9 typ host",
            "candidate:1 1 udp 1 example.com 9 typ host",
            "candidate:1 1 udp 1 192.0.2.1 99999 typ host",
            "candidate:1 1 udp 1 192.0.2.1 9 typ other",
            "candidate:1 1 udp 1 192.0.2.1 9 typ host raddr",
        ] {
            assert!(text.parse::<Candidate>().is_err(), "{text}");
        }
        let long = format!(
            "candidate:1 1 udp 1 192.0.2.1 9 typ host x {}",
            "y".repeat(600)
        );
        assert!(long.parse::<Candidate>().is_err());
    }
}

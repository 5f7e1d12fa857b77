//! Who is who: ids, tunnel addresses and credentials that follow from identities.
//! spec: portal 10.2, data-plane 2.5, 8

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use model::{ClientId, GatewayId, IceCredentials, PublicKey, ResourceId, SiteId, ranges};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
};

/// How many devices are remembered.
const MAX_DEVICES: usize = 65_536;

/// The host bits of the tunnel ranges, 21 in both families.
const HOST_MASK: u32 = (1 << 21) - 1;

/// How many host numbers are given away, from 2 on.
const HOSTS: u32 = HOST_MASK - 3;

/// A SHA-256 digest that stands for a secret. Comparing takes the same time for all values.
#[derive(Clone, Copy)]
pub(crate) struct Digest([u8; 32]);

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl Eq for Digest {}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// The SHA-256 digest of a text.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut array = [0; 32];
    array.copy_from_slice(digest.as_ref());
    Digest(array)
}

/// Base64 without padding of the SHA-256 digest of a text, as passwords and salts are made of.
pub(crate) fn digest_text(text: &str) -> String {
    STANDARD_NO_PAD.encode(digest(text.as_bytes()).0)
}

/// The id of whatever these words identify, in the shape of a random UUID.
pub(crate) fn derived_id(kind: &str, words: &[&str]) -> [u8; 16] {
    let mut text = kind.to_owned();
    for word in words {
        // The length keeps apart what concatenation would make equal.
        text += &format!(":{}:{word}", word.len());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&digest(text.as_bytes()).0[..16]);
    id[6] = (id[6] & 0x0f) | 0x40;
    id[8] = (id[8] & 0x3f) | 0x80;
    id
}

/// ICE credentials of a client and a gateway; they change only when a key changes.
/// spec: data-plane 2.5
pub(crate) fn ice_credentials(
    client: (ClientId, PublicKey),
    gateway: (GatewayId, PublicKey),
) -> (IceCredentials, IceCredentials) {
    let seed = format!("{}:{}:{}:{}", client.0, client.1, gateway.0, gateway.1);
    let text = base32(&digest(seed.as_bytes()).0);
    let part = |username: &str, password: &str| IceCredentials {
        username: username.to_owned(),
        password: password.into(),
    };
    (
        part(&text[0..4], &text[4..26]),
        part(&text[26..30], &text[30..52]),
    )
}

/// Lower-case base32 without padding, RFC 4648 section 6.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| {
        let byte = bytes.get(at / 8).copied().unwrap_or(0);
        usize::from((byte >> (7 - at % 8)) & 1)
    };
    (0..(bytes.len() * 8).div_ceil(5))
        .map(|group| {
            let value = (0..5).fold(0, |value, at| value * 2 + bit(group * 5 + at));
            char::from(ALPHABET[value])
        })
        .collect()
}

/// The version in a user agent: behind the first component that is known. spec: portal 2.5
pub(crate) fn version_of(user_agent: &str) -> Option<&str> {
    const COMPONENTS: [&str; 7] = [
        "connlib",
        "relay",
        "headless-client",
        "gui-client",
        "apple-client",
        "android-client",
        "gateway",
    ];
    user_agent.split(' ').find_map(|word| {
        let (component, version) = word.split_once('/')?;
        COMPONENTS.contains(&component).then_some(version)
    })
}

/// Whether a text is `x.y.z`, perhaps with more behind it. spec: portal 2.5
pub(crate) fn is_semver(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3 && parts.into_iter().all(number)
}

/// A client or gateway as the portal remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device<O> {
    /// The actor of a client, the site of a gateway.
    pub(crate) owner: O,
    pub(crate) external_id: String,
    pub(crate) name: String,
    pub(crate) ipv4: Ipv4Addr,
    pub(crate) ipv6: Ipv6Addr,
}

/// All devices that ever connected.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    pub(crate) clients: BTreeMap<ClientId, Device<String>>,
    pub(crate) gateways: BTreeMap<GatewayId, Device<SiteId>>,
    taken: BTreeSet<u32>,
}

impl Devices {
    /// The client with this identity; nothing when no more fit.
    pub(crate) fn client(
        &mut self,
        actor: &str,
        external_id: &str,
        name: &str,
    ) -> Option<ClientId> {
        let bytes = derived_id("client", &[actor, external_id]);
        let id = ClientId::from_bytes(bytes);
        if let Some(device) = self.clients.get_mut(&id) {
            device.name = name.to_owned();
            return Some(id);
        }
        let (ipv4, ipv6) = self.allocate(bytes)?;
        let device = Device {
            owner: actor.to_owned(),
            external_id: external_id.to_owned(),
            name: name.to_owned(),
            ipv4,
            ipv6,
        };
        self.clients.insert(id, device);
        Some(id)
    }

    /// The gateway with this identity; nothing when no more fit.
    pub(crate) fn gateway(
        &mut self,
        site: SiteId,
        external_id: &str,
        name: &str,
    ) -> Option<GatewayId> {
        let bytes = derived_id("gateway", &[&site.to_string(), external_id]);
        let id = GatewayId::from_bytes(bytes);
        if let Some(device) = self.gateways.get_mut(&id) {
            device.name = name.to_owned();
            return Some(id);
        }
        let (ipv4, ipv6) = self.allocate(bytes)?;
        let device = Device {
            owner: site,
            external_id: external_id.to_owned(),
            name: name.to_owned(),
            ipv4,
            ipv6,
        };
        self.gateways.insert(id, device);
        Some(id)
    }

    /// A free host number, the one that follows from the id if possible.
    fn allocate(&mut self, id: [u8; 16]) -> Option<(Ipv4Addr, Ipv6Addr)> {
        if self.taken.len() >= MAX_DEVICES {
            return None;
        }
        let start = u32::from_be_bytes([id[0], id[1], id[2], id[3]]) % HOSTS;
        let host = (0..HOSTS)
            .map(|step| 2 + (start + step) % HOSTS)
            .find(|host| !self.taken.contains(host))?;
        self.taken.insert(host);
        Some(addresses(host))
    }

    fn restore(&mut self, ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> bool {
        let host = u32::from(ipv4) & HOST_MASK;
        addresses(host) == (ipv4, ipv6) && self.taken.insert(host)
    }
}

fn addresses(host: u32) -> (Ipv4Addr, Ipv6Addr) {
    (
        Ipv4Addr::from(u32::from(ranges::TUNNEL_V4.network()) | host),
        Ipv6Addr::from(u128::from(ranges::TUNNEL_V6.network()) | u128::from(host)),
    )
}

/// What a portal remembers from one start to the next. Holds no secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedState {
    /// Clients and gateways that ever connected.
    pub devices: Vec<SavedDevice>,
    /// Access that was granted and has not ended.
    pub flows: Vec<SavedFlow>,
}

/// A client or gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedDevice {
    /// The user behind a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The site of a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// What the device calls itself to be recognised.
    pub external_id: String,
    /// Display text.
    pub name: String,
    /// Its IPv4 address inside the tunnel.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address inside the tunnel.
    pub ipv6: Ipv6Addr,
}

/// Access of a client to a resource through a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFlow {
    /// The client.
    pub client: ClientId,
    /// The resource.
    pub resource: ResourceId,
    /// The gateway.
    pub gateway: GatewayId,
    /// When it ends, in Unix seconds.
    pub expires_at: u64,
}

impl Devices {
    /// What is kept of the devices.
    pub(crate) fn save(&self) -> Vec<SavedDevice> {
        let clients = self
            .clients
            .values()
            .map(|d| (Some(d.owner.clone()), None, d.save()));
        let gateways = self
            .gateways
            .values()
            .map(|d| (None, Some(d.owner), d.save()));
        let all = clients.chain(gateways);
        all.map(|(actor, site, rest)| SavedDevice {
            actor,
            site,
            ..rest
        })
        .collect()
    }

    /// The devices of an earlier start; what makes no sense is forgotten.
    pub(crate) fn load(saved: Vec<SavedDevice>) -> Self {
        let mut devices = Self::default();
        for device in saved.into_iter().take(MAX_DEVICES) {
            if !devices.restore(device.ipv4, device.ipv6) {
                continue;
            }
            match (&device.actor, device.site) {
                (Some(actor), None) => {
                    let bytes = derived_id("client", &[actor, &device.external_id]);
                    let owner = actor.clone();
                    let id = ClientId::from_bytes(bytes);
                    devices.clients.insert(id, device.with_owner(owner));
                }
                (None, Some(site)) => {
                    let bytes = derived_id("gateway", &[&site.to_string(), &device.external_id]);
                    let id = GatewayId::from_bytes(bytes);
                    devices.gateways.insert(id, device.with_owner(site));
                }
                _ => {}
            }
        }
        devices
    }
}

impl<O> Device<O> {
    fn save(&self) -> SavedDevice {
        SavedDevice {
            actor: None,
            site: None,
            external_id: self.external_id.clone(),
            name: self.name.clone(),
            ipv4: self.ipv4,
            ipv6: self.ipv6,
        }
    }
}

impl SavedDevice {
    fn with_owner<O>(self, owner: O) -> Device<O> {
        Device {
            owner,
            external_id: self.external_id,
            name: self.name,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn ice_credentials_are_those_of_the_specification() {
        let client = "11111111-1111-1111-1111-111111111111".parse().unwrap();
        let gateway = "22222222-2222-2222-2222-222222222222".parse().unwrap();
        let (client, gateway) = ice_credentials(
            (client, PublicKey::from_bytes([1; 32])),
            (gateway, PublicKey::from_bytes([2; 32])),
        );
        assert_eq!(client.username, "fzm2");
        assert_eq!(client.password.expose_secret(), "5w74fcbvvsg4jcmkcjxqhq");
        assert_eq!(gateway.username, "o4ei");
        assert_eq!(gateway.password.expose_secret(), "gz7fur7x6zgujtjymf3tra");
    }

    #[test]
    fn versions_stand_behind_known_components() {
        for (agent, version, semver) in [
            ("Ubuntu/24.4.0 connlib/1.5.2 (x86_64)", Some("1.5.2"), true),
            (
                "Arch Linux/Rolling Release headless-client/1.5.12",
                Some("1.5.12"),
                true,
            ),
            ("relay/1.0.0", Some("1.0.0"), true),
            ("X/1 connlib/1.4", Some("1.4"), false),
            ("X/1 connlib/1.4.0-rc1", Some("1.4.0-rc1"), true),
            ("X/1 connlib/a.b.c", Some("a.b.c"), false),
            ("curl/8.0.0", None, false),
            ("", None, false),
        ] {
            assert_eq!(version_of(agent), version, "{agent}");
            assert_eq!(version.is_some_and(is_semver), semver, "{agent}");
        }
    }

    #[test]
    fn addresses_are_unique_stable_and_in_range() {
        let mut devices = Devices::default();
        let site = SiteId::from_bytes([5; 16]);
        for number in 0..500 {
            let number = number.to_string();
            devices.client("anna", &number, "c").unwrap();
            devices.gateway(site, &number, "g").unwrap();
        }
        let all: BTreeSet<_> = devices.save().iter().map(|d| (d.ipv4, d.ipv6)).collect();
        assert_eq!(all.len(), 1000);
        for (ipv4, ipv6) in all {
            assert!(ranges::is_tunnel(ipv4.into()) && ranges::is_tunnel(ipv6.into()));
        }
        let again = Devices::default().client("anna", "7", "other name");
        assert_eq!(again, devices.client("anna", "7", "c"));
        assert_ne!(again, devices.client("bob", "7", "c"));
    }

    #[test]
    fn a_taken_address_moves_the_next_device_and_stays_over_a_restart() {
        let mut first = Devices::default();
        let bytes = derived_id("client", &["anna", "1"]);
        let taken = first.allocate(bytes).unwrap();
        let id = first.client("anna", "1", "c").unwrap();
        let moved = &first.clients[&id];
        assert_ne!((moved.ipv4, moved.ipv6), taken);
        let mut second = Devices::load(first.save());
        assert_eq!(second.client("anna", "1", "c"), Some(id));
        assert_eq!(&second.clients[&id], moved);
        assert_eq!(
            Devices::load([first.save(), first.save()].concat()).save(),
            first.save()
        );
    }
}

//! A TURN server in memory: what section 5 of the data-plane specification asks of a relay.
//!
//! `devnet` has another one, and that is meant. This one was written from the specification alone, for
//! the tests of the client: if both servers agree with the client, a misreading of the specification
//! would have to have happened twice. It is also one that a test can have misbehave: go down, restart,
//! wear out nonces.
#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use bytecodec::{DecodeExt as _, EncodeExt as _};
use model::{Relay, RelayId};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    time::{Duration, Instant},
};
use stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, Method, define_attribute_enums,
    rfc5389::{
        attributes::{
            ErrorCode, MessageIntegrity, Nonce, Realm, Software, Username, XorMappedAddress,
        },
        methods::BINDING,
    },
    rfc5766::{
        attributes::{
            ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress, XorRelayAddress,
        },
        methods::{ALLOCATE, CHANNEL_BIND, REFRESH},
    },
    rfc8656::attributes::AdditionalAddressFamily,
};

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        AdditionalAddressFamily,
        ChannelNumber,
        ErrorCode,
        Lifetime,
        MessageIntegrity,
        Nonce,
        Realm,
        RequestedTransport,
        Software,
        Username,
        XorMappedAddress,
        XorPeerAddress,
        XorRelayAddress
    ]
);

pub(crate) const PORT: u16 = 3478;
const REALM: &str = "firezone";
const LIFETIME: Duration = Duration::from_secs(600);
const RESERVED: Duration = Duration::from_secs(900);

/// A datagram that the relay wants to send.
pub(crate) type Outgoing = (SocketAddr, SocketAddr, Vec<u8>);

#[derive(Debug, Clone, Copy)]
struct Channel {
    peer: SocketAddr,
    bound: Instant,
}

#[derive(Debug)]
struct Allocation {
    server: SocketAddr,
    port: u16,
    expires: Instant,
    channels: BTreeMap<u16, Channel>,
}

#[derive(Debug)]
pub(crate) struct TestRelay {
    pub(crate) id: RelayId,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Option<Ipv6Addr>,
    /// A relay that is down answers nothing and forwards nothing.
    pub(crate) up: bool,
    /// How many requests a nonce is good for.
    pub(crate) nonce_uses: u32,
    username: String,
    password: String,
    nonces: BTreeMap<String, u32>,
    made_nonces: u32,
    next_port: u16,
    allocations: BTreeMap<SocketAddr, Allocation>,
    /// Every STUN request with its method, for assertions.
    pub(crate) requests: Vec<Method>,
}

impl TestRelay {
    pub(crate) fn new(n: u8) -> Self {
        Self {
            id: RelayId::from_bytes([n; 16]),
            v4: Ipv4Addr::new(198, 51, 100, n),
            v6: None,
            up: true,
            nonce_uses: 100,
            username: format!("2000000000:salt{n}"),
            password: format!("password{n}"),
            nonces: BTreeMap::new(),
            made_nonces: 0,
            next_port: 50_000,
            allocations: BTreeMap::new(),
            requests: Vec::new(),
        }
    }

    pub(crate) fn dual_stack(n: u8) -> Self {
        Self {
            v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, u16::from(n))),
            ..Self::new(n)
        }
    }

    pub(crate) fn listed(&self) -> Relay {
        Relay {
            id: self.id,
            v4: Some(SocketAddrV4::new(self.v4, PORT)),
            v6: self.v6.map(|ip| SocketAddrV6::new(ip, PORT, 0, 0)),
            username: self.username.clone(),
            password: self.password.clone().into(),
        }
    }

    pub(crate) fn owns(&self, address: SocketAddr) -> bool {
        match address {
            SocketAddr::V4(address) => *address.ip() == self.v4,
            SocketAddr::V6(address) => Some(*address.ip()) == self.v6,
        }
    }

    /// Restarts with nothing remembered.
    pub(crate) fn restart(&mut self) {
        self.allocations.clear();
        self.nonces.clear();
        self.up = true;
    }

    pub(crate) fn handle(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> Vec<Outgoing> {
        if !self.up {
            return Vec::new();
        }
        self.allocations
            .retain(|_, allocation| allocation.expires > now);
        if to.port() != PORT {
            return self
                .forward_in(from, to, payload, now)
                .into_iter()
                .collect();
        }
        match payload.first() {
            Some(0..=3) => self
                .on_request(from, to, payload, now)
                .map(|reply| (to, from, reply))
                .into_iter()
                .collect(),
            Some(64..=79) => self.forward_out(from, payload, now).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn forward_out(&self, from: SocketAddr, payload: &[u8], now: Instant) -> Option<Outgoing> {
        let number = u16::from_be_bytes([payload[0], payload[1]]);
        let length = usize::from(u16::from_be_bytes([payload[2], payload[3]]));
        let allocation = self.allocations.get(&from)?;
        let channel = allocation.channels.get(&number)?;
        if now >= channel.bound + LIFETIME {
            return None;
        }
        let source = self.relayed(allocation.port, channel.peer.is_ipv4())?;
        Some((source, channel.peer, payload.get(4..4 + length)?.to_vec()))
    }

    fn forward_in(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> Option<Outgoing> {
        let (&client, allocation) = self
            .allocations
            .iter()
            .find(|(_, allocation)| allocation.port == to.port())?;
        let (&number, _) = allocation
            .channels
            .iter()
            .find(|(_, channel)| channel.peer == from && now < channel.bound + LIFETIME)?;
        let length = u16::try_from(payload.len()).unwrap();
        let message = [&number.to_be_bytes()[..], &length.to_be_bytes(), payload].concat();
        Some((allocation.server, client, message))
    }

    fn relayed(&self, port: u16, v4: bool) -> Option<SocketAddr> {
        if v4 {
            Some(SocketAddr::from((self.v4, port)))
        } else {
            Some(SocketAddr::from((self.v6?, port)))
        }
    }

    fn on_request(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> Option<Vec<u8>> {
        let request = MessageDecoder::<Attribute>::default()
            .decode_from_bytes(payload)
            .ok()?
            .ok()?;
        if request.class() != MessageClass::Request {
            return None;
        }
        self.requests.push(request.method());
        if request.method() == BINDING {
            return self.success(&request, vec![XorMappedAddress::new(from).into()], false);
        }
        if let Err(code) = self.authenticate(&request) {
            return self.error(&request, code);
        }
        let outcome = match request.method() {
            ALLOCATE => self.allocate(from, to, now),
            REFRESH => self.refresh(from, &request, now),
            CHANNEL_BIND => self.bind(from, &request, now),
            _ => Err(400),
        };
        match outcome {
            Ok(attributes) => self.success(&request, attributes, true),
            Err(code) => self.error(&request, code),
        }
    }

    fn authenticate(&mut self, request: &Message<Attribute>) -> Result<(), u16> {
        let integrity = request.get_attribute::<MessageIntegrity>().ok_or(401u16)?;
        let username = request.get_attribute::<Username>().ok_or(401u16)?;
        let nonce = request.get_attribute::<Nonce>().ok_or(401u16)?;
        let uses = self.nonces.get_mut(nonce.value()).ok_or(438u16)?;
        *uses = uses.checked_sub(1).ok_or(438u16)?;
        let realm = Realm::new(REALM.to_owned()).unwrap();
        if username.name() != self.username {
            return Err(401);
        }
        integrity
            .check_long_term_credential(username, &realm, &self.password)
            .map_err(|_| 401)
    }

    fn allocate(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        now: Instant,
    ) -> Result<Vec<Attribute>, u16> {
        if self.allocations.contains_key(&from) {
            return Err(437);
        }
        let port = self.next_port;
        self.next_port += 1;
        let allocation = Allocation {
            server: to,
            port,
            expires: now + LIFETIME,
            channels: BTreeMap::new(),
        };
        self.allocations.insert(from, allocation);
        let addresses = [self.relayed(port, true), self.relayed(port, false)];
        let mut attributes: Vec<Attribute> = addresses
            .into_iter()
            .flatten()
            .map(|address| XorRelayAddress::new(address).into())
            .collect();
        attributes.push(XorMappedAddress::new(from).into());
        attributes.push(Lifetime::new(LIFETIME).unwrap().into());
        Ok(attributes)
    }

    fn refresh(
        &mut self,
        from: SocketAddr,
        request: &Message<Attribute>,
        now: Instant,
    ) -> Result<Vec<Attribute>, u16> {
        let allocation = self.allocations.get_mut(&from).ok_or(437u16)?;
        let is_deletion = request
            .get_attribute::<Lifetime>()
            .is_some_and(|lifetime| lifetime.lifetime().is_zero());
        if is_deletion {
            self.allocations.remove(&from);
            return Ok(vec![Lifetime::from_u32(0).into()]);
        }
        allocation.expires = now + LIFETIME;
        Ok(vec![Lifetime::new(LIFETIME).unwrap().into()])
    }

    fn bind(
        &mut self,
        from: SocketAddr,
        request: &Message<Attribute>,
        now: Instant,
    ) -> Result<Vec<Attribute>, u16> {
        let has_v6 = self.v6.is_some();
        let allocation = self.allocations.get_mut(&from).ok_or(437u16)?;
        let peer = request
            .get_attribute::<XorPeerAddress>()
            .ok_or(400u16)?
            .address();
        let number = request
            .get_attribute::<ChannelNumber>()
            .ok_or(400u16)?
            .value();
        if peer.is_ipv6() && !has_v6 {
            return Err(443);
        }
        allocation
            .channels
            .retain(|_, channel| now < channel.bound + RESERVED);
        let conflict = allocation
            .channels
            .iter()
            .any(|(&other, channel)| (other == number) != (channel.peer == peer));
        if conflict {
            return Err(400);
        }
        allocation
            .channels
            .insert(number, Channel { peer, bound: now });
        Ok(Vec::new())
    }

    fn success(
        &self,
        request: &Message<Attribute>,
        attributes: Vec<Attribute>,
        sign: bool,
    ) -> Option<Vec<u8>> {
        self.reply(request, MessageClass::SuccessResponse, attributes, sign)
    }

    fn error(&mut self, request: &Message<Attribute>, code: u16) -> Option<Vec<u8>> {
        let mut attributes = vec![ErrorCode::new(code, String::new()).ok()?.into()];
        if code == 401 || code == 438 {
            self.made_nonces += 1;
            let nonce = format!("00000000-0000-4000-8000-{:012}", self.made_nonces);
            self.nonces.insert(nonce.clone(), self.nonce_uses);
            attributes.push(Realm::new(REALM.to_owned()).ok()?.into());
            attributes.push(Nonce::new(nonce).ok()?.into());
        }
        let sign = request.get_attribute::<Username>().is_some();
        self.reply(request, MessageClass::ErrorResponse, attributes, sign)
    }

    fn reply(
        &self,
        request: &Message<Attribute>,
        class: MessageClass,
        attributes: Vec<Attribute>,
        sign: bool,
    ) -> Option<Vec<u8>> {
        let mut reply =
            Message::<Attribute>::new(class, request.method(), request.transaction_id());
        reply.add_attribute(Software::new("test-relay".to_owned()).ok()?);
        for attribute in attributes {
            reply.add_attribute(attribute);
        }
        if sign {
            let username = Username::new(self.username.clone()).ok()?;
            let realm = Realm::new(REALM.to_owned()).ok()?;
            let integrity = MessageIntegrity::new_long_term_credential(
                &reply,
                &username,
                &realm,
                &self.password,
            )
            .ok()?;
            reply.add_attribute(integrity);
        }
        MessageEncoder::default().encode_into_bytes(reply).ok()
    }
}

//! A portal's core with parties around it that keep what they are sent.

use crate::portal::{
    Command, ConnectionId, Core, Moment, Output, Refusal, SavedState, Settings, Upgrade,
};
use model::{PublicKey, Seed};
use portal_client::frame::Frame;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};
use url::form_urlencoded;

pub(super) const SETTINGS: &str = r#"{
    "account": {"slug": "lab", "search_domain": "corp.test", "upstream_dns": ["192.0.2.53:53"]},
    "sites": [{"name": "site-a"}, {"name": "site-b"}],
    "tokens": [
        {"token": "anna-token", "kind": "client", "actor": "anna", "expires_at": 2000000},
        {"token": "bob-token", "kind": "client", "actor": "bob"},
        {"token": "gateway-a-token", "kind": "gateway", "site": "site-a"},
        {"token": "gateway-b-token", "kind": "gateway", "site": "site-b"},
        {"token": "relay-token", "kind": "relay"}
    ],
    "resources": [
        {"name": "net", "type": "cidr", "address": "10.20.0.0/16", "sites": ["site-a"]},
        {"name": "wiki", "type": "dns", "address": "wiki.test", "sites": ["site-a", "site-b"],
         "filters": [{"protocol": "tcp", "ports": [443]}]},
        {"name": "private", "type": "internet", "sites": ["site-b"], "actors": ["bob"]},
        {"name": "locked", "type": "cidr", "address": "10.99.0.0/16", "sites": ["site-a"],
         "forbidden": ["remote_ip"]},
        {"name": "nowhere", "type": "cidr", "address": "10.98.0.0/16", "sites": []}
    ]
}"#;

/// When the tests begin, in Unix seconds.
pub(super) const START: u64 = 1_000_000;

/// A portal and what it has said to whom.
pub(super) struct Network {
    pub(super) core: Core,
    pub(super) now: Moment,
    pub(super) deadline: Option<Instant>,
    pub(super) saved: (usize, usize),
    inboxes: BTreeMap<ConnectionId, VecDeque<Frame>>,
    ends: BTreeMap<ConnectionId, Option<u16>>,
    references: u64,
}

impl Network {
    pub(super) fn new() -> Self {
        Self::with(SETTINGS, SavedState::default())
    }

    pub(super) fn with(settings: &str, state: SavedState) -> Self {
        let now = Moment {
            at: Instant::now(),
            unix: START,
        };
        let settings = Settings::parse(settings).unwrap();
        let seed = Seed::from_bytes([3; 32]);
        Self {
            core: Core::new(settings, state, seed, now).unwrap(),
            now,
            deadline: None,
            saved: (0, 0),
            inboxes: BTreeMap::new(),
            ends: BTreeMap::new(),
            references: 100,
        }
    }

    /// Asks for a websocket.
    pub(super) fn upgrade(
        &mut self,
        path: &str,
        agent: &str,
        parameters: &[(&str, &str)],
    ) -> Result<ConnectionId, Refusal> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        let upgrade = Upgrade {
            path,
            query: &query.finish(),
            user_agent: agent,
            authorization: None,
            remote: [192, 0, 2, 1].into(),
        };
        let id = self.core.handle_upgrade(&upgrade, self.now);
        self.drain();
        id
    }

    /// A client or gateway that has joined; its inbox holds the `init`.
    pub(super) fn device(&mut self, kind: &str, token: &str, name: &str, key: u8) -> ConnectionId {
        self.device_of(kind, token, name, key, "1.5.2")
    }

    pub(super) fn device_of(
        &mut self,
        kind: &str,
        token: &str,
        name: &str,
        key: u8,
        version: &str,
    ) -> ConnectionId {
        let key = PublicKey::from_bytes([key; 32]).to_string();
        let parameters = [
            ("token", token),
            ("external_id", name),
            ("name", name),
            ("public_key", &key),
        ];
        let path = format!("/{kind}/websocket");
        let agent = format!("Ubuntu/24.4.0 connlib/{version} (x86_64)");
        let id = self.upgrade(&path, &agent, &parameters).unwrap();
        self.say(id, kind, "phx_join", Value::Null);
        assert_eq!(self.answer(id), Ok(()));
        id
    }

    pub(super) fn anna(&mut self) -> ConnectionId {
        self.device("client", "anna-token", "laptop", 1)
    }

    pub(super) fn gateway(&mut self) -> ConnectionId {
        self.device("gateway", "gateway-a-token", "gw", 2)
    }

    /// A relay that has joined.
    pub(super) fn relay(&mut self, ip: &str, secret: &str) -> ConnectionId {
        let family = if ip.contains(':') { "ipv6" } else { "ipv4" };
        let parameters = [
            ("token", "relay-token"),
            ("name", ip),
            (family, ip),
            ("port", "3478"),
        ];
        let id = self
            .upgrade("/relay/websocket", "relay/1.0.0", &parameters)
            .unwrap();
        self.say(id, "relay", "phx_join", json!({"stamp_secret": secret}));
        assert_eq!(self.answer(id), Ok(()));
        self.expect(id, "init");
        id
    }

    /// Sends a frame on behalf of a party.
    pub(super) fn say(&mut self, from: ConnectionId, topic: &str, event: &str, payload: Value) {
        self.references += 1;
        let frame = Frame::request(topic, event, payload, self.references);
        self.text(from, &frame.emit());
    }

    pub(super) fn text(&mut self, from: ConnectionId, text: &str) {
        self.core.handle_frame(from, text, self.now);
        self.drain();
    }

    pub(super) fn hang_up(&mut self, id: ConnectionId) {
        self.core.handle_closed(id, self.now);
        self.drain();
    }

    pub(super) fn command(&mut self, command: Value) -> Value {
        let command: Command = serde_json::from_value(command).unwrap();
        let answer = self.core.handle_command(command, None, self.now);
        self.drain();
        answer
    }

    /// A command that must succeed.
    pub(super) fn order(&mut self, command: Value) {
        let answer = self.command(command.clone());
        assert_eq!(answer["ok"], true, "{command}: {answer}");
    }

    /// Lets time pass, waking the portal whenever it wants.
    pub(super) fn wait(&mut self, seconds: u64) {
        let until = self.now.at + Duration::from_secs(seconds);
        while let Some(deadline) = self.deadline.filter(|at| *at <= until) {
            self.set_time(deadline);
            self.core.handle_timeout(self.now);
            self.drain();
            assert!(
                self.deadline.is_none_or(|at| at > deadline),
                "time stands still"
            );
        }
        self.set_time(until);
    }

    /// Lets time pass while these parties send heartbeats.
    pub(super) fn wait_with(&mut self, parties: &[ConnectionId], seconds: u64) {
        for _ in 0..seconds {
            self.wait(1);
            for &party in parties {
                self.say(party, "phoenix", "heartbeat", json!({}));
                assert_eq!(self.answer(party), Ok(()));
            }
        }
    }

    fn set_time(&mut self, at: Instant) {
        let at = at.max(self.now.at);
        // The two clocks round differently; the one that dates must not be late.
        let passed = at - self.now.at;
        self.now.unix += passed.as_secs() + u64::from(passed.subsec_nanos() > 0);
        self.now.at = at;
    }

    /// The next frame that a party has been sent.
    pub(super) fn next(&mut self, id: ConnectionId) -> Option<Frame> {
        self.inboxes.get_mut(&id)?.pop_front()
    }

    /// The payload of the next frame, which must be of this event.
    pub(super) fn expect(&mut self, id: ConnectionId, event: &str) -> Value {
        let frame = self.next(id).unwrap_or_else(|| panic!("no {event}"));
        assert_eq!(frame.event, event);
        frame.payload
    }

    /// What the next frame answers.
    pub(super) fn answer(&mut self, id: ConnectionId) -> Result<(), String> {
        // Relays coming and going may have been told about in between.
        let inbox = self.inboxes.entry(id).or_default();
        let position = inbox.iter().position(|frame| frame.event == "phx_reply");
        let frame = inbox.remove(position.expect("an answer")).unwrap();
        assert_eq!(frame.reference, Some(self.references));
        match frame.payload["status"].as_str() {
            Some("ok") => Ok(()),
            _ => Err(frame.payload["response"]["reason"]
                .as_str()
                .unwrap()
                .to_owned()),
        }
    }

    /// The events a party has been sent since somebody looked last.
    pub(super) fn events(&mut self, id: ConnectionId) -> Vec<String> {
        let frames = self.inboxes.remove(&id).unwrap_or_default();
        frames.into_iter().map(|frame| frame.event).collect()
    }

    /// Whether a connection was ended, and with which code.
    pub(super) fn end(&self, id: ConnectionId) -> Option<Option<u16>> {
        self.ends.get(&id).copied()
    }

    fn drain(&mut self) {
        loop {
            match self.core.poll() {
                Output::Send { connection, frame } => {
                    assert!(!self.ends.contains_key(&connection), "said after the end");
                    self.inboxes.entry(connection).or_default().push_back(frame);
                }
                Output::Close { connection, code } => {
                    self.ends.insert(connection, Some(code));
                }
                Output::Abort { connection } => {
                    self.ends.insert(connection, None);
                }
                Output::SaveSettings => self.saved.0 += 1,
                Output::SaveState => self.saved.1 += 1,
                Output::Idle(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }
}

/// The id of a resource of the settings above.
pub(super) fn resource(network: &Network, name: &str) -> Value {
    let settings = network.core.settings();
    json!(
        settings.resources[settings.position(name).unwrap()]
            .id
            .unwrap()
    )
}

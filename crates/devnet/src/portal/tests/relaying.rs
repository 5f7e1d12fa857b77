//! Relays that come, go, blink and restart.

use super::network::Network;
use crate::portal::ConnectionId;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The ids in a list of relay entries.
fn ids(relays: &Value) -> BTreeSet<String> {
    let entries = relays.as_array().unwrap().iter();
    entries
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect()
}

fn presence(network: &mut Network, id: ConnectionId) -> (Value, BTreeSet<String>) {
    let payload = network.expect(id, "relays_presence");
    (
        payload["disconnected_ids"].clone(),
        ids(&payload["connected"]),
    )
}

fn init(network: &mut Network, id: ConnectionId) -> BTreeSet<String> {
    ids(&network.expect(id, "init")["relays"])
}

#[test]
fn two_relays_are_handed_out_whichever_family_they_have() {
    let mut network = Network::new();
    for ip in ["192.0.2.1", "192.0.2.2", "2001:db8::3"] {
        network.relay(ip, "s");
    }
    let mut seen = BTreeSet::new();
    for key in 1..20 {
        let anna = network.device("client", "anna-token", &key.to_string(), key);
        let relays = init(&mut network, anna);
        assert_eq!(relays.len(), 2);
        seen.extend(relays);
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_dual_stack_relay_is_two_entries_of_one_id() {
    let mut network = Network::new();
    let parameters = [
        ("token", "relay-token"),
        ("ipv4", "192.0.2.9"),
        ("ipv6", "2001:db8::9"),
        ("port", "3478"),
    ];
    let relay = network
        .upgrade("/relay/websocket", "relay/1.0.0", &parameters)
        .unwrap();
    network.say(relay, "relay", "phx_join", json!({"stamp_secret": "s"}));
    let anna = network.anna();
    let relays = network.expect(anna, "init")["relays"].clone();
    assert_eq!(ids(&relays).len(), 1);
    let addresses: Vec<_> = relays
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["addr"])
        .collect();
    assert_eq!(addresses, ["192.0.2.9:3478", "[2001:db8::9]:3478"]);
    assert!(relays[0]["type"] == "turn" && relays[0]["expires_at"].is_u64());
}

#[test]
fn parties_without_relays_hear_of_the_first_one_at_once() {
    let mut network = Network::new();
    let (anna, gateway) = (network.anna(), network.gateway());
    assert!(init(&mut network, anna).is_empty() && init(&mut network, gateway).is_empty());
    network.relay("192.0.2.1", "s");
    for party in [anna, gateway] {
        let (gone, connected) = presence(&mut network, party);
        assert_eq!((gone, connected.len()), (json!([]), 1));
    }
    // Those who have one need not know about a second.
    network.relay("192.0.2.2", "s");
    assert_eq!((network.next(anna), network.next(gateway)), (None, None));
}

#[test]
fn a_relay_that_leaves_is_missed_after_three_seconds() {
    let mut network = Network::new();
    let first = network.relay("192.0.2.1", "s");
    let anna = network.anna();
    let gone_id = init(&mut network, anna);
    network.relay("192.0.2.2", "s");
    network.hang_up(first);
    network.wait(2);
    assert_eq!(network.next(anna), None);
    network.wait(1);
    let (gone, connected) = presence(&mut network, anna);
    assert_eq!(gone, json!(gone_id));
    assert_eq!(connected.len(), 1);
    assert!(connected.is_disjoint(&gone_id));
    network.wait(30);
    assert_eq!(network.next(anna), None);
}

#[test]
fn a_relay_that_blinks_is_not_missed() {
    let mut network = Network::new();
    let relay = network.relay("192.0.2.1", "s");
    let anna = network.anna();
    let id = init(&mut network, anna);
    network.hang_up(relay);
    network.wait(2);
    let relay = network.relay("192.0.2.1", "s");
    assert_eq!(presence(&mut network, anna), (json!([]), id.clone()));
    network.wait(10);
    assert_eq!(network.next(anna), None);

    // It may also be back before the old connection is known to be dead.
    network.relay("192.0.2.1", "s");
    network.hang_up(relay);
    network.wait(10);
    assert_eq!(presence(&mut network, anna), (json!([]), id));
    assert_eq!(network.next(anna), None);
}

#[test]
fn a_relay_that_restarts_is_gone_and_back_in_one_message() {
    let mut network = Network::new();
    let relay = network.relay("192.0.2.1", "s");
    let anna = network.anna();
    let before = network.expect(anna, "init")["relays"].clone();
    network.hang_up(relay);
    network.wait(1);
    network.relay("192.0.2.1", "other secret");
    let payload = network.expect(anna, "relays_presence");
    assert_eq!(payload["disconnected_ids"], json!(ids(&before)));
    assert_eq!(ids(&payload["connected"]), ids(&before));
    assert_ne!(payload["connected"][0]["password"], before[0]["password"]);
}

#[test]
fn operators_hide_and_show_relays() {
    let mut network = Network::new();
    let relay = network.relay("192.0.2.1", "s");
    let anna = network.anna();
    let id = init(&mut network, anna);
    network.order(json!({"cmd": "relay_present", "relay": "192.0.2.1", "present": false}));
    network.wait(3);
    assert_eq!(presence(&mut network, anna), (json!(id), BTreeSet::new()));
    let gateway = network.gateway();
    assert!(init(&mut network, gateway).is_empty());

    // It stays hidden when it comes back.
    network.hang_up(relay);
    network.wait(10);
    network.relay("192.0.2.1", "s");
    assert_eq!(network.next(anna), None);
    network.order(json!({"cmd": "relay_present", "relay": "192.0.2.1", "present": true}));
    assert_eq!(presence(&mut network, anna), (json!([]), id.clone()));
    assert_eq!(presence(&mut network, gateway), (json!([]), id));
    let unknown = network.command(json!({"cmd": "relay_present", "relay": "x", "present": true}));
    assert_eq!(unknown["ok"], false);
}

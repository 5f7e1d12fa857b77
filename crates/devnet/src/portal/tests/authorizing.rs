//! Clients that want something, and gateways that let them.

use super::network::{Network, SETTINGS, START, resource};
use crate::portal::ConnectionId;
use portal_client::{
    Message as _,
    v1::{client, gateway},
};
use serde_json::{Value, json};

fn wish(network: &mut Network, client: ConnectionId, name: &str, connected: &[Value]) {
    let payload = json!({
        "resource_id": resource(network, name),
        "connected_gateway_ids": connected,
    });
    network.say(client, "client", "create_flow", payload);
}

fn acknowledge(network: &mut Network, gateway: ConnectionId, reference: &Value) {
    network.say(
        gateway,
        "gateway",
        "flow_authorized",
        json!({"ref": reference}),
    );
}

/// A client and a gateway whose `init` has been read.
fn pair(network: &mut Network) -> (ConnectionId, ConnectionId) {
    let (gateway, anna) = (network.gateway(), network.anna());
    network.events(anna);
    network.events(gateway);
    (anna, gateway)
}

#[test]
fn the_gateway_agrees_before_the_client_is_told() {
    let mut network = Network::new();
    let (anna, gateway) = pair(&mut network);
    wish(&mut network, anna, "net", &[]);
    assert_eq!(network.next(anna), None);
    let request = network.expect(gateway, "authorize_flow");
    acknowledge(&mut network, gateway, &request["ref"]);
    assert_eq!(network.answer(gateway), Ok(()));
    let answer = network.expect(anna, "flow_created");

    assert_eq!(request["expires_at"], json!(2_000_000));
    assert_eq!(request["client"]["preshared_key"], answer["preshared_key"]);
    for side in ["client_ice_credentials", "gateway_ice_credentials"] {
        assert_eq!(request[side], answer[side]);
    }
    let Ok(gateway::FromPortal::AuthorizeFlow(request)) =
        gateway::FromPortal::decode("authorize_flow", request)
    else {
        panic!()
    };
    let Ok(client::FromPortal::FlowCreated(answer)) =
        client::FromPortal::decode("flow_created", answer)
    else {
        panic!()
    };
    assert_eq!(request.client.public_key.as_bytes(), &[1; 32]);
    assert_eq!(answer.gateway_public_key.as_bytes(), &[2; 32]);
    assert_eq!(answer.resource_id, request.resource.id());
    assert_ne!(answer.gateway_ipv4, request.client.ipv4);
    assert_ne!(
        request.client_ice_credentials,
        request.gateway_ice_credentials
    );
}

#[test]
fn credentials_depend_on_keys_and_the_shared_secret_does_not() {
    let mut network = Network::new();
    let (anna, gateway) = pair(&mut network);
    let mut seen = Vec::new();
    for _ in 0..2 {
        wish(&mut network, anna, "net", &[]);
        seen.push(network.expect(gateway, "authorize_flow"));
    }
    assert_eq!(
        seen[0]["client_ice_credentials"],
        seen[1]["client_ice_credentials"]
    );
    assert_ne!(
        seen[0]["client"]["preshared_key"],
        seen[1]["client"]["preshared_key"]
    );
    assert_ne!(seen[0]["ref"], seen[1]["ref"]);
    network.hang_up(anna);
    let anna = network.device("client", "anna-token", "laptop", 7);
    wish(&mut network, anna, "net", &[]);
    let later = network.expect(gateway, "authorize_flow");
    assert_ne!(
        seen[0]["client_ice_credentials"],
        later["client_ice_credentials"]
    );
    assert_eq!(seen[0]["client"]["id"], later["client"]["id"]);
}

#[test]
fn references_work_once_and_only_for_the_gateway_that_has_them() {
    let mut network = Network::new();
    let (anna, gateway) = pair(&mut network);
    wish(&mut network, anna, "net", &[]);
    let reference = network.expect(gateway, "authorize_flow")["ref"].clone();
    let other = network.device("gateway", "gateway-a-token", "gw-2", 5);
    acknowledge(&mut network, other, &reference);
    assert_eq!(network.answer(other), Err("invalid_ref".into()));
    acknowledge(&mut network, gateway, &json!("made up"));
    assert_eq!(network.answer(gateway), Err("invalid_ref".into()));
    assert_eq!(network.next(anna), None);
    acknowledge(&mut network, gateway, &reference);
    assert_eq!(network.answer(gateway), Ok(()));
    network.expect(anna, "flow_created");
    acknowledge(&mut network, gateway, &reference);
    assert_eq!(network.answer(gateway), Err("invalid_ref".into()));
    assert_eq!(network.next(anna), None);
}

#[test]
fn an_answer_is_dropped_when_the_client_is_gone_or_access_is_revoked() {
    let mut network = Network::new();
    let (anna, gateway) = pair(&mut network);
    wish(&mut network, anna, "net", &[]);
    let first = network.expect(gateway, "authorize_flow")["ref"].clone();
    network.hang_up(anna);
    let anna = network.anna();
    network.events(anna);
    acknowledge(&mut network, gateway, &first);
    assert_eq!(network.answer(gateway), Ok(()));
    assert_eq!(network.next(anna), None);

    wish(&mut network, anna, "net", &[]);
    let second = network.expect(gateway, "authorize_flow")["ref"].clone();
    network.order(json!({"cmd": "resource_delete", "resource": "net"}));
    acknowledge(&mut network, gateway, &second);
    assert_eq!(network.events(anna), ["resource_deleted"]);
}

#[test]
fn failures_name_their_reason() {
    let mut network = Network::new();
    let anna = network.anna();
    network.events(anna);
    for (name, reason, violated) in [
        ("net", "offline", None),
        ("locked", "forbidden", Some(json!(["remote_ip"]))),
        ("private", "not_found", None),
        ("nowhere", "not_found", None),
    ] {
        wish(&mut network, anna, name, &[]);
        let failure = network.expect(anna, "flow_creation_failed");
        assert_eq!(failure["reason"], reason, "{name}");
        assert_eq!(failure["resource_id"], resource(&network, name));
        assert_eq!(failure.get("violated_properties").cloned(), violated);
    }
    let unknown = "99999999-9999-4999-8999-999999999999";
    let payload = json!({"resource_id": unknown, "connected_gateway_ids": []});
    network.say(anna, "client", "create_flow", payload);
    assert_eq!(
        network.expect(anna, "flow_creation_failed")["reason"],
        "not_found"
    );
}

#[test]
fn gateways_of_other_sites_are_not_asked() {
    let mut network = Network::new();
    let other = network.device("gateway", "gateway-b-token", "gw-b", 5);
    let anna = network.anna();
    network.events(anna);
    network.events(other);
    wish(&mut network, anna, "net", &[]);
    assert_eq!(network.events(anna), ["flow_creation_failed"]);
    assert_eq!(network.next(other), None);
}

#[test]
fn connected_gateways_are_preferred_and_then_newer_ones() {
    let mut network = Network::new();
    let old = network.device_of("gateway", "gateway-a-token", "gw-old", 2, "1.4.1");
    let anna = network.anna();
    network.events(old);
    network.events(anna);
    wish(&mut network, anna, "net", &[]);
    let reference = network.expect(old, "authorize_flow")["ref"].clone();
    acknowledge(&mut network, old, &reference);
    network.answer(old).unwrap();
    let old_id = network.expect(anna, "flow_created")["gateway_id"].clone();

    let new = network.device_of("gateway", "gateway-a-token", "gw-new", 3, "1.4.9");
    network.events(new);
    for _ in 0..10 {
        wish(&mut network, anna, "net", std::slice::from_ref(&old_id));
        assert_eq!(network.events(old), ["authorize_flow"]);
        wish(&mut network, anna, "net", &[]);
        assert_eq!(network.events(new), ["authorize_flow"]);
    }
    network.hang_up(new);
    wish(&mut network, anna, "net", &[]);
    assert_eq!(network.events(old), ["authorize_flow"]);
}

#[test]
fn equal_gateways_share_the_work() {
    let mut network = Network::new();
    let gateways = [
        network.device("gateway", "gateway-a-token", "gw-1", 2),
        network.device("gateway", "gateway-a-token", "gw-2", 3),
    ];
    let anna = network.anna();
    for _ in 0..40 {
        wish(&mut network, anna, "net", &[]);
    }
    for gateway in gateways {
        assert!(network.events(gateway).len() > 5);
    }
}

#[test]
fn candidates_are_passed_on_as_they_came() {
    let mut network = Network::new();
    let (anna, gateway) = pair(&mut network);
    wish(&mut network, anna, "net", &[]);
    let request = network.expect(gateway, "authorize_flow");
    acknowledge(&mut network, gateway, &request["ref"]);
    network.answer(gateway).unwrap();
    let answer = network.expect(anna, "flow_created");
    let (client_id, gateway_id) = (&request["client"]["id"], &answer["gateway_id"]);

    let candidates = json!([
        "candidate:1 1 udp 1 192.0.2.1 9 typ host generation 0",
        "anything"
    ]);
    for (out, back) in [
        ("broadcast_ice_candidates", "ice_candidates"),
        (
            "broadcast_invalidated_ice_candidates",
            "invalidate_ice_candidates",
        ),
    ] {
        let payload = json!({"gateway_ids": [gateway_id], "candidates": candidates});
        network.say(anna, "client", out, payload);
        assert_eq!(
            network.expect(gateway, back),
            json!({"client_id": client_id, "candidates": candidates})
        );
        let payload = json!({"client_ids": [client_id], "candidates": candidates});
        network.say(gateway, "gateway", out, payload);
        assert_eq!(
            network.expect(anna, back),
            json!({"gateway_id": gateway_id, "candidates": candidates})
        );
    }
    assert_eq!((network.next(anna), network.next(gateway)), (None, None));

    // Nothing is kept for those who are not there, and not too much is passed on.
    network.hang_up(gateway);
    let payload = json!({"gateway_ids": [gateway_id], "candidates": candidates});
    network.say(anna, "client", "broadcast_ice_candidates", payload);
    let gateway = network.gateway();
    assert_eq!(network.events(gateway), ["init"]);
    let payload = json!({"gateway_ids": [gateway_id], "candidates": vec!["x"; 65]});
    network.say(anna, "client", "broadcast_ice_candidates", payload);
    assert_eq!(network.answer(anna), Err("unknown_message".into()));
}

#[test]
fn the_connection_that_joined_last_gets_what_is_for_a_client() {
    let mut network = Network::new();
    let (first, gateway) = pair(&mut network);
    let second = network.anna();
    network.events(second);
    network.order(json!({"cmd": "resource_delete", "resource": "wiki"}));
    assert_eq!(network.events(first), [""; 0]);
    assert_eq!(network.events(second), ["resource_deleted"]);
    assert_eq!(network.end(first), None);
    network.hang_up(second);
    network.order(json!({"cmd": "resource_delete", "resource": "net"}));
    assert_eq!(network.events(first), ["resource_deleted"]);
    assert_eq!(network.events(gateway), [""; 0]);
}

#[test]
fn access_survives_restarts_of_portal_and_gateway_until_it_ends() {
    let mut network = Network::new();
    let (anna, gateway) = pair(&mut network);
    wish(&mut network, anna, "net", &[]);
    let bob = network.device("client", "bob-token", "phone", 4);
    wish(&mut network, bob, "wiki", &[]);
    assert_eq!(network.events(gateway).len(), 2);
    network.hang_up(gateway);
    let gateway = network.gateway();
    let told = network.expect(gateway, "init")["authorizations"].clone();
    assert_eq!(told.as_array().unwrap().len(), 2);

    let mut restarted = Network::with(SETTINGS, network.core.state());
    let gateway = restarted.gateway();
    assert_eq!(restarted.expect(gateway, "init")["authorizations"], told);

    // Bob's token does not end, but his access does.
    let expiries: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["expires_at"])
        .collect();
    assert!(expiries.contains(&&json!(START + 14 * 86_400)));
    assert!(expiries.contains(&&json!(2_000_000)));
    network.now.unix = START + 14 * 86_400;
    let gateway = network.gateway();
    assert_eq!(network.expect(gateway, "init")["authorizations"], json!([]));
}

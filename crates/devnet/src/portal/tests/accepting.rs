//! Who gets in, what is said first, and when it ends.

use super::network::{Network, SETTINGS, START};
use crate::portal::{connections::MAX_CONNECTIONS, identity::SavedState};
use portal_client::{
    Message as _,
    v1::{client, gateway},
};
use proptest::prelude::*;
use serde_json::{Value, json};

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const AGENT: &str = "Ubuntu/24.4.0 connlib/1.5.2 (x86_64)";

fn client_parameters(token: &str) -> [(&str, &str); 3] {
    [("token", token), ("external_id", "x"), ("public_key", KEY)]
}

#[test]
fn a_client_is_let_in_and_then_told_everything() {
    let mut network = Network::new();
    let anna = network.anna();
    let init = network.expect(anna, "init");
    let Ok(client::FromPortal::Init(init)) = client::FromPortal::decode("init", init) else {
        panic!()
    };
    let mut names: Vec<_> = init.resources.iter().map(|r| r.name().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["locked", "net", "wiki"]);
    assert_eq!(
        init.interface.upstream_dns,
        ["192.0.2.53:53".parse().unwrap()]
    );
    assert_eq!(init.interface.search_domain.unwrap().as_str(), "corp.test");
    assert!(model::ranges::is_tunnel(init.interface.ipv4.into()));
    assert!(model::ranges::is_tunnel(init.interface.ipv6.into()));
    assert_eq!(network.next(anna), None);
}

#[test]
fn the_oldest_client_can_read_the_site_of_a_resource() {
    let mut network = Network::new();
    let anna = network.anna();
    let init = network.expect(anna, "init");
    for resource in init["resources"].as_array().unwrap() {
        assert!(resource["gateway_groups"][0]["name"].is_string());
        assert!(resource.get("sites").is_none());
    }
}

#[test]
fn a_gateway_is_told_its_access_and_its_account() {
    let mut network = Network::new();
    let gateway = network.gateway();
    let init = network.expect(gateway, "init");
    let Ok(gateway::FromPortal::Init(init)) = gateway::FromPortal::decode("init", init) else {
        panic!()
    };
    assert_eq!(init.account_slug.as_deref(), Some("lab"));
    assert!(init.authorizations.is_empty());
}

#[test]
fn strangers_are_refused_with_the_documented_status() {
    let mut network = Network::new();
    let long = "x".repeat(256);
    let relay = |extra: &[(&'static str, &'static str)]| {
        let mut parameters = vec![("token", "relay-token")];
        parameters.extend_from_slice(extra);
        parameters
    };
    let client = client_parameters("anna-token");
    type Parameters<'a> = Vec<(&'a str, &'a str)>;
    let cases: [(&str, &str, Parameters<'_>, u16); 18] = [
        ("/client/v2/websocket", AGENT, client.to_vec(), 404),
        ("/", AGENT, client.to_vec(), 404),
        ("/client/websocket", AGENT, client[1..].to_vec(), 401),
        (
            "/client/websocket",
            AGENT,
            client_parameters("").to_vec(),
            401,
        ),
        (
            "/client/websocket",
            AGENT,
            client_parameters("anna-token ").to_vec(),
            401,
        ),
        (
            "/client/websocket",
            AGENT,
            client_parameters("gateway-a-token").to_vec(),
            401,
        ),
        ("/gateway/websocket", AGENT, client.to_vec(), 401),
        ("/relay/websocket", AGENT, client.to_vec(), 401),
        ("/client/websocket", AGENT, client[..2].to_vec(), 422),
        ("/client/websocket", AGENT, vec![client[0], client[2]], 422),
        (
            "/client/websocket",
            AGENT,
            vec![client[0], client[1], ("public_key", "AQ==")],
            422,
        ),
        (
            "/client/websocket",
            AGENT,
            [&client[..], &[("name", &long)]].concat(),
            422,
        ),
        ("/client/websocket", "curl/8.0.0", client.to_vec(), 422),
        (
            "/relay/websocket",
            "relay/1.0.0",
            relay(&[("port", "3478")]),
            422,
        ),
        (
            "/relay/websocket",
            "relay/1.0.0",
            relay(&[("ipv4", "192.0.2.9")]),
            422,
        ),
        (
            "/relay/websocket",
            "relay/1.0.0",
            relay(&[("ipv4", "x"), ("port", "1")]),
            422,
        ),
        (
            "/relay/websocket",
            "relay/1.0.0",
            relay(&[("ipv6", "::1"), ("port", "0")]),
            422,
        ),
        (
            "/relay/websocket",
            "relay/1.0.0",
            relay(&[("ipv6", "::1"), ("port", "65536")]),
            422,
        ),
    ];
    for (path, agent, parameters, status) in cases {
        let refusal = network.upgrade(path, agent, &parameters).unwrap_err();
        assert_eq!(refusal.status, status, "{path} {parameters:?}: {refusal}");
    }
    network.order(json!({"cmd": "account", "disabled": true}));
    let refusal = network.upgrade("/client/websocket", AGENT, &client);
    assert_eq!(refusal.unwrap_err().status, 403);
}

#[test]
fn connections_are_bounded() {
    let mut network = Network::new();
    let client = client_parameters("anna-token");
    let mut last = None;
    for _ in 0..MAX_CONNECTIONS {
        last = Some(
            network
                .upgrade("/client/websocket", AGENT, &client)
                .unwrap(),
        );
    }
    let refusal = network.upgrade("/client/websocket", AGENT, &client);
    assert_eq!(refusal.unwrap_err().status, 429);
    network.hang_up(last.unwrap());
    assert!(network.upgrade("/client/websocket", AGENT, &client).is_ok());
}

#[test]
fn nothing_is_heard_before_the_join_but_heartbeats() {
    let mut network = Network::new();
    let client = client_parameters("anna-token");
    let id = network
        .upgrade("/client/websocket", AGENT, &client)
        .unwrap();
    network.say(id, "phoenix", "heartbeat", json!({}));
    assert_eq!(network.answer(id), Ok(()));
    for (topic, event) in [
        ("client", "create_flow"),
        ("gateway", "phx_join"),
        ("x", "y"),
    ] {
        network.say(id, topic, event, json!({}));
        assert_eq!(network.answer(id), Err("unmatched topic".into()), "{topic}");
    }
    network.say(id, "client", "phx_join", Value::Null);
    assert_eq!(network.answer(id), Ok(()));
    network.expect(id, "init");
    network.say(id, "client", "request_authorization", json!({}));
    assert_eq!(network.answer(id), Err("unknown_message".into()));
    network.say(id, "client", "create_flow", json!({"resource_id": "x"}));
    assert_eq!(network.answer(id), Err("unknown_message".into()));
    network.say(id, "client", "phx_leave", json!({}));
    assert_eq!(network.answer(id), Ok(()));
    network.say(id, "client", "create_flow", json!({}));
    assert_eq!(network.answer(id), Err("unmatched topic".into()));
}

#[test]
fn a_second_join_brings_a_second_init() {
    let mut network = Network::new();
    let anna = network.anna();
    let first = network.expect(anna, "init");
    network.say(anna, "client", "phx_join", Value::Null);
    assert_eq!(network.answer(anna), Ok(()));
    assert_eq!(network.expect(anna, "init"), first);
}

#[test]
fn odd_versions_may_connect_but_not_join() {
    let mut network = Network::new();
    let client = client_parameters("anna-token");
    let id = network
        .upgrade("/client/websocket", "X/1 connlib/fork", &client)
        .unwrap();
    network.say(id, "client", "phx_join", Value::Null);
    assert_eq!(network.answer(id), Err("invalid_version".into()));
}

#[test]
fn relays_join_with_a_secret_or_not_at_all() {
    let mut network = Network::new();
    let parameters = [
        ("token", "relay-token"),
        ("ipv4", "192.0.2.9"),
        ("port", "3478"),
    ];
    let id = network
        .upgrade("/relay/websocket", "relay/1.0.0", &parameters)
        .unwrap();
    for payload in [
        Value::Null,
        json!({}),
        json!({"stamp_secret": ""}),
        json!({"stamp_secret": 5}),
    ] {
        network.say(id, "relay", "phx_join", payload);
        assert!(network.answer(id).is_err());
    }
    network.say(id, "relay", "phx_join", json!({"stamp_secret": "s"}));
    assert_eq!(network.answer(id), Ok(()));
    assert_eq!(network.expect(id, "init"), json!({}));
    network.say(id, "relay", "hello", json!({}));
    assert_eq!(network.answer(id), Err("unknown_message".into()));
}

#[test]
fn the_token_may_come_in_a_header() {
    let mut network = Network::new();
    let upgrade = |authorization| crate::portal::Upgrade {
        path: "/client/websocket",
        query: "external_id=x&public_key=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE%3D",
        user_agent: AGENT,
        authorization: Some(authorization),
        remote: [192, 0, 2, 1].into(),
    };
    let now = network.now;
    assert!(
        network
            .core
            .handle_upgrade(&upgrade("Bearer anna-token"), now)
            .is_ok()
    );
    assert!(
        network
            .core
            .handle_upgrade(&upgrade("anna-token"), now)
            .is_err()
    );
}

#[test]
fn devices_keep_id_and_addresses_over_reconnects_and_restarts() {
    let mut network = Network::new();
    let anna = network.anna();
    let first = network.expect(anna, "init")["interface"].clone();
    network.hang_up(anna);
    let anna = network.device("client", "anna-token", "laptop", 9);
    assert_eq!(network.expect(anna, "init")["interface"], first);
    let bob = network.device("client", "bob-token", "laptop", 9);
    assert_ne!(
        network.expect(bob, "init")["interface"]["ipv4"],
        first["ipv4"]
    );

    for state in [network.core.state(), SavedState::default()] {
        let mut restarted = Network::with(SETTINGS, state);
        let anna = restarted.anna();
        assert_eq!(restarted.expect(anna, "init")["interface"], first);
    }
    assert!(network.saved.1 > 0);
}

#[test]
fn silent_parties_are_let_go_after_their_limit() {
    let mut network = Network::new();
    let relay = network.relay("192.0.2.9", "s");
    let gateway = network.gateway();
    let anna = network.anna();
    network.wait(36);
    assert_eq!(network.end(gateway), None);
    network.wait(1);
    assert_eq!(network.end(gateway), Some(Some(1000)));
    network.wait(3);
    assert_eq!(network.end(relay), None);
    network.wait(1);
    assert_eq!(network.end(relay), Some(Some(1000)));
    network.wait(265);
    assert_eq!(network.end(anna), None);
    network.wait(1);
    assert_eq!(network.end(anna), Some(Some(1000)));
}

#[test]
fn parties_that_say_too_much_are_let_go() {
    let mut network = Network::new();
    let anna = network.anna();
    network.wait_with(&[anna], 300);
    for _ in 0..1000 {
        network.say(anna, "phoenix", "heartbeat", json!({}));
    }
    assert_eq!(network.end(anna), Some(Some(1008)));
    // What is still under way when that happens is nobody's.
    network.say(anna, "client", "phx_join", Value::Null);
    network.hang_up(anna);
}

#[test]
fn a_token_that_ends_is_told_before_the_close() {
    let mut network = Network::new();
    let anna = network.anna();
    let bob = network.device("client", "bob-token", "phone", 4);
    network.events(anna);
    // Anna's token has an end, Bob's has none.
    network.now.unix = 2_000_000 - 30;
    network.wait_with(&[anna, bob], 29);
    assert_eq!(network.end(anna), None);
    network.wait(1);
    assert_eq!(
        network.expect(anna, "disconnect"),
        json!({"reason": "token_expired"})
    );
    assert_eq!(network.end(anna), Some(Some(1000)));
    assert_eq!(network.end(bob), None);
    let again = network.upgrade("/client/websocket", AGENT, &client_parameters("anna-token"));
    assert_eq!(again.unwrap_err().status, 401);
}

#[test]
fn credentials_for_relays_last_as_long_as_the_token() {
    let mut network = Network::new();
    network.relay("192.0.2.9", "s");
    let anna = network.anna();
    let gateway = network.gateway();
    for (id, expires_at) in [(anna, 2_000_000), (gateway, START + 90 * 86_400)] {
        let relay = network.expect(id, "init")["relays"][0].clone();
        assert_eq!(relay["expires_at"], json!(expires_at));
        let username = relay["username"].as_str().unwrap();
        assert!(username.starts_with(&format!("{expires_at}:")));
    }
}

#[test]
fn the_status_has_no_secrets() {
    let mut network = Network::new();
    network.relay("192.0.2.9", "stamp-secret");
    network.anna();
    network.gateway();
    let status = network.command(json!({"cmd": "status"}));
    assert_eq!(status["clients"][0]["online"], true);
    assert_eq!(status["clients"][0]["actor"], "anna");
    assert_eq!(
        status["gateways"][0]["relays"][0],
        status["relays"][0]["id"]
    );
    assert_eq!(status["relays"][0]["present"], true);
    let text = status.to_string();
    for secret in ["-token", "stamp-secret"] {
        assert!(!text.contains(secret), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(texts: Vec<String>) {
        let mut network = Network::new();
        let anna = network.anna();
        for text in texts {
            network.text(anna, &text);
        }
    }

    #[test]
    fn any_payload_is_survived(
        event in prop::sample::select(&["phx_join", "create_flow", "flow_authorized",
            "broadcast_ice_candidates", "broadcast_invalidated_ice_candidates"][..]),
        member in prop::sample::select(&["resource_id", "connected_gateway_ids", "ref",
            "gateway_ids", "client_ids", "candidates", "stamp_secret"][..]),
        text: String,
        nested: bool,
    ) {
        let mut network = Network::new();
        let parties = [network.anna(), network.gateway(), network.relay("::1", "s")];
        for (id, topic) in parties.into_iter().zip(["client", "gateway", "relay"]) {
            let value = if nested { json!([text]) } else { json!(text) };
            network.say(id, topic, event, json!({member: value, "candidates": [text]}));
        }
    }
}

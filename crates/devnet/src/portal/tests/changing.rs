//! Operators who change their minds.

use super::network::{Network, SETTINGS, resource};
use crate::portal::{Command, ConnectionId};
use serde_json::{Value, json};

/// A client with access to `net` and `wiki`, and the gateway that serves both.
fn busy(network: &mut Network) -> (ConnectionId, ConnectionId) {
    let (gateway, anna) = (network.gateway(), network.anna());
    for name in ["net", "wiki"] {
        let payload = json!({"resource_id": resource(network, name), "connected_gateway_ids": []});
        network.say(anna, "client", "create_flow", payload);
    }
    network.events(anna);
    network.events(gateway);
    (anna, gateway)
}

fn update(name: &str, set: Value) -> Value {
    json!({"cmd": "resource_update", "resource": name, "set": set})
}

#[test]
fn changes_of_resources_reach_those_whom_they_concern() {
    let created = "resource_created_or_updated";
    let deleted = "resource_deleted";
    let rejected = "reject_access";
    let filters = json!([{"protocol": "icmp"}]);
    let cases: [(Value, &[&str], &[&str]); 12] = [
        (update("net", json!({"name": "renamed"})), &[created], &[]),
        (
            update("net", json!({"address_description": "x"})),
            &[created],
            &[],
        ),
        (
            update("net", json!({"filters": filters})),
            &[created],
            &["resource_updated"],
        ),
        (
            update("net", json!({"address": "10.21.0.0/16"})),
            &[deleted, created],
            &[rejected],
        ),
        (
            update("wiki", json!({"ip_stack": "ipv6_only"})),
            &[deleted, created],
            &[rejected],
        ),
        (
            update("wiki", json!({"type": "cidr", "address": "10.0.0.0/24"})),
            &[deleted, created],
            &[rejected],
        ),
        (
            update("net", json!({"sites": ["site-b"]})),
            &[deleted, created],
            &[rejected],
        ),
        (update("net", json!({"sites": []})), &[deleted], &[rejected]),
        (
            update("net", json!({"actors": ["bob"]})),
            &[deleted],
            &[rejected],
        ),
        (update("net", json!({"forbidden": ["remote_ip"]})), &[], &[]),
        (update("private", json!({"actors": null})), &[created], &[]),
        (
            json!({"cmd": "resource_delete", "resource": "net"}),
            &[deleted],
            &[rejected],
        ),
    ];
    for (command, client, gateway) in cases {
        let mut network = Network::new();
        let (anna, gw) = busy(&mut network);
        network.order(command.clone());
        assert_eq!(network.events(anna), client, "{command}");
        assert_eq!(network.events(gw), gateway, "{command}");
        assert_eq!(network.saved.0, 1);
    }
}

#[test]
fn only_the_pair_that_lost_access_is_rejected() {
    let mut network = Network::new();
    let (anna, gateway) = busy(&mut network);
    let bob = network.device("client", "bob-token", "phone", 4);
    let payload = json!({"resource_id": resource(&network, "net"), "connected_gateway_ids": []});
    network.say(bob, "client", "create_flow", payload);
    let bob_id = network.expect(gateway, "authorize_flow")["client"]["id"].clone();
    network.events(bob);
    network.order(update("net", json!({"actors": ["anna"]})));
    let id = resource(&network, "net");
    let expected = json!({"client_id": bob_id, "resource_id": id});
    assert_eq!(network.expect(gateway, "reject_access"), expected);
    assert_eq!(network.next(gateway), None);
    assert_eq!(network.expect(bob, "resource_deleted"), id);
    assert_eq!(network.next(anna), None);
}

#[test]
fn access_is_taken_from_clients_that_are_away() {
    let mut network = Network::new();
    let (anna, gateway) = busy(&mut network);
    network.hang_up(anna);
    network.order(json!({"cmd": "resource_delete", "resource": "net"}));
    assert_eq!(network.events(gateway), ["reject_access"]);
    assert_eq!(network.core.state().flows.len(), 1);
}

#[test]
fn a_deleted_flow_makes_the_resource_flap() {
    let mut network = Network::new();
    let (anna, gateway) = busy(&mut network);
    network.order(json!({"cmd": "flow_delete", "client": "laptop", "resource": "net"}));
    assert_eq!(
        network.events(anna),
        ["resource_deleted", "resource_created_or_updated"]
    );
    assert_eq!(network.events(gateway), ["reject_access"]);
    network.order(json!({"cmd": "flow_delete", "client": "laptop", "resource": "net"}));
    assert_eq!(network.events(anna), [""; 0]);
}

#[test]
fn resources_come_with_everything_a_client_needs() {
    let mut network = Network::new();
    let (anna, _) = busy(&mut network);
    network.order(json!({"cmd": "resource_add", "resource": {
        "name": "new", "type": "cidr", "address": "192.0.2.7", "sites": ["site-a"],
        "filters": [{"protocol": "udp", "ports": ["53", 5353]}],
    }}));
    let payload = network.expect(anna, "resource_created_or_updated");
    assert_eq!(payload["address"], "192.0.2.7/32");
    assert_eq!(payload["gateway_groups"][0]["name"], "site-a");
    assert_eq!(payload["filters"][1]["port_range_start"], 5353);
    assert_eq!(payload["id"], resource(&network, "new"));
}

#[test]
fn dns_settings_go_to_clients_and_the_slug_to_gateways() {
    let mut network = Network::new();
    let (anna, gateway) = busy(&mut network);
    network.order(json!({"cmd": "account", "upstream_dns": ["[2001:db8::53]:53"]}));
    let interface = network.expect(anna, "config_changed")["interface"].clone();
    assert_eq!(interface["upstream_dns"][0]["address"], "[2001:db8::53]:53");
    assert_eq!(interface["search_domain"], "corp.test");
    network.order(json!({"cmd": "account", "search_domain": ""}));
    let interface = network.expect(anna, "config_changed")["interface"].clone();
    assert_eq!(interface["search_domain"], Value::Null);
    assert_eq!(network.next(gateway), None);

    network.order(json!({"cmd": "account", "slug": "renamed"}));
    let init = network.expect(gateway, "init");
    assert_eq!(init["account_slug"], "renamed");
    assert_eq!(init["authorizations"].as_array().unwrap().len(), 2);
    assert_eq!(network.next(anna), None);
}

#[test]
fn a_revoked_token_ends_its_connections_only() {
    for (command, ended) in [
        (
            json!({"cmd": "token_revoke", "token": "anna-token"}),
            [true, false],
        ),
        (
            json!({"cmd": "token_revoke", "actor": "anna"}),
            [true, false],
        ),
        (
            json!({"cmd": "token_revoke", "site": "site-a"}),
            [false, true],
        ),
    ] {
        let mut network = Network::new();
        let (anna, gateway) = busy(&mut network);
        network.order(command.clone());
        for (id, ended) in [anna, gateway].into_iter().zip(ended) {
            let events = network.events(id);
            assert_eq!(
                events.first().is_some_and(|e| e == "disconnect"),
                ended,
                "{command}"
            );
            assert_eq!(network.end(id), ended.then_some(Some(1000)), "{command}");
        }
        assert_eq!(network.command(command)["ok"], false);
    }
}

#[test]
fn parties_are_dropped_in_every_manner() {
    let mut network = Network::new();
    let (anna, gateway) = busy(&mut network);
    network.order(json!({"cmd": "drop", "party": "gw", "how": "abrupt"}));
    assert_eq!(network.end(gateway), Some(None));
    network.order(json!({"cmd": "drop", "party": "laptop", "how": "channel"}));
    assert_eq!(network.expect(anna, "phx_close"), json!({}));
    assert_eq!(network.end(anna), None);
    network.say(anna, "client", "create_flow", json!({}));
    assert_eq!(network.answer(anna), Err("unmatched topic".into()));
    network.order(json!({"cmd": "drop", "party": "laptop"}));
    assert_eq!(network.end(anna), Some(Some(1000)));
    assert_eq!(
        network.command(json!({"cmd": "drop", "party": "laptop"}))["ok"],
        false
    );
}

#[test]
fn a_changed_file_is_as_good_as_commands() {
    let mut network = Network::new();
    let (anna, gateway) = busy(&mut network);
    let file = SETTINGS
        .replace("10.20.0.0/16", "10.21.0.0/16")
        .replace("192.0.2.53:53", "192.0.2.54:53")
        .replace(
            "\"anna-token\", \"kind\": \"client\", \"actor\": \"anna\", \"expires_at\": 2000000",
            "\"anna-token\", \"kind\": \"client\", \"actor\": \"anna\", \"expires_at\": 1000060",
        );
    let reload = |network: &mut Network, file: Option<&str>| {
        let now = network.now;
        let answer = network.core.handle_command(Command::Reload, file, now);
        network.wait(0);
        network.text(anna, "");
        answer["ok"] == true
    };
    assert!(!reload(&mut network, None));
    assert!(!reload(&mut network, Some("{")));
    assert_eq!(network.next(anna), None);
    assert!(reload(&mut network, Some(&file)));
    assert_eq!(
        network.events(anna),
        [
            "resource_deleted",
            "resource_created_or_updated",
            "config_changed"
        ]
    );
    assert_eq!(network.events(gateway), ["reject_access"]);
    assert!(reload(&mut network, Some(&file)));
    assert_eq!(network.next(anna), None);
    // The new end of the token counts for those who are connected already.
    network.wait(60);
    assert_eq!(network.events(anna), ["disconnect"]);
}

#[test]
fn commands_that_make_no_sense_change_nothing() {
    let mut network = Network::new();
    let (anna, gateway) = busy(&mut network);
    for command in [
        json!({"cmd": "resource_delete", "resource": "no such"}),
        update("no such", json!({})),
        update("net", json!({"address": "10.0.0.1/8"})),
        update("net", json!({"sites": ["no such"]})),
        update("net", json!({"colour": "blue"})),
        update("net", json!({"name": "wiki"})),
        json!({"cmd": "resource_add", "resource": {"name": "net", "type": "internet"}}),
        json!({"cmd": "account", "search_domain": "not a domain"}),
        json!({"cmd": "token_revoke"}),
        json!({"cmd": "token_revoke", "token": "no such"}),
        json!({"cmd": "flow_delete", "client": "no such", "resource": "net"}),
        json!({"cmd": "flow_delete", "client": "laptop", "resource": "no such"}),
    ] {
        let answer = network.command(command.clone());
        assert_eq!(answer["ok"], false, "{command}");
        assert!(
            answer["error"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
    assert_eq!((network.next(anna), network.next(gateway)), (None, None));
    assert_eq!(network.saved.0, 0);
}

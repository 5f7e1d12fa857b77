//! What a portal tells about itself: no keys, no tokens, no passwords.

use super::{
    command::id_text,
    connections::{Connection, ConnectionId, Party},
    core::Core,
};
use serde_json::{Value, json};

impl Core {
    /// Everything an operator may want to know.
    pub(crate) fn status(&self) -> Value {
        let devices = &self.devices;
        let clients = devices.clients.iter().map(|(&id, device)| {
            let mut value = self.connection_status(Party::Client(id));
            value["actor"] = json!(device.owner);
            value["name"] = json!(device.name);
            value["ipv4"] = json!(device.ipv4);
            value["ipv6"] = json!(device.ipv6);
            value
        });
        let gateways = devices.gateways.iter().map(|(&id, device)| {
            let mut value = self.connection_status(Party::Gateway(id));
            value["site"] = json!(device.owner);
            value["name"] = json!(device.name);
            value["ipv4"] = json!(device.ipv4);
            value["ipv6"] = json!(device.ipv6);
            value
        });
        let relays = self.relays.all.iter().map(|(&id, entry)| {
            let mut value = self.connection_status(Party::Relay(id));
            value["name"] = json!(entry.name);
            value["present"] = json!(entry.is_present());
            value["ipv4"] = json!(entry.reach.ipv4);
            value["ipv6"] = json!(entry.reach.ipv6);
            value["port"] = json!(entry.reach.port);
            value
        });
        let flows = self.flows.granted.iter().map(|(grant, expires_at)| {
            let (client, resource, gateway) = grant;
            json!({"client": client, "resource": resource, "gateway": gateway,
                "expires_at": expires_at})
        });
        json!({
            "account": self.settings.account,
            "sites": self.settings.sites,
            "resources": self.settings.resources,
            "clients": clients.collect::<Vec<_>>(),
            "gateways": gateways.collect::<Vec<_>>(),
            "relays": relays.collect::<Vec<_>>(),
            "flows": flows.collect::<Vec<_>>(),
        })
    }

    fn connection_status(&self, party: Party) -> Value {
        let mut value = json!({"id": id_text(party), "online": false});
        if let Some((_, connection)) = self.connections.of(party) {
            let session = &connection.session;
            value["online"] = json!(true);
            value["user_agent"] = json!(session.user_agent);
            value["remote"] = json!(session.remote);
            value["public_key"] = json!(session.key);
            if connection.uses_tunnels() {
                value["relays"] = json!(connection.handed.keys().collect::<Vec<_>>());
            }
        }
        value
    }

    /// Ends a channel but not its websocket. spec: portal 3.1
    pub(crate) fn close_channel(&mut self, id: ConnectionId) {
        use portal_client::frame::Frame;

        if let Some(topic) = self.connections.get(id).map(Connection::topic) {
            self.send(id, Frame::push(topic, "phx_close", json!({})));
            self.leave(id);
        }
    }
}

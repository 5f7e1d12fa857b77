//! Messages of the portal, and of parties to it.

use portal_client::{
    Message,
    frame::Frame,
    v1::{client, gateway, relay},
};
use serde_json::Value;

/// A frame, read as each party would.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(frame) = Frame::parse(text) else {
        return;
    };
    let (event, payload) = (frame.event.as_str(), &frame.payload);
    read::<client::FromPortal>(event, payload);
    read::<client::ToPortal>(event, payload);
    read::<gateway::FromPortal>(event, payload);
    read::<gateway::ToPortal>(event, payload);
    read::<relay::FromPortal>(event, payload);
}

/// What was understood is written such that it is understood again.
fn read<M: Message>(event: &str, payload: &Value) {
    if let Ok(message) = M::decode(event, payload.clone()) {
        let (event, payload) = message.encode();
        let again = M::decode(event, payload);
        assert!(again.is_ok_and(|again| again == message), "{event}");
    }
}

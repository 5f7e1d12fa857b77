//! Datagrams from anybody, at a client that is connected.

use crate::{
    network::{CLIENT_AT, OnTheWay},
    script::Script,
    session::Session,
};
use ring::hmac;
use std::time::Duration;

/// What the first bytes of a datagram may look like.
const BEGINNINGS: [&[u8]; 9] = [
    &[],
    &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
    &[1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42],
    &[1, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42],
    &[1, 0, 0, 0],
    &[2, 0, 0, 0],
    &[3, 0, 0, 0],
    &[4, 0, 0, 0],
    &[0x40, 0, 0, 20],
];

/// Datagrams that are tried in one input.
const MAX_DATAGRAMS: usize = 64;

/// Nothing that comes from the network without a key ends the connection or lasts.
pub(crate) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let mut session = Session::connected();
    for _ in 0..MAX_DATAGRAMS {
        if script.is_over() {
            break;
        }
        match script.byte() % 4 {
            0 => session.somebody_replays(&mut script),
            1 => session.pass(Duration::from_millis(u64::from(script.byte()))),
            kind => {
                let begin = script.choose(&BEGINNINGS);
                let mut payload = [begin, script.bytes()].concat();
                if kind == 2 {
                    sign(&mut payload, b"a password that nobody has");
                }
                session.inject(OnTheWay {
                    from: script.choose(&crate::session::OUTSIDE),
                    to: CLIENT_AT,
                    payload,
                });
            }
        }
        session.come_to_rest();
    }
    session.expect_traffic();
}

/// Makes a STUN message of some bytes: length, and MESSAGE-INTEGRITY of that key. RFC 8489 14.5
fn sign(message: &mut Vec<u8>, password: &[u8]) {
    const HEADER: usize = 20;
    const INTEGRITY: usize = 24;
    message.resize(message.len().max(HEADER).next_multiple_of(4), 0);
    let length = message.len() - HEADER + INTEGRITY;
    let Ok(length) = u16::try_from(length) else {
        return;
    };
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
    let digest = hmac::sign(&key, message);
    message.extend([0, 8, 0, 20]);
    message.extend(digest.as_ref());
}

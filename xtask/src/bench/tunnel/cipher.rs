//! The cipher alone: nothing that encrypts can be faster.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::time::{Duration, Instant};

/// Length of what is encrypted at a time, in bytes: a full packet of the tunnel.
const PACKET: usize = 1280;

/// How many packets are encrypted between two looks at the clock.
const BATCH: u32 = 1000;

/// Seconds that one thread needs to encrypt a gigabyte in place, packet by packet.
pub(crate) fn seconds_per_gigabyte(time: Duration) -> anyhow::Result<f64> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32])
        .map_err(|_| anyhow::anyhow!("the cipher refuses its key"))?;
    let key = LessSafeKey::new(key);
    let mut packet = [0; PACKET];
    let (mut bytes, mut number) = (0.0, 0_u32);
    let start = Instant::now();
    while start.elapsed() < time {
        for _ in 0..BATCH {
            number = number.wrapping_add(1);
            let mut nonce = [0; 12];
            nonce[..4].copy_from_slice(&number.to_le_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let _tag = key
                .seal_in_place_separate_tag(nonce, Aad::empty(), &mut packet)
                .map_err(|_| anyhow::anyhow!("the cipher refuses a packet"))?;
        }
        bytes += f64::from(BATCH) * 1280.0;
    }
    Ok(start.elapsed().as_secs_f64() / bytes * 1e9)
}

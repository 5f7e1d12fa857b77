//! Two sessions facing each other.

use super::*;
use crate::session::Handshake;
use model::{Seed, SeedTree};

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn identity(n: u8) -> Identity {
    Identity::new(&SeedTree::new(Seed::from_bytes([n; 32])))
}

fn jitter() -> ChaCha20Rng {
    SeedTree::new(Seed::from_bytes([9; 32])).stream("jitter")
}

struct Pair {
    client: Session,
    gateway: Session,
    identities: [Identity; 2],
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let identities = [identity(1), identity(2)];
        let psk = PresharedKey::from_bytes([3; 32]);
        let now = Instant::now();
        let session = |own: &Identity, other: &Identity, index| {
            Session::new(own, other.public_key(), &psk, index, jitter(), now)
        };
        Self {
            client: session(&identities[0], &identities[1], 0x00ab_cdef),
            gateway: session(&identities[1], &identities[0], 0x0012_3456),
            identities,
            now,
        }
    }

    fn start_handshake(&mut self) {
        let mut buffer = [0; 1500];
        let length = self.client.initiate(&mut buffer, self.now).unwrap();
        let reply = reply(&mut self.gateway, &buffer[..length], self.now);
        let confirmation = reply_to(&mut self.client, &reply, self.now);
        let done = self
            .gateway
            .open(FROM, &confirmation, &mut buffer, self.now);
        assert_eq!(done, Opened::Done);
    }
}

fn reply(session: &mut Session, message: &[u8], now: Instant) -> Vec<u8> {
    let mut buffer = [0; 1500];
    match session.open(FROM, message, &mut buffer, now) {
        Opened::Reply(length) => buffer[..length].to_vec(),
        other => panic!("{other:?}"),
    }
}

fn reply_to(session: &mut Session, message: &[u8], now: Instant) -> Vec<u8> {
    reply(session, message, now)
}

fn packet(payload: u8) -> Vec<u8> {
    let mut packet = vec![0; 21];
    packet[0] = 0x45;
    packet[3] = 21;
    packet[20] = payload;
    packet
}

fn sealed(session: &mut Session, packet: &[u8], now: Instant) -> Vec<u8> {
    let mut buffer = [0; 1500];
    let outcome = session.seal(packet, &mut buffer, now);
    assert!(matches!(outcome, Sealed::Data), "{outcome:?}");
    buffer[..packet.len() + WIREGUARD_OVERHEAD].to_vec()
}

#[test]
fn handshake_establishes_the_initiator_at_the_response_and_the_responder_at_the_first_data() {
    let mut pair = Pair::new();
    let mut buffer = [0; 1500];
    let length = pair.client.initiate(&mut buffer, pair.now).unwrap();
    assert_eq!(length, MAX_HANDSHAKE);
    let response = reply(&mut pair.gateway, &buffer[..length], pair.now);
    assert_eq!(response.len(), 92);
    assert!(!pair.gateway.is_established());
    let confirmation = reply(&mut pair.client, &response, pair.now);
    assert!(pair.client.is_established());
    assert_eq!(confirmation.len(), WIREGUARD_OVERHEAD, "a keep-alive");
    pair.gateway
        .open(FROM, &confirmation, &mut buffer, pair.now);
    assert!(pair.gateway.is_established());
    assert_eq!(pair.gateway.last_handshake(), Some(pair.now));
}

#[test]
fn packets_are_not_padded_and_arrive_once() {
    let mut pair = Pair::new();
    pair.start_handshake();
    let mut buffer = [0; 1500];
    let message = sealed(&mut pair.client, &packet(7), pair.now);
    let opened = pair.gateway.open(FROM, &message, &mut buffer, pair.now);
    assert_eq!(opened, Opened::Packet(21));
    assert_eq!(buffer[..21], packet(7));
    let again = pair.gateway.open(FROM, &message, &mut buffer, pair.now);
    assert_eq!(again, Opened::Dropped(DropReason::Replayed));
}

#[test]
fn damaged_messages_are_dropped_with_a_reason() {
    let mut pair = Pair::new();
    pair.start_handshake();
    let mut buffer = [0; 1500];
    let good = sealed(&mut pair.client, &packet(7), pair.now);
    for (index, reason) in [
        (good.len() - 1, DropReason::Undecryptable),
        (5, DropReason::UnknownSession),
    ] {
        let mut bad = good.clone();
        bad[index] ^= 1;
        let opened = pair.gateway.open(FROM, &bad, &mut buffer, pair.now);
        assert_eq!(opened, Opened::Dropped(reason), "{index}");
    }
    let inner = sealed(&mut pair.client, &[0xff; 40], pair.now);
    let opened = pair.gateway.open(FROM, &inner, &mut buffer, pair.now);
    assert_eq!(opened, Opened::Dropped(DropReason::MalformedInner));
}

#[test]
fn indices_carry_the_connection_in_the_upper_bits_and_count_in_the_lower() {
    let mut pair = Pair::new();
    let mut buffer = [0; 1500];
    for count in 1..=3 {
        let length = pair.client.initiate(&mut buffer, pair.now).unwrap();
        let index = u32::from_le_bytes(buffer[4..8].try_into().unwrap());
        assert_eq!(length, MAX_HANDSHAKE);
        assert_eq!(index >> 8, 0x00ab_cdef);
        assert_eq!(index & 0xff, count);
    }
}

/// Whether a packet that found a handshake under way waits for it.
fn waits(outcome: &Sealed) -> bool {
    match outcome {
        Sealed::NoSession {
            is_kept,
            initiation: None,
        } => *is_kept,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_more_than_256_packets_wait_for_a_session_and_all_of_them_go_out() {
    let mut pair = Pair::new();
    let mut buffer = [0; 1500];
    let Sealed::NoSession {
        initiation: Some(initiation),
        ..
    } = pair.client.seal(&packet(0), &mut buffer, pair.now)
    else {
        panic!("no initiation");
    };
    for n in 1..300 {
        let outcome = pair.client.seal(&packet(1), &mut buffer, pair.now);
        assert_eq!(waits(&outcome), n < 256, "{n}");
    }
    assert_eq!(pair.client.waiting(), 256);
    let response = reply(&mut pair.gateway, &initiation[..], pair.now);
    reply(&mut pair.client, &response, pair.now);
    let sent = std::iter::from_fn(|| pair.client.poll_waiting(&mut buffer)).count();
    assert_eq!((sent, pair.client.waiting()), (256, 0));
}

#[test]
fn a_packet_without_a_session_starts_a_handshake_and_goes_out_after_it() {
    let mut pair = Pair::new();
    let mut buffer = [0; 1500];
    let Sealed::NoSession {
        is_kept: true,
        initiation: Some(initiation),
    } = pair.client.seal(&packet(1), &mut buffer, pair.now)
    else {
        panic!("no initiation");
    };
    let second = pair.client.seal(&packet(2), &mut buffer, pair.now);
    assert!(waits(&second));
    assert_eq!(
        pair.client.poll_waiting(&mut buffer),
        None,
        "no session yet"
    );

    let response = reply(&mut pair.gateway, &initiation[..], pair.now);
    reply(&mut pair.client, &response, pair.now);
    for n in [1, 2] {
        let length = pair.client.poll_waiting(&mut buffer).unwrap();
        let message = buffer[..length].to_vec();
        let opened = pair.gateway.open(FROM, &message, &mut buffer, pair.now);
        assert_eq!(opened, Opened::Packet(21));
        assert_eq!(buffer[..21], packet(n));
    }
    assert_eq!(pair.client.poll_waiting(&mut buffer), None);
}

#[test]
fn handshakes_are_attributed_to_their_key_or_session() {
    let mut pair = Pair::new();
    let mut buffer = [0; 1500];
    let length = pair.client.initiate(&mut buffer, pair.now).unwrap();
    let initiation = buffer[..length].to_vec();
    let [client, gateway] = &pair.identities;
    let Ok(Handshake::Initiation(key)) = gateway.inspect(FROM, &initiation) else {
        panic!("not recognized");
    };
    assert_eq!(key, client.public_key());
    let stranger = client.inspect(FROM, &initiation).err();
    assert_eq!(stranger, Some((DropReason::BadMac, None)));

    let response = reply(&mut pair.gateway, &initiation, pair.now);
    let Ok(Handshake::Response(index)) = pair.identities[0].inspect(FROM, &response) else {
        panic!("not recognized");
    };
    assert_eq!(index >> 8, 0x00ab_cdef);
}

#[test]
fn the_hundred_and_first_handshake_of_a_second_gets_a_cookie_that_opens_the_door() {
    let mut pair = Pair::new();
    let mut buffer = [0; 1500];
    let length = pair.client.initiate(&mut buffer, pair.now).unwrap();
    let initiation = buffer[..length].to_vec();
    let gateway = &pair.identities[1];
    let refused: Vec<_> = (0..110)
        .filter_map(|_| gateway.inspect(FROM, &initiation).err())
        .collect();
    assert_eq!(refused.len(), 10);
    let (reason, cookie) = &refused[0];
    let cookie = cookie.clone().unwrap();
    assert_eq!((*reason, cookie.len()), (DropReason::RateLimited, 64));

    assert_eq!(
        pair.client.open(FROM, &cookie, &mut buffer, pair.now),
        Opened::Done
    );
    let length = pair.client.initiate(&mut buffer, pair.now).unwrap();
    assert!(gateway.inspect(FROM, &buffer[..length]).is_ok());
}

#[cfg(feature = "__virtual-time")]
mod timers {
    use super::*;

    impl Pair {
        fn pass(&mut self, time: Duration) {
            mock_instant::MockClock::advance(time);
            self.now += time;
        }
    }

    fn deadline(session: &Session, is_quiet: bool) -> Instant {
        let tick = session.tick_deadline(is_quiet);
        session.handshake_deadline().map_or(tick, |at| at.min(tick))
    }

    /// Ticks whenever the session wants it; the messages it sends, with the time they are sent at.
    fn run(pair: &mut Pair, limit: Duration) -> (Vec<(Duration, usize)>, Option<CloseReason>) {
        let start = pair.now;
        let mut sent = Vec::new();
        while pair.now - start < limit {
            let at = deadline(&pair.client, false);
            let wait = at.saturating_duration_since(pair.now);
            pair.pass(wait);
            let mut buffer = [0; 256];
            match pair.client.tick(&mut buffer, pair.now) {
                Tick::Send(length) => sent.push((pair.now - start, length)),
                Tick::Done => {}
                Tick::Dead(reason) => return (sent, Some(reason)),
            }
        }
        (sent, None)
    }

    #[test]
    fn unanswered_initiations_are_repeated_after_five_seconds_and_end_after_fifteen() {
        let mut pair = Pair::new();
        let start = pair.now;
        pair.client.initiate(&mut [0; 256], pair.now);
        let (sent, end) = run(&mut pair, Duration::from_secs(60));
        assert_eq!(end, Some(CloseReason::HandshakeTimeout));
        assert_eq!(pair.now - start, ATTEMPT_TIME);
        let gaps: Vec<_> = sent
            .iter()
            .scan(Duration::ZERO, |last, &(at, length)| {
                assert_eq!(length, MAX_HANDSHAKE);
                Some(at - std::mem::replace(last, at))
            })
            .collect();
        assert_eq!(gaps.len(), 2);
        for gap in gaps {
            let jitter = gap - RETRY;
            assert!(jitter <= Duration::from_millis(MAX_JITTER), "{gap:?}");
        }
    }

    #[test]
    fn what_was_received_is_acknowledged_after_ten_seconds_and_keys_change_after_two_minutes() {
        let mut pair = Pair::new();
        pair.pass(Duration::from_secs(1));
        pair.start_handshake();
        let mut buffer = [0; 256];
        pair.client.tick(&mut buffer, pair.now);
        pair.pass(Duration::from_secs(1));
        pair.client.tick(&mut buffer, pair.now);
        let message = sealed(&mut pair.gateway, &packet(1), pair.now);
        pair.client.open(FROM, &message, &mut [0; 1500], pair.now);
        let (sent, end) = run(&mut pair, Duration::from_secs(20));
        assert_eq!(end, None);
        let [(at, WIREGUARD_OVERHEAD)] = sent[..] else {
            panic!("one keep-alive: {sent:?}");
        };
        // Ten seconds after we last sent anything, which was two seconds before.
        assert!((8..=9).contains(&at.as_secs()), "{at:?}");

        sealed(&mut pair.client, &packet(1), pair.now);
        let response = sealed(&mut pair.gateway, &packet(1), pair.now);
        pair.client.open(FROM, &response, &mut [0; 1500], pair.now);
        let (sent, _) = run(&mut pair, Duration::from_secs(105));
        assert!(
            sent.iter().any(|&(_, length)| length == MAX_HANDSHAKE),
            "{sent:?}"
        );
    }

    #[test]
    fn without_a_new_session_it_ends_after_nine_minutes() {
        let mut pair = Pair::new();
        pair.start_handshake();
        let (_, end) = run(&mut pair, Duration::from_secs(600));
        assert_eq!(end, Some(CloseReason::Expired));
    }

    #[test]
    fn a_clock_that_lags_behind_does_not_make_a_busy_loop() {
        let mut pair = Pair::new();
        pair.client.initiate(&mut [0; 256], pair.now);
        // Our time goes on, the other clock stands still.
        let mut ticks = 0;
        while let Tick::Done | Tick::Send(_) = {
            pair.now = pair.now.max(deadline(&pair.client, true));
            pair.client.tick(&mut [0; 256], pair.now)
        } {
            ticks += 1;
            assert!(ticks < 250);
        }
    }
}

#[test]
fn an_initiation_is_repeated_after_five_seconds_and_a_jitter() {
    let mut pair = Pair::new();
    assert_eq!(pair.client.handshake_deadline(), None);
    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut buffer = [0; 256];
        pair.client.initiate(&mut buffer, pair.now).unwrap();
        let deadline = pair.client.handshake_deadline().unwrap();
        let wait = deadline - pair.now;
        assert!(wait > RETRY && wait <= RETRY + Duration::from_millis(MAX_JITTER));
        waits.insert(wait);
        pair.now += Duration::from_millis(100);
    }
    assert!(waits.len() > 10, "{waits:?}");
}

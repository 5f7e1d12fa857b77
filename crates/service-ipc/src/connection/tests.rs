//! Conversations over a pipe in memory, in virtual time.

use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

fn pair(room: usize, reading: Reading) -> (Connection<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(room);
    (Connection::new(ours, reading), theirs)
}

fn frame(payload: &[u8]) -> Vec<u8> {
    [&header(payload).unwrap()[..], payload].concat()
}

#[tokio::test(start_paused = true)]
async fn frames_cross_in_both_directions() {
    let (mut a, b) = pair(3, Reading::Always);
    let mut b = Connection::new(b, Reading::WhenFlushed);
    a.queue(b"from a").unwrap();
    b.queue(b"from b").unwrap();
    let a_side = async {
        assert_eq!(a.next().await.unwrap().unwrap().as_slice(), b"from b");
        a.flush().await.unwrap();
    };
    let ((), at_b) = tokio::join!(a_side, b.next());
    assert_eq!(at_b.unwrap().unwrap().as_slice(), b"from a");
    assert!(a.is_flushed() && b.is_flushed());
    drop(a);
    assert!(b.next().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_dropped_loses_nothing() {
    let (mut ours, mut theirs) = pair(64, Reading::Always);
    for byte in frame(b"slowly") {
        theirs.write_all(&[byte]).await.unwrap();
        tokio::select! {
            biased;
            payload = ours.next() => {
                assert_eq!(payload.unwrap().unwrap().as_slice(), b"slowly");
                return;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    panic!("the frame never came");
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_sends_nothing_twice() {
    let (mut ours, mut theirs) = pair(2, Reading::Always);
    ours.queue(b"abc").unwrap();
    let mut received = vec![];
    while received.len() < 7 {
        tokio::select! {
            biased;
            result = ours.flush() => result.unwrap(),
            () = tokio::task::yield_now() => {}
        }
        let mut piece = [0; 2];
        let count = theirs.read(&mut piece).await.unwrap();
        received.extend_from_slice(&piece[..count]);
    }
    assert_eq!(received, frame(b"abc"));
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_ends_in_time() {
    for arrived in [&b"\0"[..], b"\0\0\0\x05", b"\0\0\0\x05[1"] {
        let (mut ours, mut theirs) = pair(64, Reading::Always);
        theirs.write_all(arrived).await.unwrap();
        assert!(matches!(ours.next().await, Err(Fault::Stalled(_))));
        let (mut ours, mut theirs) = pair(64, Reading::Always);
        theirs.write_all(arrived).await.unwrap();
        drop(theirs);
        assert!(matches!(ours.next().await, Err(Fault::Truncated)));
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_one_by_one_do_not_stretch_the_time_of_a_frame() {
    let (mut ours, mut theirs) = pair(64, Reading::Always);
    let dripping = async {
        for byte in frame(b"a long message") {
            theirs.write_all(&[byte]).await.unwrap();
            sleep(FRAME_TIME / 4).await;
        }
    };
    let fault = tokio::select! {
        payload = ours.next() => payload.unwrap_err(),
        () = dripping => panic!("the frame was waited for"),
    };
    assert!(matches!(fault, Fault::Stalled(_)));
}

#[tokio::test(start_paused = true)]
async fn each_frame_has_a_time_of_its_own() {
    let (mut ours, mut theirs) = pair(64, Reading::Always);
    let slowly = async {
        for _ in 0..3 {
            let frame = frame(b"late");
            theirs.write_all(&frame[..5]).await.unwrap();
            sleep(FRAME_TIME * 2 / 3).await;
            theirs.write_all(&frame[5..]).await.unwrap();
        }
    };
    let receive = async {
        for _ in 0..3 {
            assert_eq!(ours.next().await.unwrap().unwrap().as_slice(), b"late");
        }
    };
    tokio::join!(slowly, receive);
}

#[tokio::test(start_paused = true)]
async fn each_payload_that_is_sent_has_a_time_of_its_own() {
    let (mut ours, mut theirs) = pair(8, Reading::Always);
    let slowly = async {
        let mut piece = [0; 12];
        for _ in 0..3 {
            sleep(FRAME_TIME * 2 / 3).await;
            theirs.read_exact(&mut piece).await.unwrap();
        }
    };
    let send = async {
        for _ in 0..3 {
            ours.queue(b"12345678").unwrap();
            ours.flush().await.unwrap();
        }
    };
    tokio::join!(slowly, send);
}

#[tokio::test(start_paused = true)]
async fn silence_between_frames_is_no_fault() {
    let (mut ours, _theirs) = pair(64, Reading::Always);
    assert!(
        tokio::time::timeout(FRAME_TIME * 100, ours.next())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_is_not_listened_to_and_given_up() {
    let (mut ours, mut theirs) = pair(8, Reading::WhenFlushed);
    theirs.write_all(&frame(b"[]")).await.unwrap();
    ours.queue(b"more than eight bytes").unwrap();
    let fault = ours.next().await.unwrap_err();
    assert!(matches!(fault, Fault::Stalled(_)), "{fault}");

    let (mut ours, mut theirs) = pair(8, Reading::Always);
    theirs.write_all(&frame(b"[]")).await.unwrap();
    ours.queue(b"more than eight bytes").unwrap();
    assert_eq!(ours.next().await.unwrap().unwrap().as_slice(), b"[]");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_is_noticed_while_sending() {
    let (mut ours, theirs) = pair(8, Reading::WhenFlushed);
    drop(theirs);
    ours.queue(b"more than eight bytes").unwrap();
    assert!(matches!(ours.next().await, Err(Fault::Io(_))));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_peer_is_bounded() {
    let (mut ours, _theirs) = pair(8, Reading::Always);
    let largest = vec![b' '; MAX_PAYLOAD];
    ours.queue(&largest).unwrap();
    ours.queue(&largest).unwrap();
    let fault = ours.queue(b"1").unwrap_err();
    assert!(matches!(fault, Fault::MessageTooLarge(_)));
}

#[tokio::test(start_paused = true)]
async fn many_messages_cost_no_more_than_their_bytes() {
    let (mut ours, mut theirs) = pair(64 * 1024, Reading::Always);
    // What a list of as many resources without a gateway costs, one message each.
    let payload = [b'x'; 70];
    let (mut copied, mut room) = (0, 0);
    for _ in 0..10_000 {
        let before = (ours.unsent.as_ptr(), ours.unsent.len());
        ours.queue(&payload).unwrap();
        if ours.unsent.as_ptr() != before.0 {
            copied += before.1;
            room += 1;
        }
    }
    let bytes = ours.unsent.len();
    assert_eq!(bytes, 10_000 * (HEADER + payload.len()));
    assert!(
        copied <= 2 * bytes,
        "{copied} bytes were copied for {bytes}"
    );
    assert!(room <= 20, "room was made {room} times");
    assert!(ours.unsent.capacity() <= 2 * bytes);
    let reading = async {
        let mut buffer = vec![0; bytes];
        theirs.read_exact(&mut buffer).await.unwrap();
    };
    let (flushed, ()) = tokio::join!(ours.flush(), reading);
    flushed.unwrap();
    assert_eq!(ours.unsent.capacity(), 0, "nothing is kept");
}

#[test]
fn room_is_made_only_if_it_is_needed_and_never_beyond_the_limit() {
    for (room, needed, larger) in [
        (0, 10, Some(10)),
        (10, 9, None),
        (10, 10, None),
        (10, 11, Some(20)),
        (10, 50, Some(50)),
        (MAX_UNSENT - 1, MAX_UNSENT, Some(MAX_UNSENT)),
        (MAX_UNSENT / 3 * 2, MAX_UNSENT / 3 * 2 + 1, Some(MAX_UNSENT)),
        (MAX_UNSENT, MAX_UNSENT, None),
    ] {
        assert_eq!(larger_room(room, needed), larger, "{room}, {needed}");
    }
}

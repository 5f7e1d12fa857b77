//! IP packets of programs and gateways, control messages among them.

use crate::script::Script;
use ip_packet::{
    Checksum, Control, Ecn, IcmpError, IpPacket, MAX_CONTROL, Unreachable, emit_unreachable,
    propagate_congestion,
};
use std::net::IpAddr;

/// Rewrites whatever is a packet in every way, and expects packets to stay packets.
pub(crate) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let (congestion, port) = (Ecn::from_bits(script.byte()), script.word());
    let mut bytes = script.rest().to_vec();
    let Ok(packet) = IpPacket::parse(&bytes[..]) else {
        return;
    };
    look(&packet);
    reply(&packet);
    if Control::recognize(&packet)
        && let Some(control) = Control::parse(&packet)
    {
        repeat(&control);
    }
    if let Some(error) = IcmpError::parse(&packet) {
        assert_eq!(
            error.quoted.source.is_ipv4(),
            error.quoted.destination.is_ipv4()
        );
    }
    propagate_congestion(congestion, &mut bytes);
    rewrite(&mut bytes, port);
}

fn look(packet: &IpPacket<&[u8]>) {
    assert!(packet.payload().len() <= packet.bytes().len());
    assert!(packet.udp_payload().len() <= packet.payload().len());
    let _seen = (packet.transport().source(), packet.ecn());
    let _tcp = (packet.tcp_syn_sequence(), packet.is_tcp_reset());
    assert_eq!(packet.source().is_ipv4(), packet.destination().is_ipv4());
}

/// Errors that we send are packets, and never answer errors.
fn reply(packet: &IpPacket<&[u8]>) {
    let mut buffer = [0; 1280];
    for reason in [Unreachable::Prohibited, Unreachable::Network] {
        if let Some(length) = emit_unreachable(&mut buffer, packet, reason) {
            let error = IpPacket::parse(&buffer[..length]).expect("we send packets");
            assert_eq!(error.destination(), packet.source());
            let again = emit_unreachable(&mut [0; 1280], &error, reason);
            assert_eq!(again, None, "an error about an error");
        }
    }
}

/// What was understood is written as it was read.
fn repeat(control: &Control) {
    let mut buffer = [0; MAX_CONTROL];
    let Ok(length) = control.emit(&mut buffer) else {
        return;
    };
    let packet = IpPacket::parse(&buffer[..length]).expect("we send packets");
    assert_eq!(Control::parse(&packet).as_ref(), Some(control));
}

/// Other addresses and ports, and then the ones from before: the packet is the same again.
fn rewrite(bytes: &mut [u8], port: u16) {
    let before = bytes.to_vec();
    let Ok(mut packet) = IpPacket::parse(&mut *bytes) else {
        return;
    };
    let (source, destination) = (packet.source(), packet.destination());
    let other = |address: IpAddr| match address {
        IpAddr::V4(_) => IpAddr::from([100, 96, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0xfd00, 0x2021, 0x1111, 0x8000, 0, 0, 0, 1]),
    };
    packet.set_source(other(source));
    packet.set_destination(other(destination));
    packet.set_source_port(port);
    packet.set_destination_port(port);
    assert_eq!(packet.source(), other(source));
    assert_eq!(packet.destination(), other(destination));
    let length = packet.bytes().len();
    IpPacket::parse(&*bytes).expect("it is still a packet");
    assert_eq!(length, before.len());
    let _sum = Checksum::new().add_bytes(bytes).finish();
}

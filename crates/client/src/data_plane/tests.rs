//! Every source is served, and nothing that matters is lost, under load.

use super::*;
use crate::reports::{self, ReportStream};
use ip_packet::emit_udp;
use model::{CidrResource, Interface, InterfacePlan, Resource, limits};
use parking_lot::Mutex;
use platform::{Platform as _, Sockets, memory::MemoryPlatform};
use std::sync::Arc;
use tunnel_core::Config;

/// A device that always has as many packets as the batch takes, until it breaks.
struct BusyTun {
    packet: Vec<u8>,
    batches: usize,
    /// What is done after each batch.
    after: Box<dyn FnMut() + Send + Sync>,
}

impl Tun for BusyTun {
    fn name(&self) -> &str {
        "busy"
    }

    async fn readable(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_read(&mut self, batch: &mut PacketBatch) -> io::Result<()> {
        (self.after)();
        if self.batches == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.batches -= 1;
        while batch.push(&self.packet) {}
        Ok(())
    }

    fn try_write(&mut self, batch: &mut PacketBatch) -> io::Result<()> {
        batch.clear();
        Ok(())
    }
}

fn packet() -> Vec<u8> {
    let mut bytes = vec![0; limits::MTU];
    let (from, to) = ("100.64.0.1:1", "10.0.0.1:2");
    let length = emit_udp(&mut bytes, from.parse().unwrap(), to.parse().unwrap(), b"x");
    bytes.truncate(length.unwrap());
    bytes
}

/// Sockets that are only reached from this host.
fn sockets() -> Sockets {
    MemoryPlatform::new().0.sockets()
}

fn tunnel() -> Tunnel {
    let seed = Seed::from_bytes([1; 32]);
    Tunnel::new(Config::default(), seed, Duration::ZERO, Instant::now())
}

/// Runs the data plane until the device breaks after so many batches; `after` sees each.
async fn work_under_load(
    batches: usize,
    inbox: mpsc::Receiver<Input>,
    after: impl FnMut() + Send + Sync + 'static,
) {
    let tun = BusyTun {
        packet: packet(),
        batches,
        after: Box::new(after),
    };
    let (sink, _stream) = reports::channel();
    let data_plane = DataPlane::new(Instant::now(), tunnel(), tun, (sockets(), 0), (inbox, sink));
    let fault = data_plane.unwrap().run().await.unwrap_err();
    assert!(matches!(fault, DataPlaneFault::Tun(_)));
}

/// Questions in a queue, and those who wait for the answers.
async fn questions(count: usize) -> (mpsc::Receiver<Input>, Vec<oneshot::Receiver<Snapshot>>) {
    let (to_data, inbox) = mpsc::channel(count);
    let mut waiting = vec![];
    for _ in 0..count {
        let (reply, answer) = oneshot::channel();
        to_data.send(Input::Snapshot(reply)).await.unwrap();
        waiting.push(answer);
    }
    // Kept open: a closed inbox ends the data plane.
    std::mem::forget(to_data);
    (inbox, waiting)
}

#[tokio::test]
async fn inputs_are_handled_beside_a_device_that_always_has_packets() {
    let (inbox, mut waiting) = questions(2_000).await;
    work_under_load(64, inbox, || {}).await;
    waiting.retain_mut(|answer| answer.try_recv().is_err());
    assert_eq!(waiting.len(), 0, "of 2000, while 64 batches were read");
}

#[tokio::test]
async fn no_more_inputs_are_handled_between_two_batches_than_there_are_places() {
    let (inbox, waiting) = questions(2_000).await;
    let waiting = Arc::new(Mutex::new(waiting));
    let most = Arc::new(Mutex::new(0));
    let after = {
        let (waiting, most) = (Arc::clone(&waiting), Arc::clone(&most));
        move || {
            let mut waiting = waiting.lock();
            let before = waiting.len();
            waiting.retain_mut(|answer| answer.try_recv().is_err());
            let mut most = most.lock();
            *most = (before - waiting.len()).max(*most);
        }
    };
    work_under_load(100, inbox, after).await;
    assert!(waiting.lock().is_empty());
    // One more comes from having waited for anything at all.
    assert!((INPUTS..=INPUTS + 1).contains(&most.lock()));
}

fn interface() -> Interface {
    Interface {
        ipv4: [100, 64, 0, 1].into(),
        ipv6: "fd00:2021:1111::1".parse().unwrap(),
        upstream_dns: vec![],
        search_domain: None,
    }
}

fn network(number: u16) -> Resource {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    let [high, low] = number.to_be_bytes();
    Resource::Cidr(CidrResource {
        id: ResourceId::from_bytes(id),
        name: String::new(),
        address: format!("10.{high}.{low}.0/24").parse().unwrap(),
        address_description: None,
        sites: vec![],
        filters: vec![],
    })
}

/// A control task that is away for a while after each time it looks; the plans it saw.
async fn look_now_and_then(mut reports: ReportStream, routes: usize) -> Vec<InterfacePlan> {
    let mut plans: Vec<InterfacePlan> = vec![];
    while plans.last().is_none_or(|plan| plan.routes.len() < routes) {
        plans.extend(reports.next().await.unwrap().plan);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    plans
}

#[tokio::test]
async fn a_burst_of_ten_thousand_resources_ends_in_the_right_plan() {
    const RESOURCES: u16 = 10_000;
    let (to_data, inbox) = mpsc::channel(4096);
    let (sink, stream) = reports::channel();
    let (mut platform, _control) = MemoryPlatform::new();
    let tun = platform.create_tun().unwrap();
    let data_plane = DataPlane::new(Instant::now(), tunnel(), tun, (sockets(), 0), (inbox, sink));
    let burst = async move {
        let init = PortalUpdate::Init {
            interface: interface(),
            resources: vec![],
            relays: vec![],
        };
        to_data.send(Input::Portal(init)).await.unwrap();
        for number in 0..RESOURCES {
            let update = PortalUpdate::Resource(network(number));
            to_data.send(Input::Portal(update)).await.unwrap();
        }
        to_data
    };
    let own = model::ranges::client_routes().len();
    let looking = look_now_and_then(stream, own + usize::from(RESOURCES));
    let (ended, _to_data, plans) = tokio::join!(data_plane.unwrap().run(), burst, looking);
    ended.unwrap();
    let plan = plans.last().unwrap();
    assert!((0..RESOURCES).all(|number| match network(number) {
        Resource::Cidr(network) => plan.routes.contains(&network.address),
        _ => false,
    }));
    assert!(
        plans.len() <= 1 + usize::from(RESOURCES) / INPUTS,
        "{}",
        plans.len()
    );
}

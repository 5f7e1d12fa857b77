//! The TUN device, with virtio offload where the kernel has it. spec: platform 2

mod node;
mod open;
mod slot;

pub(crate) use node::check;
pub(crate) use open::open;

use platform::{HEADROOM, MAX_SPLIT, PacketBatch, Tun};
use slot::Slot;
use std::{fmt, io};
use tun_rs::{AsyncDevice, GROTable, VIRTIO_NET_HDR_LEN};

/// Largest packet that the stack hands down in one piece.
const LARGE: usize = VIRTIO_NET_HDR_LEN + 65_535;

/// Malformed packets in a row after which a read gives the caller a rest.
const PATIENCE: usize = 64;

/// A TUN device. The interface disappears when it is dropped.
pub struct LinuxTun {
    device: AsyncDevice,
    name: String,
    offload: Option<Offload>,
}

/// What segmentation offload needs.
struct Offload {
    large: Vec<u8>,
    table: Box<GROTable>,
    // Turned off when the kernel refuses a merged packet. spec: platform 2.4
    merge: bool,
}

impl LinuxTun {
    fn new(device: AsyncDevice, name: String, has_offload: bool) -> Self {
        let offload = has_offload.then(|| Offload {
            large: vec![0; LARGE],
            table: Box::default(),
            merge: true,
        });
        Self {
            device,
            name,
            offload,
        }
    }

    /// Whether the device splits and merges packets.
    pub fn has_offload(&self) -> bool {
        self.offload.is_some()
    }

    /// Reads once into the free slots of the batch.
    fn read(&mut self, batch: &mut PacketBatch) -> io::Result<usize> {
        let large = match &mut self.offload {
            Some(offload) => &mut offload.large[..],
            None => &mut [],
        };
        batch.fill(|slots, lengths| {
            self.device
                .try_recv_multiple(large, slots, lengths, HEADROOM)
        })
    }

    fn write_merged(&mut self, frames: &mut [Vec<u8>]) -> io::Result<()> {
        let Some(offload) = self.offload.as_mut().filter(|o| o.merge) else {
            return self.write_each(frames);
        };
        // The blocking variant of the call: it works on the same non-blocking descriptor and
        // needs no round trip through the runtime.
        let device: &tun_rs::DeviceImpl = &self.device;
        let sent = device.send_multiple(&mut offload.table, Slot::wrap(frames), HEADROOM);
        match sent {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                tracing::info!("The kernel refuses merged packets; going on one by one");
                offload.merge = false;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes packet by packet and reports the last failure.
    fn write_each(&self, frames: &mut [Vec<u8>]) -> io::Result<()> {
        let header = match self.offload {
            Some(_) => VIRTIO_NET_HDR_LEN,
            None => 0,
        };
        let mut result = Ok(());
        for frame in frames {
            // All zero means: complete checksum, not segmented.
            frame[HEADROOM - header..HEADROOM].fill(0);
            if let Err(error) = self.device.try_send(&frame[HEADROOM - header..]) {
                result = Err(error);
            }
        }
        result
    }
}

impl Tun for LinuxTun {
    fn name(&self) -> &str {
        &self.name
    }

    async fn readable(&self) -> io::Result<()> {
        self.device.readable().await
    }

    fn try_read(&mut self, batch: &mut PacketBatch) -> io::Result<()> {
        batch.clear();
        for _ in 0..PATIENCE.max(batch.capacity()) {
            match self.read(batch) {
                Ok(_) if batch.capacity() - batch.len() < MAX_SPLIT => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error().is_some() && batch.is_empty() => {
                    return Err(error);
                }
                // The error comes again with the next call.
                Err(error) if error.raw_os_error().is_some() => break,
                Err(error) => {
                    tracing::debug!(%error, "Dropped a malformed packet from the TUN device");
                }
            }
        }
        if batch.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    fn try_write(&mut self, batch: &mut PacketBatch) -> io::Result<()> {
        let result = match batch.frames() {
            [] => Ok(()),
            frames => self.write_merged(frames),
        };
        batch.clear();
        result
    }
}

impl fmt::Debug for LinuxTun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinuxTun")
            .field("name", &self.name)
            .field("offload", &self.has_offload())
            .finish_non_exhaustive()
    }
}

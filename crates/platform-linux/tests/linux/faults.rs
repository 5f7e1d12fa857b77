//! What an operator reads when something is missing. spec: platform 8

use crate::namespace::{Etc, inside};
use platform::{Platform as _, TunFault};
use platform_linux::{LinuxOptions, LinuxPlatform};
use rustix::{
    mount::{MountFlags, mount},
    thread::{CapabilitySet, capabilities, set_capabilities},
};
use socket_factory::LoopPrevention;
use std::{net::SocketAddr, os::unix::fs::FileTypeExt as _};

/// Takes capabilities away from this thread and those it starts.
fn drop_capabilities(dropped: CapabilitySet) {
    let mut sets = capabilities(None).unwrap();
    sets.effective -= dropped;
    sets.permitted -= dropped;
    sets.inheritable -= dropped;
    set_capabilities(None, sets).unwrap();
}

#[test]
fn missing_capability_is_named_with_its_remedy() {
    inside(|| async {
        let etc = Etc::new();
        drop_capabilities(CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW);
        let mut platform = etc.platform();
        let fault = platform.create_tun().unwrap_err();
        assert!(matches!(fault, TunFault::Permission { .. }), "{fault}");
        let text = fault.to_string();
        assert!(text.contains("setcap cap_net_admin+eip"), "{text}");
        assert!(text.contains("AmbientCapabilities"), "{text}");

        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let error = platform.sockets().udp.bind(any).unwrap_err();
        assert!(LoopPrevention::is_cause_of(&error), "{error}");
        let error = platform.sockets().tcp.connect(any).await.unwrap_err();
        assert!(LoopPrevention::is_cause_of(&error), "{error}");
        // Nothing was there to be reverted.
        platform.revert().unwrap();
    });
}

#[test]
fn missing_device_node_is_made_if_that_is_allowed() {
    inside(|| async {
        let etc = Etc::new();
        mount("tmpfs", "/dev/net", "tmpfs", MountFlags::empty(), None).unwrap();
        let mut platform = etc.platform();
        drop(platform.create_tun().unwrap());
        let node = std::fs::metadata("/dev/net/tun").unwrap();
        assert!(node.file_type().is_char_device());
    });
}

#[test]
fn missing_device_node_is_explained_if_it_cannot_be_made() {
    inside(|| async {
        let etc = Etc::new();
        mount("tmpfs", "/dev/net", "tmpfs", MountFlags::empty(), None).unwrap();
        drop_capabilities(CapabilitySet::MKNOD);
        let fault = etc.platform().create_tun().unwrap_err();
        assert!(matches!(fault, TunFault::DriverMissing { .. }), "{fault}");
        let text = fault.to_string();
        assert!(
            text.contains("mknod") && text.contains("modprobe tun"),
            "{text}"
        );
    });
}

#[test]
fn impossible_interface_name_is_refused() {
    inside(|| async {
        let etc = Etc::new();
        let mut platform = LinuxPlatform::new(LinuxOptions {
            interface: "a name that is too long".into(),
            ..etc.options()
        })
        .unwrap();
        let fault = platform.create_tun().unwrap_err();
        assert!(matches!(fault, TunFault::BadName { .. }), "{fault}");
    });
}

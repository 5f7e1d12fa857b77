//! `resolv.conf` as containers and administrators have it. spec: platform 20

use crate::namespace::{Etc, RESOLV_CONF, inside, plan, read, started};
use platform::{Platform as _, PlatformFault};
use platform_linux::{DnsControl, LinuxOptions, LinuxPlatform};
use rustix::mount::{MountFlags, mount_bind, mount_remount};
use std::{fs, net::IpAddr, os::unix::fs::symlink};

fn system_resolver() -> Vec<IpAddr> {
    vec![IpAddr::from([192, 0, 2, 53])]
}

#[test]
fn bind_mounted_file_is_written_in_place() {
    inside(|| async {
        let etc = Etc::new();
        let source = etc.0.join("of-the-container-engine");
        fs::rename(etc.file(), &source).unwrap();
        fs::write(etc.file(), "").unwrap();
        mount_bind(&source, etc.file()).unwrap();
        let mut platform = started(&etc);
        let _tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        assert!(read(&source).contains("nameserver 100.100.111.1"));
        assert_eq!(platform.system_resolvers().unwrap(), system_resolver());
        platform.revert().unwrap();
        assert_eq!(read(&source), RESOLV_CONF);
        rustix::mount::unmount(etc.file(), rustix::mount::UnmountFlags::empty()).unwrap();
    });
}

#[test]
fn read_only_directory_is_a_clear_fault() {
    inside(|| async {
        let etc = Etc::new();
        mount_bind(&etc.0, &etc.0).unwrap();
        mount_remount(&etc.0, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
        let mut platform = started(&etc);
        let _tun = platform.create_tun().unwrap();
        let fault = platform.apply(&plan()).await.unwrap_err();
        assert!(matches!(fault, PlatformFault::Dns { .. }), "{fault}");
        assert!(fault.to_string().contains("writable /etc"), "{fault}");
        platform.revert().unwrap();
        rustix::mount::unmount(&etc.0, rustix::mount::UnmountFlags::empty()).unwrap();
    });
}

#[test]
fn symbolic_link_fails_at_start_and_leaves_it_alone() {
    inside(|| async {
        let etc = Etc::new();
        let target = etc.0.join("stub-resolv.conf");
        fs::rename(etc.file(), &target).unwrap();
        symlink(&target, etc.file()).unwrap();
        let mut platform = etc.platform();
        let fault = platform.revert().unwrap_err();
        assert!(fault.to_string().contains("symbolic link"), "{fault}");
        let _tun = platform.create_tun().unwrap();
        assert!(platform.apply(&plan()).await.is_err());
        assert_eq!(read(&target), RESOLV_CONF);
    });
}

#[test]
fn disabled_control_touches_nothing_and_still_knows_resolvers() {
    inside(|| async {
        let etc = Etc::new();
        let mut platform = LinuxPlatform::new(LinuxOptions {
            dns_control: DnsControl::Disabled,
            ..etc.options()
        })
        .unwrap();
        platform.revert().unwrap();
        let _tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        assert_eq!(read(&etc.file()), RESOLV_CONF);
        assert!(!etc.paths().backup.exists());
        assert_eq!(platform.system_resolvers().unwrap(), system_resolver());
    });
}

#[test]
fn program_that_takes_the_file_over_is_noticed_and_respected() {
    inside(|| async {
        let etc = Etc::new();
        let mut platform = started(&etc);
        let mut watch = platform.watch();
        let _tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        // The same resolvers as before us: only our lines are gone.
        let foreign = etc.0.join("written-by-dhcp");
        fs::write(&foreign, RESOLV_CONF).unwrap();
        fs::rename(&foreign, etc.file()).unwrap();
        let event = tokio::time::timeout(crate::namespace::PATIENCE, watch.next()).await;
        assert_eq!(
            event.expect("nobody noticed"),
            platform::NetworkEvent::ResolversChanged
        );
        platform.apply(&plan()).await.unwrap();
        assert!(read(&etc.file()).contains("nameserver 100.100.111.1"));
        platform.revert().unwrap();
        assert_eq!(read(&etc.file()), RESOLV_CONF);
    });
}

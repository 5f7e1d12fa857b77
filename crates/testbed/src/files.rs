//! The private files of a host.

use super::fault::{Context as _, Fault};
use rustix::{
    fs::{CWD, FileType, Mode, chmod, makedev, mknodat},
    mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change},
};
use std::{fs, path::Path};

/// What programs look up in `/etc` and hosts share.
const COMMON: [&str; 6] = [
    "group",
    "gai.conf",
    "ld.so.cache",
    "passwd",
    "protocols",
    "services",
];

/// Where a host's `/etc` is made.
const ETC: &str = "/run/etc";

/// Gives this thread, which must have a mount namespace of its own, an `/etc`, `/run`, `/var/lib`
/// and `/var/log` that nobody else sees, and a `/sys` that shows its network.
pub(crate) fn make_private(name: &str, resolver: Option<&str>) -> Result<(), Fault> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context(|| "separate the mounts".to_owned())?;
    let plain = MountFlags::NOSUID | MountFlags::NODEV;
    for directory in ["/run", "/var/lib", "/var/log"] {
        mount("tmpfs", directory, "tmpfs", plain, c"mode=0755")
            .context(|| format!("mount a private {directory}"))?;
    }
    // Only few programs look there, and not every container lets it happen.
    mount("sysfs", "/sys", "sysfs", plain, None).unwrap_or_default();
    fill_etc(name, resolver).context(|| "make a private /etc".to_owned())?;
    mount_bind(ETC, "/etc").context(|| "mount a private /etc".to_owned())
}

/// Makes a node of the TUN driver that everybody may use, as most distributions have it.
pub(crate) fn share_tun() -> Result<(), Fault> {
    let make = || -> rustix::io::Result<()> {
        mount(
            "tmpfs",
            "/dev/net",
            "tmpfs",
            MountFlags::NOSUID,
            c"mode=0755",
        )?;
        let node = "/dev/net/tun";
        mknodat(
            CWD,
            node,
            FileType::CharacterDevice,
            Mode::empty(),
            makedev(10, 200),
        )?;
        chmod(node, Mode::from_raw_mode(0o666))
    };
    make().context(|| "make a /dev/net/tun for everybody".to_owned())
}

/// Shows a file at a place that everybody can reach, whatever the folders above it.
pub(crate) fn show(file: &Path, at: &Path) -> Result<(), Fault> {
    let show = || -> std::io::Result<()> {
        fs::write(at, "")?;
        Ok(mount_bind(file, at)?)
    };
    show().context(|| format!("show {} at {}", file.display(), at.display()))
}

fn fill_etc(name: &str, resolver: Option<&str>) -> std::io::Result<()> {
    let etc = Path::new(ETC);
    fs::create_dir(etc)?;
    for file in COMMON {
        if let Ok(content) = fs::read(Path::new("/etc").join(file)) {
            fs::write(etc.join(file), content)?;
        }
    }
    if let Ok(release) = fs::read("/etc/os-release") {
        fs::write(etc.join("os-release"), release)?;
    }
    fs::write(
        etc.join("nsswitch.conf"),
        "passwd: files\ngroup: files\nhosts: files dns\n",
    )?;
    fs::write(etc.join("hostname"), format!("{name}\n"))?;
    fs::write(
        etc.join("hosts"),
        format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {name}\n"),
    )?;
    let resolvers = resolver.map(|address| format!("nameserver {address}\n"));
    fs::write(etc.join("resolv.conf"), resolvers.unwrap_or_default())
}

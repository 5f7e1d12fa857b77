//! Brings a tunnel interface up and holds it until standard input ends.
//!
//! Usage: `hold RESOLV_CONF BACKUP METHOD`. Says on standard output how far it is. Tests kill it on the way.
#![expect(clippy::print_stdout, reason = "standard output is what it is for")]

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use platform::{DnsMethod as _, Platform as _};
    use platform_linux::{DnsControl, LinuxOptions, LinuxPlatform, ResolvConfPaths};

    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next();
    let (Some(file), Some(backup), Some(method)) = (next(), next(), next()) else {
        return Err("usage: hold RESOLV_CONF BACKUP METHOD".into());
    };
    let method = method.to_string_lossy();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut platform = LinuxPlatform::new(LinuxOptions {
            dns_control: DnsControl::find(&method).ok_or("there is no such method")?,
            resolv_conf: ResolvConfPaths {
                file: file.into(),
                backup: backup.into(),
            },
            ..LinuxOptions::default()
        })?;
        println!("started");
        platform.revert()?;
        println!("reverted");
        let _tun = platform.create_tun()?;
        println!("created");
        platform.apply(&platform::conformance::plan(1)).await?;
        println!("applied");
        platform.apply(&platform::conformance::plan(2)).await?;
        println!("changed");
        std::io::read_to_string(std::io::stdin())?;
        Ok(())
    })
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this is for Linux");
}

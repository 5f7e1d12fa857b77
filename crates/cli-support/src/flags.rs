//! How the tunnel sits in the system, as the user says it. spec: client-app 2, 3, 4

use crate::DnsControl;
use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use platform::{DnsMethod as _, Options};

/// Options of every program with a tunnel.
#[derive(Debug, Clone, Args)]
pub struct HostFlags {
    /// How programs on this machine find the names of resources.
    #[arg(
        long,
        env = "FIREZONE_DNS_CONTROL",
        value_name = "METHOD",
        default_value_t,
        value_parser = methods(),
        global = true
    )]
    pub dns_control: DnsControl,

    /// Send buffer of UDP sockets to ask the system for, in bytes [default: 2097152].
    #[arg(
        long,
        env = "FIREZONE_UDP_SEND_BUFFER_SIZE",
        value_name = "BYTES",
        hide = true,
        global = true
    )]
    pub udp_send_buffer_size: Option<usize>,

    /// Receive buffer of UDP sockets to ask the system for, in bytes [default: 16777216].
    #[arg(
        long,
        env = "FIREZONE_UDP_RECV_BUFFER_SIZE",
        value_name = "BYTES",
        hide = true,
        global = true
    )]
    pub udp_recv_buffer_size: Option<usize>,
}

impl HostFlags {
    /// What they mean to the platform.
    pub fn options(&self) -> Options<DnsControl> {
        let mut options = Options {
            dns_control: self.dns_control,
            ..Options::default()
        };
        let sockets = &mut options.sockets;
        sockets.send_buffer = self.udp_send_buffer_size.unwrap_or(sockets.send_buffer);
        sockets.receive_buffer = self.udp_recv_buffer_size.unwrap_or(sockets.receive_buffer);
        options
    }
}

/// Takes the names of methods, and explains each of them.
fn methods() -> impl TypedValueParser<Value = DnsControl> {
    let explained = |method: &DnsControl| PossibleValue::new(method.name()).help(method.help());
    PossibleValuesParser::new(DnsControl::ALL.iter().map(explained))
        .map(|name| DnsControl::find(&name).expect("only these names are taken"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, Parser};

    /// A program.
    #[derive(Debug, Parser)]
    #[command(name = "program")]
    struct Cli {
        #[command(flatten)]
        host: HostFlags,
    }

    fn parse(arguments: &[&str]) -> Result<Options<DnsControl>, clap::Error> {
        let line = [&["program"], arguments].concat();
        Cli::try_parse_from(line).map(|cli| cli.host.options())
    }

    #[test]
    fn the_method_of_dns_control_is_chosen_unless_one_is_named() {
        assert_eq!(parse(&[]).unwrap().dns_control, DnsControl::default());
        for method in DnsControl::ALL {
            let options = parse(&["--dns-control", method.name()]).unwrap();
            assert_eq!(options.dns_control, *method);
        }
        let help = Cli::command().render_long_help().to_string();
        let default = format!("[default: {}]", DnsControl::default());
        assert!(help.contains(&default), "{help}");
        for method in DnsControl::ALL {
            let line = format!("{}: ", method.name());
            assert!(help.contains(&line), "{method}: {help}");
            assert!(help.contains(method.help()), "{method}: {help}");
        }
        assert!(parse(&["--dns-control", "magic"]).is_err());
    }

    #[test]
    fn each_buffer_is_set_alone_and_in_bytes() {
        let defaults = Options::<DnsControl>::default().sockets;
        let sockets = parse(&["--udp-send-buffer-size", "65536"]).unwrap().sockets;
        assert_eq!(sockets.send_buffer, 65536);
        assert_eq!(sockets.receive_buffer, defaults.receive_buffer);
        let sockets = parse(&["--udp-recv-buffer-size", "1"]).unwrap().sockets;
        assert_eq!(sockets.send_buffer, defaults.send_buffer);
        assert_eq!(sockets.receive_buffer, 1);
        for wrong in ["-1", "2M", ""] {
            let flag = format!("--udp-send-buffer-size={wrong}");
            assert!(parse(&[&flag]).is_err(), "{wrong}");
        }
    }
}

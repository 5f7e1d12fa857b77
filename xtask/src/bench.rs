//! Speed and memory, as anyone can measure them.

mod core;

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The tunnel without I/O, against the bare cipher.
    Core(core::Args),
}

/// Measures what was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Core(args) => core::run(args),
    }
}

//! What cargo cannot do: `cargo xtask demo | test | tidy | bench | dist`.

mod bench;
mod binaries;
mod demo;
mod dist;
mod install_test;
mod interrupt;
mod packages;
mod progress;
mod requirements;
mod scenarios;
mod test;
mod tidy;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tasks of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure speed and memory.
    Bench(bench::Args),
    /// Build a network in namespaces, run everything in it, and use it as a user would.
    Demo(demo::Args),
    /// Build what people install: static programs, Debian packages, a container's folder, checksums.
    Dist(dist::Args),
    /// Install the packages in a small Debian under systemd, use them in the devnet, remove them.
    InstallTest(install_test::Args),
    /// Run the real programs through scenarios in network namespaces.
    Scenarios(scenarios::Args),
    /// Run every check and every test.
    Test(test::Args),
    /// Check what the house holds to and cargo does not know.
    Tidy(tidy::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::InstallTest(args) => install_test::run(&args),
        Task::Scenarios(args) => scenarios::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Tidy(args) => tidy::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(
                clippy::print_stderr,
                reason = "this is where errors of the program go"
            )]
            {
                eprintln!("Error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        // With all subcommands below it.
        Cli::command().debug_assert();
        let bench = Cli::try_parse_from(["xtask", "bench", "tunnel", "--seconds", "1"]);
        assert!(matches!(bench.unwrap().task, Task::Bench(_)));
    }
}

//! What cargo cannot do: `cargo xtask demo | test | tidy | bench | dist`.

mod bench;
mod binaries;
mod demo;
mod dist;
mod fuzz;
mod install_test;
mod interrupt;
mod packages;
mod progress;
mod requirements;
mod scenarios;
mod test;
mod tidy;
mod windows;
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
    #[command(about = xtask_launcher::BENCH.1)]
    Bench(bench::Args),
    #[command(about = xtask_launcher::DEMO.1)]
    Demo(demo::Args),
    #[command(about = xtask_launcher::DIST.1)]
    Dist(dist::Args),
    #[command(about = xtask_launcher::FUZZ.1)]
    Fuzz(fuzz::Args),
    #[command(about = xtask_launcher::INSTALL_TEST.1)]
    InstallTest(install_test::Args),
    #[command(about = xtask_launcher::SCENARIOS.1)]
    Scenarios(scenarios::Args),
    #[command(about = xtask_launcher::TEST.1)]
    Test(test::Args),
    #[command(about = xtask_launcher::TIDY.1)]
    Tidy(tidy::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
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
        for task in Cli::command().get_subcommands() {
            let about = task.get_about().map(ToString::to_string);
            assert_eq!(about.as_deref(), xtask_launcher::purpose(task.get_name()));
        }
        let bench = Cli::try_parse_from(["xtask", "bench", "tunnel", "--seconds", "1"]);
        assert!(matches!(bench.unwrap().task, Task::Bench(_)));
    }
}

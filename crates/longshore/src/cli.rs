//! The command line: what there is to say, and who carries it out.

use std::io;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    agent, audit, balancer, completions, config, debug, deploy, diff, doctor, down, events, exec,
    fleet, history, image, import, init, login, logs, man, map, plan, profile, recover, run,
    server, status, stop, store, token, top, up, usage, version, why, why_denied,
};
use crate::exit::Exit;
use crate::observe::{self, ObserveSettings};
use crate::output::Format;

/// Worker threads of the roles that serve; more would only cost memory on a small machine.
const WORKERS_MAX: usize = 8;

/// Amazon ECS that anyone can run
#[derive(Parser, Debug)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    /// The form of the answer
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Bring up the ECS API and a container instance on this machine
    Up(Box<up::Up>),
    /// Serve the ECS API alone; container instances join with `longshore agent`
    Server(server::Server),
    /// Make this machine a container instance of a server elsewhere
    Agent(Box<agent::Agent>),
    /// Serve load balancers on this machine; a server elsewhere tells which, and takes over again
    /// when no balancer is left
    Balancer(Box<balancer::Balancer>),
    /// Make certificates and keys with which servers, agents and etcd trust each other
    Init(init::Init),
    /// Make what container instances join with
    Token(token::Token),
    /// Register a task definition file, run it and follow it to RUNNING
    Run(run::Run),
    /// Deploy a service: begin a deployment and follow it to its end
    Deploy(deploy::Deploy),
    /// Tell what a deployment of a file would change, field by field, and do nothing
    Diff(diff::Diff),
    /// Show clusters, services, instances and tasks
    Status(status::Status),
    /// Show clusters, services, tasks and instances live
    Top(top::Top),
    /// Draw the way of requests: load balancers, rules, target groups, services, tasks, their health
    Map(map::Map),
    /// Show what a task's containers wrote
    Logs(logs::Logs),
    /// Run a command with a terminal in a container of a running task: ECS Exec without its plugin
    Exec(exec::Exec),
    /// Stop a task
    Stop(stop::Stop),
    /// Tell in plain words why a task runs where it does, waits, or stopped
    Why(why::Why),
    /// Tell why a call was refused, or would be: which policy, which statement, which condition
    WhyDenied(why_denied::WhyDenied),
    /// Show who called what, from where, and what came of it; check that nothing is missing
    Audit(audit::Audit),
    /// Show what EventBridge is told: tasks, instances, services, deployments, your own events
    Events(events::Events),
    /// Tell what happened to a task, an instance, a cluster or a service, and because of what
    History(history::History),
    /// Tell where tasks would go, now or after a failure, and what would not fit, and do nothing
    Plan(plan::Plan),
    /// Tell what tasks used of Fargate, by the second
    Usage(usage::Usage),
    /// Show, drain and remove the nodes that Fargate tasks run on
    Fleet(fleet::FleetCommand),
    /// Load images from files, and delete what nothing needs
    Image(image::ImageCommand),
    /// Turn a Compose file, `docker inspect` or a task definition of AWS into one for here
    Import(import::Import),
    /// Back up, restore and check everything that the control plane knows
    Store(store::StoreCommand),
    /// Write an AWS profile that points the aws CLI and the SDKs at Longshore
    Profile(profile::Profile),
    /// Get credentials that end by themselves, for oneself or in a role
    Login(login::Login),
    /// Make the administrator a new key, from the server's machine
    Recover(recover::Recover),
    /// Tell what this machine lacks to run containers, and how to mend it
    Doctor(doctor::Doctor),
    /// Gather what whoever helps has to know
    Debug(debug::Debug),
    /// Clear what a crash left on this machine
    Down(down::Down),
    /// Show every setting and where it came from
    Config(config::Config),
    /// Tell which version this is, and which formats it reads and writes
    Version(version::Version),
    /// Print what completes this command's words in a shell
    Completions(completions::Completions),
    /// Write the manual pages
    Man(man::Man),
}

impl Command {
    fn run(self, format: Format) -> Result<()> {
        match self {
            Self::Up(command) => serve(command.observe()?, "up", command.run(format)),
            Self::Server(command) => serve(command.observe()?, "server", command.run(format)),
            Self::Agent(command) => serve(command.observe()?, "agent", command.run(format)),
            Self::Balancer(command) => serve(command.observe()?, "balancer", command.run(format)),
            Self::Token(command) => calling()?.block_on(command.run(format)),
            Self::Run(command) => calling()?.block_on(command.run(format)),
            Self::Deploy(command) => calling()?.block_on(command.run(format)),
            Self::Diff(command) => calling()?.block_on(command.run(format)),
            Self::Status(command) => calling()?.block_on(command.run(format)),
            Self::Top(command) => calling()?.block_on(command.run(format)),
            Self::Map(command) => calling()?.block_on(command.run(format)),
            Self::Logs(command) => calling()?.block_on(command.run(format)),
            Self::Exec(command) => calling()?.block_on(command.run()),
            Self::Stop(command) => calling()?.block_on(command.run(format)),
            Self::Why(command) => calling()?.block_on(command.run(format)),
            Self::WhyDenied(command) => calling()?.block_on(command.run(format)),
            Self::Audit(command) => calling()?.block_on(command.run(format)),
            Self::Login(command) => calling()?.block_on(command.run(format)),
            Self::Recover(command) => command.run(format),
            Self::Events(command) => calling()?.block_on(command.run(format)),
            Self::History(command) => calling()?.block_on(command.run(format)),
            Self::Debug(command) => calling()?.block_on(command.run(format)),
            Self::Plan(command) => calling()?.block_on(command.run(format)),
            Self::Store(command) => working()?.block_on(command.run(format)),
            Self::Down(command) => calling()?.block_on(command.run(format)),
            Self::Usage(command) => calling()?.block_on(command.run(format)),
            Self::Fleet(command) => calling()?.block_on(command.run(format)),
            Self::Image(command) => calling()?.block_on(command.run(format)),
            Self::Import(command) => command.run(),
            Self::Init(command) => command.run(format),
            Self::Profile(command) => command.run(format),
            Self::Doctor(command) => command.run(format),
            Self::Config(command) => command.run(format),
            Self::Version(command) => command.run(format),
            Self::Completions(command) => command.run(&mut Cli::command()),
            Self::Man(command) => command.run(Cli::command()),
        }
    }
}

/// Runs a role that goes on until it is told to end, seen into as the settings say.
fn serve(
    settings: ObserveSettings,
    role: &'static str,
    run: impl Future<Output = Result<()>>,
) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let observed = observe::begin(&settings, role, runtime.handle())?;
    let outcome = runtime.block_on(run);
    observed.end();
    outcome
}

/// The runtime of commands that work on stores, which wait for disks.
fn working() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().context("starting the runtime")
}

/// The runtime of commands that call a server and end.
fn calling() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.run(cli.output) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads the output has seen enough, as `head` has.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<Exit>() => {
            error.downcast_ref::<Exit>().map_or(ExitCode::FAILURE, |exit| exit.0.into())
        }
        Err(error) => {
            eprintln!("longshore: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.into_iter().any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that does something, with its words.
    fn leaves(command: &clap::Command, words: &str, found: &mut Vec<(String, clap::Command)>) {
        let words = format!("{words} {}", command.get_name()).trim().to_owned();
        let below: Vec<_> = command.get_subcommands().filter(|one| !one.is_hide_set()).collect();
        if below.is_empty() {
            found.push((words, command.clone()));
            return;
        }
        below.into_iter().for_each(|one| leaves(one, &words, found));
    }

    #[test]
    fn every_command_tells_what_it_does_and_shows_it() {
        Cli::command().debug_assert();
        let mut found = Vec::new();
        leaves(&Cli::command(), "", &mut found);
        assert!(found.len() > 20, "{}", found.len());
        for (words, mut command) in found {
            assert!(command.get_about().is_some(), "'{words}' has no description");
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "'{words}' has no example");
            assert!(
                help.contains(&format!("  {words}")) || help.contains("$ "),
                "'{words}': {help}"
            );
        }
    }
}

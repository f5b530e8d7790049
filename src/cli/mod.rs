//! The command line: one verb per file. A verb reads its arguments, asks the layers below, prints. Standard output is data,
//! standard error is messages; exit codes are in the README and never reused.
//!
//! The hidden verbs are this program's other lives: keeper, supervisor, helpers for images, networks and probes.

mod args;
mod attach;
mod check;
mod cp;
mod debug;
mod debug_container;
mod delete;
mod describe;
mod doctor;
mod events;
mod exec;
mod exec_helper;
mod exec_parent;
mod exit;
mod follow;
mod foreground;
mod generate;
mod get;
mod hidden;
mod host;
mod image;
mod info;
mod jsonpath;
mod kill;
mod leftovers;
mod logs;
mod network;
mod pods;
mod port_forward;
mod ports;
mod progress;
mod render;
mod report;
mod run;
mod settings;
mod shutdown;
mod simulate;
mod source;
mod spawn;
mod stop;
mod table;
mod task_pods;
mod terminal;
mod timeline;
mod timings;
mod up;
mod upgrade_supervisors;
mod version;
mod volume;
mod wait;
mod wait_child;
mod watch;
mod why;
mod wreck;

use crate::sys;
use args::{Cli, Verb};
use clap::{CommandFactory, FromArgMatches};
pub use exit::{Code, Failed};
use settings::Settings;

/// Runs the program; gives its exit code.
pub fn main() -> u8 {
    let argv: Vec<_> = std::env::args_os().collect();
    // Before the parser of arguments: these live long and stay small.
    if let Some(code) = hidden::main(&argv) {
        return code;
    }
    command()
}

/// One command. A function of its own: its frame has room for what all verbs need, and would stay below those that live long.
#[inline(never)]
fn command() -> u8 {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    let json = cli.global.log_format == args::LogFormat::Json;
    sys::log_to_stderr(cli.global.log_level);
    let settings = Settings::new(&cli.global);
    let result = match cli.verb {
        Verb::Run(args) => run::run(&settings, &args),
        Verb::Get(args) => get::get(&settings, &args),
        Verb::Logs(args) => logs::logs(&settings, &args),
        Verb::Attach(args) => attach::attach(&settings, &args),
        Verb::Exec(args) => exec::exec(&settings, &args),
        Verb::Cp(args) => cp::cp(&settings, &args),
        Verb::Stop(args) => stop::stop(&settings, &args),
        Verb::Kill(args) => kill::kill(&settings, &args),
        Verb::Delete(args) => delete::delete(&settings, &args),
        Verb::Wait(args) => wait::wait(&settings, &args),
        Verb::Events(args) => events::events(&settings, &args),
        Verb::Check(args) => check::check(&args),
        Verb::Render(args) => render::render(&settings, &args),
        Verb::Describe(args) => describe::describe(&settings, &args),
        Verb::PortForward(args) => port_forward::port_forward(&settings, &args),
        Verb::Why(args) => why::why(&settings, &args),
        Verb::Simulate(args) => simulate::simulate(&args),
        Verb::Debug(args) => debug::debug(&settings, &args),
        Verb::Image(args) => image::image(&settings, &args.verb),
        Verb::Volume(args) => volume::volume(&settings, &args.verb),
        Verb::Doctor(args) => doctor::doctor(&settings, &args),
        Verb::Up => up::up(&settings),
        Verb::Shutdown(args) => shutdown::shutdown(&settings, &args),
        Verb::UpgradeSupervisors(args) => {
            upgrade_supervisors::upgrade_supervisors(&settings, &args)
        }
        Verb::Generate(args) => generate::generate(&settings, &args),
        Verb::Info(args) => info::info(&settings, &matches, &args),
        Verb::Version(args) => version::version(&args),
    };
    match result {
        Ok(code) => code,
        Err(failed) => report::print(&failed, json),
    }
}

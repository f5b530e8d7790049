//! The command line: one verb per file. A verb reads its arguments, asks the layers below, prints. Standard output is data,
//! standard error is messages; exit codes are in the README and never reused.
//!
//! Three hidden verbs are this program's other lives: keeper, supervisor, image helper.

mod args;
mod delete;
mod events;
mod exec;
mod exit;
mod follow;
mod foreground;
mod get;
mod hidden;
mod host;
mod image;
mod jsonpath;
mod kill;
mod pods;
mod report;
mod run;
mod settings;
mod source;
mod spawn;
mod stop;
mod table;
mod version;
mod wait;

use args::{Cli, Verb};
use clap::Parser;
pub use exit::{Code, Failed};
use settings::Settings;

/// Runs the program; gives its exit code.
pub fn main() -> u8 {
    let argv: Vec<_> = std::env::args_os().collect();
    // Before the parser of arguments: these live long and stay small.
    if let Some(code) = hidden::main(&argv) {
        return code;
    }
    let cli = Cli::parse();
    let json = cli.global.log_format == args::LogFormat::Json;
    report::start_logging(cli.global.log_level, json);
    let settings = Settings::new(&cli.global);
    let result = match cli.verb {
        Verb::Run(args) => run::run(&settings, &args),
        Verb::Get(args) => get::get(&settings, &args),
        Verb::Logs(_) => Ok(1),
        Verb::Exec(args) => exec::exec(&settings, &args),
        Verb::Stop(args) => stop::stop(&settings, &args),
        Verb::Kill(args) => kill::kill(&settings, &args),
        Verb::Delete(args) => delete::delete(&settings, &args),
        Verb::Wait(args) => wait::wait(&settings, &args),
        Verb::Events(args) => events::events(&settings, &args),
        Verb::Check(_) => Ok(1),
        Verb::Render(_) => Ok(1),
        Verb::Image(args) => image::image(&settings, &args.verb),
        Verb::Doctor(_) => Ok(1),
        Verb::Info(_) => Ok(1),
        Verb::Version(args) => version::version(&args),
    };
    match result {
        Ok(code) => code,
        Err(failed) => report::print(&failed, json),
    }
}

//! The server as a program.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use neuropod_server::{Command, Config, LogFormat, Traces, document, examine, seed, serve};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// A server for renting GPU containers.
#[derive(Debug, Parser)]
#[command(name = "neuropod-server", version)]
struct Program {
    #[command(flatten)]
    config: Config,
    #[command(subcommand)]
    command: Option<Command>,
}

#[tokio::main]
async fn main() -> ExitCode {
    if dotenvy::dotenv().is_err_and(|e| !e.not_found()) {
        // Not the error itself, which may repeat a line with a secret.
        eprintln!("The file .env can't be read: every line of it must be NAME=value.");
        return ExitCode::FAILURE;
    }
    let Program { config, command } = Program::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let log = match config.log {
        LogFormat::Text => log.boxed(),
        LogFormat::Json => log.json().boxed(),
    };
    // Spans are for traces: where none are sent they cost nothing.
    let log = log.with_filter(filter.and(filter_fn(|it| it.is_event())));
    let traces = match Traces::begin() {
        Ok(traces) => traces,
        Err(e) => {
            eprintln!("{e:?}");
            return ExitCode::FAILURE;
        }
    };
    tracing_subscriber::registry()
        .with(log)
        .with(traces.as_ref().map(Traces::layer))
        .init();
    let good = match command {
        None => serve(config).await.map(|()| true),
        Some(Command::Ledger(ledger)) => examine(&config, &ledger).await,
        Some(Command::Seed) => seed(&config).await.map(|()| true),
        Some(Command::Openapi) => {
            print!("{}", document());
            Ok(true)
        }
    };
    if let Some(traces) = traces {
        traces.end().await;
    }
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            tracing::error!("{e:?}");
            ExitCode::FAILURE
        }
    }
}

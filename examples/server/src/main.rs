//! The server as a program.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use neuropod_server::{Config, LogFormat, serve};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    if dotenvy::dotenv().is_err_and(|e| !e.not_found()) {
        // Not the error itself, which may repeat a line with a secret.
        eprintln!("The file .env can't be read: every line of it must be NAME=value.");
        return ExitCode::FAILURE;
    }
    let config = Config::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    match serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e:?}");
            ExitCode::FAILURE
        }
    }
}

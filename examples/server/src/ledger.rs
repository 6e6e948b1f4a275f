//! The ledger's proof, on the command line: whether or not a server is running over the same database.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use neuropod::ledger::{Heads, heads, verify};
use neuropod::{Error, Result};

use crate::assemble;
use crate::config::Config;

/// What the program does instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Look at the books of the database
    #[command(subcommand)]
    Ledger(Ledger),
    /// Write the price list and the templates of the first start, if the database has none
    Seed,
    /// Print the OpenAPI document of a server in development mode
    Openapi,
}

/// What can be asked about the ledger.
#[derive(Debug, Clone, Subcommand)]
pub enum Ledger {
    /// Compute everything again, and name the rows that anybody but the server has touched; fails if there are any
    Verify {
        /// File with earlier heads, which must be the beginning of today's chains
        #[arg(long)]
        since: Option<PathBuf>,
    },
    /// Print the end of every customer's chain, to be kept elsewhere
    Heads,
}

/// Prints what was asked for, and answers whether the ledger is as it should be.
///
/// # Errors
/// If the database or the file can't be read.
pub async fn examine(config: &Config, ledger: &Ledger) -> Result<bool> {
    let store = assemble::existing_store(config).await?;
    match ledger {
        Ledger::Heads => {
            print!("{}", heads(&*store).await?);
            Ok(true)
        }
        Ledger::Verify { since } => {
            let since = since.as_deref().map(read).transpose()?;
            let report = verify(&*store, since.as_ref()).await?;
            println!("{report}");
            Ok(report.findings.is_empty())
        }
    }
}

fn read(file: &Path) -> Result<Heads> {
    let named = |e: Error| e.with("file", file.display());
    let text = std::fs::read_to_string(file)
        .map_err(|e| named(Error::invalid("", "The heads can't be read.").caused_by(e)))?;
    text.parse().map_err(named)
}

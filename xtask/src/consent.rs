//! Asking before anything outside the checkout is changed.

use anyhow::{Result, bail};
use std::io::{IsTerminal, Write};

/// Whether the person at the keyboard has agreed beforehand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Consent {
    /// `--yes`, or `CI=true`.
    Given,
    /// Ask each time.
    Ask,
}

impl Consent {
    /// What `--yes` and the environment say.
    pub(crate) fn new(yes: bool) -> Self {
        if yes || crate::shell::in_ci() {
            Self::Given
        } else {
            Self::Ask
        }
    }

    /// Says what is about to be done, and goes on only with a yes.
    pub(crate) fn to(self, deed: &str) -> Result<()> {
        if matches!(self, Self::Given) {
            println!("{deed}");
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            bail!("wanted to: {deed}\nThere is nobody to ask; run again with --yes to allow it");
        }
        print!("{deed}\nGo on? [y/N] ");
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => bail!("left as it was: {deed}"),
        }
    }
}

//! `thalweg explain`

use clap::Args;

use crate::arguments::{OutputOptions, ProjectOptions};
use crate::diagnostics::{self, ProjectFiles};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, explanation};
use crate::render::json;

/// Arguments of `thalweg explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  thalweg explain pres.by_month\n  thalweg explain pres.by_month --sql")]
pub struct Arguments {
    /// The model: `pres.by_month`, or `by_month` where that is one.
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Print the statements too.
    #[arg(long)]
    pub sql: bool,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    let workbench = invocation.open(&arguments.project)?;
    let answer = workbench.explain(&arguments.model)?;
    let obstacle: Vec<_> = answer.obstacle.iter().cloned().collect();
    let files = ProjectFiles::of(&obstacle, workbench.folder());
    if invocation.json() {
        output::answer(&json::explanation(&answer, &files));
        return Ok(0);
    }
    let drawn = diagnostics::draw_all(&obstacle, &files, invocation.stdout);
    output::answer(&explanation::draw(&Page::stdout(invocation.stdout), &answer, &drawn, arguments.sql));
    Ok(0)
}

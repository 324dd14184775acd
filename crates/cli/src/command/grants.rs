//! `thalweg grants`

use std::collections::BTreeSet;

use clap::Args;
use thalweg_project::TargetConnection;

use crate::arguments::{OutputOptions, ProjectOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// Arguments of `thalweg grants`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
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
    let project = workbench.project();
    let TargetConnection::Postgres(postgres) = &project.target.connection else {
        let message = format!("target `{}` has no roles: it is a file", project.target.name);
        return Err(Failure::message(message).with_help("name a target of `type: postgres` with `--target`"));
    };
    let published = |kind: &str| matches!(kind, "store" | "seed" | "model");
    let nodes = workbench.list(None, None)?;
    let schemas: BTreeSet<String> = nodes
        .iter()
        .filter(|node| published(&node.kind))
        .filter_map(|node| Some(format!("{}{}", project.target.schema_prefix, node.name.split_once('.')?.0)))
        .collect();
    let schemas: Vec<String> = schemas.into_iter().collect();
    let script = thalweg_warehouse::grants(&project.name, &postgres.settings.database, &schemas)
        .map_err(|error| Failure::message(format!("no role can be made: {error}")))?;
    output::answer(&script);
    Ok(0)
}

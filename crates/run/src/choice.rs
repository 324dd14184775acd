//! Which tables, tests and reports a command is about.

use thalweg_project::selection::{NodeKind as SelectableKind, SelectableNode, Selection};
use thalweg_project::{Project, TableName};
use thalweg_sql::{Compiled, NodeKind};

use crate::error::RunError;

/// Which tables, tests and reports a command is about.
#[derive(Debug, Clone)]
pub struct Choice {
    /// For each node of the graph.
    pub nodes: Vec<bool>,
    /// For each report.
    pub reports: Vec<bool>,
}

impl Choice {
    /// Evaluates `--select` and `--exclude`.
    pub fn new(
        project: &Project,
        compiled: &Compiled,
        select: Option<&str>,
        exclude: Option<&str>,
    ) -> Result<Self, RunError> {
        let (selectable, edges) = selectable(project, compiled);
        let evaluate = |text: &str| -> Result<Vec<bool>, RunError> {
            let wrong = |error: thalweg_project::selection::SelectionError| RunError::Selection(error.to_string());
            Selection::parse(text).map_err(wrong)?.evaluate(&selectable, &edges).map_err(wrong)
        };
        let mut chosen = match select {
            Some(text) => evaluate(text)?,
            None => vec![true; selectable.len()],
        };
        if let Some(text) = exclude {
            for (chosen, excluded) in chosen.iter_mut().zip(evaluate(text)?) {
                *chosen &= !excluded;
            }
        }
        let reports = chosen.split_off(compiled.nodes.len());
        Ok(Self { nodes: chosen, reports })
    }

    /// Whether a test is meant: its own table is, or, for a query, one of the tables it reads.
    pub fn test(&self, compiled: &Compiled, index: usize, about_a_table: bool) -> bool {
        let inputs = &compiled.tests[index].inputs;
        if about_a_table {
            inputs.first().is_none_or(|&node| self.nodes[node])
        } else {
            inputs.is_empty() || inputs.iter().any(|&node| self.nodes[node])
        }
    }
}

/// The graph as selectors see it: the nodes in their order, then the reports.
fn selectable(project: &Project, compiled: &Compiled) -> (Vec<SelectableNode>, Vec<(usize, usize)>) {
    let mut nodes: Vec<SelectableNode> = compiled
        .nodes
        .iter()
        .map(|node| match node.kind {
            NodeKind::Stream(source, stream) => {
                let stream = &project.sources[source].streams[stream];
                SelectableNode {
                    id: node.id.clone(),
                    kind: SelectableKind::Stream,
                    path: project.sources[source].location.file.clone(),
                    tags: stream.tags.clone(),
                    source: Some((stream.source.clone(), stream.name.clone())),
                }
            }
            NodeKind::Seed(index) => SelectableNode {
                id: node.id.clone(),
                kind: SelectableKind::Seed,
                path: project.seeds[index].file.clone(),
                tags: project.seeds[index].tags.clone(),
                source: None,
            },
            NodeKind::Model(index) => SelectableNode {
                id: node.id.clone(),
                kind: SelectableKind::Model,
                path: project.models[index].file.clone(),
                tags: project.models[index].tags.clone(),
                source: None,
            },
            NodeKind::External(_) => SelectableNode {
                id: node.id.clone(),
                kind: SelectableKind::Stream,
                path: String::new(),
                tags: Vec::new(),
                source: None,
            },
        })
        .collect();
    let mut edges: Vec<(usize, usize)> = compiled
        .readers
        .iter()
        .enumerate()
        .flat_map(|(node, readers)| readers.iter().map(move |&reader| (node, reader)))
        .collect();
    for (index, report) in project.reports.iter().enumerate() {
        edges.extend(compiled.report_inputs[index].iter().map(|&input| (input, nodes.len())));
        nodes.push(SelectableNode {
            id: TableName::new("reports", &report.name),
            kind: SelectableKind::Report,
            path: report.file.clone(),
            tags: report.tags.clone(),
            source: None,
        });
    }
    (nodes, edges)
}

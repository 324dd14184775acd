//! The order of the graph, and what stands in the way of one.

use thalweg_project::{Diagnostic, Location, Project};

use super::resolve::Resolved;
use super::{Compiled, Node, NodeKind, node_location};

/// All nodes with inputs first, and every cycle found on the way as a path of nodes, each ending before its first node again.
pub(super) fn order(nodes: &[Node]) -> (Vec<usize>, Vec<Vec<usize>>) {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    let mut cycles = Vec::new();
    for start in 0..nodes.len() {
        if states[start] != State::New {
            continue;
        }
        // Depth first with a stack of its own: chains of models may be longer than the thread's stack is deep.
        let mut path = vec![(start, 0)];
        states[start] = State::Open;
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            let Some(&input) = nodes[node].inputs.get(*next) else {
                states[node] = State::Done;
                order.push(node);
                path.pop();
                continue;
            };
            *next += 1;
            match states[input] {
                State::New => {
                    states[input] = State::Open;
                    path.push((input, 0));
                }
                State::Open => {
                    let from = path.iter().position(|(on, _)| *on == input).unwrap_or(0);
                    cycles.push(path[from..].iter().map(|(on, _)| *on).collect());
                }
                State::Done => {}
            }
        }
    }
    (order, cycles)
}

/// The error of a cycle, at the place in its first model that leads into it.
pub(super) fn diagnostic(
    project: &Project,
    compiled: &Compiled,
    resolved: &[Option<Vec<Resolved>>],
    path: &[usize],
) -> Diagnostic {
    let first = path[0];
    let next = path.get(1).copied().unwrap_or(first);
    let names: Vec<String> = path.iter().chain([&first]).map(|node| compiled.nodes[*node].id.to_string()).collect();
    let tables = resolved[first].iter().flatten();
    let place = tables.zip(compiled.queries[first].iter().flat_map(|query| &query.tables));
    let span =
        place.into_iter().find(|(found, _)| **found == Resolved::Node(next)).map(|(_, table)| table.span.clone());
    let mut diagnostic = match (compiled.nodes[first].kind, span) {
        (NodeKind::Model(index), Some(span)) => {
            let model = &project.models[index];
            let mut diagnostic = Diagnostic::error("cycle", String::new(), Location::new(&model.file, span));
            diagnostic.rendered = model.templated.then(|| model.sql.clone());
            diagnostic
        }
        _ => Diagnostic::error("cycle", String::new(), node_location(project, &compiled.nodes[first])),
    };
    diagnostic.message = format!("models read each other in a circle: {}", names.join(" → "));
    diagnostic.help = Some(if path.len() == 1 {
        "a model may not read its own table: write the whole result, Thalweg refreshes it incrementally by itself"
            .to_owned()
    } else {
        "take one of these references out, or move what both need into a model of its own".to_owned()
    });
    diagnostic
}

//! The nodes of a project.

use std::collections::BTreeMap;

use thalweg_run::Listed;

use super::Page;
use super::grid::{self, Side, Value};

/// One name a line: made to be piped.
pub fn names(nodes: &[Listed]) -> String {
    nodes.iter().map(|node| format!("{}\n", node.name)).collect()
}

/// Every node with its kind, file, tags.
pub fn draw(page: &Page, nodes: &[Listed]) -> String {
    let columns = [("name", Side::Left), ("kind", Side::Left), ("file", Side::Left), ("tags", Side::Left)];
    let rows = nodes
        .iter()
        .map(|node| {
            vec![
                Value::text(&node.name),
                Value::Faint(node.kind.clone()),
                Value::text(&node.file),
                Value::text(node.tags.join(", ")),
            ]
        })
        .collect();
    grid::draw(page, &columns, rows)
}

/// Every node below the nodes that read it, with what they read in turn. What was drawn before is not unfolded again, and tests
/// are left out: there are too many of them to see the tables.
pub fn tree(page: &Page, nodes: &[Listed]) -> String {
    let nodes: Vec<_> = nodes.iter().filter(|node| node.kind != "test").collect();
    let by_name: BTreeMap<_, _> = nodes.iter().map(|node| (node.name.as_str(), *node)).collect();
    let is_read = |name: &str| nodes.iter().any(|node| node.inputs.iter().any(|input| input == name));
    let mut drawing = Drawing { page, by_name, drawn: Vec::new(), text: String::new() };
    for node in nodes.iter().filter(|node| !is_read(&node.name)) {
        drawing.root(&node.name);
    }
    drawing.text
}

struct Drawing<'a> {
    page: &'a Page,
    by_name: BTreeMap<&'a str, &'a Listed>,
    drawn: Vec<&'a str>,
    text: String,
}

impl<'a> Drawing<'a> {
    fn root(&mut self, name: &'a str) {
        self.node(name, "");
        self.inputs(name, "");
    }

    fn node(&mut self, name: &str, branch: &str) {
        let kind = self.by_name.get(name).map_or("not selected", |node| node.kind.as_str());
        let kind = self.page.paint.faint(format!("({kind})"));
        self.text.push_str(&format!("{branch}{name} {kind}\n"));
    }

    fn inputs(&mut self, name: &'a str, margin: &str) {
        let Some(node) = self.by_name.get(name).copied() else { return };
        if node.inputs.is_empty() {
            return;
        }
        if self.drawn.contains(&name) {
            self.text.push_str(&format!("{margin}`-- {}\n", self.page.paint.faint("(as above)")));
            return;
        }
        self.drawn.push(name);
        for (index, input) in node.inputs.iter().enumerate() {
            let last = index + 1 == node.inputs.len();
            self.node(input, &format!("{margin}{}", if last { "`-- " } else { "|-- " }));
            self.inputs(input, &format!("{margin}{}", if last { "    " } else { "|   " }));
        }
    }
}

//! What a build would do.

use thalweg_run::{Plan, PlanStep, Strategy};

use super::Page;
use super::grid::{self, Side, Value};
use super::number::{counted, seconds};

/// More tables with nothing to do than this are folded into one line.
const FOLD_BEYOND: usize = 10;

/// Every table with its strategy and the reason.
pub fn draw(page: &Page, plan: &Plan) -> String {
    let idle = plan.steps.iter().filter(|step| is_idle(step)).count();
    let fold = idle > FOLD_BEYOND;
    let shown: Vec<_> = plan.steps.iter().filter(|step| !(fold && is_idle(step))).collect();
    let mut text = String::new();
    if !shown.is_empty() {
        let figures = shown.iter().any(|step| step.refresh.is_some());
        let mut columns = vec![("table", Side::Left), ("kind", Side::Left), ("refresh", Side::Left)];
        if figures {
            columns.extend([("changed rows", Side::Right), ("expected", Side::Right), ("in full", Side::Right)]);
        }
        columns.push(("why", Side::Left));
        text.push_str(&grid::draw(page, &columns, shown.iter().map(|step| row(step, figures)).collect()));
    }
    if fold {
        text.push_str(&format!(
            "{}\n",
            page.paint.faint(format!("{} with nothing to do", counted(idle as u64, "table")))
        ));
    }
    for index in &plan.indexes {
        let what = match (&index.dropped, index.unique) {
            (Some(name), _) => format!("drop {name}, which nothing needs any more"),
            (None, true) => format!("make unique ({})", index.columns.join(", ")),
            (None, false) => format!("make ({})", index.columns.join(", ")),
        };
        text.push_str(&format!("{}: {} {what}\n", page.paint.faint("index"), index.table));
    }
    for partition in &plan.partitions {
        let range = match (&partition.from, &partition.until) {
            (Some(from), Some(until)) => format!("from {from} to before {until}"),
            _ => "the oldest".to_owned(),
        };
        let what = if partition.dropped { format!("drop {range}, which is empty") } else { format!("make {range}") };
        text.push_str(&format!("{}: {} {what}\n", page.paint.faint("partition"), partition.table));
    }
    for table in &plan.removed {
        text.push_str(&format!(
            "{}: {table} is no longer in the project; drop it with `thalweg build --drop-removed`\n",
            page.paint.yellow("removed")
        ));
    }
    let work = plan.steps.len() - idle;
    let verb = if plan.resumes { "would go on with" } else { "would be" };
    text.push_str(&format!("\nthe next build {verb} run {}: {} to look at\n", plan.run, counted(work as u64, "table")));
    text
}

fn is_idle(step: &PlanStep) -> bool {
    step.strategy == Strategy::Unchanged && !step.depends_on_inputs
}

fn row(step: &PlanStep, figures: bool) -> Vec<Value> {
    let words = if step.depends_on_inputs {
        match step.strategy {
            Strategy::Unchanged => "unchanged unless its inputs change".to_owned(),
            strategy => format!("{}, if its inputs change", strategy.words()),
        }
    } else {
        step.strategy.words().to_owned()
    };
    let strategy = if is_idle(step) { Value::Faint(words) } else { Value::Text(words) };
    let mut row = vec![Value::text(&step.table), Value::Faint(step.kind.clone()), strategy];
    if figures {
        let known = step.refresh.clone().unwrap_or_default();
        let time = |expected: Option<f64>| expected.map_or(Value::Empty, |expected| Value::text(seconds(expected)));
        row.push(known.upstream.map_or(Value::Empty, Value::Count));
        row.push(if step.strategy == Strategy::Incremental { time(known.expected_incremental) } else { Value::Empty });
        row.push(time(known.expected_full));
    }
    row.push(Value::Faint(step.reason.clone()));
    row
}

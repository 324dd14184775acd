//! What a build would do.

use thalweg_run::{Plan, PlanStep, Strategy};

use super::Page;
use super::grid::{self, Side, Value};
use super::number::counted;

/// More tables with nothing to do than this are folded into one line.
const FOLD_BEYOND: usize = 10;

/// Every table with its strategy and the reason.
pub fn draw(page: &Page, plan: &Plan) -> String {
    let idle = plan.steps.iter().filter(|step| is_idle(step)).count();
    let fold = idle > FOLD_BEYOND;
    let shown: Vec<_> = plan.steps.iter().filter(|step| !(fold && is_idle(step))).collect();
    let mut text = String::new();
    if !shown.is_empty() {
        let columns = [("table", Side::Left), ("kind", Side::Left), ("refresh", Side::Left), ("why", Side::Left)];
        text.push_str(&grid::draw(page, &columns, shown.iter().map(|step| row(step)).collect()));
    }
    if fold {
        text.push_str(&format!(
            "{}\n",
            page.paint.faint(format!("{} with nothing to do", counted(idle as u64, "table")))
        ));
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

fn row(step: &PlanStep) -> Vec<Value> {
    let words = if step.depends_on_inputs {
        match step.strategy {
            Strategy::Unchanged => "unchanged unless its inputs change".to_owned(),
            strategy => format!("{}, if its inputs change", strategy.words()),
        }
    } else {
        step.strategy.words().to_owned()
    };
    let strategy = if is_idle(step) { Value::Faint(words) } else { Value::Text(words) };
    vec![Value::text(&step.table), Value::Faint(step.kind.clone()), strategy, Value::Faint(step.reason.clone())]
}

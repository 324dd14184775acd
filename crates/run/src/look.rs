//! The commands that look and do not change: plan, test, status, runs, show, rejects, compile, ls.

use std::collections::BTreeMap;

use thalweg_project::{Materialized, TableName, TestKind};
use thalweg_sql::NodeKind;
use thalweg_warehouse::ledger::Microseconds;
use thalweg_warehouse::{Access, Connection, Wait};

use crate::answer::*;
use crate::choice::Choice;
use crate::database::Database;
use crate::error::RunError;
use crate::event::{Observer, Silent};
use crate::known::{self, Known};
use crate::options::BuildOptions;
use crate::outcome::{RunState, Strategy, TestOutcome};
use crate::plan::{Expected, expect};
use crate::publish::Publication;
use crate::publish::change_log::{ChangeLogs, Retention};
use crate::publish::indexes::first_indexes;
use crate::publish::model::{Need, facts, need};
use crate::publish::partitions::planned::first_partitions;
use crate::publish::refresh::Refreshing;
use crate::publish::refresh::stages::Stages;
use crate::publish::stream::store_fingerprint;
use crate::publish::testing::TestOptions;
use crate::runner::now;
use crate::seeds;
use crate::stale::stale_tables;
use crate::table_state::TableKind;
use crate::workbench::Workbench;

/// The ledger, or an empty one when nothing was ever built.
pub fn known(bench: &Workbench) -> Result<(Known, Option<Box<dyn Connection>>), RunError> {
    known_for(bench, "")
}

/// The same, for a query that is none of the project's.
pub fn known_for(bench: &Workbench, sql: &str) -> Result<(Known, Option<Box<dyn Connection>>), RunError> {
    match bench.reader_for(sql)? {
        Some(mut connection) => {
            let ledger = bench.ledger();
            if !ledger.is_prepared(connection.as_mut())? {
                return Ok((Known::default(), None));
            }
            let known = known::load(&ledger, connection.as_mut())?;
            Ok((known, Some(connection)))
        }
        None => Ok((Known::default(), None)),
    }
}

/// See [`Workbench::plan`].
pub fn plan(bench: &Workbench, options: &BuildOptions) -> Result<Plan, RunError> {
    let project = bench.project();
    let compiled = bench.compiled();
    let choice = Choice::new(project, compiled, options.select.as_deref(), options.exclude.as_deref())?;
    let (known, connection) = known(bench)?;
    // What models would be refreshed by can be said where something was built.
    let mut connection = connection;
    let mut publication =
        connection.as_mut().map(|connection| looking(bench, connection.as_mut(), known.clone(), &Silent));
    let resumes = known.last_run.as_ref().is_some_and(|last| last.state == RunState::Running);
    let run = known.last_run.as_ref().map_or(1, |last| if resumes { last.run } else { last.run + 1 });
    let mut moving: Vec<bool> = vec![false; compiled.nodes.len()];
    let mut steps = Vec::new();
    for &node in &compiled.order {
        let id = &compiled.nodes[node].id;
        let state = known.tables.get(id);
        let mut figures = None;
        let (kind, strategy, depends, reason) = match compiled.nodes[node].kind {
            NodeKind::Stream(source, stream) => {
                let stream = &project.sources[source].streams[stream];
                let usual = match stream.write_disposition {
                    thalweg_project::WriteDisposition::Merge => Strategy::Merge,
                    thalweg_project::WriteDisposition::Append => Strategy::Append,
                    thalweg_project::WriteDisposition::Replace => Strategy::Replace,
                };
                match state {
                    None => ("store", Strategy::Load, true, "first load".to_owned()),
                    Some(state) if state.fingerprint != store_fingerprint(stream) => {
                        ("store", Strategy::Load, false, "definition changed; rebuilt from landing".to_owned())
                    }
                    Some(_) if options.full_refresh => (
                        "store",
                        Strategy::Load,
                        false,
                        "asked for with --full-refresh; rebuilt from landing".to_owned(),
                    ),
                    Some(_) => ("store", usual, true, "what is new at the source".to_owned()),
                }
            }
            NodeKind::Seed(index) => {
                let fingerprint = seeds::fingerprint(&project.seeds[index]);
                match state {
                    None => ("seed", Strategy::Load, false, "first load".to_owned()),
                    Some(state) if state.fingerprint != fingerprint || options.full_refresh => {
                        ("seed", Strategy::Replace, false, "the file changed".to_owned())
                    }
                    Some(_) => ("seed", Strategy::Unchanged, false, "the file did not change".to_owned()),
                }
            }
            NodeKind::Model(index) => {
                let model = &project.models[index];
                let kind = match model.materialized {
                    Materialized::Table => "table",
                    Materialized::View => "view",
                    Materialized::Ephemeral => "ephemeral",
                };
                let Some(facts) = facts(project, compiled, &known.tables, node) else {
                    steps.push(step(
                        bench,
                        node,
                        kind,
                        Strategy::Unchanged,
                        true,
                        "put in the place of its references".into(),
                    ));
                    moving[node] = compiled.nodes[node].inputs.iter().any(|&input| moving[input]);
                    continue;
                };
                let full = if kind == "view" {
                    Strategy::View
                } else if state.is_some() && !compiled.readers[node].is_empty() {
                    Strategy::FullDifference
                } else {
                    Strategy::Full
                };
                let consumed = |input: &TableName| known.consumed.get(&(id.clone(), input.clone())).copied();
                let expected = match (&mut publication, state) {
                    (Some(publication), Some(_)) if kind == "table" => Some(expect(publication, node, &facts, full)?),
                    _ => None,
                };
                // Why it would not be refreshed by changes stands behind why it would be refreshed.
                let by = |reason: String| match &expected {
                    None => (full, reason),
                    Some(Expected { strategy, because: None, .. }) => (*strategy, reason),
                    Some(Expected { strategy, because: Some(because), .. }) if reason.contains(because) => {
                        (*strategy, reason)
                    }
                    Some(Expected { strategy, because: Some(because), .. }) => {
                        (*strategy, format!("{reason}; {because}"))
                    }
                };
                figures = expected.as_ref().map(|expected| expected.figures.clone());
                match need(&facts, state, &known.tables, options.full_refresh, consumed) {
                    Need::Rebuild(reason) => (kind, if kind == "view" { full } else { Strategy::Full }, false, reason),
                    Need::Refresh(reason) => {
                        let (strategy, reason) = by(reason);
                        (kind, strategy, false, reason)
                    }
                    Need::Blocked(_) if state.is_none() => (kind, full, false, "first build".to_owned()),
                    Need::Blocked(reason) => (kind, full, true, reason),
                    Need::Current => {
                        let from: Vec<String> = compiled
                            .stored_inputs(project, node)
                            .into_iter()
                            .filter(|&input| moving[input])
                            .map(|input| compiled.nodes[input].id.to_string())
                            .collect();
                        if from.is_empty() {
                            (kind, Strategy::Unchanged, false, "nothing it reads changes".to_owned())
                        } else if kind == "view" {
                            (kind, Strategy::Unchanged, false, "a view needs no refresh".to_owned())
                        } else {
                            let (strategy, reason) = by(format!("if {} changes", from.join(" or ")));
                            (kind, strategy, true, reason)
                        }
                    }
                }
            }
            NodeKind::External(_) => {
                moving[node] = true;
                continue;
            }
        };
        let passes_on = kind == "view" && compiled.stored_inputs(project, node).iter().any(|&input| moving[input]);
        moving[node] = choice.nodes[node] && (depends || strategy != Strategy::Unchanged || passes_on);
        if choice.nodes[node] {
            let refresh = figures
                .filter(|_| matches!(strategy, Strategy::Incremental | Strategy::Full | Strategy::FullDifference));
            steps.push(PlanStep { refresh, ..step(bench, node, kind, strategy, depends, reason) });
        }
    }
    let has_indexes = thalweg_sql::dialect_of(&project.target.connection).has_indexes();
    let mut indexes: Vec<PlannedIndex> = match &mut publication {
        Some(publication) => publication.planned_indexes()?,
        None if has_indexes => first_indexes(project).collect(),
        None => Vec::new(),
    };
    let mut partitions: Vec<PlannedPartition> = match &mut publication {
        Some(publication) => publication.planned_partitions()?,
        None => {
            let dialect = thalweg_sql::dialect_of(&project.target.connection);
            let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
            first_partitions(project, dialect, &known.tables, today)
        }
    };
    let chosen = |table: &str| {
        let nodes = compiled.nodes.iter().zip(&choice.nodes);
        let mut of_table = nodes.filter(|(node, _)| table == node.id.to_string());
        of_table.next().is_none_or(|(_, chosen)| *chosen)
    };
    indexes.retain(|index| chosen(&index.table));
    partitions.retain(|partition| chosen(&partition.table));
    Ok(Plan { run, resumes, steps, removed: removed(bench, &known), indexes, partitions })
}

fn step(bench: &Workbench, node: usize, kind: &str, strategy: Strategy, depends: bool, reason: String) -> PlanStep {
    let nodes = &bench.compiled().nodes;
    PlanStep {
        table: nodes[node].id.to_string(),
        kind: kind.to_owned(),
        strategy,
        depends_on_inputs: depends,
        reason,
        refresh: None,
        inputs: nodes[node].inputs.iter().map(|&input| nodes[input].id.to_string()).collect(),
    }
}

fn removed(bench: &Workbench, known: &Known) -> Vec<String> {
    let gone = known.tables.keys().filter(|table| bench.compiled().node(table).is_none());
    gone.map(ToString::to_string).collect()
}

/// See [`Workbench::test`].
pub fn test(bench: &Workbench, options: &BuildOptions, observer: &dyn Observer) -> Result<Vec<TestOutcome>, RunError> {
    let project = bench.project();
    let compiled = bench.compiled();
    let choice = Choice::new(project, compiled, options.select.as_deref(), options.exclude.as_deref())?;
    let warehouse = bench.warehouse()?;
    if !warehouse.exists()? {
        return Err(nothing_built(bench));
    }
    let tell = |message: &str| observer.event(&crate::event::Event::Waiting { message: message.to_owned() });
    let wait = Wait { timeout: options.lock_timeout, tell: &tell };
    let mut connection = warehouse.connect(Access::Read, &wait)?;
    let ledger = bench.ledger();
    if !ledger.is_prepared(connection.as_mut())? {
        return Err(nothing_built(bench));
    }
    let known = known::load(&ledger, connection.as_mut())?;
    let _watch = bench.interrupt_when_cancelled(connection.interrupter());
    let mut publication = looking(bench, connection.as_mut(), known, observer);
    let wanted = |index: usize| choice.test(compiled, index, project.tests[index].table.is_some());
    publication.test(&TestOptions { full: true, known: &BTreeMap::new(), wanted: &wanted, now: now() })
}

/// A publication that only looks.
pub fn looking<'a>(
    bench: &'a Workbench,
    connection: &'a mut dyn Connection,
    known: Known,
    observer: &'a dyn Observer,
) -> Publication<'a> {
    Publication {
        database: Database::new(connection, thalweg_sql::dialect_of(&bench.project().target.connection)),
        project: bench.project(),
        compiled: bench.compiled(),
        ledger: bench.ledger(),
        run: known.last_run.as_ref().map_or(0, |last| last.run),
        tables: known.tables,
        stages: Stages::new(known.stages),
        touched: Vec::new(),
        changes: BTreeMap::new(),
        logs: ChangeLogs::new(known.change_logs),
        retention: Retention { history: None, readers: Microseconds(0), every_table: false },
        refreshing: Refreshing::default(),
        consumed: known.consumed,
        consumed_now: BTreeMap::new(),
        clocks: known.clocks,
        clocks_now: BTreeMap::new(),
        superseded: Vec::new(),
        steps: Vec::new(),
        notes: Vec::new(),
        refused: Vec::new(),
        indexed: std::collections::BTreeSet::new(),
        partition_room: None,
        definitions_changed: false,
        next_extract: None,
        observer,
    }
}

pub fn nothing_built(bench: &Workbench) -> RunError {
    RunError::NotFound(format!(
        "nothing was built yet for target {}: run `thalweg build` first",
        bench.project().target.name
    ))
}

/// See [`Workbench::status`].
pub fn status(bench: &Workbench) -> Result<Status, RunError> {
    let project = bench.project();
    let compiled = bench.compiled();
    let (known, connection) = known(bench)?;
    let open = match connection {
        Some(mut connection) => bench.ledger().open_rejects(connection.as_mut())?.into_iter().collect(),
        None => BTreeMap::new(),
    };
    let mut tables = Vec::new();
    let mut stale = stale_tables(bench, &known);
    for &node in &compiled.order {
        let id = &compiled.nodes[node].id;
        let state = known.tables.get(id);
        let kind = match compiled.nodes[node].kind {
            NodeKind::External(_) => continue,
            NodeKind::Stream(..) => TableKind::Store,
            NodeKind::Seed(_) => TableKind::Seed,
            NodeKind::Model(_) => {
                let Some(facts) = facts(project, compiled, &known.tables, node) else { continue };
                if facts.model.materialized == Materialized::View { TableKind::View } else { TableKind::Table }
            }
        };
        let mut remarks = match compiled.nodes[node].kind {
            NodeKind::Stream(source, stream) => {
                let stream = &project.sources[source].streams[stream];
                let position = known.positions.get(&(stream.source.clone(), stream.name.clone()));
                position.map_or_else(Vec::new, |position| thalweg_source::database::remarks(stream, position))
            }
            _ => Vec::new(),
        };
        if let Some(number) = open.get(&id.to_string()) {
            remarks.push(if *number == 1 { "1 open reject".to_owned() } else { format!("{number} open rejects") });
        }
        tables.push(TableStatus {
            table: id.to_string(),
            kind: kind.word().into(),
            rows: state.filter(|state| state.kind != TableKind::View).map(|state| state.rows),
            changed_run: state.map(|state| state.changed_run),
            refreshed_run: state.map(|state| state.refreshed_run),
            stale: stale.remove(id),
            remarks,
        });
    }
    for (table, state) in &known.tables {
        if compiled.node(table).is_none() {
            tables.push(TableStatus {
                table: table.to_string(),
                kind: state.kind.word().into(),
                rows: (state.kind != TableKind::View).then_some(state.rows),
                changed_run: Some(state.changed_run),
                refreshed_run: Some(state.refreshed_run),
                stale: None,
                remarks: vec!["not in the project".into()],
            });
        }
    }
    Ok(Status {
        project: project.name.clone(),
        target: project.target.name.clone(),
        warehouse: bench.warehouse()?.display(),
        published_run: known.published_run,
        last_run: known.last_run,
        tables,
        open_rejects: open.values().sum(),
    })
}

/// See [`Workbench::runs`].
pub fn runs(bench: &Workbench, limit: usize) -> Result<Vec<RunRecord>, RunError> {
    let (_, connection) = known(bench)?;
    match connection {
        Some(mut connection) => known::runs(&bench.ledger(), connection.as_mut(), limit),
        None => Ok(Vec::new()),
    }
}

/// See [`Workbench::run_detail`].
pub fn run_detail(bench: &Workbench, run: i64) -> Result<RunDetail, RunError> {
    let (_, connection) = known(bench)?;
    let Some(mut connection) = connection else { return Err(nothing_built(bench)) };
    known::run_detail(&bench.ledger(), connection.as_mut(), run)?
        .ok_or_else(|| RunError::NotFound(format!("there is no run {run}: `thalweg runs` lists them")))
}

/// The table a person means: `schema.table`, or a table name that only one schema has.
pub fn named_table(bench: &Workbench, what: &str) -> Result<TableName, RunError> {
    let nodes = &bench.compiled().nodes;
    if let Ok(table) = what.parse::<TableName>() {
        if let Some(node) = bench.compiled().node(&table) {
            return Ok(nodes[node].id.clone());
        }
        if table.schema == "thalweg" || bench.project().external.iter().any(|(external, _)| *external == table) {
            return Ok(table);
        }
    } else {
        let mut same = nodes.iter().filter(|node| node.id.name.eq_ignore_ascii_case(what));
        if let (Some(node), None) = (same.next(), same.next()) {
            return Ok(node.id.clone());
        }
    }
    let names: Vec<String> = nodes.iter().map(|node| node.id.to_string()).collect();
    let near = thalweg_project::diagnostic::nearest(what, names.iter().map(String::as_str));
    Err(RunError::NotFound(match near {
        Some(near) => format!("there is no table {what}; did you mean {near}?"),
        None => format!("there is no table {what}: `thalweg ls` lists them"),
    }))
}

/// See [`Workbench::rejects`].
pub fn rejects(bench: &Workbench, filter: &RejectFilter) -> Result<Vec<RejectRecord>, RunError> {
    if let Some(stream) = &filter.stream {
        known_stream(bench, stream)?;
    }
    let (_, connection) = known(bench)?;
    match connection {
        Some(mut connection) => known::rejects(&bench.ledger(), connection.as_mut(), filter),
        None => Ok(Vec::new()),
    }
}

/// Refuses a stream that the project does not have, under its own name or that of its table.
pub fn known_stream(bench: &Workbench, name: &str) -> Result<(), RunError> {
    let streams = bench.project().sources.iter().flat_map(|source| &source.streams);
    let names: Vec<String> = streams
        .flat_map(|stream| [crate::extract::stream_name(stream), stream.table.to_string()])
        .chain(bench.project().seeds.iter().map(|seed| seed.table.to_string()))
        .collect();
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(RunError::NotFound(match thalweg_project::diagnostic::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("there is no stream {name}; did you mean {near}?"),
        None => format!("there is no stream {name}: `thalweg ls` lists their tables"),
    }))
}

/// See [`Workbench::compile`].
pub fn compile(bench: &Workbench, choice: &Choice) -> Vec<CompiledTable> {
    let project = bench.project();
    let compiled = bench.compiled();
    let mut all = Vec::new();
    for &node in &compiled.order {
        let NodeKind::Model(index) = compiled.nodes[node].kind else { continue };
        if let (true, Some(sql)) = (choice.nodes[node], compiled.compiled_sql(node)) {
            all.push(CompiledTable {
                name: compiled.nodes[node].id.to_string(),
                kind: "model".into(),
                file: project.models[index].file.clone(),
                sql: sql.to_owned(),
            });
        }
    }
    for (index, test) in project.tests.iter().enumerate() {
        let TestKind::Sql { .. } = test.kind else { continue };
        if let (true, Some(sql)) = (choice.test(compiled, index, false), &compiled.tests[index].sql) {
            all.push(CompiledTable {
                name: test.name.clone(),
                kind: "test".into(),
                file: test.location.file.clone(),
                sql: sql.clone(),
            });
        }
    }
    for (index, report) in project.reports.iter().enumerate() {
        if let (true, Some(sql)) = (choice.reports[index], compiled.report_sql(index)) {
            all.push(CompiledTable {
                name: report.name.clone(),
                kind: "report".into(),
                file: report.file.clone(),
                sql: sql.to_owned(),
            });
        }
    }
    all
}

/// See [`Workbench::list`].
pub fn list(bench: &Workbench, choice: &Choice) -> Vec<Listed> {
    let project = bench.project();
    let compiled = bench.compiled();
    let names = |nodes: &[usize]| nodes.iter().map(|&node| compiled.nodes[node].id.to_string()).collect::<Vec<_>>();
    let mut all = Vec::new();
    for &node in compiled.order.iter().filter(|&&node| choice.nodes[node]) {
        let entry = &compiled.nodes[node];
        let (kind, file, tags) = match entry.kind {
            NodeKind::Stream(source, stream) => {
                let definition = &project.sources[source];
                ("store", definition.location.file.clone(), definition.streams[stream].tags.clone())
            }
            NodeKind::Seed(index) => ("seed", project.seeds[index].file.clone(), project.seeds[index].tags.clone()),
            NodeKind::Model(index) => ("model", project.models[index].file.clone(), project.models[index].tags.clone()),
            NodeKind::External(_) => continue,
        };
        all.push(Listed { name: entry.id.to_string(), kind: kind.into(), file, tags, inputs: names(&entry.inputs) });
    }
    for (index, test) in project.tests.iter().enumerate() {
        if choice.test(compiled, index, test.table.is_some()) {
            all.push(Listed {
                name: test.name.clone(),
                kind: "test".into(),
                file: test.location.file.clone(),
                tags: test.tags.clone(),
                inputs: names(&compiled.tests[index].inputs),
            });
        }
    }
    for (index, report) in project.reports.iter().enumerate() {
        if choice.reports[index] {
            all.push(Listed {
                name: report.name.clone(),
                kind: "report".into(),
                file: report.file.clone(),
                tags: report.tags.clone(),
                inputs: names(&compiled.report_inputs[index]),
            });
        }
    }
    all
}

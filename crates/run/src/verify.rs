//! Comparing every table with what it ought to be.

mod sample;

use thalweg_project::{Materialized, Stream, TableName, WriteDisposition};
use thalweg_source::Column;
use thalweg_sql::NodeKind;
use thalweg_sql::statement::condition::is_marked;
use thalweg_sql::statement::difference::{digest, missing_rows};
use thalweg_sql::statement::relation::{
    FILE_COLUMN, MATCHES_COLUMN, RECORD_COLUMN, RUN_COLUMN, column_list, qualified,
};
use thalweg_sql::statement::{Sameness, TypedColumn};
use thalweg_warehouse::{Access, Connection, Wait};

use crate::answer::VerifyOutcome;
use crate::choice::Choice;
use crate::error::RunError;
use crate::event::{Event, Observer};
use crate::extract::stream_name;
use crate::known::{self, PublishedLanding};
use crate::landed::landed_extracts;
use crate::look::{looking, nothing_built};
use crate::options::BuildOptions;
use crate::outcome::TextTable;
use crate::publish::Publication;
use crate::publish::model::{Need, facts, need};
use crate::publish::refresh::clock::at_time;
use crate::publish::staging::stage;
use crate::publish::store::ExtractFiles;
use crate::publish::stream::store_fingerprint;
use crate::seeds;
use crate::table_state::{TableKind, TableState};
use crate::text::text_table;
use crate::verify::sample::Sample;
use crate::workbench::Workbench;

/// Differing rows shown for a table, of each kind.
const SHOWN: usize = 5;

/// See [`Workbench::verify`].
pub fn verify(
    bench: &Workbench,
    options: &BuildOptions,
    observer: &dyn Observer,
) -> Result<Vec<VerifyOutcome>, RunError> {
    let project = bench.project();
    let compiled = bench.compiled();
    let choice = Choice::new(project, compiled, options.select.as_deref(), options.exclude.as_deref())?;
    let warehouse = bench.warehouse()?;
    if !warehouse.exists()? {
        return Err(nothing_built(bench));
    }
    let tell = |message: &str| observer.event(&Event::Waiting { message: message.to_owned() });
    let wait = Wait { timeout: options.lock_timeout, tell: &tell };
    let mut connection = warehouse.connect(Access::Read, &wait)?;
    let ledger = bench.ledger();
    if !ledger.is_prepared(connection.as_mut())? {
        return Err(nothing_built(bench));
    }
    let _watch = bench.interrupt_when_cancelled(connection.interrupter());
    let everything = Wanted { chosen: &|node| choice.nodes[node], models_only: false, sample: options.sample };
    verify_on(bench, connection.as_mut(), &everything, observer)
}

/// What is to be compared.
pub struct Wanted<'a> {
    /// Which nodes.
    pub chosen: &'a dyn Fn(usize) -> bool,
    /// Only models that a sample can be taken of.
    pub models_only: bool,
    /// The share of the keys; all of them without.
    pub sample: Option<f64>,
}

/// Compares on a connection, in one snapshot.
pub fn verify_on(
    bench: &Workbench,
    connection: &mut dyn Connection,
    wanted: &Wanted<'_>,
    observer: &dyn Observer,
) -> Result<Vec<VerifyOutcome>, RunError> {
    let (project, compiled, ledger) = (bench.project(), bench.compiled(), bench.ledger());
    connection.begin()?;
    let known = known::load(&ledger, connection)?;
    let landings = known::landings(&ledger, connection)?;
    let sample = wanted.sample.filter(|share| *share < 1.0).map(|share| Sample { share, seed: crate::runner::now() });
    let mut publication = looking(bench, connection, known, observer);
    let seed_source = seeds::source(project);
    let mut outcomes = Vec::new();
    for &node in compiled.order.iter().filter(|&&node| (wanted.chosen)(node)) {
        bench.check_cancelled()?;
        let id = compiled.nodes[node].id.clone();
        publication.database.about(id.to_string());
        observer.event(&Event::StepStarted { table: id.to_string() });
        let outcome = match compiled.nodes[node].kind {
            NodeKind::Stream(..) | NodeKind::Seed(_) if wanted.models_only => continue,
            NodeKind::Stream(source, stream) => {
                let stream = &project.sources[source].streams[stream];
                verify_store(bench, &mut publication, stream, &store_fingerprint(stream), &landings, sample)?
            }
            NodeKind::Seed(index) => match &seed_source {
                Some(source) => {
                    let made_by = seeds::fingerprint(&project.seeds[index]);
                    verify_store(bench, &mut publication, &source.streams[index], &made_by, &landings, sample)?
                }
                None => continue,
            },
            NodeKind::Model(index) if project.models[index].materialized == Materialized::Table => {
                if wanted.models_only && !publication.is_incremental(node) {
                    continue;
                }
                verify_model(&mut publication, node, &id, sample)?
            }
            _ => continue,
        };
        outcomes.push(outcome);
    }
    publication.database.connection.rollback()?;
    Ok(outcomes)
}

fn cannot(table: &TableName, against: &str, remark: String) -> VerifyOutcome {
    VerifyOutcome {
        table: table.to_string(),
        against: against.to_owned(),
        equal: None,
        missing: 0,
        unexpected: 0,
        first: TextTable::default(),
        remark: Some(remark),
        rows: 0,
    }
}

fn verify_model(
    publication: &mut Publication<'_>,
    node: usize,
    table: &TableName,
    sample: Option<Sample>,
) -> Result<VerifyOutcome, RunError> {
    let against = "its query";
    let Some(facts) = facts(publication.project, publication.compiled, &publication.tables, node) else {
        return Ok(cannot(table, against, "it has no SQL".into()));
    };
    let Some(state) = publication.tables.get(table).cloned() else {
        return Ok(cannot(table, against, "it was never built".into()));
    };
    let consumed = |input: &TableName| publication.consumed.get(&(table.clone(), input.clone())).copied();
    if let Need::Rebuild(reason) | Need::Blocked(reason) =
        need(&facts, Some(&state), &publication.tables, false, consumed)
    {
        return Ok(cannot(table, against, format!("it is stale: {reason}")));
    }
    let stale = match need(&facts, Some(&state), &publication.tables, false, consumed) {
        Need::Refresh(reason) if !reason.starts_with("reads ") => Some(reason),
        _ => None,
    };
    if let Some(reason) = stale {
        return Ok(cannot(table, against, format!("it is stale: {reason}")));
    }
    let query = publication.compiled.query(node);
    if query.is_some_and(|query| !query.volatile.is_empty()) {
        return Ok(cannot(table, against, "its query gives another answer each time".into()));
    }
    let dialect = publication.database.dialect;
    // Compared with what it was at the time it was refreshed.
    let at_its_time = match publication.clocks.get(table) {
        Some(values) if !facts.clock.is_empty() => at_time(&facts.sql, dialect, values),
        _ => None,
    };
    let clock = !facts.clock.is_empty() && at_its_time.is_none();
    let columns = state.typed_columns(dialect);
    if let (Some(sample), Ok(shape), true) = (sample, publication.shape(node).as_ref(), facts.clock.is_empty()) {
        return sample::verify_model(publication, node, table, &state, &columns, shape, sample);
    }
    let sql = at_its_time.unwrap_or(facts.sql);
    // A literal in the place of a call may give a column another name.
    let names: Result<Vec<String>, _> = columns.iter().map(|column| dialect.quote_identifier(&column.name)).collect();
    let names = publication.database.name(names.map(|names| names.join(", ")))?;
    let expected = format!("(select q.* from ({sql}\n) q({names}))");
    let physical = publication.physical(&state.physical)?;
    let compared = Compared { table, against, state: &state, stored: &physical, expected: &expected };
    let mut outcome = compare(publication, &compared, &columns)?;
    if clock && outcome.equal == Some(false) {
        outcome.equal = None;
        outcome.remark = Some("it reads the time, which has gone on since its last refresh".into());
    }
    publication.database.drop_temporary()?;
    Ok(outcome)
}

fn verify_store(
    bench: &Workbench,
    publication: &mut Publication<'_>,
    stream: &Stream,
    made_by: &str,
    landings: &[PublishedLanding],
    sample: Option<Sample>,
) -> Result<VerifyOutcome, RunError> {
    let against = "landing";
    let table = &stream.table;
    let Some(state) = publication.tables.get(table).cloned() else {
        return Ok(cannot(table, against, "it was never loaded".into()));
    };
    if state.fingerprint != made_by {
        return Ok(cannot(table, against, "it is stale: its definition changed".into()));
    }
    let extracts = match landed_extracts(bench, landings, stream) {
        Ok(extracts) => extracts,
        Err(RunError::NotFound(message)) => return Ok(cannot(table, against, message)),
        Err(error) => return Err(error),
    };
    let columns = state.source_columns();
    let expected = expected_rows(publication, stream, &columns, extracts)?;
    let typed = state.typed_columns(publication.database.dialect);
    let mut stored = publication.physical(&state.physical)?;
    let mut expected = expected;
    if let Some(sample) = sample {
        let key = &stream.primary_key;
        let names: Vec<&str> = if key.is_empty() || stream.write_disposition == WriteDisposition::Append {
            typed.iter().map(|column| column.name.as_str()).collect()
        } else {
            key.iter().map(String::as_str).collect()
        };
        let columns = publication.database.name(column_list(publication.database.dialect, "s", names))?;
        let condition = sample.condition(publication, &columns);
        stored = format!("(select s.* from {stored} s where {condition})");
        expected = format!("select s.* from ({expected}) s where {condition}");
    }
    let expected = format!("({expected})");
    let compared = Compared { table, against, state: &state, stored: &stored, expected: &expected };
    let mut outcome = compare(publication, &compared, &typed)?;
    if sample.is_some() {
        outcome.remark = Some("a sample of its keys".into());
    }
    publication.database.drop_temporary()?;
    Ok(outcome)
}

/// The rows a store table ought to have, by one query over everything that landed: told otherwise than by merging extract after
/// extract, so that a fault there shows.
fn expected_rows(
    publication: &mut Publication<'_>,
    stream: &Stream,
    columns: &[Column],
    extracts: Vec<(ExtractFiles, Vec<Column>)>,
) -> Result<String, RunError> {
    let dialect = publication.database.dialect;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let list = |alias: &str| column_list(dialect, alias, names.iter().copied());
    let bad_name = |error| RunError::NotFound(format!("{}: {error}", stream_name(stream)));
    let extracts: Vec<_> = match stream.write_disposition {
        // The last whole truth; what was read again of it lies behind it.
        WriteDisposition::Replace => {
            let last = extracts.iter().rposition(|(files, _)| files.complete).unwrap_or(0);
            extracts.into_iter().skip(last).collect()
        }
        // What a database was read in full for says everything there is to say.
        WriteDisposition::Merge if stream.database.is_some() => {
            let last = extracts.iter().rposition(|(files, _)| files.complete).unwrap_or(0);
            extracts.into_iter().skip(last).collect()
        }
        WriteDisposition::Merge | WriteDisposition::Append => extracts,
    };
    let mut parts = Vec::new();
    let gone = publication.listed_gone(stream, &extracts, "l")?;
    for (files, _) in &extracts {
        let staged = stage(&mut publication.database, columns, files)?;
        let stage = staged.relation;
        parts.push(format!(
            "select {}, {} as {MATCHES_COLUMN}, {} + s.{FILE_COLUMN} as _origin, s.{RECORD_COLUMN} as _record from {stage} s",
            list("s").map_err(bad_name)?,
            if files.has_matches() { "s._matches" } else { "true" },
            files.origin_base
        ));
    }
    let physical = match publication.tables.get(&stream.table) {
        Some(state) => publication.physical(&state.physical)?,
        None => return Err(RunError::NotFound(format!("{} was never loaded", stream.table))),
    };
    if parts.is_empty() {
        return Ok(format!("select {} from {physical} t limit 0", list("t").map_err(bad_name)?));
    }
    let project = dialect.literal_text(publication.ledger.project());
    let landed = format!(
        "(select l.* from ({}) l where not exists (select 1 from thalweg.rejects j where j.project = {project} and j.kind = 'merge' \
         and j.state = 'open' and j.source = {} and j.stream = {} and j.origin = l._origin and j.record = l._record))",
        parts.join(" union all "),
        dialect.literal_text(&stream.source),
        dialect.literal_text(&stream.name)
    );
    let shown = list("l").map_err(bad_name)?;
    if stream.primary_key.is_empty() || stream.write_disposition == WriteDisposition::Append {
        return Ok(format!("select {shown} from {landed} l"));
    }
    let keys = column_list(dialect, "k", stream.primary_key.iter().map(String::as_str)).map_err(bad_name)?;
    let sequence = match &stream.sequence_by {
        Some(name) => format!("{} desc nulls last, ", qualified(dialect, "k", name).map_err(bad_name)?),
        None => String::new(),
    };
    let marked = match &stream.soft_delete {
        Some(name) => match columns.iter().find(|column| column.name == *name) {
            Some(column) => is_marked(&qualified(dialect, "l", name).map_err(bad_name)?, &column.column_type),
            None => "false".to_owned(),
        },
        None => "false".to_owned(),
    };
    Ok(format!(
        "select {shown} from (select k.*, row_number() over (partition by {keys} order by {sequence}k._origin desc, k._record desc) \
         as _thalweg_rank from {landed} k) l where l._thalweg_rank = 1 and not {marked} and l.{MATCHES_COLUMN} is not false{gone}"
    ))
}

/// Two relations that ought to hold the same rows.
struct Compared<'a> {
    table: &'a TableName,
    /// What the second is made from, in words.
    against: &'a str,
    state: &'a TableState,
    /// The physical table or a part of it, with [`RUN_COLUMN`].
    stored: &'a str,
    /// A relation: a table, or a query in parentheses.
    expected: &'a str,
}

/// Compares two bags of rows: by digests, which need no memory, and where these differ row by row, both ways.
fn compare(
    publication: &mut Publication<'_>,
    compared: &Compared<'_>,
    columns: &[TypedColumn],
) -> Result<VerifyOutcome, RunError> {
    let Compared { table, against, state, stored, expected } = *compared;
    let dialect = publication.database.dialect;
    // Only a model may hold sums of floating-point numbers.
    let sameness = match state.kind {
        TableKind::Table | TableKind::View | TableKind::Stage => Sameness::WithinTolerance,
        TableKind::Store | TableKind::Seed => Sameness::Identical,
    };
    let mut digests = Vec::with_capacity(2);
    for relation in [stored, expected] {
        let sql = publication.database.name(digest(dialect, relation, columns, sameness))?;
        digests.push(publication.database.texts(&sql)?.rows);
    }
    let rows = digests[0].first().and_then(|row| row.first()?.as_deref()?.parse().ok()).unwrap_or(0);
    let mut first = TextTable { columns: vec!["difference".to_owned()], numeric: vec![false], rows: Vec::new() };
    first.columns.extend(columns.iter().map(|column| column.name.clone()));
    first.columns.push("written by run".to_owned());
    first.numeric.resize(first.columns.len(), false);
    let mut numbers = [0, 0];
    // No answer is no proof that they are the same.
    if digests[0].is_empty() || digests[0] != digests[1] {
        // Computed once, so that both directions compare the same answer.
        let expected = publication.database.make_named("expected", &format!("select q.* from {expected} q"))?;
        let missing = publication.database.name(missing_rows(dialect, &expected, stored, columns, &[], sameness))?;
        let unexpected =
            publication.database.name(missing_rows(dialect, stored, &expected, columns, &[RUN_COLUMN], sameness))?;
        for (index, (sql, word)) in [(missing, "missing"), (unexpected, "unexpected")].into_iter().enumerate() {
            numbers[index] = publication.database.count(&format!("select count(*) from ({sql}) d"))?;
            if numbers[index] == 0 {
                continue;
            }
            let rows = publication.database.first_rows(&sql, &[], SHOWN)?;
            for mut row in text_table(&rows, None).map_err(|error| publication.database.error(error))?.rows {
                row.insert(0, Some(word.to_owned()));
                row.resize(first.columns.len(), None);
                first.rows.push(row);
            }
        }
    }
    Ok(VerifyOutcome {
        table: table.to_string(),
        against: against.to_owned(),
        equal: Some(numbers == [0, 0]),
        missing: numbers[0],
        unexpected: numbers[1],
        first,
        remark: None,
        rows,
    })
}

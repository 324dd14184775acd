//! Where a row comes from: the run that wrote it last, the changed rows of its inputs that made that run do so, and theirs, down to
//! the line of a file.
//!
//! Which changed rows touched a row is found by asking discovery: of all rows that changed when the model was refreshed, those alone
//! are taken whose change touches the row's key; halves that do not are left out at once.

use std::collections::BTreeMap;

use serde::Serialize;
use thalweg_project::TableName;
use thalweg_sql::NodeKind;
use thalweg_sql::refresh::{ChangedInput, Discovery, Inputs, Shape};
use thalweg_sql::statement::RowIdentifier;
use thalweg_sql::statement::change_log::CHANGED_RUN_COLUMN;
use thalweg_sql::statement::relation::{ORIGIN_COLUMN, RECORD_COLUMN, RUN_COLUMN, column_list, found_keys, qualified};
use thalweg_warehouse::Value;
use thalweg_warehouse::ledger::{ExtractRow, RefreshRow};

use crate::answer::RunRecord;
use crate::error::RunError;
use crate::event::Silent;
use crate::known;
use crate::look::{looking, named_table, nothing_built};
use crate::publish::Publication;
use crate::publish::change_log::log_name;
use crate::publish::model::{is_view, tracked_inputs};
use crate::table_state::{TableKind, TableState};
use crate::workbench::Workbench;

/// Where the rows of a key come from.
#[derive(Debug, Serialize)]
pub struct Why {
    /// The table.
    pub table: String,
    /// The columns that were looked up, with their values.
    pub key: Vec<(String, String)>,
    /// The rows, as they are now.
    pub rows: Vec<RowOrigin>,
    /// Whether there are more of them.
    pub more: bool,
    /// Earlier versions, latest first; `None` when they were not asked for.
    pub history: Option<Vec<Version>>,
    /// What limits the answer.
    pub remark: Option<String>,
}

/// A row and where it comes from.
#[derive(Debug, Serialize)]
pub struct RowOrigin {
    /// Its table.
    pub table: String,
    /// Its columns.
    pub row: Vec<(String, Option<String>)>,
    /// The run that wrote it.
    pub run: i64,
    /// When that run began: microseconds since 1970 UTC.
    pub run_started_at: Option<i64>,
    /// For a row of a store table or seed, what it was read from.
    pub place: Option<Place>,
    /// For a row of a model, how the model was refreshed then, and why.
    pub refreshed: Option<String>,
    /// Changed rows of the model's inputs that touched it in that run.
    pub from: Vec<RowOrigin>,
    /// The run that replaced or deleted it, if it is no more.
    pub gone_in: Option<i64>,
    /// What limits the answer.
    pub remark: Option<String>,
}

/// A place at a source.
#[derive(Debug, Serialize)]
pub struct Place {
    /// `source.stream`
    pub stream: String,
    /// The file, or another unit of the source.
    pub file: String,
    /// Line or ordinal of the record in it.
    pub record: i64,
    /// The extract: `thalweg.extracts.id`.
    pub extract: i64,
    /// Its landing.
    pub landing: String,
}

/// What a row was.
#[derive(Debug, Serialize)]
pub struct Version {
    /// Its columns.
    pub row: Vec<(String, Option<String>)>,
    /// The run that wrote it.
    pub run: i64,
    /// The run that replaced or deleted it.
    pub until: i64,
}

/// Rows of one key, changed rows of one input, and versions that are shown.
const SHOWN: usize = 3;
/// More versions are not shown.
const VERSIONS: usize = 100;
/// More changed rows are not looked through.
const LOOKED_THROUGH: u64 = 500_000;
/// Deeper chains of models are not followed.
const DEEPEST: usize = 20;

/// See [`Workbench::why`].
pub fn why(bench: &Workbench, what: &str, key: &[String], history: bool) -> Result<Why, RunError> {
    let table = named_table(bench, what)?;
    let Some(mut connection) = bench.reader()? else { return Err(nothing_built(bench)) };
    let ledger = bench.ledger();
    if !ledger.is_prepared(connection.as_mut())? {
        return Err(nothing_built(bench));
    }
    let _watch = bench.interrupt_when_cancelled(connection.interrupter());
    let mut refused = BTreeMap::new();
    loop {
        connection.begin()?;
        let known = known::load(&ledger, connection.as_mut())?;
        let past = ledger.past_refreshes(connection.as_mut())?;
        let runs = known::runs(&ledger, connection.as_mut(), usize::MAX >> 1)?;
        let publication = looking(bench, connection.as_mut(), known, &Silent);
        let mut search = Search { publication, past, runs, refused: &refused, asking: None };
        let answer = search.answer(&table, key, history);
        let asking = search.asking.take();
        search.publication.database.connection.rollback()?;
        match (answer, asking) {
            // The transaction is lost by it: it is asked once more, without this question.
            (Err(error), Some(asking)) if error.is_of_statement() => {
                refused.insert(asking, in_words(&error));
            }
            (answer, _) => return answer,
        }
    }
}

struct Search<'a> {
    publication: Publication<'a>,
    past: Vec<RefreshRow>,
    runs: Vec<RunRecord>,
    /// The models of which the warehouse does not say how rows of an input touch them, with the inputs and its words.
    refused: &'a BTreeMap<(TableName, TableName), String>,
    /// The question that is being asked.
    asking: Option<(TableName, TableName)>,
}

impl Search<'_> {
    fn answer(&mut self, table: &TableName, key: &[String], history: bool) -> Result<Why, RunError> {
        let Some(state) = self.publication.tables.get(table).cloned() else {
            return Err(RunError::NotFound(format!("{table} was never built")));
        };
        if state.kind == TableKind::View {
            return Err(RunError::NotFound(format!(
                "{table} is a view and has no rows of its own: ask for a row of a table it reads"
            )));
        }
        self.publication.database.about(table.to_string());
        let key = self.key(table, &state, key)?;
        let (condition, parameters) = self.condition(&state, &key)?;
        let physical = self.publication.physical(&state.physical)?;
        let rows = self.row_identifier(&state);
        let found = self.publication.database.query_with(
            &format!(
                "select {} as identifier from {physical} t where {condition} order by {} limit {}",
                rows.as_text("t"),
                rows.list("t"),
                SHOWN + 1
            ),
            &parameters,
        )?;
        let found = crate::text::text_table(&found, None).map_err(|error| self.publication.database.error(error))?;
        let rows: Vec<String> = found.rows.into_iter().filter_map(|row| row.into_iter().next()?).collect();
        let mut origins = Vec::new();
        for row in rows.iter().take(SHOWN) {
            origins.push(self.stored_row(table, row, DEEPEST)?);
        }
        let mut remark = None;
        let mut versions = None;
        if history || origins.is_empty() {
            let earlier = self.versions(table, &state, &condition, &parameters)?;
            if earlier.is_none() {
                remark = Some(
                    "no earlier versions are kept of this table: `change_log: { history: 30d }` in thalweg.yml keeps them of all tables"
                        .to_owned(),
                );
            }
            let earlier = earlier.unwrap_or_default();
            if origins.is_empty() {
                remark = Some(match earlier.first() {
                    Some(last) => format!("there is no such row any more: it went in run {}", last.until),
                    None => "there is no such row, and none is remembered".to_owned(),
                });
            }
            versions = Some(earlier);
        }
        Ok(Why { table: table.to_string(), key, rows: origins, more: rows.len() > SHOWN, history: versions, remark })
    }

    /// The columns that are looked up: as given (`column=value`), or those of the table's key.
    fn key(
        &mut self,
        table: &TableName,
        state: &TableState,
        given: &[String],
    ) -> Result<Vec<(String, String)>, RunError> {
        let (mut pairs, mut values) = (Vec::new(), Vec::new());
        for text in given {
            match text.split_once('=') {
                Some((name, value))
                    if state.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name.trim())) =>
                {
                    let column = state.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name.trim()));
                    pairs.push((column.map_or(name, |column| &column.name).to_owned(), value.to_owned()));
                }
                _ => values.push(text.clone()),
            }
        }
        if values.is_empty() && !pairs.is_empty() {
            return Ok(pairs);
        }
        let columns = self.key_columns(table, state);
        if values.len() > columns.len() || values.is_empty() {
            return Err(RunError::NotFound(format!(
                "a row of {table} is named by {}: give {}, or `column=value` for any of its columns",
                columns.join(", "),
                if columns.len() == 1 { "its value" } else { "their values in this order" }
            )));
        }
        pairs.extend(columns.into_iter().zip(values));
        Ok(pairs)
    }

    /// The columns people name a row by.
    fn key_columns(&mut self, table: &TableName, state: &TableState) -> Vec<String> {
        let publication = &mut self.publication;
        let declared = match publication.compiled.node(table).map(|node| publication.compiled.nodes[node].kind) {
            Some(NodeKind::Stream(source, stream)) => {
                publication.project.sources[source].streams[stream].primary_key.clone()
            }
            Some(NodeKind::Model(index)) => publication.project.models[index].primary_key.clone(),
            _ => Vec::new(),
        };
        if !declared.is_empty() {
            return declared;
        }
        let shape = publication.compiled.node(table).map(|node| publication.shape(node));
        match shape.as_deref() {
            Some(Ok(shape)) => shape.key_columns().to_vec(),
            _ => state.columns.first().map(|column| column.name.clone()).into_iter().collect(),
        }
    }

    /// A condition on alias `t`, and its parameters. Values are compared as texts, as people write them, and as what such a text is in the
    /// column's type: a time as it is shown is not the text that the engine makes of it. `NULL` is a text or none.
    fn condition(&self, state: &TableState, key: &[(String, String)]) -> Result<(String, Vec<Value>), RunError> {
        let dialect = self.publication.database.dialect;
        let types = state.typed_columns(dialect);
        let (mut parts, mut parameters) = (Vec::new(), Vec::new());
        for (name, value) in key {
            let column = self.publication.database.name(qualified(dialect, "t", name))?;
            let mut ways = vec![format!("cast({column} as varchar) = ?")];
            parameters.push(Value::Text(value.clone()));
            let engine_type = types.iter().find(|typed| typed.name.eq_ignore_ascii_case(name));
            if let Some(typed) = engine_type.filter(|typed| dialect.is_written_simply(&typed.engine_type)) {
                ways.push(format!("{column} = {}", dialect.try_convert("cast(? as varchar)", &typed.engine_type)));
                parameters.push(Value::Text(value.clone()));
            }
            if value == "NULL" {
                ways.push(format!("{column} is null"));
            }
            parts.push(format!("({})", ways.join(" or ")));
        }
        Ok((parts.join(" and "), parameters))
    }

    fn declared(&self, state: &TableState, alias: &str) -> Result<String, RunError> {
        let names = state.columns.iter().map(|column| column.name.as_str());
        self.publication.database.name(column_list(self.publication.database.dialect, alias, names))
    }

    /// Earlier versions; `None` where none are kept.
    fn versions(
        &mut self,
        table: &TableName,
        state: &TableState,
        condition: &str,
        parameters: &[Value],
    ) -> Result<Option<Vec<Version>>, RunError> {
        if self.publication.logs.known.get(table).is_none_or(|log| log.physical != state.physical) {
            return Ok(None);
        }
        let log = self.publication.physical(&log_name(&state.physical))?;
        let columns = self.declared(state, "t")?;
        let answer = self.publication.database.query_with(
            &format!(
                "select {columns}, t.{RUN_COLUMN}, t.{CHANGED_RUN_COLUMN} from {log} t where {condition} \
                 order by t.{CHANGED_RUN_COLUMN} desc limit {VERSIONS}"
            ),
            parameters,
        )?;
        let answer = crate::text::text_table(&answer, None).map_err(|error| self.publication.database.error(error))?;
        let number = |cell: Option<Option<String>>| cell.flatten().and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Some(
            answer
                .rows
                .into_iter()
                .map(|mut row| {
                    let until = number(row.pop());
                    let run = number(row.pop());
                    Version { row: named(state, row), run, until }
                })
                .collect(),
        ))
    }

    fn row_identifier(&self, state: &TableState) -> RowIdentifier {
        RowIdentifier::of_table(self.publication.database.dialect, state.layout().is_some())
    }

    /// A row that stands in a table, by its identifier.
    fn stored_row(&mut self, table: &TableName, row: &str, depth: usize) -> Result<RowOrigin, RunError> {
        let Some(state) = self.publication.tables.get(table).cloned() else {
            return Err(RunError::NotFound(format!("{table} was never built")));
        };
        let physical = self.publication.physical(&state.physical)?;
        let wanted = self.row_identifier(&state).is_text(self.publication.database.dialect, "t", row);
        let stored = matches!(state.kind, TableKind::Store | TableKind::Seed);
        let place = if stored { format!(", t.{ORIGIN_COLUMN}, t.{RECORD_COLUMN}") } else { String::new() };
        let columns = self.declared(&state, "t")?;
        let mut answer = self
            .publication
            .database
            .texts(&format!("select {columns}, t.{RUN_COLUMN}{place} from {physical} t where {wanted}"))?;
        let mut cells = answer.rows.pop().unwrap_or_default();
        let mut number = || cells.pop().flatten().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
        let (record, origin) = if stored { (number(), number()) } else { (0, 0) };
        let run = number();
        let mut found = RowOrigin {
            table: table.to_string(),
            row: named(&state, cells),
            run,
            run_started_at: self.runs.iter().find(|record| record.run == run).map(|record| record.started_at),
            place: None,
            refreshed: None,
            from: Vec::new(),
            gone_in: None,
            remark: None,
        };
        if stored {
            let ledger = self.publication.ledger.clone();
            let extract = ledger
                .extract(self.publication.database.connection, origin)
                .map_err(|error| self.publication.database.error(error))?;
            found.place = extract.map(|extract| place_of(&extract, record));
            if found.place.is_none() {
                found.remark = Some(format!("the ledger does not know its extract {origin}"));
            }
            return Ok(found);
        }
        if depth == 0 {
            found.remark = Some("what lies further below is not shown".into());
            return Ok(found);
        }
        self.explain_model_row(table, &state, row, depth, &mut found)?;
        Ok(found)
    }

    /// Finds the changed rows that touched a row of a model.
    fn explain_model_row(
        &mut self,
        table: &TableName,
        state: &TableState,
        row: &str,
        depth: usize,
        found: &mut RowOrigin,
    ) -> Result<(), RunError> {
        let name = table.to_string();
        let of_model = |refresh: &&RefreshRow| refresh.table_name == name;
        let refresh = self.past.iter().filter(of_model).find(|refresh| refresh.run == found.run);
        // What changed between two refreshes was consumed by the second.
        let since =
            self.past.iter().filter(of_model).map(|refresh| refresh.run).find(|run| *run < found.run).unwrap_or(0);
        found.refreshed = refresh.map(|refresh| format!("{} ({})", words(&refresh.strategy), refresh.reason));
        let Some(node) = self.publication.compiled.node(table) else {
            found.remark = Some("the project no longer has this model".into());
            return Ok(());
        };
        let shape = self.publication.shape(node);
        let shape = match shape.as_ref() {
            Ok(shape) => shape,
            Err(full) => {
                found.remark = Some(format!("which rows it was made of is not known: {}", full.reason));
                return Ok(());
            }
        };
        let wanted = self.publication.database.temporary("wanted");
        let physical = self.publication.physical(&state.physical)?;
        let row = self.row_identifier(state).is_text(self.publication.database.dialect, "t", row);
        let names = shape.key_columns().iter().map(String::as_str);
        let columns = self.publication.database.name(column_list(self.publication.database.dialect, "t", names))?;
        self.publication.database.make(&wanted, &format!("select {columns} from {physical} t where {row}"))?;
        let mut inputs = Inputs::default();
        let mut stored = Vec::new();
        for input in tracked_inputs(self.publication.project, self.publication.compiled, node) {
            if is_view(self.publication.project, self.publication.compiled, input) {
                continue;
            }
            let id = self.publication.compiled.nodes[input].id.clone();
            if let Some(state) = self.publication.tables.get(&id).cloned() {
                let current = self.publication.physical(&state.physical)?;
                inputs.current.insert(self.publication.published_parts(&id), current);
                stored.push((id, state));
            }
        }
        for (id, state) in stored {
            let question = (table.clone(), id.clone());
            if let Some(words) = self.refused.get(&question) {
                found.remark = Some(format!("which rows of {id} it was made of cannot be asked: {words}"));
                continue;
            }
            let changed = self.publication.database.temporary("changed");
            let number = self.changed_rows(&id, &state, since, found.run, &changed)?;
            if number > LOOKED_THROUGH {
                found.remark = Some(format!(
                    "{number} rows of {id} changed then, too many to look through: the run computed the model anew"
                ));
                continue;
            }
            let mut halves =
                Halves { shape, inputs: &inputs, table: &id, state: &state, changed: &changed, wanted: &wanted };
            let mut touching = Vec::new();
            self.asking = Some(question);
            halves.search(&mut self.publication, 1, number, &mut touching)?;
            self.asking = None;
            for ordinal in touching {
                found.from.push(self.changed_row(&id, &state, &changed, ordinal, depth - 1)?);
            }
        }
        if found.from.is_empty() && found.remark.is_none() {
            found.remark = Some("none of the rows that changed then is remembered any more".into());
        }
        Ok(())
    }

    /// Puts the rows of a table that changed in the runs after `since` and up to `run` into a temporary table, with an ordinal; their
    /// number. Rows that stand there still have their identifier, the others the run they went in.
    fn changed_rows(
        &mut self,
        table: &TableName,
        state: &TableState,
        since: i64,
        run: i64,
        name: &str,
    ) -> Result<u64, RunError> {
        let physical = self.publication.physical(&state.physical)?;
        let identifier = self.row_identifier(state).as_text("t");
        let mut parts = vec![format!(
            "select {}, {identifier} as _row, null::bigint as _gone, t.{RUN_COLUMN} as _written from {physical} t \
             where t.{RUN_COLUMN} > {since} and t.{RUN_COLUMN} <= {run}",
            self.declared(state, "t")?
        )];
        if self.publication.logs.known.get(table).is_some_and(|log| log.physical == state.physical) {
            let log = self.publication.physical(&log_name(&state.physical))?;
            parts.push(format!(
                "select {}, null::varchar, l.{CHANGED_RUN_COLUMN}, l.{RUN_COLUMN} from {log} l where \
                 (l.{CHANGED_RUN_COLUMN} > {since} and l.{CHANGED_RUN_COLUMN} <= {run}) or (l.{RUN_COLUMN} > {since} and l.{RUN_COLUMN} <= {run})",
                self.declared(state, "l")?
            ));
        }
        self.publication.database.make_counted(
            name,
            &format!("select c.*, row_number() over () as _ordinal from ({}) c", parts.join(" union all ")),
        )
    }

    /// A changed row, and where that comes from.
    fn changed_row(
        &mut self,
        table: &TableName,
        state: &TableState,
        changed: &str,
        ordinal: u64,
        depth: usize,
    ) -> Result<RowOrigin, RunError> {
        let columns = self.declared(state, "c")?;
        let mut answer = self.publication.database.texts(&format!(
            "select {columns}, c._row, c._gone, c._written from {changed} c where c._ordinal = {ordinal}"
        ))?;
        let mut cells = answer.rows.pop().unwrap_or_default();
        let mut number = || cells.pop().flatten().and_then(|text| text.parse::<i64>().ok());
        let (written, gone) = (number().unwrap_or(0), number());
        if let Some(row) = cells.pop().flatten() {
            return self.stored_row(table, &row, depth);
        }
        Ok(RowOrigin {
            table: table.to_string(),
            row: named(state, cells),
            run: written,
            run_started_at: self.runs.iter().find(|record| record.run == written).map(|record| record.started_at),
            place: None,
            refreshed: None,
            from: Vec::new(),
            gone_in: gone,
            remark: None,
        })
    }
}

/// A search among the changed rows of one table for those that touch a key.
struct Halves<'a> {
    shape: &'a Shape,
    inputs: &'a Inputs,
    table: &'a TableName,
    state: &'a TableState,
    changed: &'a str,
    wanted: &'a str,
}

impl Halves<'_> {
    /// Finds the first rows between two ordinals that touch the key.
    fn search(
        &mut self,
        publication: &mut Publication<'_>,
        from: u64,
        to: u64,
        found: &mut Vec<u64>,
    ) -> Result<(), RunError> {
        if from > to || found.len() >= SHOWN || !self.touches(publication, from, to)? {
            return Ok(());
        }
        if from == to {
            found.push(from);
            return Ok(());
        }
        let middle = from + (to - from) / 2;
        self.search(publication, from, middle, found)?;
        self.search(publication, middle + 1, to, found)
    }

    fn touches(&self, publication: &mut Publication<'_>, from: u64, to: u64) -> Result<bool, RunError> {
        let dialect = publication.database.dialect;
        let names = self.state.columns.iter().map(|column| column.name.as_str());
        let columns = publication.database.name(column_list(dialect, "c", names))?;
        let prefix = publication.database.prefix();
        let (before, after) = (format!("{prefix}none"), format!("{prefix}rows"));
        let changed = self.changed;
        publication.database.make(&before, &format!("select {columns} from {changed} c limit 0"))?;
        publication
            .database
            .make(&after, &format!("select {columns} from {changed} c where c._ordinal between {from} and {to}"))?;
        let mut inputs = self.inputs.clone();
        inputs.changed.insert(publication.published_parts(self.table), ChangedInput { before, after, old: None });
        let touches = match self
            .shape
            .discover(dialect, &inputs, &prefix)
            .map_err(|error| publication.database.bad_name(error))?
        {
            Discovery::Nothing => false,
            Discovery::Everything(_) => true,
            Discovery::Keys(statements) => {
                for statement in &statements {
                    publication.database.make(&statement.creates, &statement.select)?;
                }
                let affected = statements.last().map(|statement| statement.creates.clone()).unwrap_or_default();
                let keys = self.shape.key_columns();
                let same = found_keys(dialect, ("a", "w"), keys, &[], &self.state.typed_columns(dialect));
                let same = publication.database.name(same)?;
                let wanted = self.wanted;
                publication.database.any(&format!("select 1 from {affected} a join {wanted} w on {same} limit 1"))?
            }
        };
        publication.database.forget(&prefix)?;
        Ok(touches)
    }
}

fn named(state: &TableState, cells: Vec<Option<String>>) -> Vec<(String, Option<String>)> {
    state.columns.iter().map(|column| column.name.clone()).zip(cells).collect()
}

fn place_of(extract: &ExtractRow, record: i64) -> Place {
    Place {
        stream: format!("{}.{}", extract.source, extract.stream),
        file: extract.file.clone(),
        record,
        extract: extract.id,
        landing: extract.landing.clone(),
    }
}

fn words(strategy: &str) -> &str {
    match strategy {
        "full_difference" => "full, by difference",
        other => other,
    }
}

/// The warehouse's words, and what helps where it compares no values of two types.
fn in_words(error: &RunError) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let advice = if error.is_undefined() { "; a cast of the model's key to one type mends that" } else { "" };
    format!("{line}{advice}")
}

//! A stage that is kept by adding and subtracting, beside the full answer.

use thalweg_sql::refresh::summed::{Delta, Summing};
use thalweg_sql::refresh::{Inputs, SwitchedOff, WithStages};

use crate::check::{Part, Refreshed};
use crate::database::{Database, Rows, except_all};
use crate::refresh::shown;
use crate::schema::quoted;

pub(crate) struct Sums<'a> {
    pub(crate) database: &'a mut Database,
    pub(crate) part: &'a Part,
    pub(crate) inputs: &'a Inputs,
    pub(crate) tables: &'a WithStages<'a>,
    pub(crate) number: usize,
    /// The rows there must be.
    pub(crate) full: &'a Rows,
}

impl Sums<'_> {
    /// How it went; `None` where the stage is not refreshed so. What was wrong, and the statements.
    pub(crate) fn run(&mut self) -> Result<Option<Refreshed>, (String, Vec<String>)> {
        let (Some((summing, columns)), Some(stage)) = (&self.part.summing, &self.part.stage) else { return Ok(None) };
        let dialect = self.database.dialect();
        let with_all = SwitchedOff::default();
        let off = self.part.shape.as_ref().map_or(&with_all, |shape| shape.switched_off());
        let found = summing.delta(&self.part.text, dialect, self.tables, self.inputs, off);
        let select = match found.map_err(|error| (error.to_string(), Vec::new()))? {
            Delta::NotLinear(_) => return Ok(None),
            Delta::Nothing if self.part.stored == *self.full => return Ok(Some(Refreshed::Nothing)),
            Delta::Nothing => return Err(("a change was overlooked".to_owned(), Vec::new())),
            Delta::Rows(select) => select,
        };
        let changed = self.part.text.clone();
        let table = format!("{}.{}", thalweg_sql::refresh::split::STAGE_SCHEMA, quoted(stage));
        let delta = format!("_fuzz_{}_delta", self.number);
        let mut sent = vec![format!("create temporary table {delta} as {select}")];
        let failed = |error: crate::engine::Refusal, sent: &[String]| {
            Ok(Some(Refreshed::Failed(error.message, sent.last().cloned().unwrap_or_else(|| changed.clone()))))
        };
        if let Err(error) = self.database.make_temporary(&delta, &select) {
            return failed(error, &sent);
        }
        // As the program's tables are: their rows know the run that wrote them.
        let row = dialect.row_identifier();
        let written = format!("(select s.*, s.{row}, cast(0 as bigint) as _run from {table} s)");
        let list: Vec<String> = columns.iter().map(|(name, _)| format!("c.{}", quoted(name))).collect();
        let merged = summing.merged(dialect, &written, &delta, columns, 1).and_then(|merged| {
            Summing::came(dialect, &format!("({merged})"), columns)
                .map(|came| format!("select {} from ({came}) c", list.join(", ")))
        });
        let merged = merged.map_err(|error| (error.to_string(), Vec::new()))?;
        let keys: Vec<String> =
            summing.keys.iter().map(|key| format!("d.{0} is not distinct from t.{0}", quoted(key))).collect();
        let same = if keys.is_empty() { "true".to_owned() } else { keys.join(" and ") };
        let all = format!(
            "select t.* from {table} t where not exists (select 1 from {delta} d where {same}) union all select * from ({merged}) m"
        );
        sent.push(all.clone());
        let groups = match self.database.ask(&format!("select count(*) from {delta}")) {
            Ok(rows) => rows.rows.first().and_then(|row| row.first().cloned().flatten()),
            Err(error) => return failed(error, &sent),
        };
        let rows = match self.database.ask(&all) {
            Ok(rows) => rows,
            Err(error) => return failed(error, &sent),
        };
        if rows != *self.full {
            let (missing, surplus) = (except_all(&self.full.rows, &rows.rows), except_all(&rows.rows, &self.full.rows));
            return Err((format!("{:?} {:?} {}", rows.types, self.full.types, shown(&surplus, &missing)), sent));
        }
        let groups = groups.and_then(|groups| groups.parse().ok()).unwrap_or(0);
        Ok(Some(if groups == 0 { Refreshed::Nothing } else { Refreshed::Added(groups) }))
    }
}

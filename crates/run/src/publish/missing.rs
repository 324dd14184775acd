//! Rows that are gone at the source.

use std::path::PathBuf;

use thalweg_project::{Stream, WriteDisposition};
use thalweg_source::{Column, KeyRange};
use thalweg_sql::statement::{Merge, Missing, gone_keys, is_missing};
use thalweg_warehouse::StagedColumn;

use crate::error::RunError;
use crate::publish::Publication;
use crate::publish::store::ExtractFiles;

/// Keys that were listed at the source.
#[derive(Debug, Clone)]
pub struct ListedKeys {
    /// Parquet files with keys, each with its columns.
    pub parts: Vec<(PathBuf, Vec<Column>)>,
    /// Ranges of the first key column that were listed; all without one.
    pub ranges: Vec<KeyRange>,
}

impl ExtractFiles {
    /// Whether its rows say of themselves whether the stream wants them.
    pub fn has_matches(&self) -> bool {
        self.parts.iter().any(|(_, columns)| columns.iter().any(|column| column.name == thalweg_source::MATCHES_COLUMN))
    }

    /// Whether it tells which rows are gone.
    pub fn tells_missing(&self, stream: &Stream) -> bool {
        self.keys.is_some() || (self.complete && stream.write_disposition != WriteDisposition::Append)
    }
}

impl Publication<'_> {
    /// The keys of rows that are gone at the source, as far as the extract tells, in a temporary table.
    pub(super) fn gone(
        &mut self,
        merge: &Merge<'_>,
        stream: &Stream,
        extract: &ExtractFiles,
        winners: &str,
    ) -> Result<Option<String>, RunError> {
        let missing = match &extract.keys {
            Some(_) if extract.gone.is_some() => return Ok(extract.gone.clone()),
            Some(listed) => self.listed(&merge.key, listed, "t")?,
            None if extract.tells_missing(stream) => Missing { keys: winners.to_owned(), within: None },
            None => return Ok(None),
        };
        let gone = self.database.name(merge.gone(&missing))?;
        self.database.make_named("gone", &gone).map(Some)
    }

    /// What was still there when a first load ended, where a part of it was read in an earlier snapshot: then its keys were listed.
    pub(super) fn still_there(
        &mut self,
        stream: &Stream,
        extract: &ExtractFiles,
        rows_before: u64,
    ) -> Result<Option<Missing>, RunError> {
        match &extract.keys {
            Some(listed) if rows_before == 0 => Ok(Some(self.listed(&stream.primary_key, listed, "t")?)),
            _ => Ok(None),
        }
    }

    /// Why an extract must not be merged, if more rows are gone than may be deleted without consent: an empty table is more often a fault
    /// at the source than a wish. Which rows are gone by a listing of keys is remembered in the extract.
    pub(super) fn refuses_deletes(
        &mut self,
        stream: &Stream,
        physical: &str,
        columns: &[Column],
        extract: &mut ExtractFiles,
        rows: u64,
    ) -> Result<Option<String>, RunError> {
        let Some(options) = stream.database.as_ref().filter(|_| !extract.confirmed) else { return Ok(None) };
        if rows == 0 || stream.primary_key.is_empty() || !extract.tells_missing(stream) {
            return Ok(None);
        }
        let key: Vec<Column> = stream
            .primary_key
            .iter()
            .filter_map(|name| columns.iter().find(|column| column.name == *name))
            .cloned()
            .collect();
        let missing = match &extract.keys {
            Some(listed) => self.listed(&stream.primary_key, listed, "t")?,
            None => Missing { keys: self.stage_keys(&key, &extract.parts)?, within: None },
        };
        let target = self.physical(physical)?;
        let gone = self.database.name(gone_keys(self.database.dialect, &stream.primary_key, &target, &missing))?;
        let name = self.database.temporary("gone");
        let gone = self.database.make_counted(&name, &gone)?;
        if extract.keys.is_some() {
            extract.gone = Some(name);
        }
        if gone as f64 <= options.max_delete_ratio * rows as f64 {
            return Ok(None);
        }
        Ok(Some(format!(
            "{gone} of {rows} rows of {} are gone at the source, more than max_delete_ratio allows ({}), so nothing of it is loaded: look \
             at the source; if it is right, run `thalweg load --confirm-deletes --select {}`",
            stream.table, options.max_delete_ratio, stream.table
        )))
    }

    /// For a comparison with everything that landed: conditions on an alias that has the columns of the table and `_origin`, which leave out
    /// rows that a later listing of keys did not have.
    pub fn listed_gone(
        &mut self,
        stream: &Stream,
        extracts: &[(ExtractFiles, Vec<Column>)],
        alias: &str,
    ) -> Result<String, RunError> {
        let mut conditions = String::new();
        for (files, _) in extracts {
            let Some(listed) = &files.keys else { continue };
            let missing = self.listed(&stream.primary_key, listed, alias)?;
            let condition =
                self.database.name(is_missing(self.database.dialect, &stream.primary_key, &missing, alias))?;
            let end = files.origin_base + files.files;
            conditions.push_str(&format!(" and not ({alias}._origin < {end} and {condition})"));
        }
        Ok(conditions)
    }

    /// Listed keys as a relation, and the condition on an alias for rows whose keys were listed.
    fn listed(&mut self, key: &[String], listed: &ListedKeys, alias: &str) -> Result<Missing, RunError> {
        let all = || listed.parts.iter().flat_map(|(_, columns)| columns);
        let columns: Vec<Column> =
            key.iter().filter_map(|name| all().find(|column| column.name == *name)).cloned().collect();
        let keys = self.stage_keys(&columns, &listed.parts)?;
        let within = self.within(listed, columns.first(), alias)?;
        Ok(Missing { keys, within })
    }

    /// Makes files with keys readable; the quoted relation.
    fn stage_keys(&mut self, columns: &[Column], parts: &[(PathBuf, Vec<Column>)]) -> Result<String, RunError> {
        let name = self.database.stage_name();
        let files: Vec<PathBuf> = parts.iter().map(|(path, _)| path.clone()).collect();
        let staged: Vec<StagedColumn> = columns
            .iter()
            .map(|column| StagedColumn {
                name: column.name.clone(),
                column_type: column.column_type.clone(),
                in_files: (0..parts.len())
                    .filter(|&part| parts[part].1.iter().any(|other| other.name == column.name))
                    .collect(),
            })
            .collect();
        // A key that the warehouse cannot hold is that of no row in it.
        self.database.connection.stage(&name, &files, &staged).map_err(|error| self.database.error(error))?;
        Ok(name)
    }

    /// The condition for rows whose keys were listed.
    fn within(&self, listed: &ListedKeys, first: Option<&Column>, alias: &str) -> Result<Option<String>, RunError> {
        let (Some(first), false) = (first, listed.ranges.is_empty()) else { return Ok(None) };
        let dialect = self.database.dialect;
        let name = format!("{alias}.{}", self.database.name(dialect.quote_identifier(&first.name))?);
        let literal =
            |text: &str| format!("cast({} as {})", dialect.literal_text(text), dialect.type_name(&first.column_type));
        let mut bounds: Vec<(String, String)> = Vec::new();
        let mut before_first = "false";
        for range in &listed.ranges {
            let inside = match (&range.strips, &range.from) {
                (Some(strips), Some(from)) => {
                    let strip = dialect.quotient(&format!("({name} - {})", literal(from)), strips.width);
                    dialect.has_bit(&strips.listed, &strip)
                }
                _ => "true".to_owned(),
            };
            match &range.from {
                Some(from) => bounds.push((literal(from), inside)),
                None => before_first = "true",
            }
            bounds.extend(range.to.as_ref().map(|to| (literal(to), "false".to_owned())));
        }
        Ok(Some(chosen(&name, &bounds, before_first)))
    }
}

/// Whether a value lies in one of several ranges, which are in order: found in as many steps as it takes to halve them, where a list of
/// conditions would be gone through for each row. `bounds` has the first value of each stretch, and the condition for what lies in it; `before` is
/// that of what comes before the first.
fn chosen(name: &str, bounds: &[(String, String)], before: &str) -> String {
    let (below, rest) = bounds.split_at(bounds.len() / 2);
    match rest {
        [] => before.to_owned(),
        [(bound, inside), above @ ..] => format!(
            "(case when {name} < {bound} then {} else {} end)",
            chosen(name, below, before),
            chosen(name, above, inside)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn a_value_in_ranges() {
        let bounds = |bounds: &[(i32, bool)]| -> Vec<_> {
            bounds.iter().map(|(it, is)| (it.to_string(), is.to_string())).collect()
        };
        assert_eq!(chosen("k", &[], "true"), "true");
        assert_eq!(chosen("k", &bounds(&[(3, true)]), "false"), "(case when k < 3 then false else true end)");
        assert_eq!(
            chosen("k", &bounds(&[(3, true), (5, false), (8, true)]), "false"),
            "(case when k < 5 then (case when k < 3 then false else true end) else (case when k < 8 then false else true end) end)"
        );
    }
}

//! One stream of a database source.

use super::Reader;
use super::stream::{StreamContext, StreamRead, contract};
use crate::column_choice::is_selected;
use crate::column_name::store_name;
use crate::diagnostic::nearest;
use crate::forms::{
    DatabaseStreamForm, DeletesForm, DeletesWord, OneOrMany, ReconcileForm, SoftDeleteForm, UnrepresentableWord,
};
use crate::{
    DatabaseOptions, Deletes, Diagnostic, FileOptions, Location, OnUnrepresentable, Reconcile, ReconcileWhat, Stream,
    Table, TableRef, WriteDisposition,
};

/// A greater part of a table than this is not deleted without consent, when the stream does not say.
const MAX_DELETE_RATIO: f64 = 0.5;

impl Reader<'_> {
    /// Reads a stream called `name`. `found` is what the database said of its table.
    pub(super) fn database_stream(
        &mut self,
        context: &StreamContext<'_>,
        name: &str,
        form: DatabaseStreamForm,
        table: TableRef,
        found: Option<&Table>,
    ) -> StreamRead {
        let columns = found.map(StoreColumns::new);
        let mut primary_key = self.names(context, "primary_key", form.primary_key);
        for name in &mut primary_key {
            *name = self.stream_column(context, "primary_key", name, columns.as_ref());
        }
        if primary_key.is_empty()
            && let (Some(found), Some(columns)) = (found, &columns)
        {
            primary_key = columns.key(found);
        }
        // Of a table that is not known, nobody knows whether there is a key.
        let merges = !primary_key.is_empty() || found.is_none();
        let disposition =
            form.write_disposition.unwrap_or(if merges { WriteDisposition::Merge } else { WriteDisposition::Replace });
        let span = context.value("write_disposition");
        if disposition == WriteDisposition::Merge && !merges && found.is_some() {
            let message = format!("the stream `{}` is merged, but its table has no key", context.name());
            self.report("merge-without-key", message, &context.file.path, span).help = Some(
                "give the columns that identify a row as `primary_key:`, or write `write_disposition: replace`".into(),
            );
        }
        let cursor = self.cursor(context, form.cursor, disposition, columns.as_ref());
        for (key, given) in [("initial_value", form.initial_value.is_some()), ("lag", form.lag.is_some())] {
            if given && cursor.is_none() && context.is_own(key) {
                let message =
                    format!("`{key}` has no meaning for the stream `{}`, which has no `cursor`", context.name());
                self.report("only-with-cursor", message, &context.file.path, context.key(key)).help =
                    Some(format!("add `cursor:`, or remove `{key}`"));
            }
        }
        if disposition == WriteDisposition::Append && cursor.is_none() && found.is_some() {
            let message =
                format!("the stream `{}` is appended to, but has no `cursor` that finds new rows", context.name());
            let span = context.value("write_disposition");
            self.report("append-without-cursor", message, &context.file.path, span).help = Some(
                "add `cursor:`, such as a number that only grows, or write `write_disposition: replace`".to_owned(),
            );
        }
        let soft_delete = self.only_with_merge(context, "soft_delete", form.soft_delete, disposition);
        let soft_delete = soft_delete.and_then(|form| self.soft_delete(context, form, columns.as_ref()));
        let deletes = self.only_with_merge(context, "deletes", form.deletes, disposition);
        let deletes = match deletes {
            _ if disposition != WriteDisposition::Merge => Deletes::None,
            None | Some(DeletesForm::Word(DeletesWord::CompareKeys)) => Deletes::CompareKeys { every: None },
            Some(DeletesForm::Word(DeletesWord::None)) => Deletes::None,
            Some(DeletesForm::Rule(rule)) => Deletes::CompareKeys { every: Some(rule.compare_keys.every.0) },
        };
        let reconcile = self.only_with_merge(context, "reconcile", form.reconcile, disposition);
        let reconcile = reconcile.map(|form| match form {
            ReconcileForm::Word(what) => Reconcile { what, every: None },
            ReconcileForm::Rule(rule) => match (rule.keys, rule.rows) {
                (_, Some(every)) => Reconcile { what: ReconcileWhat::Rows, every: Some(every.every.0) },
                (every, None) => Reconcile { what: ReconcileWhat::Keys, every: every.map(|every| every.every.0) },
            },
        });
        let select = self.select(context, form.select);
        self.selects_key(context, &select, &primary_key, soft_delete.as_ref());
        let (described, tests) = self.columns_and_tests(context, form.columns, form.data_tests, form.tests);
        let stream = Stream {
            source: context.source.to_owned(),
            name: name.to_owned(),
            table: context.table.clone(),
            primary_key,
            write_disposition: disposition,
            sequence_by: None,
            soft_delete,
            schema_contract: contract(form.schema_contract),
            select,
            max_rejects: form.max_rejects,
            columns: described,
            tags: form.tags.map(OneOrMany::into_vec).unwrap_or_default(),
            description: form.description,
            files: FileOptions::default(),
            database: Some(DatabaseOptions {
                table,
                cursor,
                initial_value: form.initial_value,
                lag: form.lag.map(|span| span.0),
                deletes,
                reconcile,
                max_delete_ratio: form.max_delete_ratio.unwrap_or(MAX_DELETE_RATIO),
                filter: form.filter.as_deref().and_then(condition),
                on_unrepresentable: match form.on_unrepresentable {
                    Some(UnrepresentableWord::Null) => OnUnrepresentable::Null,
                    Some(UnrepresentableWord::Reject) | None => OnUnrepresentable::Reject,
                },
            }),
            location: context.location.clone(),
        };
        StreamRead { stream, tests }
    }

    /// The cursor. `replace` ignores an inherited one and refuses its own; an inherited one that the table does not have is none.
    fn cursor(
        &mut self,
        context: &StreamContext<'_>,
        cursor: Option<String>,
        disposition: WriteDisposition,
        columns: Option<&StoreColumns>,
    ) -> Option<String> {
        let cursor = cursor?;
        if disposition == WriteDisposition::Replace {
            if context.is_own("cursor") {
                let message =
                    format!("`cursor` has no meaning for the stream `{}`, whose rows are replaced", context.name());
                self.report("cursor-of-replace", message, &context.file.path, context.key("cursor")).help =
                    Some("remove `cursor`, or give the stream a `primary_key` so that its rows are merged".to_owned());
            }
            return None;
        }
        self.inheritable(context, "cursor", cursor, columns)
    }

    fn soft_delete(
        &mut self,
        context: &StreamContext<'_>,
        form: SoftDeleteForm,
        columns: Option<&StoreColumns>,
    ) -> Option<String> {
        let (column, keep) = match form {
            SoftDeleteForm::Column(column) => (column, false),
            SoftDeleteForm::Rule(rule) => (rule.column, rule.keep.unwrap_or(false)),
        };
        let column = self.inheritable(context, "soft_delete", column, columns)?;
        // A row that is kept with its mark is a row like any other.
        (!keep).then_some(column)
    }

    /// The name in the store of a column that a setting names; `None` when the setting is inherited and the table has no such column.
    fn inheritable(
        &mut self,
        context: &StreamContext<'_>,
        key: &str,
        column: String,
        columns: Option<&StoreColumns>,
    ) -> Option<String> {
        let lacks = columns.is_some_and(|columns| columns.find(&column).is_none());
        if lacks && !context.is_own(key) {
            return None;
        }
        Some(self.stream_column(context, key, &column, columns))
    }

    /// The name in the store of a column that a setting names. One that the table did not have when it was last seen is a warning: it may
    /// be there when it is read, and if not, the stream is the only one to fail.
    fn stream_column(
        &mut self,
        context: &StreamContext<'_>,
        key: &str,
        column: &str,
        columns: Option<&StoreColumns>,
    ) -> String {
        let Some(columns) = columns else { return column.to_owned() };
        if let Some(name) = columns.find(column) {
            return name.to_owned();
        }
        let shown = context.node(key).map_or("", |node| if node.items().is_empty() { node.shown() } else { column });
        let message = format!("the table of the stream `{}` has no column `{shown}`", context.name());
        let near = nearest(column, columns.names.iter().map(|(name, _)| name.as_str()));
        let help =
            near.map_or_else(|| "name a column of the table".to_owned(), |near| format!("did you mean `{near}`?"));
        let location = Location::new(&context.file.path, context.value(key));
        self.diagnostics.push(Diagnostic::warning("unknown-source-column", message, location).with_help(help));
        column.to_owned()
    }

    /// Rows are merged by their key and marked by a column: both must be taken.
    fn selects_key(
        &mut self,
        context: &StreamContext<'_>,
        select: &[String],
        key: &[String],
        soft_delete: Option<&String>,
    ) {
        let left_out = key.iter().chain(soft_delete).find(|name| !is_selected(select, name, name));
        if let Some(name) = left_out {
            let message = format!("`select` of the stream `{}` leaves out `{name}`, which it needs", context.name());
            self.report("bad-select", message, &context.file.path, context.value("select")).help =
                Some(format!("take `{name}` too"));
        }
    }
}

/// The columns of a table by their names in the store and at the source.
struct StoreColumns {
    names: Vec<(String, String)>,
}

impl StoreColumns {
    fn new(table: &Table) -> Self {
        let names = table.columns.iter().zip(1..);
        Self { names: names.map(|(column, place)| (store_name(&column.name, place), column.name.clone())).collect() }
    }

    /// The name in the store of a column that is written as in the store or as at the source.
    fn find(&self, written: &str) -> Option<&str> {
        let exact = self.names.iter().find(|(name, _)| name == written);
        let found = exact.or_else(|| self.names.iter().find(|(_, source)| source.eq_ignore_ascii_case(written)));
        found.map(|(name, _)| name.as_str())
    }

    /// What identifies a row: the primary key, or the shortest unique key.
    fn key(&self, table: &Table) -> Vec<String> {
        let unique = table.unique_keys.iter().min_by_key(|key| key.len());
        let key = if table.primary_key.is_empty() { unique } else { Some(&table.primary_key) };
        let key = key.map(Vec::as_slice).unwrap_or_default();
        key.iter().filter_map(|column| self.find(column).map(str::to_owned)).collect()
    }
}

/// A condition as it can stand in parentheses: without the semicolon of a statement, and with the end of the line that a comment ends with.
fn condition(written: &str) -> Option<String> {
    let condition = written.trim().trim_end_matches(';').trim_end();
    let has_comment = condition.contains("--") || condition.contains('#');
    let condition = if has_comment { format!("{condition}\n") } else { condition.to_owned() };
    (!condition.is_empty()).then_some(condition)
}

#[cfg(test)]
mod tests {
    use super::condition;

    #[test]
    fn conditions_can_stand_in_parentheses() {
        assert_eq!(condition(" a > 1;\n").as_deref(), Some("a > 1"));
        assert_eq!(condition("a > 1 -- big").as_deref(), Some("a > 1 -- big\n"));
        assert_eq!(condition(" ; "), None);
    }
}

//! One stream of a file source.

use std::ops::Range;

use super::{Reader, first_duplicate};
use crate::column_name::store_name;
use crate::diagnostic::nearest;
use crate::forms::{
    AfterForm, AfterWord, FormatWord, OneOrMany, ReadyForm, SchemaContractForm, StreamColumnForm, StreamForm, TestForm,
};
use crate::input::InputFile;
use crate::yaml::{Entry, Node};
use crate::{
    AfterLoad, CsvOptions, FileFormat, FileMode, FileOptions, Location, Ready, SchemaAction, SchemaContract, Stream,
    StreamColumn, TableName, WriteDisposition,
};

/// What surrounds a stream.
#[derive(Clone)]
pub struct StreamContext<'r> {
    pub file: &'r InputFile,
    pub source: &'r str,
    pub entry: &'r Entry,
    pub defaults: &'r Node,
    pub table: TableName,
    pub location: Location,
    pub targets: &'r [String],
    pub target: &'r str,
    /// Whether the stream is one of those that a wildcard stands for: its settings are then not its own.
    pub is_wildcard: bool,
}

impl StreamContext<'_> {
    /// Whether the stream itself gives the setting, as opposed to inheriting it.
    pub(super) fn is_own(&self, key: &str) -> bool {
        !self.is_wildcard && self.entry.value.get(key).is_some_and(|node| !node.is_null())
    }

    /// The node of a setting, the stream's own or the inherited one.
    pub(super) fn node(&self, key: &str) -> Option<&Node> {
        self.entry.value.get(key).filter(|node| !node.is_null()).or_else(|| self.defaults.get(key))
    }

    /// Where a setting stands: its key, or the stream's where there is none.
    pub(super) fn key(&self, key: &str) -> Range<usize> {
        let own = self.entry.value.entry(key).filter(|entry| !entry.value.is_null());
        own.or_else(|| self.defaults.entry(key))
            .map_or_else(|| self.entry.key_span.clone(), |entry| entry.key_span.clone())
    }

    /// Where the value of a setting stands.
    pub(super) fn value(&self, key: &str) -> Range<usize> {
        self.node(key).map_or_else(|| self.entry.key_span.clone(), |node| node.span.clone())
    }

    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.source, self.entry.key)
    }
}

/// A stream with its tests, which are read when all tables are known.
pub struct StreamRead {
    pub stream: Stream,
    /// Its tests.
    pub tests: Vec<TestsRead>,
}

/// Tests of a column, or of the table, with their nodes.
pub type TestsRead = (Option<String>, Vec<TestForm>, Vec<Node>);

/// What happens when columns or types differ from what the store holds.
pub fn contract(form: Option<SchemaContractForm>) -> SchemaContract {
    match form {
        None => SchemaContract { columns: SchemaAction::Evolve, types: SchemaAction::Evolve },
        Some(SchemaContractForm::Both(action)) => SchemaContract { columns: action, types: action },
        Some(SchemaContractForm::Each(each)) => SchemaContract {
            columns: each.columns.unwrap_or(SchemaAction::Evolve),
            types: each.types.or(each.data_type).unwrap_or(SchemaAction::Evolve),
        },
    }
}

impl Reader<'_> {
    pub(super) fn stream(&mut self, context: StreamContext<'_>, form: StreamForm) -> StreamRead {
        let file = context.file.path.as_str();
        let format = self.format(&context, &form);
        let mode = form.mode.unwrap_or(FileMode::Whole);
        if mode == FileMode::Tail && !matches!(format, FileFormat::AccessLog | FileFormat::Ndjson) {
            let message = format!("the stream `{}` cannot be read with `mode: tail`", context.name());
            let diagnostic = self.report("tail-format", message, file, context.value("mode"));
            diagnostic.help =
                Some("`tail` reads line by line: only `access_log` and `ndjson`; write `mode: whole`".to_owned());
        }
        for key in ["ready", "after"] {
            let says_something = key != "after" || !matches!(form.after, Some(AfterForm::Word(AfterWord::Keep)));
            if mode == FileMode::Tail && context.is_own(key) && says_something {
                let message = format!(
                    "`{key}` does not apply to the stream `{}`, which is read with `mode: tail`",
                    context.name()
                );
                self.report("tail-setting", message, file, context.key(key)).help = Some(format!("remove `{key}`"));
            }
        }
        let primary_key = self.names(&context, "primary_key", form.primary_key);
        let write_disposition = form.write_disposition.unwrap_or(if primary_key.is_empty() {
            WriteDisposition::Append
        } else {
            WriteDisposition::Merge
        });
        if mode == FileMode::Tail && write_disposition == WriteDisposition::Replace {
            let message = format!("the stream `{}` is read with `mode: tail` and would be replaced", context.name());
            self.report("tail-setting", message, file, context.value("write_disposition")).help =
                Some("only what is new in a log is read: append it, or merge it with a `primary_key`".to_owned());
        }
        if write_disposition == WriteDisposition::Merge && primary_key.is_empty() {
            let message = format!("the stream `{}` is merged, but has no `primary_key`", context.name());
            let span = context.value("write_disposition");
            self.report("merge-without-key", message, file, span).help =
                Some("add `primary_key:`, or write `write_disposition: append` or `replace`".to_owned());
        }
        let sequence_by = self.only_with_merge(&context, "sequence_by", form.sequence_by, write_disposition);
        let soft_delete = self.only_with_merge(&context, "soft_delete", form.soft_delete, write_disposition);
        let select = self.select(&context, form.select);
        for (list, pattern) in form.lists.iter().flatten() {
            if pattern.matches('*').count() != 1 {
                let message =
                    format!("the columns of the list `{list}` must be given with one `*` in the place of the number");
                let node = context.node("lists").and_then(|lists| lists.get(list));
                let span = node.map_or_else(|| context.key("lists"), |node| node.span.clone());
                self.report("bad-list", message, file, span).help =
                    Some("write it like `\"top related titles *\"`".to_owned());
            }
        }
        let ready = match form.ready {
            None => Ready::StableFor(std::time::Duration::from_secs(1)),
            Some(ReadyForm::Word(_)) => Ready::Renamed,
            Some(ReadyForm::Rule(rule)) => match (rule.stable_for, rule.marker) {
                (_, Some(marker)) => Ready::Marker(marker),
                (stable_for, None) => {
                    Ready::StableFor(stable_for.map_or(std::time::Duration::from_secs(1), |span| span.0))
                }
            },
        };
        let after = if mode == FileMode::Tail { AfterLoad::Keep } else { self.after(&context, form.after) };
        let schema_contract = contract(form.schema_contract);
        let (columns, tests) = self.columns_and_tests(&context, form.columns, form.data_tests, form.tests);
        let stream = Stream {
            source: context.source.to_owned(),
            name: context.entry.key.clone(),
            table: context.table,
            primary_key,
            write_disposition,
            sequence_by,
            soft_delete,
            schema_contract,
            select,
            max_rejects: form.max_rejects,
            columns,
            tags: form.tags.map(OneOrMany::into_vec).unwrap_or_default(),
            description: form.description,
            files: FileOptions {
                pattern: form.files.unwrap_or_default(),
                format,
                mode,
                ready,
                after,
                archive: form.archive.unwrap_or_else(|| "archive".to_owned()),
                lists: form.lists.unwrap_or_default(),
            },
            database: None,
            location: context.location,
        };
        StreamRead { stream, tests }
    }

    /// The columns to take or to leave out.
    pub(super) fn select(&mut self, context: &StreamContext<'_>, select: Option<OneOrMany>) -> Vec<String> {
        let select = self.names(context, "select", select);
        let left_out = select.iter().filter(|name| name.starts_with('-')).count();
        if left_out > 0 && left_out < select.len() {
            let message =
                format!("`select` of the stream `{}` mixes columns to take and columns to leave out", context.name());
            self.report("bad-select", message, &context.file.path, context.value("select")).help =
                Some("list either the columns to take (`a`), or those to leave out (`\"-a\"`)".to_owned());
        }
        select
    }

    /// What is said of single columns, and the tests of the stream and of its columns.
    pub(super) fn columns_and_tests(
        &mut self,
        context: &StreamContext<'_>,
        columns: Option<Vec<StreamColumnForm>>,
        data_tests: Option<Vec<TestForm>>,
        more_tests: Option<Vec<TestForm>>,
    ) -> (Vec<StreamColumn>, Vec<TestsRead>) {
        let mut tests = Vec::new();
        for (key, forms) in [("data_tests", data_tests), ("tests", more_tests)] {
            if let (Some(forms), Some(node)) = (forms, context.node(key)) {
                tests.push((None, forms, node.items().to_vec()));
            }
        }
        let mut described: Vec<StreamColumn> = Vec::new();
        let column_nodes = context.node("columns").map_or(&[][..], Node::items);
        for (column, node) in columns.unwrap_or_default().into_iter().zip(column_nodes) {
            if described.iter().any(|other| other.name.eq_ignore_ascii_case(&column.name)) {
                let message =
                    format!("the stream `{}` describes the column `{}` twice", context.name(), shown_name(node));
                let span = node.get("name").map_or_else(|| node.span.clone(), |name| name.span.clone());
                self.report("duplicate-column", message, &context.file.path, span).help =
                    Some("join the two entries".to_owned());
                continue;
            }
            let store_name = store_name(&column.name, 0);
            if !column.name.is_empty() && store_name != column.name {
                let message = format!(
                    "no column of the stream `{}` can be called `{}` in the store",
                    context.name(),
                    shown_name(node)
                );
                let span = node.get("name").map_or_else(|| node.span.clone(), |name| name.span.clone());
                self.report("bad-column-name", message, &context.file.path, span).help =
                    Some(format!("columns are named in snake case there: write `{store_name}`"));
                continue;
            }
            for (key, forms) in [("data_tests", column.data_tests), ("tests", column.tests)] {
                if let (Some(forms), Some(node)) = (forms, node.get(key)) {
                    tests.push((Some(column.name.clone()), forms, node.items().to_vec()));
                }
            }
            described.push(StreamColumn {
                name: column.name,
                column_type: column.column_type.and_then(|text| text.0.parse().ok()),
                description: column.description,
                personal: column.personal.unwrap_or(false),
                subject: column.subject,
            });
        }
        (described, tests)
    }

    fn format(&mut self, context: &StreamContext<'_>, form: &StreamForm) -> FileFormat {
        let file = context.file.path.as_str();
        let word = match (form.format, form.files.as_deref()) {
            (Some(word), Some(_)) => Some(word),
            (word, None) => {
                // A setting that is there and wrong was reported already.
                if context.node("files").is_none() {
                    let message = format!("the stream `{}` needs `files`", context.name());
                    let diagnostic = self.report("missing-key", message, file, context.entry.key_span.clone());
                    diagnostic.label = Some("`files` is missing".to_owned());
                    diagnostic.help = Some("say which files: `files: \"orders_*.csv\"`".to_owned());
                }
                word.or(Some(FormatWord::Csv))
            }
            (None, Some(pattern)) => format_of(pattern),
        };
        let word = word.unwrap_or_else(|| {
            if context.node("format").is_none() {
                let message =
                    format!("the format of the stream `{}` cannot be told from its file pattern", context.name());
                let diagnostic = self.report("missing-format", message, file, context.value("files"));
                diagnostic.help = Some("add `format: csv`, `ndjson`, `json`, `parquet` or `access_log`".to_owned());
            }
            FormatWord::Csv
        });
        if word != FormatWord::Csv && form.csv.is_some() && context.is_own("csv") {
            let message = format!("`csv` does not apply to the stream `{}`, whose files are not CSV", context.name());
            self.report("csv-setting", message, file, context.key("csv")).help =
                Some("remove `csv`, or write `format: csv`".to_owned());
        }
        match word {
            FormatWord::Csv => FileFormat::Csv(form.csv.clone().map_or_else(CsvOptions::default, |csv| CsvOptions {
                delimiter: csv.delimiter.as_deref().and_then(character),
                quote: csv.quote.as_deref().and_then(character),
                header: csv.header,
                null_values: csv.null_values.map(OneOrMany::into_vec),
            })),
            FormatWord::Ndjson => FileFormat::Ndjson,
            FormatWord::Json => FileFormat::Json,
            FormatWord::Parquet => FileFormat::Parquet,
            FormatWord::AccessLog => FileFormat::AccessLog,
        }
    }

    /// A list of columns, none of them twice.
    pub(super) fn names(&mut self, context: &StreamContext<'_>, key: &str, names: Option<OneOrMany>) -> Vec<String> {
        let names = names.map(OneOrMany::into_vec).unwrap_or_default();
        if first_duplicate(&names).is_some() {
            let message = format!("`{key}` of the stream `{}` names a column twice", context.name());
            self.report("duplicate-column", message, &context.file.path, context.value(key)).help =
                Some("name each column once".to_owned());
        }
        names
    }

    /// A setting that only a merge can follow: refused where the stream gives it, ignored where it is inherited.
    pub(super) fn only_with_merge<T>(
        &mut self,
        context: &StreamContext<'_>,
        key: &str,
        value: Option<T>,
        disposition: WriteDisposition,
    ) -> Option<T> {
        if disposition == WriteDisposition::Merge {
            return value;
        }
        if value.is_some() && context.is_own(key) {
            let word = if disposition == WriteDisposition::Append { "appended" } else { "replaced" };
            let message = format!("`{key}` has no meaning for the stream `{}`, whose rows are {word}", context.name());
            self.report("only-with-merge", message, &context.file.path, context.key(key)).help =
                Some(format!("give the stream a `primary_key` so that its rows are merged, or remove `{key}`"));
        }
        None
    }

    fn after(&mut self, context: &StreamContext<'_>, form: Option<AfterForm>) -> AfterLoad {
        let file = context.file.path.as_str();
        let (word, target) = match form {
            None => (AfterWord::Keep, None),
            Some(AfterForm::Word(word)) => (word, None),
            Some(AfterForm::For(one)) => (one.action, Some(one.target)),
        };
        let action = match word {
            AfterWord::Keep => return AfterLoad::Keep,
            AfterWord::Archive => AfterLoad::Archive,
            AfterWord::Delete => AfterLoad::Delete,
        };
        match target {
            // Without `thalweg.yml` the targets are not known.
            _ if context.targets.is_empty() => action,
            None if context.targets.len() > 1 => {
                let message = format!("`after` of the stream `{}` must say for which target it acts", context.name());
                let verb = if action == AfterLoad::Archive { "archive" } else { "delete" };
                let last = context.targets.last().map_or("prod", String::as_str);
                let diagnostic = self.report("after-target", message, file, context.value("after"));
                diagnostic.label =
                    Some("the project has several targets, and each must have read a file before it goes".to_owned());
                diagnostic.help = Some(format!("write `after: {{ action: {verb}, target: {last} }}`"));
                AfterLoad::Keep
            }
            None => action,
            // It is missing, which was reported.
            Some(target) if target.is_empty() => AfterLoad::Keep,
            Some(target) if !context.targets.contains(&target) => {
                let node = context.node("after").and_then(|after| after.get("target"));
                let span = node.map_or_else(|| context.value("after"), |node| node.span.clone());
                let shown = node.map_or("", Node::shown);
                let message =
                    format!("`after` of the stream `{}` names `{shown}`, which is not a target", context.name());
                let near = nearest(&target, context.targets.iter().map(String::as_str));
                self.report("unknown-target", message, file, span).help =
                    near.map(|near| format!("did you mean `{near}`?"));
                AfterLoad::Keep
            }
            Some(target) if target == context.target => action,
            Some(_) => AfterLoad::Keep,
        }
    }
}

/// The name an entry of a list gives, as written.
fn shown_name(node: &Node) -> &str {
    node.get("name").map_or("", Node::shown)
}

/// The format that a pattern's ending tells.
fn format_of(pattern: &str) -> Option<FormatWord> {
    let lower = pattern.to_lowercase();
    let plain = lower.strip_suffix(".gz").unwrap_or(&lower);
    let (_, ending) = plain.rsplit_once('.')?;
    Some(match ending {
        "csv" | "tsv" => FormatWord::Csv,
        "ndjson" | "jsonl" => FormatWord::Ndjson,
        "json" => FormatWord::Json,
        "parquet" => FormatWord::Parquet,
        _ => return None,
    })
}

fn character(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] => Some(*byte),
        b"\\t" => Some(b'\t'),
        _ => None,
    }
}

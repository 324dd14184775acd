//! Data tests declared in YAML.

use std::collections::HashSet;
use std::ops::Range;

use super::stream::StreamRead;
use crate::forms::{Bound, ColumnForm, OneOrMany, TestConfig, TestForm, TestMap, TestWord};
use crate::input::InputFile;
use crate::template::{Templates, parse_reference};
use crate::yaml::{Content, Node};
use crate::{DataTest, Diagnostic, Location, OnFailure, TableName, TestKind, TestSeverity};

/// Reads tests and gives each a name of its own.
pub struct TestReader<'t> {
    templates: &'t Templates,
    store_layer: &'t str,
    names: HashSet<String>,
    tests: Vec<DataTest>,
    diagnostics: Vec<Diagnostic>,
}

/// The table that tests are about.
#[derive(Clone, Copy)]
pub struct TestedTable<'r> {
    pub table: &'r TableName,
    /// The YAML file.
    pub file: &'r str,
    /// Whether it is a store table, whose rows can be quarantined.
    pub is_store: bool,
}

/// Where the parts of a test stand.
struct Places<'f, 'n> {
    /// The name of the test.
    test: Range<usize>,
    /// An argument or setting.
    find: &'f dyn Fn(&str) -> Option<&'n Node>,
}

/// A test as it was written: kind and arguments not yet checked.
struct Written {
    word: TestWord,
    name: Option<String>,
    config: TestConfig,
    arguments: Arguments,
}

/// The arguments of all tests.
#[derive(Default)]
struct Arguments {
    columns: Option<Vec<String>>,
    values: Option<Vec<serde_json::Value>>,
    to: Option<String>,
    field: Option<String>,
    min_value: Option<Bound>,
    max_value: Option<Bound>,
    inclusive: Option<bool>,
    expression: Option<String>,
    min: Option<u64>,
    max: Option<u64>,
    max_age: Option<std::time::Duration>,
    column: Option<String>,
}

impl<'t> TestReader<'t> {
    /// A reader; the tables must all be known to the templates.
    pub fn new(templates: &'t Templates, store_layer: &'t str) -> Self {
        Self { templates, store_layer, names: HashSet::new(), tests: Vec::new(), diagnostics: Vec::new() }
    }

    /// The tests and what was wrong with others.
    pub fn finish(self) -> (Vec<DataTest>, Vec<Diagnostic>) {
        (self.tests, self.diagnostics)
    }

    /// The tests of a stream's store table.
    pub fn stream(&mut self, read: &StreamRead) {
        let table = TestedTable { table: &read.stream.table, file: &read.stream.location.file, is_store: true };
        for (column, forms, nodes) in &read.tests {
            for (form, node) in forms.iter().zip(nodes) {
                self.test(table, column.as_deref(), form, node);
            }
        }
    }

    /// The tests in the lists of a node.
    pub fn lists(
        &mut self,
        table: TestedTable<'_>,
        column: Option<&str>,
        lists: [(&Option<Vec<TestForm>>, &str); 2],
        node: &Node,
    ) {
        for (forms, key) in lists {
            let nodes = node.get(key).map_or(&[][..], Node::items);
            for (form, node) in forms.iter().flatten().zip(nodes) {
                self.test(table, column, form, node);
            }
        }
    }

    /// The tests of the columns in a node's `columns:`.
    pub fn columns(&mut self, table: TestedTable<'_>, forms: Option<&[ColumnForm]>, node: &Node) {
        let nodes = node.get("columns").map_or(&[][..], Node::items);
        for (form, node) in forms.unwrap_or_default().iter().zip(nodes) {
            self.lists(table, Some(&form.name), [(&form.data_tests, "data_tests"), (&form.tests, "tests")], node);
        }
    }

    /// A test of a file in `tests/`, already rendered.
    pub fn sql(&mut self, name: &str, file: &InputFile, sql: String, config: TestConfig) {
        if !self.names.insert(name.to_lowercase()) {
            let message = format!("two tests are called `{name}`");
            let diagnostic = Diagnostic::error("duplicate-test", message, Location::file(&file.path));
            self.diagnostics.push(diagnostic.with_help("rename the file"));
            return;
        }
        self.tests.push(DataTest {
            name: name.to_owned(),
            table: None,
            kind: TestKind::Sql { sql },
            filter: None,
            severity: config.severity.unwrap_or(TestSeverity::Error),
            on_failure: OnFailure::Fail,
            tags: config.tags.map(OneOrMany::into_vec).unwrap_or_default(),
            location: Location::file(&file.path),
        });
    }

    fn report(&mut self, code: &'static str, message: String, file: &str, span: Range<usize>, help: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(code, message, Location::new(file, span)).with_help(help));
    }

    fn test(&mut self, table: TestedTable<'_>, column: Option<&str>, form: &TestForm, node: &Node) {
        let Some(written) = written(form, node) else { return };
        if written.config.enabled == Some(false) {
            return;
        }
        let settings = match &node.content {
            Content::Map(entries) => entries.first(),
            _ => None,
        };
        let place = settings.map_or_else(|| node.span.clone(), |entry| entry.key_span.clone());
        // Where an argument or setting stands: below the test, or below `arguments:` or `config:`.
        let find = |key: &str| -> Option<&Node> {
            let below = &settings?.value;
            let inner = |group: &str| below.get(group).and_then(|group| group.get(key));
            below.get(key).or_else(|| inner("arguments")).or_else(|| inner("config"))
        };
        let at = |key: &str| find(key).map_or_else(|| place.clone(), |node| node.span.clone());
        let word = written.word.name();
        let of = match column {
            Some(column) => format!("`{word}` of `{}.{column}`", table.table),
            None => format!("`{word}` of `{}`", table.table),
        };

        let place_of = Places { test: place.clone(), find: &find };
        let Some(kind) = self.kind(&written, table, column, &of, &place_of) else { return };
        let on_failure = written.config.on_failure.unwrap_or(OnFailure::Fail);
        if on_failure == OnFailure::Quarantine {
            let is_row_condition = matches!(
                written.word,
                TestWord::NotNull | TestWord::AcceptedValues | TestWord::AcceptedRange | TestWord::ExpressionIsTrue
            );
            if !is_row_condition {
                let message = format!("the test {of} cannot quarantine rows, because it is not about single rows");
                let help =
                    "only not_null, accepted_values, accepted_range and expression_is_true can; remove `on_failure`";
                self.report("bad-quarantine", message, table.file, at("on_failure"), help);
            } else if !table.is_store {
                let message =
                    format!("the test {of} cannot quarantine rows, because `{}` is not a store table", table.table);
                let help = format!(
                    "declare it on the stream's columns in `sources/`, for the table in `{}`",
                    self.store_layer
                );
                self.report("bad-quarantine", message, table.file, at("on_failure"), help);
            }
        }
        let filter = written.config.filter.clone().and_then(|filter| self.rendered(filter, table, &at("where")));
        let Some(name) = self.name(&written, table, column, &kind, &at("name")) else { return };
        self.tests.push(DataTest {
            name,
            table: Some(table.table.clone()),
            kind,
            filter,
            severity: written.config.severity.unwrap_or(TestSeverity::Error),
            on_failure,
            tags: written.config.tags.map(OneOrMany::into_vec).unwrap_or_default(),
            location: Location::new(table.file, place),
        });
    }

    fn kind(
        &mut self,
        written: &Written,
        table: TestedTable<'_>,
        column: Option<&str>,
        of: &str,
        places: &Places<'_, '_>,
    ) -> Option<TestKind> {
        let place = &places.test;
        let at = |key: &str| (places.find)(key).map_or_else(|| place.clone(), |node| node.span.clone());
        let arguments = &written.arguments;
        let needs_column = matches!(
            written.word,
            TestWord::NotNull | TestWord::AcceptedValues | TestWord::Relationships | TestWord::AcceptedRange
        );
        if needs_column && column.is_none() {
            let message = format!("the test {of} is about a column, but stands below the table");
            self.report(
                "test-without-column",
                message,
                table.file,
                place.clone(),
                "move it below a column in `columns:`",
            );
            return None;
        }
        let own_column = column.unwrap_or_default().to_owned();
        let missing = |reader: &mut Self, key: &str, example: &str| {
            // An argument that is there and could not be read was reported as such.
            let is_there = |key| {
                (places.find)(key)
                    .is_some_and(|node| !matches!(&node.content, Content::List(items) if items.is_empty()))
            };
            if key.split("` or `").any(is_there) {
                return None;
            }
            let message = format!("the test {of} needs `{key}`");
            reader.report("missing-argument", message, table.file, place.clone(), format!("write `{example}`"));
            None
        };
        Some(match written.word {
            TestWord::NotNull => TestKind::NotNull { column: own_column },
            TestWord::Unique => match (&arguments.columns, column) {
                (Some(columns), None) if !columns.is_empty() => TestKind::Unique { columns: columns.clone() },
                (None, Some(_)) => TestKind::Unique { columns: vec![own_column] },
                (_, None) => return missing(self, "columns", "unique: { arguments: { columns: [a, b] } }"),
                (Some(_), Some(_)) => {
                    let message = format!("the test {of} stands below a column and names `columns` too");
                    self.report(
                        "conflicting-keys",
                        message,
                        table.file,
                        at("columns"),
                        "move it below the table, or remove `columns`",
                    );
                    return None;
                }
            },
            TestWord::AcceptedValues => match &arguments.values {
                Some(values) if !values.is_empty() => {
                    TestKind::AcceptedValues { column: own_column, values: values.clone() }
                }
                _ => return missing(self, "values", "accepted_values: { arguments: { values: [a, b] } }"),
            },
            TestWord::Relationships => {
                let example = "relationships: { arguments: { to: ref('companies'), field: company_id } }";
                let Some(to) = &arguments.to else { return missing(self, "to", example) };
                let resolved = parse_reference(to, &self.templates.catalog());
                let to = match resolved {
                    Ok(to) => to,
                    Err(unresolved) => {
                        self.report(unresolved.code, unresolved.message, table.file, at("to"), unresolved.help);
                        return None;
                    }
                };
                let Some(field) = &arguments.field else { return missing(self, "field", example) };
                TestKind::Relationships { column: own_column, to, field: field.clone() }
            }
            TestWord::AcceptedRange => {
                if arguments.min_value.is_none() && arguments.max_value.is_none() {
                    return missing(
                        self,
                        "min_value` or `max_value",
                        "accepted_range: { arguments: { min_value: 0 } }",
                    );
                }
                TestKind::AcceptedRange {
                    column: own_column,
                    min: arguments.min_value.clone().map(Into::into),
                    max: arguments.max_value.clone().map(Into::into),
                    inclusive: arguments.inclusive.unwrap_or(true),
                }
            }
            TestWord::ExpressionIsTrue => {
                let Some(expression) = arguments.expression.clone() else {
                    return missing(
                        self,
                        "expression",
                        "expression_is_true: { arguments: { expression: \"a <= b\" } }",
                    );
                };
                let expression = self.rendered(expression, table, &at("expression"))?;
                TestKind::ExpressionIsTrue { expression, column: column.map(str::to_owned) }
            }
            TestWord::RowCount => {
                if column.is_some() {
                    let message = format!("the test {of} is about a table, but stands below a column");
                    self.report(
                        "test-below-column",
                        message,
                        table.file,
                        place.clone(),
                        "move it to `data_tests:` of the table",
                    );
                    return None;
                }
                match (arguments.min, arguments.max) {
                    (None, None) => return missing(self, "min` or `max", "row_count: { arguments: { min: 1 } }"),
                    (Some(min), Some(max)) if min > max => {
                        let message = format!("the test {of} can never hold: `min` {min} is greater than `max` {max}");
                        self.report("bad-range", message, table.file, at("min"), "exchange the two");
                        return None;
                    }
                    (min, max) => TestKind::RowCount { min, max },
                }
            }
            TestWord::Freshness => {
                let example = "freshness: { arguments: { max_age: 24h } }";
                let Some(max_age) = arguments.max_age else { return missing(self, "max_age", example) };
                let column = arguments.column.clone().or_else(|| column.map(str::to_owned));
                let Some(column) = column else {
                    return missing(self, "column", "freshness: { arguments: { column: updated_at, max_age: 24h } }");
                };
                TestKind::Freshness { column, max_age }
            }
        })
    }

    /// SQL in YAML may be a template too; mistakes in it are marked as a whole.
    fn rendered(&mut self, sql: String, table: TestedTable<'_>, span: &Range<usize>) -> Option<String> {
        let fragment = InputFile::new(table.file, sql);
        let (rendered, diagnostics) = self.templates.render(&fragment, Some(table.table));
        self.diagnostics.extend(diagnostics.into_iter().map(|mut diagnostic| {
            if diagnostic.location.file == table.file {
                diagnostic.location.span = span.clone();
            }
            diagnostic
        }));
        rendered.map(|rendered| rendered.sql)
    }

    fn name(
        &mut self,
        written: &Written,
        table: TestedTable<'_>,
        column: Option<&str>,
        kind: &TestKind,
        at: &Range<usize>,
    ) -> Option<String> {
        if let Some(name) = &written.name {
            if !self.names.insert(name.to_lowercase()) {
                let message = format!("two tests are called `{name}`");
                self.report("duplicate-test", message, table.file, at.clone(), "give one of them another name");
                return None;
            }
            return Some(name.clone());
        }
        let mut base = format!("{}_{}", written.word.name(), table.table.name);
        let columns = match (kind, column) {
            (TestKind::Unique { columns }, _) => columns.join("_"),
            (TestKind::Freshness { column, .. }, _) => column.clone(),
            (_, column) => column.unwrap_or_default().to_owned(),
        };
        if !columns.is_empty() {
            base = format!("{base}_{columns}");
        }
        let mut name = base.clone();
        let mut number = 1;
        while !self.names.insert(name.to_lowercase()) {
            number += 1;
            name = format!("{base}_{number}");
        }
        Some(name)
    }
}

/// What was written, in one shape for all tests.
fn written(form: &TestForm, node: &Node) -> Option<Written> {
    let map = match form {
        TestForm::Word(word) => {
            return Some(Written {
                word: *word,
                name: None,
                config: TestConfig::default(),
                arguments: Arguments::default(),
            });
        }
        TestForm::Map(map) => (**map).clone(),
    };
    // `- not_null:` without anything below it is a null, which the form does not tell from an absent key.
    let word = TestWord::named(&node.entries().first()?.key)?;
    let TestMap {
        not_null,
        unique,
        accepted_values,
        relationships,
        accepted_range,
        expression_is_true,
        row_count,
        freshness,
    } = map;
    let none = Arguments::default;
    let (name, config, arguments) = match word {
        TestWord::NotNull => {
            let (name, config, _) = not_null.unwrap_or_default().into_parts();
            (name, config, none())
        }
        TestWord::Unique => {
            let (name, config, own) = unique.unwrap_or_default().into_parts();
            (name, config, Arguments { columns: own.columns.map(OneOrMany::into_vec), ..none() })
        }
        TestWord::AcceptedValues => {
            let (name, config, own) = accepted_values.unwrap_or_default().into_parts();
            (name, config, Arguments { values: own.values, ..none() })
        }
        TestWord::Relationships => {
            let (name, config, own) = relationships.unwrap_or_default().into_parts();
            (name, config, Arguments { to: own.to, field: own.field, ..none() })
        }
        TestWord::AcceptedRange => {
            let (name, config, own) = accepted_range.unwrap_or_default().into_parts();
            let (min_value, max_value, inclusive) = (own.min_value, own.max_value, own.inclusive);
            (name, config, Arguments { min_value, max_value, inclusive, ..none() })
        }
        TestWord::ExpressionIsTrue => {
            let (name, config, own) = expression_is_true.unwrap_or_default().into_parts();
            (name, config, Arguments { expression: own.expression, ..none() })
        }
        TestWord::RowCount => {
            let (name, config, own) = row_count.unwrap_or_default().into_parts();
            (name, config, Arguments { min: own.min, max: own.max, ..none() })
        }
        TestWord::Freshness => {
            let (name, config, own) = freshness.unwrap_or_default().into_parts();
            (name, config, Arguments { max_age: own.max_age.map(|span| span.0), column: own.column, ..none() })
        }
    };
    Some(Written { word, name, config, arguments })
}

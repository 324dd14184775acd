//! A walk over the syntax tree that collects what a query reads.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    Cte, Expr, Function, FunctionArguments, Ident, ObjectName, Query as Tree, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, TableAlias, TableFactor, Visitor,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::positions::Positions;
use crate::query::{Query, Reads, SchemaReference, SqlError, TableFunction, TableReference};

/// Functions that answer with the time of the statement or transaction.
const CLOCK: &[&str] = &[
    "now",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_localtime",
    "current_localtimestamp",
    "get_current_time",
    "get_current_timestamp",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
];

/// Functions whose answer differs from call to call.
const VOLATILE: &[&str] = &[
    "random",
    "rand",
    "setseed",
    "uuid",
    "uuidv4",
    "uuidv7",
    "gen_random_uuid",
    "nextval",
    "currval",
    "txid_current",
    "pg_backend_pid",
];

/// Table functions that read files, addresses or other databases, besides those whose names tell it (`read_*`, `*_scan`).
const READS_FILES: &[&str] = &[
    "glob",
    "sniff_csv",
    "parquet_metadata",
    "parquet_schema",
    "parquet_file_metadata",
    "parquet_kv_metadata",
    "parquet_bloom_probe",
    "st_read",
    "st_read_meta",
    "iceberg_metadata",
    "iceberg_snapshots",
    "sqlite_attach",
    "postgres_query",
    "mysql_query",
    "sqlite_query",
];

/// Table functions that take the name or text of what they read as an argument.
const READS_HIDDEN: &[&str] = &["query", "query_table", "seq_scan", "pragma_table_info", "pragma_storage_info"];

pub(super) struct Reader<'a> {
    sql: &'a str,
    positions: &'a Positions<'a>,
    tokens: &'a [TokenWithSpan],
    queries: Vec<Scope>,
    /// Numbers of the SELECTs around the place of the walk, innermost last.
    selects: Vec<usize>,
    next_select: usize,
    found: Query,
    qualified: Vec<Qualified>,
}

/// The WITH of a query whose walk is under way.
struct Scope {
    /// Bodies still to come, first last: the address tells when a body has been left, and its name becomes visible.
    coming: Vec<(*const Tree, String)>,
    visible: Vec<String>,
}

/// A name of three or more parts that may begin with schema and table.
struct Qualified {
    schema: String,
    table: String,
    span: Range<usize>,
    selects: Vec<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sql: &'a str, positions: &'a Positions<'a>, tokens: &'a [TokenWithSpan]) -> Self {
        Self {
            sql,
            positions,
            tokens,
            queries: Vec::new(),
            selects: Vec::new(),
            next_select: 0,
            found: Query::default(),
            qualified: Vec::new(),
        }
    }

    /// The facts in order of the text.
    pub(super) fn finish(mut self, body: Range<usize>, samples: Vec<Range<usize>>) -> Query {
        let by_start = |left: &Range<usize>, right: &Range<usize>| left.start.cmp(&right.start);
        self.found.body = body;
        self.found.volatile.extend(samples);
        self.found.tables.sort_by(|left, right| by_start(&left.span, &right.span));
        self.found.functions.sort_by(|left, right| by_start(&left.span, &right.span));
        self.found.clock.sort_by(by_start);
        self.found.volatile.sort_by(by_start);
        self.qualified.sort_by(|left, right| by_start(&left.span, &right.span));
        for qualified in std::mem::take(&mut self.qualified) {
            let named = |table: &TableReference| {
                table.alias.is_none()
                    && matches!(table.name.as_slice(), [schema, name] if same(schema, &qualified.schema) && same(name, &qualified.table))
            };
            // Innermost SELECT first; ORDER BY stands outside of its SELECT, so any will do in the end.
            let inner = qualified.selects.iter().rev();
            let near = inner
                .filter_map(|select| self.found.tables.iter().position(|table| table.select == *select && named(table)))
                .next();
            if let Some(table) = near.or_else(|| self.found.tables.iter().position(named)) {
                self.found.schema_references.push(SchemaReference { span: qualified.span, table });
            }
        }
        self.found
    }

    fn span_of(&self, identifiers: &[&Ident]) -> Range<usize> {
        match (identifiers.first(), identifiers.last()) {
            (Some(first), Some(last)) => self.positions.range(first.span).start..self.positions.range(last.span).end,
            _ => 0..0,
        }
    }

    fn is_cte(&self, name: &str) -> bool {
        self.queries.iter().any(|scope| scope.visible.iter().any(|cte| same(cte, name)))
    }

    fn table(&mut self, name: &ObjectName, alias: Option<&TableAlias>) -> ControlFlow<SqlError> {
        let Some(identifiers) = identifiers(name) else {
            return ControlFlow::Break(SqlError::new(
                "a table name that is computed cannot be followed: write the name",
                self.found.body.clone(),
            ));
        };
        let span = self.span_of(&identifiers);
        if let [path] = identifiers.as_slice()
            && path.quote_style == Some('\'')
        {
            let span = self.next_place(|token| matches!(token, Token::SingleQuotedString(text) if *text == path.value));
            self.found.functions.push(TableFunction { name: path.value.clone(), span, reads: Reads::Files });
            return ControlFlow::Continue(());
        }
        if let [single] = identifiers.as_slice()
            && self.is_cte(&single.value)
        {
            return ControlFlow::Continue(());
        }
        if span.is_empty() || self.sql.get(span.clone()).is_none() {
            return ControlFlow::Break(SqlError::new(
                format!("the place of table `{name}` in the query is not known"),
                0..0,
            ));
        }
        self.found.tables.push(TableReference {
            name: identifiers.iter().map(|part| unescaped(part)).collect(),
            span,
            alias: alias.map(|alias| unescaped(&alias.name)),
            select: self.selects.last().copied().unwrap_or(usize::MAX),
        });
        ControlFlow::Continue(())
    }

    fn function(&mut self, name: &ObjectName) {
        let identifiers = identifiers(name).unwrap_or_default();
        let Some(last) = identifiers.last() else { return };
        let name = last.value.to_lowercase();
        let span = self.span_of(&identifiers);
        let reads = if READS_HIDDEN.contains(&name.as_str()) {
            Reads::HiddenTables
        } else if name.starts_with("read_") || name.ends_with("_scan") || READS_FILES.contains(&name.as_str()) {
            Reads::Files
        } else {
            Reads::Arguments
        };
        self.found.functions.push(TableFunction { name, span, reads });
    }

    /// The first token of this kind that stands where a table does and has not been taken yet: for what the tree keeps no place of.
    fn next_place(&self, wanted: impl Fn(&Token) -> bool) -> Range<usize> {
        let mut before: Option<&Token> = None;
        let significant = self.tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
        for token in significant {
            let in_from = match before {
                Some(Token::Word(word)) => matches!(word.keyword, Keyword::FROM | Keyword::JOIN | Keyword::LATERAL),
                Some(Token::Comma | Token::LParen) => true,
                _ => false,
            };
            before = Some(&token.token);
            if in_from && wanted(&token.token) {
                let span = self.positions.range(token.span);
                if !self.found.functions.iter().any(|function| function.span == span) {
                    return span;
                }
            }
        }
        0..0
    }

    /// The range of a call: its name and, where they follow, the parentheses.
    fn call_span(&self, name: Range<usize>) -> Range<usize> {
        let after = self.tokens.partition_point(|token| self.positions.offset(token.span.start) < name.end);
        let mut depth = 0_usize;
        for token in &self.tokens[after..] {
            match token.token {
                Token::Whitespace(_) if depth == 0 => {}
                Token::LParen => depth += 1,
                Token::RParen if depth == 1 => return name.start..self.positions.range(token.span).end,
                Token::RParen if depth > 1 => depth -= 1,
                _ if depth == 0 => break,
                _ => {}
            }
        }
        name
    }

    fn call(&mut self, function: &Function) {
        let identifiers = identifiers(&function.name).unwrap_or_default();
        self.qualified(&identifiers);
        let Some(last) = identifiers.last() else { return };
        let name = last.value.to_lowercase();
        let name_span = self.span_of(&identifiers);
        // Postgres' and DuckDB's `age(x)` counts from today, `age(x, y)` does not.
        let one_argument = matches!(&function.args, FunctionArguments::List(list) if list.args.len() == 1);
        if CLOCK.contains(&name.as_str()) || (name == "age" && one_argument) {
            let span = self.call_span(name_span);
            self.found.clock.push(span);
        } else if VOLATILE.contains(&name.as_str()) {
            let span = self.call_span(name_span);
            self.found.volatile.push(span);
        }
    }

    fn qualified(&mut self, identifiers: &[&Ident]) {
        if let [schema, table, _, ..] = identifiers {
            self.qualified.push(Qualified {
                schema: unescaped(schema),
                table: unescaped(table),
                span: self.span_of(&identifiers[..2]),
                selects: self.selects.clone(),
            });
        }
    }

    /// Refuses the parts of a query body that are not queries.
    fn check_body(&self, body: &SetExpr) -> ControlFlow<SqlError> {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
            SetExpr::SetOperation { left, right, .. } => {
                self.check_body(left)?;
                self.check_body(right)
            }
            SetExpr::Table(table) => ControlFlow::Break(SqlError::new(
                format!(
                    "`table {}` cannot be followed: write `select * from ...`",
                    table.table_name.as_deref().unwrap_or_default()
                ),
                self.place_of(&["table"]),
            )),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                ControlFlow::Break(SqlError::new(
                    "a query may not change tables: INSERT, UPDATE, DELETE and MERGE have no place in it",
                    self.place_of(&["insert", "update", "delete", "merge"]),
                ))
            }
        }
    }

    /// The first of these words in the text, for what the tree keeps no place of.
    fn place_of(&self, words: &[&str]) -> Range<usize> {
        let is_one = |token: &&TokenWithSpan| match &token.token {
            Token::Word(word) => {
                word.quote_style.is_none() && words.iter().any(|one| word.value.eq_ignore_ascii_case(one))
            }
            _ => false,
        };
        self.tokens.iter().find(is_one).map_or(0..0, |token| self.positions.range(token.span))
    }
}

impl Visitor for Reader<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Tree) -> ControlFlow<SqlError> {
        let mut scope = Scope { coming: Vec::new(), visible: Vec::new() };
        if let Some(with) = &query.with {
            let name = |cte: &Cte| unescaped(&cte.alias.name);
            self.found.ctes.extend(with.cte_tables.iter().map(name));
            scope.coming =
                with.cte_tables.iter().rev().map(|cte| (std::ptr::from_ref(&*cte.query), name(cte))).collect();
            // A recursive CTE sees itself and those before it: the first is visible from the start.
            if with.recursive
                && let Some((_, first)) = scope.coming.last()
            {
                scope.visible.push(first.clone());
            }
        }
        self.queries.push(scope);
        self.check_body(&query.body)
    }

    fn post_visit_query(&mut self, query: &Tree) -> ControlFlow<SqlError> {
        self.queries.pop();
        let left = std::ptr::from_ref(query);
        if let Some(scope) = self.queries.last_mut()
            && scope.coming.last().is_some_and(|(body, _)| *body == left)
            && let Some((_, name)) = scope.coming.pop()
        {
            let recursive = scope.visible.last() == Some(&name);
            if !recursive {
                scope.visible.push(name);
            } else if let Some((_, next)) = scope.coming.last() {
                scope.visible.push(next.clone());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        self.selects.push(self.next_select);
        self.next_select += 1;
        if select.into.is_some() {
            return ControlFlow::Break(SqlError::new(
                "a query may not write into a table: leave out INTO, the file's name says where the rows go",
                self.place_of(&["into"]),
            ));
        }
        for item in &select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
                && let Some([schema, table]) = identifiers(name).as_deref()
            {
                // The star is the third part.
                self.qualified(&[schema, table, table]);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &Select) -> ControlFlow<SqlError> {
        self.selects.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => self.function(name),
            TableFactor::Table { name, alias, .. } => return self.table(name, alias.as_ref()),
            TableFactor::TableFunction { expr: Expr::Function(function), .. } => self.function(&function.name),
            TableFactor::UNNEST { .. } => {
                let span = self.next_place(
                    |token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case("unnest")),
                );
                self.found.functions.push(TableFunction { name: "unnest".to_owned(), span, reads: Reads::Arguments });
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<SqlError> {
        match expression {
            Expr::CompoundIdentifier(parts) => self.qualified(&parts.iter().collect::<Vec<_>>()),
            Expr::QualifiedWildcard(name, _) => {
                if let Some([schema, table]) = identifiers(name).as_deref() {
                    self.qualified(&[schema, table, table]);
                }
            }
            Expr::Function(function) => self.call(function),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, _statement: &Statement) -> ControlFlow<SqlError> {
        ControlFlow::Break(SqlError::new("a query may hold no other statement", 0..0))
    }
}

/// The parts of a name, unless one of them is computed.
pub(super) fn identifiers(name: &ObjectName) -> Option<Vec<&Ident>> {
    name.0.iter().map(|part| part.as_ident()).collect()
}

/// The name itself: the tokens are read without resolving doubled quotes.
pub(super) fn unescaped(identifier: &Ident) -> String {
    match identifier.quote_style {
        Some('"') => identifier.value.replace("\"\"", "\""),
        _ => identifier.value.clone(),
    }
}

fn same(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

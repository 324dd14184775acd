//! What becomes of a query when its tables are replaced, and what never happens.

use std::ops::Range;

use proptest::prelude::*;
use thalweg_sql::splice::SpliceError;
use thalweg_sql::{DuckDb, Query, Replacement, TableReference, parse_expression, parse_select, rewrite_tables, splice};

/// Replaces each table `schema.name` by `"new_schema"."name"`.
fn prefixed(table: &TableReference) -> Option<Replacement> {
    let [schema, name] = table.name.as_slice() else { return None };
    Some(Replacement::Name { qualified: format!("\"new_{schema}\".\"{name}\""), last: name.clone() })
}

/// Replaces each table by one of quite another name.
fn renamed(table: &TableReference) -> Option<Replacement> {
    Some(Replacement::Name {
        qualified: format!("\"data\".\"{}__7\"", table.name.join("__")),
        last: format!("{}__7", table.name.join("__")),
    })
}

fn subquery(table: &TableReference) -> Option<Replacement> {
    Some(Replacement::Subquery(format!("select * from {} -- all\n", table.name.join("_"))))
}

fn check(sql: &str, replace: &dyn Fn(&TableReference) -> Option<Replacement>, expected: &str) {
    let query = parse_select(sql, &DuckDb).expect("a query");
    assert_eq!(rewrite_tables(sql, &query, &DuckDb, replace).as_deref(), Ok(expected), "{sql}");
}

#[test]
fn tables_keep_the_name_columns_use() {
    let sql = "select orders.x, store.orders.y from store.orders -- end\n;";
    check(sql, &prefixed, r#"select orders.x, "new_store"."orders".y from "new_store"."orders""#);
    check(sql, &renamed, r#"select orders.x, "orders".y from "data"."store__orders__7" as "orders""#);
    check(sql, &subquery, "select orders.x, \"orders\".y from (select * from store_orders -- all\n) as \"orders\"");
    let sql = "select o.x from Store.Orders as o join store.lines l on o.a = l.a";
    check(sql, &prefixed, r#"select o.x from "new_Store"."Orders" as o join "new_store"."lines" l on o.a = l.a"#);
    check(
        sql,
        &renamed,
        r#"select o.x from "data"."Store__Orders__7" as o join "data"."store__lines__7" l on o.a = l.a"#,
    );
}

#[test]
fn tables_of_one_name_stay_apart() {
    let sql = "select a.t.x, b.t.x from a.t, b.t where exists (select 1 from a.t where t.x = 1)";
    check(
        sql,
        &renamed,
        "select \"a.t\".x, \"b.t\".x from \"data\".\"a__t__7\" as \"a.t\", \"data\".\"b__t__7\" as \"b.t\" \
         where exists (select 1 from \"data\".\"a__t__7\" as \"t\" where t.x = 1)",
    );
    check(
        sql,
        &prefixed,
        "select \"new_a\".\"t\".x, \"new_b\".\"t\".x from \"new_a\".\"t\", \"new_b\".\"t\" \
         where exists (select 1 from \"new_a\".\"t\" where t.x = 1)",
    );
}

#[test]
fn import_ctes_named_like_the_table() {
    check(
        "with orders as (select * from store.orders) select orders.x from orders",
        &renamed,
        "with orders as (select * from \"data\".\"store__orders__7\" as \"orders\") select orders.x from orders",
    );
}

#[test]
fn names_stay_set_off() {
    check(
        r#"select 1 from"store"."t"where x"#,
        &|_| Some(Replacement::Subquery("select 2".into())),
        r#"select 1 from (select 2) as "t" where x"#,
    );
}

#[test]
fn expressions_are_read_alone() {
    let sql = "company in (select company from store.companies) and ts < now() -- since";
    let query = parse_expression(sql, &DuckDb).expect("an expression");
    assert_eq!(&sql[query.tables[0].span.clone()], "store.companies");
    assert_eq!(&sql[query.clock[0].clone()], "now()");
    assert_eq!(
        rewrite_tables(sql, &query, &DuckDb, &prefixed).as_deref(),
        Ok(r#"company in (select company from "new_store"."companies") and ts < now()"#)
    );
    let error = parse_expression("a = = b", &DuckDb).expect_err("no expression");
    assert_eq!(error.span, 4..5);
    assert!(parse_expression("1; drop table x", &DuckDb).is_err());
}

#[test]
fn replacements_are_checked() {
    let text = "größe x";
    let put = |ranges: &[Range<usize>]| {
        splice(text, &ranges.iter().map(|range| (range.clone(), "_".to_owned())).collect::<Vec<_>>())
    };
    assert_eq!(put(&[8..9, 0..2]).as_deref(), Ok("_öße _"));
    assert_eq!(put(&[0..0, 9..9]).as_deref(), Ok("_größe x_"));
    assert_eq!(put(&[0..2, 1..2]), Err(SpliceError::Overlap(0..2, 1..2)));
    assert_eq!(put(&[0..0, 0..3]), Err(SpliceError::OutOfText(0..3)));
    assert_eq!(put(&[0..0, 8..99]), Err(SpliceError::OutOfText(8..99)));
}

/// Spans lie in the text, in order, and those of tables hold their names.
fn sound(sql: &str, query: &Query) -> Result<(), TestCaseError> {
    let itself: Vec<(Range<usize>, String)> = query
        .tables
        .iter()
        .map(|table| (table.span.clone(), sql.get(table.span.clone()).unwrap_or("outside").to_owned()))
        .collect();
    prop_assert_eq!(splice(sql, &itself).ok(), Some(sql.to_owned()));
    for table in &query.tables {
        let text = &sql[table.span.clone()].replace("\"\"", "\"");
        prop_assert!(table.name.iter().all(|part| text.contains(part.as_str())), "{:?} in {}", table, sql);
    }
    let body = sql.get(query.body.clone()).map(str::to_owned);
    prop_assert!(body.is_some());
    prop_assert_eq!(rewrite_tables(sql, query, &DuckDb, &|_| None).ok(), body);
    Ok(())
}

/// Pieces that, put together at random, come near to queries.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "select",
        "from",
        "where",
        "join",
        "with",
        "as",
        "a",
        "b.c",
        "\"ü\".\"x\"\"y\"",
        "(",
        ")",
        ",",
        "*",
        "1",
        "'it''s'",
        "--\n",
        "/* ö */",
        "in",
        "exists",
        "union all",
        "by name",
        "group by all",
        "lateral",
        "on",
        "using",
        "x",
        "=",
        "[",
        "]",
        "for",
        "if",
        "{",
        "}",
        ":",
        "::int",
        "asof",
        "positional",
        "pivot",
        "sample",
        "tablesample",
        "10%",
        "values",
        "unnest",
        "now()",
        "\t",
        "\r\n",
        ";",
        "recursive",
        "t",
        "glob",
        "not",
        "materialized",
        "exclude",
        "order by",
        "limit",
        "over",
        "'x.csv'",
        "$$q$$",
        "e'\\''",
        "lambda",
        "->",
        ".",
        "qualify",
        "window",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn text_never_panics(sql in ".*") {
        if let Ok(query) = parse_select(&sql, &DuckDb) {
            sound(&sql, &query)?;
        }
    }

    #[test]
    fn near_queries_never_panic(sql in pieces()) {
        match parse_select(&sql, &DuckDb) {
            Ok(query) => sound(&sql, &query)?,
            Err(error) => prop_assert!(sql.get(error.span.clone()).is_some(), "{:?}", error),
        }
    }

    #[test]
    fn queries_of_any_shape(
        before in "[ \t\r\nöü]{0,0}(--[^\r\n]{0,10}\n)?",
        name in "\"[^\"\\x00]{1,8}\"|[a-zé_][a-z0-9_]{0,8}",
        text in "'[^'\\\\]{0,12}'",
        gap in "[ \t\n]{1,3}|\r\n|/\\*[^*/]{0,6}\\*/",
    ) {
        prop_assume!(!["as", "by", "in", "is", "on", "or", "to", "if", "of", "no", "at", "end", "set", "all", "and", "not"].contains(&name.as_str()));
        let sql = format!("{before}select {text} as x{gap}from{gap}s.\"{}\"{gap}where exists (select 1 from{gap}s.q)", name.trim_matches('"'));
        let query = parse_select(&sql, &DuckDb).map_err(|error| TestCaseError::fail(format!("{error}: {sql}")))?;
        sound(&sql, &query)?;
        prop_assert_eq!(query.tables.len(), 2);
        prop_assert_eq!(&query.tables[0].name[1], name.trim_matches('"'));
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let deep = format!("select {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(parse_select(&deep, &DuckDb).is_err());
    let nested = format!("{}select 1 as x from s.t{}", "select * from (".repeat(40), ") q".repeat(40));
    assert_eq!(parse_select(&nested, &DuckDb).map(|query| query.tables.len()), Ok(1));
    let long = format!("select {} from s.t", vec!["x"; 5_000].join(" + "));
    assert_eq!(parse_select(&long, &DuckDb).map(|query| query.tables.len()), Ok(1));
}

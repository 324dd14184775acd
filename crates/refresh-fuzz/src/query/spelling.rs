//! What the engines say in words of their own.
//!
//! A choice means the same for each of them, so that a seed has the same tables and nearly the same queries for all.

use thalweg_sql::dialect::Grammar;

/// How an engine says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spelling(pub(super) Grammar);

impl Spelling {
    fn is_postgres(self) -> bool {
        self.0 == Grammar::Postgres
    }

    /// Whether there are `qualify`, `* exclude`, `group by all`, `pivot`, `asof` and `by name`.
    pub(super) fn has_shorthands(self) -> bool {
        !self.is_postgres()
    }

    /// Whether rows that are the same in the order of a window keep the order they came in.
    pub(super) fn sorts_stably(self) -> bool {
        !self.is_postgres()
    }

    fn either(self, duckdb: String, postgres: String) -> String {
        if self.is_postgres() { postgres } else { duckdb }
    }

    /// One value or another.
    pub(super) fn choice(self, condition: &str, yes: &str, no: &str) -> String {
        self.either(
            format!("if({condition}, {yes}, {no})"),
            format!("case {condition} when true then {yes} else {no} end"),
        )
    }

    /// Half of a whole number.
    pub(super) fn half(self, number: &str) -> String {
        self.either(format!("({number} // 2)"), format!("({number} / 2)"))
    }

    /// The number of the month.
    pub(super) fn month(self, date: &str) -> String {
        let month = format!("extract(month from {date})");
        self.either(month.clone(), format!("cast({month} as integer)"))
    }

    /// Year and month as a text.
    pub(super) fn year_and_month(self, date: &str) -> String {
        self.either(format!("strftime({date}, '%Y-%m')"), format!("to_char({date}, 'YYYY-MM')"))
    }

    /// A number as a text.
    pub(super) fn text(self, number: &str) -> String {
        self.either(format!("cast({number} as varchar)"), format!("({number})::varchar"))
    }

    /// A text without blanks around it.
    pub(super) fn trimmed(self, text: &str) -> String {
        self.either(format!("trim({text})"), format!("jsonb_build_object('a', btrim({text}))->>'a'"))
    }

    /// The smallest value that so many are not above.
    pub(super) fn quantile(self, value: &str) -> String {
        self.either(
            format!("quantile_disc({value}, 0.5)"),
            format!("percentile_disc(0.5) within group (order by {value})"),
        )
    }

    /// A floating-point number.
    pub(super) fn double(self, number: &str) -> String {
        self.either(format!("cast({number} as double)"), format!("cast('{number}' as double precision)"))
    }

    /// A list of numbers, which DuckDB writes.
    pub(super) fn list(self, list: &str) -> String {
        self.either(list.to_owned(), format!("array{list}::integer[]"))
    }

    /// A list made of another.
    pub(super) fn other_list(self, list: &str) -> String {
        self.either(format!("list_sort({list})"), format!("array_remove({list}, 1)"))
    }

    /// The numbers 0 and 1 in FROM.
    pub(super) fn two_steps(self) -> String {
        self.either("range(2)".to_owned(), "generate_series(0, 1)".to_owned())
    }

    /// Milliseconds of the time of the run.
    pub(super) fn milliseconds(self) -> String {
        self.either(
            "epoch_us(now()) // 1000".to_owned(),
            "cast(floor(extract(epoch from now()) * 1000) as bigint)".to_owned(),
        )
    }

    /// An aggregate that answers any value.
    pub(super) fn any_value(self, value: &str) -> String {
        self.either(format!("any_value({value})"), format!("(array_agg({value}))[1]"))
    }

    /// An aggregate that answers the first value.
    pub(super) fn first(self, value: &str) -> String {
        self.either(format!("first({value})"), format!("(array_agg({value}))[2]"))
    }

    /// An aggregate of some rows only.
    pub(super) fn filtered(self, call: &str, filter: &str) -> String {
        // One of a list's values is taken of what the aggregate answers.
        let end = call.rfind(")[").filter(|_| call.starts_with("(array_agg")).unwrap_or(call.len());
        format!("{}{filter}{}", &call[..end], &call[end..])
    }

    /// A list of all values; `what` may begin with DISTINCT and end with an order.
    pub(super) fn collected(self, what: &str) -> String {
        self.either(format!("list({what})"), format!("array_agg({what})"))
    }

    /// The value of the latest day.
    pub(super) fn latest(self, value: &str, day: &str) -> String {
        self.either(
            format!("arg_max({value}, {day})"),
            format!("(array_agg({value} order by {day} desc nulls last))[1]"),
        )
    }

    /// The value that comes most often.
    pub(super) fn mode(self, value: &str) -> String {
        self.either(format!("mode({value})"), format!("mode() within group (order by {value})"))
    }
}

//! Which functions look at one row, at a group, at a partition.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::dialect::Grammar;

/// What a function looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// At the row it is called for.
    Row,
    /// At the rows of a group.
    Group,
    /// At the rows of a partition; always with `OVER`.
    Partition,
    /// At the row it is called for, of which it makes many or none.
    Expands,
    /// Nobody knows.
    Unknown,
}

static DUCKDB: LazyLock<HashMap<&'static str, Looks>> = LazyLock::new(|| listed(include_str!("duckdb_functions.txt")));

static POSTGRES: LazyLock<HashMap<&'static str, Looks>> =
    LazyLock::new(|| listed(include_str!("postgres_functions.txt")));

/// What a function of this name looks at, whatever the case.
pub(super) fn looks(grammar: Grammar, name: &str) -> Looks {
    let known = match grammar {
        Grammar::DuckDb => &DUCKDB,
        Grammar::Postgres => &POSTGRES,
    };
    known.get(name.to_ascii_lowercase().as_str()).copied().unwrap_or(Looks::Unknown)
}

/// How the answer of an aggregate depends on the order of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ordering {
    /// Not at all, but for the last digits of floating-point numbers.
    Free,
    /// It takes rows as they come.
    Ordered,
    /// It takes one argument of the row with the greatest or least other one.
    Best,
    /// As `Ordered`, and it takes no ORDER BY.
    Never,
}

/// How the answer of an aggregate of this name depends on the order of its rows.
pub(super) fn ordering(name: &str) -> Ordering {
    match name.to_ascii_lowercase().as_str() {
        "any_value" | "approx_quantile" | "approx_top_k" | "arbitrary" | "array_agg" | "first" | "group_concat"
        | "json_agg" | "json_object_agg" | "jsonb_agg" | "jsonb_object_agg" | "last" | "list" | "listagg" | "lttb"
        | "mode" | "string_agg" | "xmlagg" | "arg_max_nulls_last" | "arg_min_nulls_last" => Ordering::Ordered,
        "arg_max" | "arg_max_null" | "arg_min" | "arg_min_null" | "argmax" | "argmin" | "max_by" | "min_by" => {
            Ordering::Best
        }
        "json_group_array"
        | "json_group_object"
        | "json_group_structure"
        | "reservoir_quantile"
        | "variant_group_array"
        | "variant_group_object" => Ordering::Never,
        _ => Ordering::Free,
    }
}

/// How the answer of a window function depends on rows with the same place in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranking {
    /// They answer alike.
    Peers,
    /// Each has a place of its own, whatever the frame.
    Places,
    /// The first row of the frame.
    First,
    /// It computes on the frame, and the order within decides.
    InOrder,
    /// It computes on the frame in any order.
    Frame,
    /// It takes exactly one expression to order by.
    Alone,
}

/// How a window function of this name depends on rows with the same place in its order.
pub(super) fn ranking(name: &str) -> Ranking {
    match name.to_ascii_lowercase().as_str() {
        "rank" | "dense_rank" | "rank_dense" | "percent_rank" | "cume_dist" => Ranking::Peers,
        "row_number" | "ntile" | "lag" | "lead" => Ranking::Places,
        "first_value" | "first" => Ranking::First,
        "last_value" | "nth_value" => Ranking::InOrder,
        "fill" => Ranking::Alone,
        name if ordering(name) != Ordering::Free => Ranking::InOrder,
        _ => Ranking::Frame,
    }
}

/// Functions whose arguments may be functions of their elements: `x -> x + 1`.
pub(super) fn takes_lambda(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "apply",
        "array_apply",
        "array_filter",
        "array_reduce",
        "array_transform",
        "filter",
        "list_apply",
        "list_filter",
        "list_reduce",
        "list_transform",
        "reduce",
    ];
    NAMES.iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn listed(text: &'static str) -> HashMap<&'static str, Looks> {
    let mut found = HashMap::new();
    let mut kind = Looks::Unknown;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line {
            "aggregate:" => kind = Looks::Group,
            "window:" => kind = Looks::Partition,
            "rows:" => kind = Looks::Expands,
            "scalar:" => kind = Looks::Row,
            names => found.extend(names.split_whitespace().map(|name| (name, kind))),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_their_case() {
        assert_eq!(looks(Grammar::DuckDb, "SUM"), Looks::Group);
        assert_eq!(looks(Grammar::DuckDb, "Date_Trunc"), Looks::Row);
        assert_eq!(looks(Grammar::DuckDb, "row_number"), Looks::Partition);
        assert_eq!(looks(Grammar::DuckDb, "unnest"), Looks::Expands);
        assert_eq!(looks(Grammar::DuckDb, "my_own"), Looks::Unknown);
        assert_eq!(looks(Grammar::Postgres, "generate_series"), Looks::Expands);
        assert_eq!(looks(Grammar::Postgres, "String_Agg"), Looks::Group);
        // The time of the run is the same for all rows.
        for name in ["current_date", "current_timestamp", "localtimestamp", "now"] {
            assert_eq!(looks(Grammar::Postgres, name), Looks::Row, "{name}");
        }
    }
}

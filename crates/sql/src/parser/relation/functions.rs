//! Which functions look at one row, at a group, at a partition.

use std::collections::HashMap;
use std::sync::LazyLock;

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

/// What a function of this name looks at, whatever the case.
pub(super) fn looks(name: &str) -> Looks {
    DUCKDB.get(name.to_ascii_lowercase().as_str()).copied().unwrap_or(Looks::Unknown)
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
        assert_eq!(looks("SUM"), Looks::Group);
        assert_eq!(looks("Date_Trunc"), Looks::Row);
        assert_eq!(looks("row_number"), Looks::Partition);
        assert_eq!(looks("unnest"), Looks::Expands);
        assert_eq!(looks("my_own"), Looks::Unknown);
    }
}

//! What a column of a source is called in the store, and which columns are taken.

/// The name in the store of a column at the source: in snake case, and none of the names that are thalweg's own. `place` is the
/// column's, counted from 1, for a name without a letter or digit.
pub fn store_name(source_name: &str, place: usize) -> String {
    let name = snake_case(source_name);
    if name.is_empty() {
        return format!("column_{place}");
    }
    instead_of_reserved(&name).unwrap_or(name)
}

/// What a column is called whose name is kept for bookkeeping: `rowid` and those of Postgres's system columns are the store's, names with
/// `_thalweg` are those of passing helpers in statements.
pub fn instead_of_reserved(name: &str) -> Option<String> {
    if name.starts_with("_thalweg") {
        // Behind the prefix no name is free.
        return Some(format!("{}_", name.trim_start_matches('_')));
    }
    const OWN: [&str; 12] = [
        "_file", "_record", "_run", "_origin", "_matches", "rowid", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid",
    ];
    OWN.contains(&name).then(|| format!("{name}_"))
}

/// `Company ID`, `companyId` and `company-id` become `company_id`. Letters of any script are kept, in lower case; a leading digit
/// gets a `_` before it; a leading `_` stays.
pub fn snake_case(name: &str) -> String {
    let characters: Vec<char> = name.trim().chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (place, character) in characters.iter().enumerate() {
        if !character.is_alphanumeric() {
            if !snake.ends_with('_') && (!snake.is_empty() || *character == '_') {
                snake.push('_');
            }
            continue;
        }
        let before = place.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(place + 1);
        let begins_word = character.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if begins_word && !snake.ends_with('_') {
            snake.push('_');
        }
        if snake.is_empty() && character.is_numeric() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    let kept = snake.trim_end_matches('_').len();
    snake.truncate(kept);
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_snake_case() {
        for (name, expected) in [
            ("Company ID", "company_id"),
            ("camelCase", "camel_case"),
            ("HTTPServer", "http_server"),
            ("top related titles 1", "top_related_titles_1"),
            ("2024 sales", "_2024_sales"),
            ("_id", "_id"),
            ("% of total", "of_total"),
            ("Größe (cm)", "größe_cm"),
            ("a--b", "a_b"),
            ("  x  ", "x"),
            ("#", ""),
            ("lat2Lon", "lat2_lon"),
        ] {
            assert_eq!(snake_case(name), expected, "{name}");
        }
    }

    #[test]
    fn every_column_has_a_name() {
        assert_eq!(store_name("Company ID", 1), "company_id");
        assert_eq!(store_name("%", 3), "column_3");
        assert_eq!(store_name("_run", 1), "_run_");
    }
}

//! What to write instead of a function that only one engine has: the spelling that both take, or the other's.

/// A function that one engine lacks, and what to write instead.
type Spelling = (&'static str, &'static str);

/// DuckDB's, for Postgres.
const ONLY_DUCKDB: &[Spelling] = &[
    ("any_value", "`min(x)` or `max(x)`"),
    ("approx_count_distinct", "`count(distinct x)`"),
    ("arg_max", "`distinct on`, or `row_number() over (... order by y desc) = 1`"),
    ("arg_min", "`distinct on`, or `row_number() over (... order by y) = 1`"),
    ("arbitrary", "`min(x)` or `max(x)`"),
    ("contains", "`position(y in x) > 0`"),
    ("count_if", "`count(*) filter (where ...)`"),
    ("countif", "`count(*) filter (where ...)`"),
    ("date_diff", "`cast(b as date) - cast(a as date)` for days, `extract(epoch from b - a)` for seconds"),
    ("datediff", "`cast(b as date) - cast(a as date)` for days, `extract(epoch from b - a)` for seconds"),
    ("date_sub", "`x - interval '1 day'`"),
    ("date_add", "`x + interval '1 day'`"),
    ("datepart", "`extract(part from x)`"),
    ("day", "`extract(day from x)`"),
    ("dayname", "`to_char(x, 'FMDay')`, which DuckDB does not have"),
    ("dayofweek", "`extract(dow from x)`"),
    ("epoch", "`extract(epoch from x)`"),
    ("first", "`min(x)`, or `row_number() over (...) = 1`"),
    ("greatest_common_divisor", "`gcd(a, b)`"),
    ("hash", "`md5(cast(x as text))`"),
    ("hour", "`extract(hour from x)`"),
    ("ifnull", "`coalesce(x, y)`"),
    ("isnan", "`x = 'NaN'`"),
    ("json_extract_string", "`x ->> 'name'`"),
    ("last", "`max(x)`, or `row_number() over (... desc) = 1`"),
    ("last_day", "`date_trunc('month', x) + interval '1 month' - interval '1 day'`"),
    ("len", "`length(x)`"),
    ("list", "`array_agg(x order by ...)`"),
    ("list_contains", "`x = any(list)`"),
    ("max_by", "`row_number() over (... order by y desc) = 1`"),
    ("median", "`percentile_cont(0.5) within group (order by x)`"),
    ("min_by", "`row_number() over (... order by y) = 1`"),
    ("minute", "`extract(minute from x)`"),
    ("month", "`extract(month from x)`"),
    ("monthname", "`to_char(x, 'FMMonth')`, which DuckDB does not have"),
    ("quantile_cont", "`percentile_cont(0.9) within group (order by x)`"),
    ("quarter", "`extract(quarter from x)`"),
    ("range", "`generate_series(a, b)`"),
    ("regexp_extract", "`substring(x from 'pattern')`"),
    ("regexp_matches", "`x ~ 'pattern'`"),
    ("second", "`extract(second from x)`"),
    ("str_split", "`string_to_array(x, ',')`"),
    ("strftime", "`to_char(x, 'YYYY-MM')`, which DuckDB does not have; `date_trunc('month', x)` is in both"),
    ("string_split", "`string_to_array(x, ',')`"),
    ("strlen", "`octet_length(x)`"),
    ("strptime", "`to_timestamp(x, 'YYYY-MM-DD')`, or `cast(x as timestamp)`, which is in both"),
    ("struct_pack", "`json_build_object('name', x)`"),
    ("to_days", "`x * interval '1 day'`"),
    ("today", "`current_date`"),
    ("try_strptime", "`cast(x as timestamp)` of what is known to be one"),
    ("week", "`extract(week from x)`"),
    ("year", "`extract(year from x)`"),
];

/// Postgres', for DuckDB.
const ONLY_POSTGRES: &[Spelling] = &[
    ("btrim", "`trim(x)`"),
    ("json_build_object", "`json_object('name', x)`"),
    ("jsonb_build_object", "`json_object('name', x)`"),
    ("json_agg", "`json_group_array(x)`"),
    ("jsonb_agg", "`json_group_array(x)`"),
    ("octet_length", "`strlen(x)`"),
    ("regexp_match", "`regexp_extract(x, 'pattern')`"),
    ("to_char", "`strftime(x, '%Y-%m')`, which Postgres does not have; `date_trunc('month', x)` is in both"),
    ("to_date", "`cast(x as date)`, which is in both"),
    ("to_number", "`cast(x as decimal(18,2))`, which is in both"),
    ("substring_index", "`split_part(x, ',', 1)`"),
    ("initcap", "`upper(left(x, 1)) || lower(substring(x, 2))`, which is in both"),
];

/// What to write instead of a function, to Postgres.
pub(super) fn instead_for_postgres(function: &str) -> Option<String> {
    instead(ONLY_DUCKDB, function)
}

/// What to write instead of a function, to DuckDB.
pub(super) fn instead_for_duckdb(function: &str) -> Option<String> {
    instead(ONLY_POSTGRES, function)
}

fn instead(spellings: &[Spelling], function: &str) -> Option<String> {
    let name = function.rsplit('.').next().unwrap_or(function).to_ascii_lowercase();
    let (name, instead) = spellings.iter().find(|(known, _)| *known == name)?;
    Some(format!("`{name}` is the other engine's: write {instead}"))
}

/// The text between two others.
pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let length = text.get(start..)?.find(after)?;
    text.get(start..start + length)
}

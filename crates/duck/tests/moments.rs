//! Times with a time zone: what the engine keeps in its ICU extension is done here, in UTC.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_duck::{Connection, Engine, Settings};

fn memory() -> Connection {
    Engine::open_in_memory(&Settings::default()).expect("an engine").connect().expect("a connection")
}

fn ask(connection: &mut Connection, sql: &str) -> String {
    let answer = connection.query(sql, &[]).expect(sql);
    let options = FormatOptions::new().with_null("∅");
    ArrayFormatter::try_new(answer.batches[0].column(0), &options).expect("a type to print").value(0).to_string()
}

/// `$` is the present; both sides are true in Postgres too, in a session whose zone is UTC.
#[test]
fn the_present_is_calculated_with() {
    let mut connection = memory();
    let spellings = ["now()", "current_timestamp", "transaction_timestamp()", "(localtimestamp at time zone 'UTC')"];
    let truths = [
        "($ - interval '30 days') at time zone 'UTC' = localtimestamp - interval '30 days'",
        "$ - interval '1 hour' < $ and $ + interval '1 month' > $ and interval '1 day' + $ > $",
        "($ - interval '1 day') at time zone 'Europe/Berlin' = (localtimestamp - interval '1 day') at time zone 'UTC' \
         at time zone 'Europe/Berlin'",
        "date_trunc('day', $) at time zone 'UTC' = date_trunc('day', localtimestamp)",
        "cast(date_trunc('month', $) as timestamp) = date_trunc('month', localtimestamp)",
        "cast($ as timestamp) = localtimestamp and $ = localtimestamp and $ at time zone 'UTC' = localtimestamp",
        "cast($ at time zone 'UTC' as date) = current_date",
        "cast($ as date) = current_date and $::date - 1 = current_date - 1",
        "cast($ - interval '1 day' as date) = cast(localtimestamp - interval '1 day' as date)",
        "cast($ as time) = cast(localtimestamp as time)",
        "extract(year from $) = extract(year from localtimestamp)",
        "extract(hour from $) = extract(hour from localtimestamp)",
        "date_part('dow', $) = date_part('dow', localtimestamp)",
        "extract(epoch from $ at time zone 'UTC') = extract(epoch from localtimestamp)",
        "$ - localtimestamp = interval '0 days' and localtimestamp - $ = interval '0 days'",
        "extract(day from $ - ($ - interval '3 days')) = 3",
        "timestamp '2024-01-01' < $ - interval '7 days' and timestamp '9999-01-01' > $ - interval '7 days'",
        "timestamp '2024-01-01' between $ - interval '900 years' and $",
        "cast(cast($ as varchar) as timestamptz) = $",
    ];
    for present in spellings {
        for truth in truths {
            let truth = truth.replace('$', present);
            assert_eq!(ask(&mut connection, &format!("select {truth}")), "true", "{truth}");
        }
    }
    let of_the_engine = [
        "(null::timestamptz)::date is null and cast(null::timestamptz as time) is null",
        "('infinity'::timestamptz)::date = 'infinity'::date and ('-infinity'::timestamptz)::date = '-infinity'::date",
        "(timestamptz '1969-12-31 23:00:00+00')::date = date '1969-12-31'",
        "(timestamptz '1969-12-31 23:00:00+00')::time = time '23:00:00'",
        "(select string_agg(m::date, ',' order by m) from (select timestamptz '2026-01-01 23:30:00+00' + to_hours(h) as m \
          from range(3) r(h))) = '2026-01-01,2026-01-02,2026-01-02'",
        "year(now()) = year(localtimestamp) and hour(now()) = hour(localtimestamp)",
        "epoch(now()) = epoch(localtimestamp)",
        "date_diff('day', timestamp '2024-01-01', now()) = date_diff('day', timestamp '2024-01-01', localtimestamp)",
        "date_diff('day', now(), timestamp '2024-01-01') = -date_diff('day', timestamp '2024-01-01', localtimestamp)",
        "typeof(now() - interval 30 day) = 'TIMESTAMP WITH TIME ZONE'",
        "typeof(date_trunc('day', now())) = 'TIMESTAMP WITH TIME ZONE'",
        "typeof(now() - now()) = 'INTERVAL' and typeof(year(now())) = 'BIGINT'",
        "(null::timestamptz - interval 1 day) is null and (now() + null::interval) is null",
    ];
    for truth in of_the_engine {
        assert_eq!(ask(&mut connection, &format!("select {truth}")), "true", "{truth}");
    }
}

#[test]
fn texts_and_dates_become_moments() {
    let mut connection = memory();
    let cases = [
        ("(timestamptz '2024-01-01 10:00:00+02')::varchar", "2024-01-01 08:00:00+00"),
        ("('2024-01-01T10:00:00Z'::timestamptz)::varchar", "2024-01-01 10:00:00+00"),
        ("('2024-01-01 10:00:00'::timestamptz)::timestamp::varchar", "2024-01-01 10:00:00"),
        ("('2024-01-01 23:30:00-03:30'::timestamptz)::timestamp::date::varchar", "2024-01-02"),
        ("(date '2024-01-01'::timestamptz)::varchar", "2024-01-01 00:00:00+00"),
        ("(timestamptz '2024-03-31 12:00:00+00' - interval '1 month')::varchar", "2024-02-29 12:00:00+00"),
        (
            "(timestamptz '2024-01-31 12:00:00+00' + interval '1 month 1 day 13 hours')::varchar",
            "2024-03-02 01:00:00+00",
        ),
        ("(timestamptz '2024-03-31 12:00:00+00' - timestamptz '2024-01-01 13:00:00+00')::varchar", "89 days 23:00:00"),
        ("(timestamptz 'infinity' - interval '1 day' = timestamptz 'infinity')::varchar", "true"),
        ("year(timestamptz 'infinity') is null", "true"),
        ("strftime(timestamptz '2024-01-01 10:00:00+02', '%H')", "08"),
    ];
    for (expression, expected) in cases {
        assert_eq!(ask(&mut connection, &format!("select {expression}")), expected, "{expression}");
    }
    let error = connection.query("select date_trunc('fortnight', now())", &[]).expect_err("no such unit");
    assert!(error.message.contains("fortnight"), "{}", error.message);
    let error = connection.query("select now() + interval '400000 years'", &[]).expect_err("too far");
    assert!(error.message.contains("too far"), "{}", error.message);
}

/// With the same `TIMESTAMP` the engine's own functions answer the same, before and after the years 0 and 1970.
#[test]
fn the_engine_agrees() {
    let mut connection = memory();
    let times = "create table times as select t, t::timestamptz as z, i from ( \
                 select timestamp '2024-12-25 23:59:59.999999' + to_microseconds((range * 123456789012347) % 86400000000) \
                 + to_days(((range * 7919) % 1500000 - 1100000)::integer) as t, \
                 interval '1 month' * ((range * 31) % 500 - 250)::integer + interval '1 day' * ((range * 17) % 90 - 45)::integer \
                 + interval '1 second' * ((range * 7907) % 200000 - 100000)::integer as i from range(6000))";
    connection.execute(times, &[]).expect("created");
    let mut same = |moment: &str, time: &str| {
        let sql = format!(
            "select coalesce(min((t, {moment}, {time})::varchar), 'none') from times where {moment} is distinct from {time}"
        );
        assert_eq!(ask(&mut connection, &sql), "none", "{moment}");
    };
    for name in [
        "year",
        "isoyear",
        "quarter",
        "month",
        "week",
        "weekofyear",
        "day",
        "dayofmonth",
        "dayofweek",
        "weekday",
        "dayofyear",
        "hour",
        "minute",
        "second",
        "millisecond",
        "microsecond",
        "decade",
        "century",
        "millennium",
        "era",
        "isodow",
        "yearweek",
        "timezone_hour",
        "timezone_minute",
        "epoch",
        "last_day",
        "monthname",
        "dayname",
    ] {
        same(&format!("{name}(z)"), &format!("{name}(t)"));
        if !["last_day", "monthname", "dayname", "dayofmonth", "epoch"].contains(&name) {
            same(&format!("date_part('{name}', z)"), &format!("date_part('{name}', t)"));
        }
    }
    for unit in [
        "microseconds",
        "milliseconds",
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "quarter",
        "year",
        "decade",
        "century",
        "millennium",
    ] {
        // Compared with a constant, the engine makes a range of it.
        for operator in ["=", "<>", "<", "<=", ">", ">=", "is distinct from"] {
            for constant in ["2024-12-25 00:00:00", "2000-01-01 00:00:00", "1969-07-20 20:17:40.000001"] {
                let compared = |column: &str, kind: &str| {
                    format!("(date_trunc('{unit}', {column}) {operator} {kind} '{constant}')")
                };
                same(&compared("z", "timestamptz"), &compared("t", "timestamp"));
                let counted =
                    |column: &str, kind: &str| format!("(select count(*) from times where {})", compared(column, kind));
                same(&counted("z", "timestamptz"), &counted("t", "timestamp"));
            }
        }
        same(&format!("date_trunc('{unit}', z)::timestamp"), &format!("date_trunc('{unit}', t)::timestamp"));
        same(&format!("date_diff('{unit}', z, now())"), &format!("date_diff('{unit}', t, now()::timestamp)"));
        same(&format!("date_diff('{unit}', z, z + i)"), &format!("date_diff('{unit}', t, t + i)"));
    }
    same("(z + i)::timestamp", "t + i");
    same("(z - i)::timestamp", "t - i");
    same("(i + z)::timestamp", "i + t");
    same("z - (z + i)", "t - (t + i)");
    same(
        "date_part(case when hour(t) % 2 = 0 then 'hour' else 'dow' end, z)",
        "case when hour(t) % 2 = 0 then hour(t) else dayofweek(t) end",
    );
}

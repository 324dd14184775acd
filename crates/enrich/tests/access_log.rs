//! Lines of access logs, well-formed and not.

use proptest::prelude::*;
use thalweg_enrich::access_log::unescape;
use thalweg_enrich::{AccessLineError, parse_access_line};

const COMBINED: &str = r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 203023 "http://semicomplete.com/" "Mozilla/5.0 (X11)""#;

fn fields(line: &str) -> String {
    match parse_access_line(line.as_bytes()) {
        Ok(found) => format!(
            "{} {} {} | {} {} {} | {} {} | {} | {}",
            found.ip,
            found.user.unwrap_or("NULL"),
            found.timestamp_us,
            found.method.unwrap_or("NULL"),
            found.path.unwrap_or("NULL"),
            found.protocol.unwrap_or("NULL"),
            found.status,
            found.bytes.map_or("NULL".to_owned(), |bytes| bytes.to_string()),
            found.referrer.unwrap_or("NULL"),
            found.user_agent.unwrap_or("NULL"),
        ),
        Err(error) => format!("{error:?}"),
    }
}

/// A line in which one part differs.
fn with(part: &str, instead: &str) -> String {
    assert!(COMBINED.contains(part), "{part}");
    fields(&COMBINED.replacen(part, instead, 1))
}

#[test]
fn combined_and_common() {
    let rest = "| GET /a?b=c HTTP/1.1 | 200 203023 | http://semicomplete.com/ | Mozilla/5.0 (X11)";
    assert_eq!(fields(COMBINED), format!("83.149.9.216 NULL 1431857103000000 {rest}"));
    assert_eq!(fields(&format!("{COMBINED}\r\n")), fields(COMBINED));
    assert_eq!(with("+0000", "-0330"), format!("83.149.9.216 NULL 1431869703000000 {rest}"));
    assert_eq!(with("+0000", "+0530"), format!("83.149.9.216 NULL 1431837303000000 {rest}"));
    assert_eq!(with("83.149.9.216", "2001:db8::1"), format!("2001:db8::1 NULL 1431857103000000 {rest}"));
    assert_eq!(with("- - [", "- frank [").split(' ').nth(1), Some("frank"));
    assert!(with("- - [", "- frank [x] miller [").contains("frank [x] miller 1431857103000000"));
    assert_eq!(
        fields(r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.0" 304 -"#),
        "1.2.3.4 NULL 1431857103000000 | GET / HTTP/1.0 | 304 NULL | NULL | NULL"
    );
    assert!(with("http://semicomplete.com/", "-").contains("| NULL | Mozilla"));
}

#[test]
fn requests_that_are_none() {
    let request =
        |instead: &str| with("GET /a?b=c HTTP/1.1", instead).split(" | ").nth(1).map(str::to_owned).unwrap_or_default();
    assert_eq!(request("-"), "NULL NULL NULL");
    assert_eq!(request(""), "NULL NULL NULL");
    assert_eq!(request(r"\x16\x03\x01"), r"NULL \x16\x03\x01 NULL");
    assert_eq!(request("GET"), "NULL GET NULL");
    assert_eq!(request("GET /"), "GET / NULL");
    assert_eq!(request("GET /a b HTTP/1.1"), "GET /a b HTTP/1.1");
    assert_eq!(request("get / HTTP/1.1"), "NULL get / HTTP/1.1 NULL");
    assert_eq!(request("GET  HTTP/1.1"), "NULL GET  HTTP/1.1 NULL");
    assert_eq!(request("M-SEARCH * HTTP/1.1"), "M-SEARCH * HTTP/1.1");
    assert_eq!(request(r#"GET /\"quoted\" HTTP/1.1"#), r#"GET /\"quoted\" HTTP/1.1"#);
    assert_eq!(request("GET /größe HTTP/1.1"), "GET /größe HTTP/1.1");
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(fields(""), "Empty");
    assert_eq!(fields("  \n"), "Empty");
    assert_eq!(fields("kernel: out of cheese error 17"), "TimestampBrackets");
    assert_eq!(fields("83.149.9.216"), "Address");
    assert_eq!(fields("\"x\" - - ["), "Address");
    assert_eq!(fields("1.2.3.4 - "), "User");
    assert_eq!(with("- - [", "- ["), "User");
    assert_eq!(with("] ", " "), "TimestampBrackets");
    assert_eq!(with("[17", "17"), "TimestampBrackets");
    assert_eq!(with("May", "Mai"), "Timestamp");
    assert_eq!(with("17/May", "32/May"), "Timestamp");
    assert_eq!(with("17/May/2015", "29/Feb/2015"), "Timestamp");
    assert_eq!(with("10:05", "24:05"), "Timestamp");
    assert_eq!(with(" +0000", ""), "Timestamp");
    assert_eq!(with("\"GET", "GET"), "Request");
    assert_eq!(with("1.1\"", "1.1"), "Status");
    assert_eq!(with(" 200 ", " 20 "), "Status");
    assert_eq!(with(" 200 ", " 099 "), "Status");
    assert_eq!(with("203023", "x"), "Bytes");
    assert_eq!(with("203023", "99999999999999999999"), "Bytes");
    assert_eq!(with("\"http", "http"), "Referrer");
    assert_eq!(with(" \"Mozilla/5.0 (X11)\"", ""), "UserAgent");
    assert_eq!(with("(X11)\"", "(X11)"), "UnclosedQuote");
    assert_eq!(with("(X11)\"", "(X11)\\\""), "UnclosedQuote");
    assert_eq!(with("(X11)\"", "(X11)\" 0.001"), "Trailing");
    let mut bytes = COMBINED.as_bytes().to_vec();
    bytes[60] = 0xff;
    assert_eq!(parse_access_line(&bytes), Err(AccessLineError::NotUtf8));
    assert_eq!(AccessLineError::Status.to_string(), "the status is not a number from 100 to 999");
}

#[test]
fn every_cut_line_is_refused_or_common() {
    for end in 0..COMBINED.len() {
        let cut = &COMBINED[..end];
        // Cut within or right after the size, it is a line of the common format.
        let common = cut.ends_with(|last: char| last.is_ascii_digit() || last == ' ') && cut.contains("200 2");
        let found = parse_access_line(cut.as_bytes());
        assert_eq!(found.is_ok(), common && !cut.contains("http"), "{cut}: {found:?}");
    }
}

#[test]
fn escapes() {
    assert_eq!(unescape("plain"), "plain");
    assert_eq!(unescape(r#"\"a\" \\ \x41\x42\t"#), "\"a\" \\ AB\t");
    assert_eq!(unescape(r"gr\xC3\xB6\xC3\x9Fe"), "größe");
    assert_eq!(unescape(r"\x16\x03"), "\u{16}\u{3}");
    assert_eq!(unescape(r"\xff \x4 \q \"), r"\xff \x4 \q \");
}

fn quoted() -> impl Strategy<Value = String> {
    proptest::string::string_regex(r#"([^"\\\r\n\p{Cc}]|\\"|\\\\|\\x[0-9a-f]{2}){1,40}"#).expect("a pattern")
}

proptest! {
    #[test]
    fn bytes_never_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_access_line(&line);
    }

    #[test]
    fn near_lines_never_panic(at in 0..COMBINED.len(), instead in ".{0,6}") {
        let line = format!("{}{instead}{}", &COMBINED[..at], &COMBINED[at + 1..]);
        let _ = parse_access_line(line.as_bytes());
    }

    #[test]
    fn escaped_fields_never_panic(field in ".*") {
        let _ = unescape(&field);
    }

    #[test]
    fn what_is_written_is_read(
        ip in "[1-9][0-9]{0,2}(\\.[0-9]{1,3}){3}|[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}",
        user in "[a-zäß][a-z0-9@. ]{0,10}[a-z]",
        seconds in -2_000_000_000_i64..4_000_000_000,
        zone in -14 * 60..=14 * 60_i64,
        path in "/[^\\s\"\\\\\\p{Cc}]{0,30}",
        status in 100..=999_u16,
        size in any::<u64>(),
        referrer in quoted(),
        agent in quoted(),
    ) {
        prop_assume!(referrer != "-" && agent != "-");
        let local = jiff::Timestamp::from_second(seconds + zone * 60).expect("a timestamp").strftime("%d/%b/%Y:%H:%M:%S").to_string();
        let sign = if zone < 0 { '-' } else { '+' };
        let line = format!(
            "{ip} - {user} [{local} {sign}{:02}{:02}] \"PUT {path} HTTP/2.0\" {status} {size} \"{referrer}\" \"{agent}\"",
            zone.abs() / 60, zone.abs() % 60
        );
        let found = parse_access_line(line.as_bytes()).map_err(|error| TestCaseError::fail(format!("{error}: {line}")))?;
        prop_assert_eq!(found.ip, ip);
        prop_assert_eq!(found.user, Some(user.as_str()));
        prop_assert_eq!(found.timestamp_us, seconds * 1_000_000);
        prop_assert_eq!((found.method, found.path, found.protocol), (Some("PUT"), Some(path.as_str()), Some("HTTP/2.0")));
        prop_assert_eq!((found.status, found.bytes), (status, Some(size)));
        prop_assert_eq!((found.referrer, found.user_agent), (Some(referrer.as_str()), Some(agent.as_str())));
    }
}

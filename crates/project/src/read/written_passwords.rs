//! Passwords that stand in a YAML file itself: a diagnostic about their line must not show them.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, nearest};

/// What stands in their place.
const HIDDEN: &str = "***";

/// Parts of keys whose values are secret.
const SECRET_KEYS: [&str; 6] = ["passw", "passphrase", "pwd", "secret", "token", "credential"];

/// Where passwords stand in the text of a YAML file: between `user:` and `@` of a URL, behind a key that means a password or is written nearly
/// so, behind `password=`, and all of a `url:` that is none. References to variables are none.
pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    let mut places = in_urls(text);
    places.extend(behind_keys(text));
    places.extend(in_parameters(text));
    places.retain(|place| !place.is_empty() && !text[place.clone()].trim_matches(['"', '\'']).starts_with("${"));
    places.sort_by_key(|place| place.start);
    places.dedup_by(|later, earlier| {
        let overlaps = later.start < earlier.end;
        if overlaps {
            earlier.end = earlier.end.max(later.end);
        }
        overlaps
    });
    places
}

/// `scheme://user:HERE@host`
fn in_urls(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (at, _) in text.match_indices("://") {
        let begin = at + 3;
        let rest = &text[begin..];
        let end = rest.find(['\n', '\r', '"', '\'']).unwrap_or(rest.len());
        // A password may hold any character; what stands before the last `@` of the value is user and password.
        let Some(credentials) = rest[..end].rfind('@').map(|place| &rest[..place]) else { continue };
        if let Some(colon) = credentials.find(':') {
            places.push(begin + colon + 1..begin + credentials.len());
        }
    }
    places
}

/// `password: HERE`
fn behind_keys(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (colon, _) in text.match_indices(':') {
        let before = text[..colon].trim_end_matches(' ').trim_end_matches(['"', '\'']);
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let key = &before[before.trim_end_matches(is_part).len()..];
        let value = text[colon + 1..].trim_start_matches(' ');
        let start = text.len() - value.len();
        let is_url = key == "url" && !value.split(['\n', '\r']).next().unwrap_or_default().contains("://");
        if value.starts_with(['\n', '\r']) || !(is_url || is_secret(key)) {
            continue;
        }
        let line = &text[text[..colon].rfind('\n').map_or(0, |end| end + 1)..colon];
        let length = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].find(quote).map_or(value.len(), |end| end + 2),
            _ if line.contains('{') => value.find(['\n', '\r', '}', ',']).unwrap_or(value.len()),
            _ => value.find(['\n', '\r']).unwrap_or(value.len()),
        };
        places.push(start..start + value[..length].trim_end().len());
    }
    places
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    key == "pass" || SECRET_KEYS.iter().any(|part| key.contains(part)) || nearest(&key, ["password"]).is_some()
}

/// `password=HERE`
fn in_parameters(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (equals, _) in text.match_indices('=') {
        let before = text[..equals].trim_end_matches(' ');
        let key = &before[before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()..];
        if is_secret(key) {
            let rest = text[equals + 1..].trim_start_matches([' ', '\'', '"']);
            let start = text.len() - rest.len();
            let end = rest.find(['&', ' ', ';', '"', '\'', '\n', '\r']).unwrap_or(rest.len());
            places.push(start..start + end);
        }
    }
    places
}

/// Hides the passwords of the file a diagnostic is about.
pub(super) fn hide(diagnostic: &mut Diagnostic, text: &str) {
    let places = places(text);
    if places.is_empty() || diagnostic.rendered.is_some() {
        return;
    }
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for place in &places {
        shown.push_str(&text[at..place.start]);
        shown.push_str(HIDDEN);
        at = place.end;
    }
    shown.push_str(&text[at..]);
    let moved = |position: usize, is_end: bool| {
        let mut to = position;
        for place in &places {
            if place.end <= position {
                to = to + HIDDEN.len() - place.len();
            } else if place.start < position {
                to = to - (position - place.start) + if is_end { HIDDEN.len() } else { 0 };
            }
        }
        to
    };
    let span = &diagnostic.location.span;
    diagnostic.location.span = moved(span.start, false)..moved(span.end, true);
    for place in &places {
        let password = text[place.clone()].trim_matches(['"', '\'']);
        if password.len() > 3 {
            diagnostic.replace_text(password, HIDDEN);
        }
    }
    diagnostic.rendered = Some(shown);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Location;

    fn found(text: &str) -> Vec<&str> {
        places(text).into_iter().map(|place| &text[place]).collect()
    }

    #[test]
    fn passwords_are_found_where_they_are_written() {
        assert_eq!(found("url: mysql://ana:secret@db/shop\nuser: ana"), ["secret"]);
        assert_eq!(found("url: 'mysql://ana:s@cr:t/?@db/shop'"), ["s@cr:t/?"]);
        assert_eq!(found("a: { host: db, password: secret, user: ana }"), ["secret"]);
        assert_eq!(found("password: \"se cret\"  # why\nport: 1"), ["\"se cret\""]);
        assert_eq!(found("\"password\": secret"), ["secret"]);
        assert_eq!(found("password:   'x'\nurl: ${URL}\npassword: ${WORD}"), ["'x'"]);
        assert_eq!(found("url: https://example.org/a:b\nname: password\n"), Vec::<&str>::new());
        assert_eq!(found("url: mysql://ana:${WORD}@db/shop"), Vec::<&str>::new());
        assert_eq!(found("password:"), Vec::<&str>::new());
        assert_eq!(found("pasword: secret\npwd: a,b\nMyPassword: c # d\ndb_token: e"), ["secret", "a,b", "c # d", "e"]);
        assert_eq!(found("url: u:secret@h/x\nhost: h"), ["u:secret@h/x"]);
        assert_eq!(found("url: \"host=h user=u password=secret\""), ["\"host=h user=u password=secret\""]);
        assert_eq!(found("url: postgres://h/d?user=u&password=secret&x=1"), ["secret"]);
        assert_eq!(found("options: \"-c a=b passwd = 'secret'\""), ["secret"]);
        assert_eq!(found("dsn: host=h password=secret port=1"), ["secret"]);
    }

    #[test]
    fn the_marked_place_stays_marked() {
        let text = "url: mysql://ana:secretword@db/shop?sslmode=x\nport: y\n";
        for (marked, shown) in [("sslmode=x", "sslmode=x"), ("y", "y"), ("cretw", "***"), ("ana:secret", "ana:***")] {
            let start = text.find(marked).unwrap();
            let location = Location { file: "sources/a.yml".into(), span: start..start + marked.len() };
            let mut diagnostic = Diagnostic::error("x", "not secretword", location);
            hide(&mut diagnostic, text);
            let rendered = diagnostic.rendered.unwrap();
            assert_eq!(rendered, "url: mysql://ana:***@db/shop?sslmode=x\nport: y\n");
            assert_eq!(&rendered[diagnostic.location.span], shown);
            assert_eq!(diagnostic.message, "not ***");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_looked_through(text in "[a-z:/@{}\"' \\n$é]{0,40}(password[:=] ?|mysql://|url: )?[a-z:/@{}\"' \\n$é]{0,40}") {
            for place in places(&text) {
                proptest::prop_assert!(text.get(place).is_some());
            }
        }
    }
}

//! One line of a web server's access log, common or combined format, as Apache and nginx write them.
//!
//! `ip ident user [day/Month/year:hour:minute:second zone] "request" status bytes` and, in the combined format,
//! `"referrer" "user agent"`. Which of the two a line is, it tells itself.
//!
//! Decisions:
//!
//! - Fields are borrowed from the line *as written*: escapes (`\"`, `\\`, `\xNN`) stay, so nothing is lost and nothing is copied;
//!   [`unescape`] resolves them where somebody wants that.
//! - A request that is not `METHOD path PROTOCOL` (`-`, a TLS handshake, a cut line) is still a request somebody made: the line is
//!   accepted with `method` and `protocol` absent and what was sent in `path` (absent for `-` and for an empty request).
//! - A line that is not UTF-8 is rejected with that reason: the servers escape other bytes, so it is not what they wrote.
//! - The common format ends after the bytes. Fields after the user agent (some servers add times) are rejected, not dropped.

use std::fmt;

use memchr::{memchr, memchr2};

/// A line's fields. The texts are as written, escapes included; those that are `-` are absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessLine<'a> {
    /// Address of the client, or its name where the server looks names up.
    pub ip: &'a str,
    /// Name of the authenticated user.
    pub user: Option<&'a str>,
    /// When the request was received: microseconds since 1970 UTC, the zone's offset applied.
    pub timestamp_us: i64,
    /// `GET`; absent for a malformed request.
    pub method: Option<&'a str>,
    /// Path and query, or the whole text of a malformed request.
    pub path: Option<&'a str>,
    /// `HTTP/1.1`; absent for a malformed request and for HTTP/0.9.
    pub protocol: Option<&'a str>,
    /// Status of the answer.
    pub status: u16,
    /// Size of the answer's body.
    pub bytes: Option<u64>,
    /// The page that led here.
    pub referrer: Option<&'a str>,
    /// The program that asked.
    pub user_agent: Option<&'a str>,
}

/// Why a line could not be read: what is wrong, at which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessLineError {
    /// Nothing but blanks.
    Empty,
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// No address, or it holds characters that no address or host name has.
    Address,
    /// The line ends before or within the user.
    User,
    /// No `[` where the timestamp begins, or no `]` where it ends.
    TimestampBrackets,
    /// The text between the brackets is not `day/Month/year:hour:minute:second zone`, or no such moment exists.
    Timestamp,
    /// No quoted request after the timestamp.
    Request,
    /// The quote of the request, referrer or user agent is not closed.
    UnclosedQuote,
    /// The status is not a number from 100 to 999.
    Status,
    /// The size is neither a number nor `-`.
    Bytes,
    /// After the size something other than a quoted referrer.
    Referrer,
    /// After the referrer something other than a quoted user agent.
    UserAgent,
    /// Something stands after the user agent.
    Trailing,
}

impl AccessLineError {
    /// What is wrong and what was expected, in one sentence without a final stop.
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty => "the line is empty",
            Self::NotUtf8 => "the line is not valid UTF-8",
            Self::Address => {
                "the line does not begin with an address: expected `ADDRESS - USER [TIME] \"REQUEST\" STATUS BYTES`"
            }
            Self::User => "the line ends before the user: expected `ADDRESS - USER [TIME]`",
            Self::TimestampBrackets => {
                "no timestamp in brackets after the user: expected `[17/May/2015:10:05:03 +0000]`"
            }
            Self::Timestamp => "the timestamp is not a moment: expected `17/May/2015:10:05:03 +0000`",
            Self::Request => "no quoted request after the timestamp: expected `\"GET /path HTTP/1.1\"`",
            Self::UnclosedQuote => "a quoted field is not closed: the line was probably cut off",
            Self::Status => "the status is not a number from 100 to 999",
            Self::Bytes => "the size is neither a number of bytes nor `-`",
            Self::Referrer => "no quoted referrer after the size: expected `\"https://...\"` or `\"-\"`",
            Self::UserAgent => "no quoted user agent after the referrer: expected `\"Mozilla/5.0 ...\"` or `\"-\"`",
            Self::Trailing => "something stands after the user agent: expected the end of the line",
        }
    }
}

impl fmt::Display for AccessLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for AccessLineError {}

/// Reads one line, without or with its line end.
pub fn parse_access_line(line: &[u8]) -> Result<AccessLine<'_>, AccessLineError> {
    use AccessLineError as Wrong;
    let text = std::str::from_utf8(line).map_err(|_| Wrong::NotUtf8)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut rest = Rest { text, bytes: text.as_bytes(), at: 0 };

    let ip = rest.until_space().unwrap_or_default();
    if ip.is_empty() && text.trim().is_empty() {
        return Err(Wrong::Empty);
    }
    if ip.is_empty()
        || !ip.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'_' | b'%'))
    {
        return Err(Wrong::Address);
    }
    // A user name may hold spaces, so it ends where the timestamp begins; the identity before it may not.
    rest.until_space().filter(|identity| !identity.is_empty() && !identity.starts_with('[')).ok_or(Wrong::User)?;
    let user = rest.user()?;
    let closing = memchr(b']', &rest.bytes[rest.at..]).ok_or(Wrong::TimestampBrackets)?;
    let timestamp_us = timestamp(&rest.bytes[rest.at..rest.at + closing]).ok_or(Wrong::Timestamp)?;
    rest.at += closing + 1;

    rest.expect(b" \"").ok_or(Wrong::Request)?;
    let request = rest.quoted().ok_or(Wrong::UnclosedQuote)?;
    rest.expect(b" ").ok_or(Wrong::Status)?;
    let status = rest.word();
    let status = match status.as_bytes() {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err(Wrong::Status),
    };
    rest.expect(b" ").ok_or(Wrong::Bytes)?;
    let bytes = match rest.word() {
        "-" => None,
        digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| Wrong::Bytes)?)
        }
        _ => return Err(Wrong::Bytes),
    };
    let (mut referrer, mut user_agent) = (None, None);
    if !rest.is_blank() {
        rest.expect(b" \"").ok_or(Wrong::Referrer)?;
        referrer = present(rest.quoted().ok_or(Wrong::UnclosedQuote)?);
        rest.expect(b" \"").ok_or(Wrong::UserAgent)?;
        user_agent = present(rest.quoted().ok_or(Wrong::UnclosedQuote)?);
        if !rest.is_blank() {
            return Err(Wrong::Trailing);
        }
    }
    let (method, path, protocol) = split_request(request);
    Ok(AccessLine {
        ip,
        user: present(user),
        timestamp_us,
        method,
        path,
        protocol,
        status,
        bytes,
        referrer,
        user_agent,
    })
}

/// What has not been read yet.
struct Rest<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    /// The text up to the next space, which is consumed. All ends found here are ASCII, so they are ends of characters.
    fn until_space(&mut self) -> Option<&'a str> {
        let length = memchr(b' ', &self.bytes[self.at..])?;
        let found = &self.text[self.at..self.at + length];
        self.at += length + 1;
        Some(found)
    }

    /// The text up to the next space or the end, which stay.
    fn word(&mut self) -> &'a str {
        let length = memchr(b' ', &self.bytes[self.at..]).unwrap_or(self.bytes.len() - self.at);
        let found = &self.text[self.at..self.at + length];
        self.at += length;
        found
    }

    /// The user, up to ` [`; the bracket is consumed. A name may hold spaces and brackets, so the bracket must open a timestamp.
    fn user(&mut self) -> Result<&'a str, AccessLineError> {
        let start = self.at;
        if self.is_blank() || self.bytes[start] == b'[' {
            return Err(AccessLineError::User);
        }
        let mut first = None;
        let mut at = start;
        while let Some(found) = memchr(b'[', &self.bytes[at..]) {
            let bracket = at + found;
            at = bracket + 1;
            if self.bytes[bracket - 1] == b' ' {
                let opens = self.bytes.get(at).is_some_and(u8::is_ascii_digit);
                if opens {
                    first = Some(bracket);
                    break;
                }
                first = first.or(Some(bracket));
            }
        }
        let bracket = first.ok_or(AccessLineError::TimestampBrackets)?;
        self.at = bracket + 1;
        Ok(&self.text[start..bracket - 1])
    }

    fn expect(&mut self, wanted: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(wanted).then(|| self.at += wanted.len())
    }

    /// The text up to the closing quote, which is consumed. A quote behind a backslash does not close.
    fn quoted(&mut self) -> Option<&'a str> {
        let start = self.at;
        let mut at = start;
        loop {
            let found = at + memchr2(b'"', b'\\', self.bytes.get(at..)?)?;
            if self.bytes[found] == b'"' {
                self.at = found + 1;
                return Some(&self.text[start..found]);
            }
            at = found + 2;
        }
    }

    fn is_blank(&self) -> bool {
        self.bytes[self.at..].iter().all(|byte| *byte == b' ')
    }
}

/// `-` and nothing mean that there is none.
fn present(field: &str) -> Option<&str> {
    (!field.is_empty() && field != "-").then_some(field)
}

fn split_request(request: &str) -> (Option<&str>, Option<&str>, Option<&str>) {
    let malformed = (None, present(request), None);
    let Some(first) = memchr(b' ', request.as_bytes()) else { return malformed };
    let (method, rest) = (&request[..first], &request[first + 1..]);
    if method.is_empty()
        || method.len() > 32
        || !method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'))
    {
        return malformed;
    }
    // The last word is the protocol: servers pass on spaces within the path.
    match memchr::memrchr(b' ', rest.as_bytes()) {
        Some(last) if rest[last + 1..].starts_with("HTTP/") && last > 0 => {
            (Some(method), Some(&rest[..last]), Some(&rest[last + 1..]))
        }
        // HTTP/0.9: `GET /path`
        None if rest.starts_with('/') => (Some(method), Some(rest), None),
        _ => malformed,
    }
}

/// Microseconds since 1970 UTC of `17/May/2015:10:05:03 +0000`.
fn timestamp(text: &[u8]) -> Option<i64> {
    let text: &[u8; 26] = text.try_into().ok()?;
    let two = |at: usize| number(&text[at..at + 2]);
    let separated = text[2] == b'/'
        && text[6] == b'/'
        && text[11] == b':'
        && text[14] == b':'
        && text[17] == b':'
        && text[20] == b' ';
    let (day, year) = (two(0)?, number(&text[7..11])?);
    let month = month(&text[3..6])?;
    let (hour, minute, second) = (two(12)?, two(15)?, two(18)?);
    let (zone_hour, zone_minute) = (two(22)?, two(24)?);
    let sign = match text[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    // A leap second is written as :60 and counts as the second after it, as in Unix time.
    if !separated || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if zone_hour > 18 || zone_minute > 59 {
        return None;
    }
    let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((seconds - sign * (zone_hour * 3_600 + zone_minute * 60)) * 1_000_000)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn month(name: &[u8]) -> Option<i64> {
    Some(match name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a day of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A field with its escapes resolved: `\"`, `\\`, `\n`, `\t`, `\r`, `\b`, `\v` and `\xNN`. Bytes that give no UTF-8 stay escaped.
pub fn unescape(field: &str) -> std::borrow::Cow<'_, str> {
    if memchr(b'\\', field.as_bytes()).is_none() {
        return field.into();
    }
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let plain = match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'x')) => {
                let digit = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
                if let (Some(high), Some(low)) = (digit(2), digit(3)) {
                    #[expect(clippy::cast_possible_truncation, reason = "two hexadecimal digits are one byte")]
                    out.push((high * 16 + low) as u8);
                    at += 4;
                    continue;
                }
                None
            }
            (b'\\', Some(escaped)) => match escaped {
                b'"' | b'\\' => Some(*escaped),
                b'n' => Some(b'\n'),
                b't' => Some(b'\t'),
                b'r' => Some(b'\r'),
                b'b' => Some(8),
                b'v' => Some(11),
                _ => None,
            },
            _ => None,
        };
        match plain {
            Some(byte) => {
                out.push(byte);
                at += 2;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_or_else(|_| field.into(), Into::into)
}

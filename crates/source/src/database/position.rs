//! The entries of a stream's position.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use super::cursor::CursorPosition;
use crate::{Position, PositionChange};

const DEFINITION: &str = "definition";
const CURSOR: &str = "cursor";
const CLOCK: &str = "clock";
const KEYS: &str = "keys";
const RECONCILED: &str = "reconciled";
const VERSION: &str = "version";

/// How far a stream was read, taken apart. What cannot be read, because another version wrote it, counts as absent: then more is read
/// than need be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DatabasePosition {
    /// Fingerprint of the definition under which it was read.
    pub definition: Option<String>,
    /// How far by the cursor.
    pub cursor: Option<CursorPosition>,
    /// The clocks at that time.
    pub clock: Option<Clock>,
    /// When keys were compared last.
    pub keys: Option<Compared>,
    /// When source and store were compared last, whatever the cursor says.
    pub reconciled: Option<Compared>,
    /// The version from which on rows were not all seen, where rows have one ([`super::OpenSnapshot::versions`]).
    pub version: Option<i64>,
}

/// Clocks of the server and of this machine at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The server's clock, microseconds UTC.
    pub server: i64,
    /// Our own, microseconds UTC.
    pub ours: i64,
    /// Which start of this machine, where it tells.
    #[serde(default)]
    pub boot: Option<String>,
    /// Microseconds since then; no correction of a clock changes it.
    #[serde(default)]
    pub running: Option<i64>,
    /// How sure the position is: `certain`, or why it is not.
    #[serde(default)]
    pub safety: Option<String>,
}

/// When something was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Microseconds UTC, by the server's clock.
    pub at: i64,
    /// The same by our own clock.
    #[serde(default)]
    pub ours: i64,
}

impl DatabasePosition {
    /// Takes a position apart.
    pub fn read(position: &Position) -> Self {
        Self {
            definition: entry(position, DEFINITION),
            cursor: entry(position, CURSOR),
            clock: entry(position, CLOCK),
            keys: entry(position, KEYS),
            reconciled: entry(position, RECONCILED),
            version: entry(position, VERSION),
        }
    }

    /// What has changed in comparison with an older position.
    pub fn change_from(&self, before: &Self) -> PositionChange {
        let mut change = PositionChange::new();
        let mut put = |name: &str, now: Option<Json>, then: Option<Json>| {
            if now != then {
                change.insert(name.to_owned(), now);
            }
        };
        put(DEFINITION, json(&self.definition), json(&before.definition));
        put(CURSOR, json(&self.cursor), json(&before.cursor));
        put(CLOCK, json(&self.clock), json(&before.clock));
        put(KEYS, json(&self.keys), json(&before.keys));
        put(RECONCILED, json(&self.reconciled), json(&before.reconciled));
        put(VERSION, json(&self.version), json(&before.version));
        change
    }
}

fn entry<T: DeserializeOwned>(position: &Position, name: &str) -> Option<T> {
    serde_json::from_value(position.get(name)?.clone()).ok()
}

fn json<T: Serialize>(value: &Option<T>) -> Option<Json> {
    serde_json::to_value(value.as_ref()?).ok()
}

impl Clock {
    /// The clocks now, by the server's clock as it was read.
    pub fn now(server: i64, safety: String) -> Self {
        let running = std::fs::read_to_string("/proc/uptime").ok();
        let running = running.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        Self {
            server,
            ours: jiff::Timestamp::now().as_microsecond(),
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned()),
            running: running.map(|seconds| (seconds * 1e6) as i64),
            safety: Some(safety),
        }
    }

    /// How far the server's clock was put back between two times, in microseconds. Measured against time that no correction changes where
    /// this machine did not start anew in between, otherwise against our own clock; a second is tolerance.
    pub fn set_back_since(&self, before: &Self) -> i64 {
        const TOLERANCE: i64 = 1_000_000;
        let same_boot = self.boot.is_some() && self.boot == before.boot;
        let passed = match (self.running, before.running) {
            (Some(now), Some(then)) if same_boot => now - then,
            _ => (self.ours - before.ours).max(0),
        };
        let back = passed - (self.server - before.server);
        if back > TOLERANCE { back + TOLERANCE } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(server: i64, ours: i64, running: Option<i64>) -> Clock {
        let (server, ours, running) = (server * 1_000_000, ours * 1_000_000, running.map(|it| it * 1_000_000));
        Clock { server, ours, boot: running.map(|_| "a".to_owned()), running, safety: None }
    }

    #[test]
    fn a_clock_that_was_put_back_is_noticed() {
        let before = clock(1000, 5000, Some(100));
        assert_eq!(clock(1060, 5060, Some(160)).set_back_since(&before), 0);
        // The server's clock lost 30 seconds; so did ours, on the same machine.
        assert_eq!(clock(1030, 5030, Some(160)).set_back_since(&before), 31_000_000);
        // Another start of this machine: our own clock is the measure.
        assert_eq!(clock(1030, 5060, None).set_back_since(&clock(1000, 5000, None)), 31_000_000);
        // A clock that was put forward does no harm.
        assert_eq!(clock(2000, 5060, Some(160)).set_back_since(&before), 0);
    }

    #[test]
    fn only_what_changed_is_written() {
        let before = DatabasePosition {
            definition: Some("x".into()),
            keys: Some(Compared { at: 1, ours: 1 }),
            ..Default::default()
        };
        let after = DatabasePosition { keys: Some(Compared { at: 2, ours: 2 }), ..before.clone() };
        let change = after.change_from(&before);
        assert_eq!(change.keys().collect::<Vec<_>>(), ["keys"]);
        let position: Position =
            after.change_from(&DatabasePosition::default()).into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
        assert_eq!(DatabasePosition::read(&position), after);
    }
}

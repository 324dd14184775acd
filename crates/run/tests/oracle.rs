//! What a store table must hold and what a run must count, told without SQL and without the program.

use std::collections::BTreeMap;

/// One record of a keyed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key; `None` cannot be loaded.
    pub id: Option<u8>,
    /// A value.
    pub value: Option<u8>,
    /// Which version is newer.
    pub sequence: Option<u8>,
    /// Whether it marks a deletion.
    pub gone: Option<bool>,
    /// A column that not every file has.
    pub extra: Option<u8>,
}

/// How the stream is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// `sequence_by`
    pub sequence: bool,
    /// `soft_delete`
    pub marks: bool,
}

/// Where the records of a run went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    pub read: u64,
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub deleted: u64,
    pub rejected: u64,
    pub duplicate: u64,
}

/// Everything that was delivered, in the order in which it came.
#[derive(Debug, Clone)]
pub struct Oracle {
    declared: Declared,
    history: Vec<Record>,
}

impl Oracle {
    /// Before the first delivery.
    pub fn new(declared: Declared) -> Self {
        Self { declared, history: Vec::new() }
    }

    /// What must be there now: of each key the latest by sequence, then by arrival, unless that one is a mark.
    pub fn rows(&self) -> BTreeMap<u8, Record> {
        let mut latest: BTreeMap<u8, Record> = BTreeMap::new();
        for record in &self.history {
            let Some(id) = record.id else { continue };
            match latest.get(&id) {
                Some(known) if self.declared.sequence && known.sequence > record.sequence => {}
                _ => _ = latest.insert(id, record.clone()),
            }
        }
        latest.retain(|_, record| !self.marks(record));
        latest
    }

    fn marks(&self, record: &Record) -> bool {
        self.declared.marks && record.gone == Some(true)
    }

    /// Takes the records of one run, in order, and says where each of them goes.
    pub fn deliver(&mut self, records: &[Record]) -> Expected {
        let before = self.rows();
        self.history.extend_from_slice(records);
        let after = self.rows();
        let mut expected = Expected { read: records.len() as u64, ..Expected::default() };
        let mut winners: BTreeMap<u8, &Record> = BTreeMap::new();
        for record in records {
            let Some(id) = record.id else {
                expected.rejected += 1;
                continue;
            };
            if let Some(other) = winners.get(&id) {
                expected.duplicate += 1;
                if self.declared.sequence && other.sequence > record.sequence {
                    continue;
                }
            }
            winners.insert(id, record);
        }
        for (id, winner) in winners {
            match (before.get(&id), after.get(&id)) {
                (Some(_), None) => expected.deleted += 1,
                (None, Some(_)) => expected.inserted += 1,
                // A mark on what is not there changes nothing; a version of what was deleted later is older.
                (None, None) if self.marks(winner) => expected.unchanged += 1,
                (None, None) => expected.duplicate += 1,
                (Some(old), Some(new)) if old != new => expected.updated += 1,
                (Some(old), Some(_)) if old == winner => expected.unchanged += 1,
                (Some(_), Some(_)) => expected.duplicate += 1,
            }
        }
        expected
    }
}

//! By which columns the statements of refreshes look up rows of a table: what indexes are for.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::ClockChanges;
use super::found::{Found, FoundKind, FoundRef, Pairs, Which};
use super::relation::{ColumnId, Scalar};
use super::shape::{Inputs, Shape};
use crate::dialect::Dialect;

impl Shape {
    /// For a table the model reads, the lists of columns by which a refresh looks up some of its rows, whatever changed.
    pub fn lookups(&self, dialect: &dyn Dialect, table: &[String]) -> BTreeSet<Vec<String>> {
        let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
        let nulls = vec![false; self.key_columns().len()];
        if let Ok(fresh) = self.restrict(dialect, &Inputs::default(), "lookups", "affected", &nulls) {
            for restriction in fresh.restrictions.iter().filter(|restriction| restriction.table == table) {
                found.extend(restriction.uses.iter().flatten().cloned());
            }
        }
        let names: BTreeSet<Vec<String>> = self.tables().into_iter().map(<[String]>::to_vec).collect();
        for name in &names {
            let changed: Vec<bool> = self.tree().tables.iter().map(|one| one.name == *name).collect();
            if let Ok(keys) = self.touched(&changed, &ClockChanges::new()) {
                let mut places = BTreeMap::new();
                placed(&keys, &mut places);
                self.joined(&keys, &places, table, &mut found);
            }
        }
        let columns = |name: &String| {
            let of = self.tree().tables.iter().find(|one| one.name == table);
            of.is_some_and(|one| one.input.columns.iter().any(|(column, _)| column == name))
        };
        found.retain(|list| !list.is_empty() && list.iter().all(columns));
        found
    }

    /// The columns of a table that joins on the way to the keys compare.
    fn joined(
        &self,
        found: &FoundRef,
        places: &BTreeMap<ColumnId, (usize, usize)>,
        table: &[String],
        lookups: &mut BTreeSet<Vec<String>>,
    ) {
        let on: &[Scalar] = match &found.kind {
            FoundKind::Pairs(Pairs { on, .. }) | FoundKind::Outer { on, .. } => on,
            _ => &[],
        };
        let mut by_use: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for column in on.iter().filter(|scalar| matches!(scalar, Scalar::Equal(..))).flat_map(Scalar::columns) {
            if let Some((number, place)) = places.get(&column) {
                by_use.entry(*number).or_default().insert(*place);
            }
        }
        for (number, columns) in by_use {
            let Some(own) = self.tree().tables.get(number).filter(|own| own.name == table) else { continue };
            let names = columns.iter().filter_map(|place| own.input.columns.get(*place));
            lookups.insert(names.map(|(name, _)| name.clone()).collect());
        }
        for part in found.parts() {
            self.joined(part, places, table, lookups);
        }
    }
}

/// Where columns of whole tables stand: number of the table in the tree, place in it.
fn placed(found: &Found, places: &mut BTreeMap<ColumnId, (usize, usize)>) {
    if let FoundKind::Rows { table, places: own, which: Which::All } = &found.kind {
        places.extend(found.columns.iter().zip(own).map(|(column, place)| (*column, (*table, *place))));
    }
    found.parts().into_iter().for_each(|part| placed(part, places));
}

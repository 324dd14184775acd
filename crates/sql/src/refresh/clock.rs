//! The time of the run in a query.
//!
//! A run has one time, and what a query reads of it (`now()`, `current_date`) has a value that is stored with the model. When another run's
//! value differs, the rows are found whose expressions differ between the two: in a condition of WHERE or in the select list, where an
//! expression looks at its own row alone. Elsewhere the model is computed anew.

use std::collections::BTreeMap;
use std::ops::Range;

use super::relation::{Apply, Join, Kind, Obstacle, Relation, Scalar, Tree};

/// What an expression that reads the time answered, as literals of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockChange {
    /// At the last refresh.
    pub before: String,
    /// Now.
    pub now: String,
}

/// Which expressions that read the time answer otherwise than at the last refresh: by [`clock_name`].
pub type ClockChanges = BTreeMap<String, ClockChange>;

/// What a place that reads the time reads: its text, whatever its case and its blanks.
pub fn clock_name(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect::<String>().to_lowercase()
}

/// Whether what is read has one value throughout a run.
fn is_steady(name: &str) -> bool {
    !(name.starts_with("age(") || name.starts_with("clock_timestamp") || name.starts_with("statement_timestamp"))
}

/// The first place of the time that cannot be followed.
pub(super) fn obstacle(tree: &Tree) -> Option<Obstacle> {
    let mut followed: Vec<Range<usize>> = Vec::new();
    let mut lost: Vec<Range<usize>> = Vec::new();
    places(&tree.root, &mut followed, &mut lost);
    let within = |place: &Range<usize>, whole: &Range<usize>| whole.start <= place.start && place.end <= whole.end;
    let (place, _) = tree.clock.iter().find(|(place, of_row)| {
        let text = tree.text.get(place.clone()).unwrap_or_default();
        !of_row
            || !is_steady(&clock_name(text))
            || !followed.iter().any(|whole| within(place, whole))
            || lost.iter().any(|whole| within(place, whole))
    })?;
    Some(Obstacle {
        reason: format!(
            "`{}` is read where more than one row is looked at",
            tree.text.get(place.clone()).unwrap_or_default()
        ),
        span: place.clone(),
        instead: Some(
            "compare a column with the time in WHERE or in the select list, before anything is aggregated".to_owned(),
        ),
    })
}

/// The expressions whose rows are found when the time goes on, and those that are not looked at.
fn places(relation: &Relation, followed: &mut Vec<Range<usize>>, lost: &mut Vec<Range<usize>>) {
    let spans = |scalars: &[Scalar], into: &mut Vec<Range<usize>>| {
        for scalar in scalars {
            if let Scalar::Text(expression) = scalar {
                into.push(expression.span.clone());
            }
        }
    };
    match &relation.kind {
        Kind::Scan { .. } => {}
        Kind::Constant { text, .. } => lost.push(text.span.clone()),
        Kind::Filter { input, conditions } => {
            spans(conditions, followed);
            places(input, followed, lost);
        }
        Kind::Project { input, computed } => {
            for (_, scalar) in computed {
                spans(std::slice::from_ref(scalar), followed);
            }
            places(input, followed, lost);
        }
        Kind::Join(Join { left, right, on, .. }) | Kind::Apply(Apply { left, right, on, .. }) => {
            spans(on, lost);
            places(left, followed, lost);
            places(right, followed, lost);
        }
        Kind::Aggregate(aggregate) => places(&aggregate.input, followed, lost),
        Kind::Window(window) => places(&window.input, followed, lost),
        Kind::Distinct { input } | Kind::DistinctOn { input, .. } => places(input, followed, lost),
        Kind::SetOperation { inputs, .. } | Kind::Opaque { inputs, .. } => {
            inputs.iter().for_each(|input| places(input, followed, lost));
        }
    }
}

/// The places within an expression that read the time.
pub(super) fn places_in<'a>(scalar: &'a Scalar, tree: &'a Tree) -> impl Iterator<Item = &'a Range<usize>> {
    let span = match scalar {
        Scalar::Text(expression) => expression.span.clone(),
        _ => 0..0,
    };
    tree.clock.iter().map(|(place, _)| place).filter(move |place| span.start <= place.start && place.end <= span.end)
}

/// Whether an expression reads the time.
pub(super) fn reads_clock(scalar: &Scalar, tree: &Tree) -> bool {
    places_in(scalar, tree).next().is_some()
}

//! The rules of refresh that can be switched off, so that a test can show that it would notice.

use std::collections::BTreeSet;

/// A rule without which a refresh is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A changed row of the nullable side of an outer join also touches the row with NULL in its place.
    NullExtension,
    /// Either side of a full join can stand alone.
    OrphanSide,
    /// A changed row touches all rows of its partition.
    SliceExpansion,
    /// A changed row on the right of a lateral join touches all rows the left row may choose from.
    LateralExpansion,
    /// A condition on a value that is unknown while keys are looked for is left out.
    DropUnknown,
    /// A NULL among the changed rows of `NOT IN` touches all rows, and a NULL that is tested is touched by every change.
    ThreeValued,
    /// Keys compare NULL-safe.
    NullSafe,
    /// Above a window only what all partition lists hold is pushed below it.
    WindowPush,
    /// Nothing is pushed into the nullable side of an outer join while a NULL is among the keys.
    NullablePush,
    /// A place in the text that is used several times is restricted by the OR of its uses.
    OrOfUses,
    /// What `NOT IN` or `IN` as a value reads is not restricted by the tested value.
    MembershipPush,
    /// An equality leads to the rows of the other side only where it stands alone beside AND.
    OrWave,
    /// Where several tables changed, sums add up what each of them brings over the others as they are now or as they were.
    TablesAsTheyWere,
    /// Of a stored row a column is read that differs in a changed row of the table it comes from.
    ChangedColumns,
    /// And so is one of the nullable side of an outer join whose table got keys or lost some.
    PartnersThatCome,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::NullExtension,
        Self::OrphanSide,
        Self::SliceExpansion,
        Self::LateralExpansion,
        Self::DropUnknown,
        Self::ThreeValued,
        Self::NullSafe,
        Self::WindowPush,
        Self::NullablePush,
        Self::OrOfUses,
        Self::MembershipPush,
        Self::OrWave,
        Self::TablesAsTheyWere,
        Self::ChangedColumns,
        Self::PartnersThatCome,
    ];
}

/// The rules that are switched off: none, outside tests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SwitchedOff(BTreeSet<Rule>);

impl SwitchedOff {
    /// Switches rules off.
    pub fn rules(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self(rules.into_iter().collect())
    }

    pub(super) fn holds(&self, rule: Rule) -> bool {
        !self.0.contains(&rule)
    }
}

//! The difference of two tables as bags, and writing it.

use crate::dialect::{Dialect, InvalidName};
use crate::statement::relation::{RUN_COLUMN, TypedColumn, column_list, equal_keys, qualified};
use crate::statement::row::{PARTITION_COLUMN, ROW_COLUMN, RowIdentifier};

/// The difference of a table and its new contents: rows to delete and rows to insert, as few as possible.
///
/// It is written into one temporary table of *pairs*: the identifier of a row of the table that goes, of a row that comes, or of both
/// where they have the same key. With a key that both sides are known to hold without NULL and without repetition, rows are paired by it;
/// otherwise equal rows are numbered and paired by values and number, so that of three equal rows one can go.
#[derive(Debug, Clone)]
pub struct Difference<'a> {
    /// How the engine spells things.
    pub dialect: &'a dyn Dialect,
    /// The physical table, quoted.
    pub old: String,
    /// What identifies its rows.
    pub rows: RowIdentifier,
    /// Only these rows of it are compared, with everything in `new`: a quoted relation with the declared columns, [`RUN_COLUMN`] and
    /// the identifiers of the rows, as [`RowIdentifier::selected`] names them. Without it, all rows are.
    pub part: Option<String>,
    /// Its new contents: a quoted table with all columns of the table, bookkeeping included.
    pub new: String,
    /// Declared columns.
    pub columns: Vec<TypedColumn>,
    /// All columns to write, bookkeeping included.
    pub written: Vec<String>,
    /// A proven key, or nothing.
    pub key: Vec<String>,
    /// When two values count as the same.
    pub sameness: Sameness,
}

/// Column of the pairs with the identifiers of rows of the new contents.
pub const NEW_COLUMN: &str = "_new";

/// Column of [`Difference::all_pairs`] that says what a pair is.
pub const KIND_COLUMN: &str = "_kind";

/// Images are no lists: those are compared as texts.
const IMAGE_TYPE: Option<&str> = Some("text");

/// A pair of the same rows.
const SAME: u8 = 0;
/// A pair, or a single row, that is to be written.
const DIFFERS: u8 = 1;
/// A row without a whole key.
const NO_KEY: u8 = 2;

/// When two values count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// When they are identical ([`Dialect::identity_image`]): what is written is compared so.
    Identical,
    /// Floating-point numbers by 12 significant digits ([`Dialect::comparison_image`]): two computations of a sum may add in another
    /// order.
    WithinTolerance,
    /// As that, but decimals with all the zeros they are written with: what is to be written into the table of a model is compared so, while
    /// who looks whether it holds what its query answers must take any of several equal decimals that a query may choose.
    Computed,
}

impl Difference<'_> {
    /// The rows of the table that are compared, and what identifies one of them (alias `o`).
    fn compared(&self) -> (&str, RowIdentifier) {
        match &self.part {
            Some(part) => (part, self.rows.kept()),
            None => (&self.old, self.rows),
        }
    }

    fn written(&self, alias: &str) -> Result<String, InvalidName> {
        column_list(self.dialect, alias, self.written.iter().map(String::as_str))
    }

    /// The rows of a relation with their images, numbered among equal ones, and what else is `selected` of them (alias `r`). Only those
    /// whose values are among `values`, where that is given.
    fn numbered(&self, relation: &str, selected: &[String], values: Option<&str>) -> Result<String, InvalidName> {
        let images = self.images("r")?;
        let mut all = selected.to_vec();
        all.extend(images.iter().enumerate().map(|(index, image)| format!("{image} as _thalweg_image_{index}")));
        let partition = if images.is_empty() { String::new() } else { format!("partition by {}", images.join(", ")) };
        all.push(format!("row_number() over ({partition}) as _thalweg_copy"));
        let filter = values.map(|values| {
            let same = images
                .iter()
                .enumerate()
                .map(|(index, image)| self.dialect.same(&format!("v._thalweg_image_{index}"), image, true, IMAGE_TYPE));
            format!(" where exists (select 1 from {values} v where {})", and(same))
        });
        Ok(format!("(select {} from {relation} r{})", all.join(", "), filter.unwrap_or_default()))
    }

    fn paired(&self) -> String {
        let same = (0..self.columns.len())
            .map(|index| (format!("o._thalweg_image_{index}"), format!("n._thalweg_image_{index}")))
            .map(|(old, new)| self.dialect.same(&old, &new, true, IMAGE_TYPE));
        and(same.chain(["o._thalweg_copy = n._thalweg_copy".to_owned()]))
    }

    /// A query that finds a repeated or NULL key in a relation: one row when there is one.
    pub fn find_bad_key(&self, relation: &str) -> Result<String, InvalidName> {
        let keys = column_list(self.dialect, "r", self.key.iter().map(String::as_str))?;
        let mut nulls = Vec::with_capacity(self.key.len());
        for name in &self.key {
            nulls.push(format!("{} is null", qualified(self.dialect, "r", name)?));
        }
        Ok(format!(
            "select 1 from {relation} r group by {keys} having count(*) > 1 or bool_or({}) limit 1",
            nulls.join(" or ")
        ))
    }

    /// Without a key: the values that one side holds more often than the other, as a table to make before [`Difference::pairs`].
    pub fn values(&self) -> Result<String, InvalidName> {
        let named = |images: Vec<String>| {
            let named = images.into_iter().enumerate();
            named.map(|(index, image)| format!("{image} as _thalweg_image_{index}")).collect::<Vec<_>>().join(", ")
        };
        let images = named(self.images("r")?);
        let names = (0..self.columns.len()).map(|index| format!("_thalweg_image_{index}"));
        let names = names.collect::<Vec<_>>().join(", ");
        Ok(format!(
            "select {names} from (select {images}, 1 as _thalweg_sign from {} r union all select {images}, -1 as _thalweg_sign from {} r) b \
             group by {names} having sum(_thalweg_sign) <> 0",
            self.new,
            self.compared().0
        ))
    }

    /// The pairs, as a table to make: identifiers of rows of the table ([`ROW_COLUMN`]) and of rows of the new contents ([`NEW_COLUMN`]).
    /// `values` is the table of [`Difference::values`], without a key.
    pub fn pairs(&self, values: &str) -> Result<String, InvalidName> {
        let (compared, identifier) = self.compared();
        let own = self.dialect.row_identifier();
        if self.key.is_empty() {
            return Ok(format!(
                "select {}, n.{NEW_COLUMN} from {} o full join {} n on {} where o._thalweg_copy is null or n._thalweg_copy is null",
                self.rows.kept().list("o"),
                self.numbered(compared, &[identifier.selected("r")], Some(values))?,
                self.numbered(&self.new, &[format!("r.{own} as {NEW_COLUMN}")], Some(values))?,
                self.paired(),
            ));
        }
        Ok(format!(
            "select {}, n.{own} as {NEW_COLUMN} from {compared} o full join {} n on {} where {}",
            identifier.selected("o"),
            self.new,
            equal_keys(self.dialect, "o", "n", &self.key)?,
            self.differs()?
        ))
    }

    /// With a key: the condition on a pair for rows that are not the same.
    fn differs(&self) -> Result<String, InvalidName> {
        let key = &self.key[0];
        let mut differs = vec![
            format!("{} is null", qualified(self.dialect, "o", key)?),
            format!("{} is null", qualified(self.dialect, "n", key)?),
        ];
        for (left, right) in self.images("o")?.into_iter().zip(self.images("n")?) {
            differs.push(format!("{left} is distinct from {right}"));
        }
        Ok(differs.join(" or "))
    }

    /// With a key: all pairs, also of rows that are the same, and what each is ([`KIND_COLUMN`]). What they are paired by need not be
    /// known to be a key: there are more pairs than `most`, the number of all rows, or [`Difference::count_all_pairs`] tells. For few rows,
    /// where that is less than looking at the keys before.
    pub fn all_pairs(&self, most: u64) -> Result<String, InvalidName> {
        let (compared, identifier) = self.compared();
        let mut incomplete = Vec::with_capacity(2);
        for (alias, row) in [("o", identifier.list("o")), ("n", format!("n.{}", self.dialect.row_identifier()))] {
            let mut nulls = Vec::with_capacity(self.key.len());
            for name in &self.key {
                nulls.push(format!("{} is null", qualified(self.dialect, alias, name)?));
            }
            incomplete.push(format!("(({row}) is not null and ({}))", nulls.join(" or ")));
        }
        Ok(format!(
            "select {}, n.{} as {NEW_COLUMN}, \
             case when {} then {NO_KEY} when {} then {DIFFERS} else {SAME} end as {KIND_COLUMN} \
             from {compared} o full join {} n on {} limit {}",
            identifier.selected("o"),
            self.dialect.row_identifier(),
            incomplete.join(" or "),
            self.differs()?,
            self.new,
            equal_keys(self.dialect, "o", "n", &self.key)?,
            most.saturating_add(1),
        ))
    }

    /// One row: how many rows go, how many come, how many pairs are both; then how many rows without a whole key, of the table and of the
    /// new contents there are in all pairs. A row that occurs more often than it should has been paired with several others.
    pub fn count_all_pairs(&self, pairs: &str) -> String {
        let written = format!("where {KIND_COLUMN} = {DIFFERS}");
        format!(
            "select count({ROW_COLUMN}) filter ({written}), count({NEW_COLUMN}) filter ({written}), \
             count(*) filter ({written} and {ROW_COLUMN} is not null and {NEW_COLUMN} is not null), \
             count(*) filter (where {KIND_COLUMN} = {NO_KEY}), count({ROW_COLUMN}), count({NEW_COLUMN}) from {pairs}"
        )
    }

    /// The pairs that differ, like [`Difference::pairs`], where the rows that are compared say themselves which row of the new contents belongs
    /// to each ([`NEW_COLUMN`]). Only [`Difference::columns`] are looked at.
    pub fn given_pairs(&self) -> Result<String, InvalidName> {
        let (compared, identifier) = self.compared();
        let own = self.dialect.row_identifier();
        let mut differs = Vec::with_capacity(self.columns.len());
        for (left, right) in self.images("o")?.into_iter().zip(self.images("n")?) {
            differs.push(format!("{left} is distinct from {right}"));
        }
        let differs = if differs.is_empty() { "false".to_owned() } else { differs.join(" or ") };
        Ok(format!(
            "select {}, o.{NEW_COLUMN} from {compared} o join {new} n on n.{own} = o.{NEW_COLUMN} where {differs} \
             union all select null, n.{own} from {new} n where not exists (select 1 from {compared} o where o.{NEW_COLUMN} = n.{own})",
            identifier.list("o"),
            new = self.new,
        ))
    }

    /// Those of all pairs that are to be written, as a relation without a name like that of [`Difference::pairs`].
    pub fn written_pairs(&self, pairs: &str) -> String {
        let rows = self.rows.kept().list("w");
        format!("(select {rows}, w.{NEW_COLUMN} from {pairs} w where w.{KIND_COLUMN} = {DIFFERS})")
    }

    /// One row: how many rows go, how many come, how many pairs are both (updates; none without a key).
    pub fn count_pairs(&self, pairs: &str) -> String {
        format!(
            "select count({ROW_COLUMN}), count({NEW_COLUMN}), count(*) filter (where {ROW_COLUMN} is not null and {NEW_COLUMN} is not null) \
             from {pairs} p"
        )
    }

    /// The rows that go, declared columns and the run that had written them.
    pub fn before(&self, pairs: &str) -> Result<String, InvalidName> {
        let (compared, identifier) = self.compared();
        Ok(format!(
            "select {}, o.{RUN_COLUMN} from {compared} o where {}",
            column_list(self.dialect, "o", self.columns.iter().map(|column| column.name.as_str()))?,
            identifier.is_in("o", pairs)
        ))
    }

    /// The rows that come, with the columns to write.
    pub fn fresh(&self, pairs: &str) -> Result<String, InvalidName> {
        Ok(format!(
            "select {} from {} n where n.{} in (select {NEW_COLUMN} from {pairs} p where {NEW_COLUMN} is not null)",
            self.written("n")?,
            self.new,
            self.dialect.row_identifier()
        ))
    }

    fn images(&self, alias: &str) -> Result<Vec<String>, InvalidName> {
        self.columns
            .iter()
            .map(|column| Ok(self.image(&qualified(self.dialect, alias, &column.name)?, &column.engine_type)))
            .collect()
    }

    fn image(&self, expression: &str, engine_type: &str) -> String {
        match self.sameness {
            Sameness::Identical => self.dialect.identity_image(expression, engine_type),
            Sameness::Computed if self.dialect.has_scales(engine_type) => {
                self.dialect.identity_image(expression, engine_type)
            }
            Sameness::WithinTolerance | Sameness::Computed => self.dialect.comparison_image(expression, engine_type),
        }
    }

    /// Deletes the rows that go.
    pub fn delete_gone(&self, pairs: &str) -> String {
        format!("delete from {} o where {}", self.old, self.rows.is_in("o", pairs))
    }

    /// Where the table has partitions: a query for the names of those that hold rows that go.
    pub fn partitions_of_gone(&self, pairs: &str) -> Option<String> {
        let name = self.rows.partitions()?.partition_name(&format!("p.{PARTITION_COLUMN}"));
        Some(format!("select distinct {name} as partition from {pairs} p where p.{ROW_COLUMN} is not null order by 1"))
    }

    /// Deletes the rows that go from one such partition: there they are found by their places, in the whole table by looking for each in
    /// every partition.
    pub fn delete_gone_of(&self, pairs: &str, partition: &str) -> Option<String> {
        let name = self.rows.partitions()?.partition_name(&format!("i.{PARTITION_COLUMN}"));
        Some(format!(
            "delete from {partition} where {} in (select i.{ROW_COLUMN} from {pairs} i where i.{ROW_COLUMN} is not null and {name} = {})",
            self.dialect.row_identifier(),
            self.dialect.literal_text(partition)
        ))
    }

    /// Inserts the rows that come; `fresh` holds them.
    pub fn insert_fresh(&self, fresh: &str) -> Result<String, InvalidName> {
        let columns = self.written("")?;
        Ok(format!("insert into {} ({columns}) select {columns} from {fresh} f", self.old))
    }
}

fn and(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "true".to_owned() } else { parts.join(" and ") }
}

/// A query for the values of some columns that one relation holds more often than another, each once; `gone` is the name of a column that is
/// true for those of `before`.
pub fn changed_values(
    dialect: &dyn Dialect,
    before: &str,
    after: &str,
    columns: &[TypedColumn],
    gone: &str,
) -> Result<String, InvalidName> {
    let mut plain = Vec::with_capacity(columns.len());
    let mut is_plain = true;
    for column in columns {
        let name = qualified(dialect, "r", &column.name)?;
        is_plain &= dialect.identity_image(&name, &column.engine_type) == name;
        plain.push(name);
    }
    if !is_plain {
        // Values are told apart otherwise than by grouping.
        let missing = |one, other| missing_rows(dialect, one, other, columns, &[], Sameness::Identical);
        let (came, went) = (missing(after, before)?, missing(before, after)?);
        return Ok(format!("select g.*, true as {gone} from ({went}) g union all select c.*, false from ({came}) c"));
    }
    let names = column_list(dialect, "b", columns.iter().map(|column| column.name.as_str()))?;
    let plain = plain.join(", ");
    Ok(format!(
        "select {names}, sum(b._thalweg_sign) < 0 as {gone} from (select {plain}, 1 as _thalweg_sign from {after} r \
         union all select {plain}, -1 from {before} r) b group by {names} having sum(b._thalweg_sign) <> 0"
    ))
}

/// A query for the rows of one relation that another does not have, as bags: the
/// declared columns, then `extra` columns of the left relation.
pub fn missing_rows(
    dialect: &dyn Dialect,
    left: &str,
    right: &str,
    columns: &[TypedColumn],
    extra: &[&str],
    sameness: Sameness,
) -> Result<String, InvalidName> {
    let difference = Difference {
        dialect,
        old: left.to_owned(),
        rows: RowIdentifier::of_table(dialect, false),
        part: None,
        new: right.to_owned(),
        columns: columns.to_vec(),
        written: Vec::new(),
        key: Vec::new(),
        sameness,
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).chain(extra.iter().copied()).collect();
    let mut selected = Vec::with_capacity(names.len());
    for name in &names {
        selected.push(qualified(dialect, "r", name)?);
    }
    let old = difference.numbered(left, &selected, None)?;
    let new = difference.numbered(right, &[], None)?;
    let shown = column_list(dialect, "o", names.iter().copied())?;
    Ok(format!("select {shown} from {old} o where not exists (select 1 from {new} n where {})", difference.paired()))
}

/// A query for one row: how many rows a relation has, and two digests of its declared columns ([`Dialect::digests`]).
pub fn digest(
    dialect: &dyn Dialect,
    relation: &str,
    columns: &[TypedColumn],
    sameness: Sameness,
) -> Result<String, InvalidName> {
    let difference = Difference {
        dialect,
        old: String::new(),
        rows: RowIdentifier::of_table(dialect, false),
        part: None,
        new: String::new(),
        columns: columns.to_vec(),
        written: Vec::new(),
        key: Vec::new(),
        sameness,
    };
    let [one, other] = dialect.digests(&difference.images("r")?);
    Ok(format!("select count(*), {one}, {other} from {relation} r"))
}

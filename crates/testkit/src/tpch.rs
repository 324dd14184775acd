//! TPC-H: its tables, their rows, and its queries as models over staging models.

use std::fmt::Display;

use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

/// Tables, columns, types; the queries, as the reader of queries is tested with them.
const QUERIES: &str = include_str!("../../sql/tests/relation/tpch.txt");

/// Their keys.
const KEYS: [(&str, &str); 8] = [
    ("region", "r_regionkey"),
    ("nation", "n_nationkey"),
    ("part", "p_partkey"),
    ("supplier", "s_suppkey"),
    ("partsupp", "ps_partkey, ps_suppkey"),
    ("customer", "c_custkey"),
    ("orders", "o_orderkey"),
    ("lineitem", "l_orderkey, l_linenumber"),
];

/// A table.
#[derive(Debug, Clone)]
pub struct TpchTable {
    /// Its name.
    pub name: &'static str,
    /// Names and types of its columns.
    pub columns: Vec<(&'static str, String)>,
    /// The columns of its key, separated by commas.
    pub key: &'static str,
}

/// The eight tables.
pub fn tpch_tables() -> Vec<TpchTable> {
    let declared = QUERIES.split("====").next().unwrap();
    let declared = declared.lines().filter_map(|line| line.strip_prefix("tpch."));
    declared
        .map(|line| {
            let (name, columns) = line.split_once('(').unwrap();
            let columns = columns.trim_end_matches(')').split("; ").map(|column| {
                let (name, engine_type) = column.split_once(' ').unwrap();
                (name, engine_type.to_lowercase())
            });
            let (_, key) = KEYS.into_iter().find(|(table, _)| *table == name).unwrap();
            TpchTable { name, columns: columns.collect(), key }
        })
        .collect()
}

/// The queries by name (`q01`), over staging models.
pub fn tpch_queries() -> Vec<(String, String)> {
    let queries = QUERIES.split("\n====\n").skip(1).map(|case| case.split("\n----").next().unwrap());
    // A column that others are to name needs a name of its own.
    let named = |sql: &str| {
        sql.replace("tpch.", "staging.")
            .replace("o_totalprice, sum(l_quantity)\n", "o_totalprice, sum(l_quantity) as quantity\n")
            .replace("count(o_orderkey)\n", "count(o_orderkey) as c_count\n")
    };
    queries.zip(1..).map(|(sql, number)| (format!("q{number:02}"), named(sql))).collect()
}

impl TpchTable {
    /// The text of its staging model.
    pub fn staging(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        format!(
            "with source as (\n    select * from {{{{ ref('store.{}') }}}}\n), renamed as (\n    select {} from source\n)\nselect * from \
             renamed\n",
            self.name,
            names.join(", ")
        )
    }

    /// Hands out the rows of one of several parts, counted from 1: fields separated by `|`.
    pub fn rows(&self, scale: f64, part: i32, parts: i32, mut each: impl FnMut(&str)) {
        let mut text = String::new();
        let mut tell = |row: &dyn Display| {
            use std::fmt::Write;
            text.clear();
            write!(text, "{row}").unwrap();
            // There is a delimiter after each of them.
            each(text.trim_end_matches('|'));
        };
        match self.name {
            "region" => RegionGenerator::new(scale, part, parts).iter().for_each(|row| tell(&row)),
            "nation" => NationGenerator::new(scale, part, parts).iter().for_each(|row| tell(&row)),
            "part" => PartGenerator::new(scale, part, parts).iter().for_each(|row| tell(&row)),
            "supplier" => SupplierGenerator::new(scale, part, parts).iter().for_each(|row| tell(&row)),
            "partsupp" => PartSuppGenerator::new(scale, part, parts).iter().for_each(|row| tell(&row)),
            "customer" => CustomerGenerator::new(scale, part, parts).iter().for_each(|row| tell(&row)),
            "orders" => OrderGenerator::new(scale, part, parts).iter().for_each(|row| tell(&row)),
            _ => LineItemGenerator::new(scale, part, parts).iter().for_each(|row| tell(&row)),
        }
    }
}

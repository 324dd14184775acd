//! Models that are left out of some runs: whatever was selected before, a build of everything brings all up to date.

use proptest::prelude::*;
use thalweg_run::{Command, RunState, Silent};
use thalweg_warehouse::Access;

use crate::history::config;
use crate::site::{Site, ask, options};

/// One order: its row, or that it goes.
#[derive(Debug, Clone)]
struct Order {
    id: u8,
    customer: Option<u8>,
    amount: u8,
    gone: bool,
}

/// One run.
#[derive(Debug, Clone)]
struct Run {
    orders: Vec<Order>,
    customers: Vec<(u8, Option<u8>, bool)>,
    select: usize,
}

/// What is selected; nothing is everything.
const SELECTIONS: [Option<&str>; 7] = [
    None,
    Some("pres.totals"),
    Some("staging.orders"),
    Some("+pres.lines"),
    Some("staging.orders+"),
    Some("pres.latest pres.lines"),
    Some("staging.*"),
];

const MODELS: [(&str, &str); 6] = [
    ("staging.orders", "with source as (select * from store.orders) select id, customer, amount from source"),
    ("pres.totals", "select customer, count(*) as n, sum(amount) as total from staging.orders group by customer"),
    (
        "pres.lines",
        "select o.id, o.amount, c.name, t.total from staging.orders o left join store.customers c on c.id = o.customer \
         left join pres.totals t on t.customer = o.customer",
    ),
    (
        "pres.latest",
        "select * from (select id, customer, amount, row_number() over (partition by customer order by amount desc, id) as place \
         from staging.orders) where place <= 2",
    ),
    (
        "pres.without",
        "select c.id, c.name from store.customers c where not exists (select 1 from pres.latest l where l.customer = c.id)",
    ),
    (
        "pres.share",
        "select id, amount, amount >= (select avg(amount) from staging.orders) as large from staging.orders",
    ),
];

fn run() -> impl Strategy<Value = Run> {
    let order = (1_u8..7, prop::option::weighted(0.85, 1_u8..4), 0_u8..4, prop::bool::weighted(0.35))
        .prop_map(|(id, customer, amount, gone)| Order { id, customer, amount, gone });
    let customer = (1_u8..4, prop::option::weighted(0.8, 0_u8..2), prop::bool::weighted(0.35));
    (prop::collection::vec(order, 0..4), prop::collection::vec(customer, 0..2), 0..SELECTIONS.len())
        .prop_map(|(orders, customers, select)| Run { orders, customers, select })
}

fn text(value: Option<u8>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

/// Every model against its query over what its inputs hold.
fn differences(site: &Site) -> Vec<String> {
    let mut connection = site.connect(Access::Read).unwrap();
    let differs = |(name, query): &(&str, &str)| {
        let count = ask(
            connection.as_mut(),
            &format!(
                "select count(*) from ((select * from {name} except all ({query})) union all (({query}) except all select * from {name}))"
            ),
        );
        (count[0][0].as_deref() != Some("0")).then(|| format!("{name}: {query}"))
    };
    MODELS.iter().filter_map(differs).collect()
}

fn follow(runs: &[Run], pruned: bool) {
    let settings = if pruned { "name: shop\nchange_log: { readers: 0s }\n" } else { "name: shop\n" };
    let source = "type: files\npath: incoming\nstreams:\n  \
        orders: { files: \"orders-*.csv\", ready: renamed, primary_key: id, soft_delete: gone, columns: [{ name: id, type: bigint }, \
        { name: customer, type: bigint }, { name: amount, type: bigint }] }\n  \
        customers: { files: \"customers-*.csv\", ready: renamed, primary_key: id, soft_delete: gone, columns: [{ name: id, type: bigint \
        }, { name: name, type: bigint }] }\n";
    let site = Site::new(&[("thalweg.yml", settings), ("sources/web.yml", source)]);
    for (name, query) in MODELS {
        site.project.put(&format!("models/{}.sql", name.replace('.', "/")), query);
    }
    site.project.put("incoming/orders-000.csv", "id,customer,amount,gone\n1,1,1,false\n2,,2,false\n3,2,2,false\n");
    site.project.put("incoming/customers-000.csv", "id,name,gone\n1,0,false\n3,,false\n");
    site.build().unwrap();
    assert_eq!(differences(&site), Vec::<String>::new());
    for (run, number) in runs.iter().zip(1..) {
        let mut orders = String::from("id,customer,amount,gone\n");
        for order in &run.orders {
            orders += &format!("{},{},{},{}\n", order.id, text(order.customer), order.amount, order.gone);
        }
        let mut customers = String::from("id,name,gone\n");
        for (id, name, gone) in &run.customers {
            customers += &format!("{id},{},{gone}\n", text(*name));
        }
        site.project.put(&format!("incoming/orders-{number:03}.csv"), orders);
        site.project.put(&format!("incoming/customers-{number:03}.csv"), customers);
        // New rows come with `load`, so that whatever is selected afterwards finds some unread.
        let load = site.build_with(&options(Command::Load), &Silent).unwrap();
        assert_ne!(load.state, RunState::Failed);
        if let Some(select) = SELECTIONS[run.select] {
            let options = thalweg_run::BuildOptions { select: Some(select.to_owned()), ..options(Command::Run) };
            assert_ne!(site.build_with(&options, &Silent).unwrap().state, RunState::Failed);
            if (number + run.select) % 3 != 0 {
                continue;
            }
        }
        assert_ne!(site.build().unwrap().state, RunState::Failed);
        assert_eq!(differences(&site), Vec::<String>::new(), "after run {number}");
    }
    assert_ne!(site.build().unwrap().state, RunState::Failed);
    assert_eq!(differences(&site), Vec::<String>::new(), "at the end");
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: config().cases.min(6), ..config() })]

    #[test]
    fn models_left_out_of_some_runs(runs in prop::collection::vec(run(), 1..6), pruned in any::<bool>()) {
        follow(&runs, pruned);
    }
}

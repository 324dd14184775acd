//! The project that is killed, and what is delivered to it: small, and with one of everything that publishing can do.

use thalweg_testkit::TestProject;

/// Deliveries of the history.
pub const DELIVERIES: usize = 3;

const SETTINGS: &str = "\
name: killed
landing: landing
default_target: dev
targets:
  dev: { type: duckdb, path: warehouse.duckdb, threads: 2, published_copy: shared/copy.duckdb }
# Before images are kept of every table, so that all that is ever written is written here.
change_log: { history: 30d }
";

const SHOP: &str = "\
type: files
path: incoming
defaults: { ready: renamed }
streams:
  orders:
    files: orders_*.csv
    primary_key: order_id
    sequence_by: changed_at
    soft_delete: is_deleted
    after: archive
    schema_contract: { columns: evolve, types: discard_row }
    columns:
      - name: amount
        type: decimal(12,2)
        data_tests:
          - accepted_range: { arguments: { min_value: 0 }, config: { on_failure: quarantine } }
      - { name: order_id, data_tests: [not_null, unique] }
  events:
    files: events_*.ndjson
    write_disposition: append
    after: delete
  prices:
    files: prices_*.csv
    primary_key: product
    write_disposition: replace
  labels:
    files: labels_*.csv
    write_disposition: replace
";

const WEB: &str = "\
type: files
path: logs
streams:
  access: { files: access.log*, format: access_log, mode: tail }
";

const STAGING: &str = "\
models:
  - name: orders
    config: { primary_key: order_id }
    columns:
      - name: country
        data_tests:
          - relationships: { arguments: { to: ref('country'), field: code }, config: { severity: warn } }
";

/// The project, to which nothing was delivered yet.
pub fn project() -> TestProject {
    TestProject::new()
        .file("thalweg.yml", SETTINGS)
        .file("sources/shop.yml", SHOP)
        .file("sources/web.yml", WEB)
        .file("seeds/country.csv", "code,country_name\nAU,Australia\nNZ,New Zealand\n")
        .file("models/staging/staging.yml", STAGING)
        .file(
            "models/staging/orders.sql",
            "select o.order_id, o.product, o.country, o.amount, p.price\nfrom store.orders o left join store.prices p on p.product = o.product\n",
        )
        .file(
            "models/staging/visits.sql",
            "{{ config(materialized='ephemeral') }}\nselect path, count(*) as visits from store.access group by path\n",
        )
        .file(
            "models/pres/by_country.sql",
            "select c.country_name, count(*) as orders, sum(o.amount) as amount\nfrom staging.orders o join seeds.country c on c.code = o.country\ngroup by c.country_name\n",
        )
        .file(
            "models/pres/by_product.sql",
            "select p.product, p.price, count(o.order_id) as orders, sum(o.amount) as amount\nfrom store.prices p left join staging.orders o on o.product = p.product\ngroup by p.product, p.price\n",
        )
        .file(
            "models/pres/best.sql",
            "select country_name, amount from pres.by_country order by amount desc limit 1\n",
        )
        .file("models/pres/pages.sql", "{{ config(materialized='view') }}\nselect * from staging.visits\n")
        .file(
            "models/pres/best_products.sql",
            "select product, sum(amount) as amount from staging.orders group by product order by amount desc, product limit 2\n",
        )
        .file(
            "models/pres/dear.sql",
            "select order_id, amount from staging.orders where amount * 2 >= (select max(amount) from staging.orders)\n",
        )
        // Days come for which there is no partition yet.
        .file(
            "models/pres/moments.sql",
            "{{ config(partition_by='range(changed_at, day)', partitions_ahead=1) }}\nselect order_id, changed_at, amount from store.orders\n",
        )
        .file("models/pres/kinds.sql", "select kind, count(*) as events from store.events group by kind\n")
        .file(
            "tests/no_order_of_nobody.sql",
            "select order_id from staging.orders where country = 'XX'\n",
        )
        .file(
            "reports/countries.sql",
            "{{ config(formats=['csv', 'json', 'parquet']) }}\nselect * from pres.by_country order by country_name\n",
        )
        .file("reports/pages.sql", "{{ config(format='csv') }}\nselect * from pres.pages order by path\n")
}

/// Something that happens to a file between two builds.
pub enum Change {
    /// It appears, or has another content.
    Put(&'static str, String),
    /// It grows.
    Append(&'static str, String),
    /// It gets another name.
    Rename(&'static str, &'static str),
}

fn put(path: &'static str, text: &str) -> Change {
    Change::Put(path, text.to_owned())
}

fn log_lines(from: u32, to: u32) -> String {
    (from..to)
        .map(|n| {
            format!(
                "192.0.2.{} - - [05/Mar/2026:10:{:02}:{:02} +0000] \"GET /page/{} HTTP/1.1\" 200 {} \"-\" \"-\"\n",
                n % 7,
                n / 60,
                n % 60,
                n % 5,
                100 + n
            )
        })
        .collect()
}

/// What arrives before the build of this number.
pub fn deliver(number: usize) -> Vec<Change> {
    match number {
        1 => vec![
            put(
                "incoming/orders_1.csv",
                "order_id,changed_at,is_deleted,product,country,amount\n\
                 1,2026-03-01 10:00:00,false,apple,AU,10.00\n\
                 2,2026-03-01 10:01:00,false,pear,NZ,20.50\n\
                 3,2026-03-01 10:02:00,false,fig,AU,5.25\n\
                 4,2026-03-01 10:03:00,false,apple,NZ,7.00\n\
                 5,2026-03-01 10:04:00,false,pear,AU,-1.00\n\
                 6,2026-03-01 10:05:00,false,fig,AU,not a number\n",
            ),
            put("incoming/events_1.ndjson", "{\"id\":1,\"kind\":\"view\"}\n{\"id\":2,\"kind\":\"buy\"}\n"),
            put("incoming/prices_1.csv", "product,price\napple,1.10\npear,2.20\nfig,3.30\n"),
            put("incoming/labels_1.csv", "label,colour\na,red\na,red\nb,blue\n"),
            Change::Append("logs/access.log", log_lines(0, 20)),
        ],
        2 => vec![
            // An update, a deletion, a new row, an older version, a repetition, a NULL key, a quarantined row, a new column.
            put(
                "incoming/orders_2.csv",
                "order_id,changed_at,is_deleted,product,country,amount,note\n\
                 1,2026-03-02 10:00:00,false,apple,AU,11.00,changed\n\
                 2,2026-03-02 10:01:00,true,pear,NZ,20.50,gone\n\
                 7,2026-03-02 10:02:00,false,fig,NZ,8.00,new\n\
                 7,2026-03-02 10:01:00,false,fig,NZ,8.50,older\n\
                 3,2026-02-01 10:00:00,false,fig,AU,1.00,too old\n\
                 4,2026-03-01 10:03:00,false,apple,NZ,7.00,\n\
                 ,2026-03-02 10:03:00,false,apple,NZ,7.00,nobody\n\
                 8,2026-03-02 10:04:00,false,pear,AU,-2.00,negative\n",
            ),
            put(
                "incoming/events_2.ndjson",
                "{\"id\":3,\"kind\":\"view\"}\n{\"id\":4,\"kind\":\"view\",\"page\":\"x\"}\n",
            ),
            put("incoming/events_3.ndjson", "{\"id\":5,\"kind\":\"buy\"}\n"),
            put("incoming/prices_2.csv", "product,price\napple,1.15\npear,2.20\nplum,4.40\n"),
            put("incoming/labels_2.csv", "label,colour\na,red\nb,green\n"),
            Change::Append("logs/access.log", log_lines(20, 30)),
        ],
        _ => vec![
            // The deleted order comes back late and stays deleted; a seed, a model and the log's name change.
            put(
                "incoming/orders_3.csv",
                "order_id,changed_at,is_deleted,product,country,amount,note\n\
                 2,2026-03-01 12:00:00,false,pear,NZ,21.00,late\n\
                 9,2026-03-03 10:00:00,false,plum,FJ,30.00,new\n\
                 1,2026-03-03 10:01:00,true,apple,AU,11.00,gone\n",
            ),
            put("incoming/events_4.ndjson", "{\"id\":6,\"kind\":\"view\"}\n"),
            put("seeds/country.csv", "code,country_name\nAU,Australia\nNZ,New Zealand\nFJ,Fiji\n"),
            put(
                "models/pres/kinds.sql",
                "select kind, count(*) as events, max(id) as last_id from store.events group by kind\n",
            ),
            Change::Append("logs/access.log", log_lines(30, 35)),
            Change::Rename("logs/access.log", "logs/access.log.1"),
            put("logs/access.log", &log_lines(35, 40)),
        ],
    }
}

/// A delivery after which a test fails.
pub fn deliver_a_mistake() -> Vec<Change> {
    vec![
        put(
            "incoming/orders_2.csv",
            "order_id,changed_at,is_deleted,product,country,amount\n\
             1,2026-03-02 10:00:00,false,apple,XX,11.00\n\
             7,2026-03-02 10:02:00,false,fig,NZ,8.00\n",
        ),
        put("incoming/events_2.ndjson", "{\"id\":3,\"kind\":\"view\"}\n"),
    ]
}

/// The mistake corrected, under the same name.
pub fn deliver_the_correction() -> Vec<Change> {
    vec![put(
        "incoming/orders_2.csv",
        "order_id,changed_at,is_deleted,product,country,amount\n\
         1,2026-03-02 10:00:00,false,apple,AU,11.00\n\
         7,2026-03-02 10:02:00,false,fig,NZ,8.00\n",
    )]
}

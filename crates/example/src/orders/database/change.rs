//! Changing rows where they are.

use std::io::{self, Write};

use super::{Definition, Server, TABLES};

/// How much is changed, and which rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Of a hundred rows of a table so many are touched: 40 % of them are new, 45 % are updated, 10 % marked as deleted, 5 %
    /// deleted without a mark; at least one row of each kind. Where orders come and go, their lines come and go with them.
    pub percent: f64,
    /// Another number picks other rows.
    pub step: u32,
}

/// Writes a script that changes rows of every table, a transaction for each. It may be run again and again.
///
/// Which rows are picked depends on their keys and the step alone. Each changed row is stamped with the server's clock.
pub fn change(of: Change, server: Server, out: &mut dyn Write) -> io::Result<()> {
    if server == Server::Postgres {
        out.write_all(b"set client_min_messages = warning;\n")?;
    }
    for (definition, how) in TABLES.iter().zip(&HOW) {
        let table = Changed { definition, how, server };
        writeln!(out, "\n-- {}\n{}", definition.name, table.pick(of))?;
        writeln!(out, "{};", if server == Server::Mariadb { "start transaction" } else { "begin" })?;
        for statement in table.statements() {
            writeln!(out, "{statement};")?;
        }
        out.write_all(b"commit;\n")?;
    }
    out.write_all(b"drop table if exists picked;\n")
}

/// How the rows of a table are changed. Columns of the table are spelled `t.x`, picked rows are `p`.
struct How {
    /// Smaller values are picked first, and for deletion before anything else.
    first: &'static str,
    /// What rows must satisfy to be deleted.
    unused: Option<&'static str>,
    /// What an update sets.
    set: &'static [(&'static str, &'static str)],
    /// What makes new rows out of picked ones; `NOW` is the present moment.
    insert: &'static [&'static str],
}

/// In the order of [`TABLES`].
const HOW: [How; 6] = [
    How {
        first: "case when exists (select 1 from order_headers h where h.company_id = t.company_id) then 1 else 0 end, ",
        unused: Some("not exists (select 1 from order_headers h where h.company_id = t.company_id)"),
        set: &[(
            "company_name",
            "concat('Murray Trading ', substring(md5(t.company_name) from 1 for 6), ' ', t.company_id)",
        )],
        // Two for each: one may be marked, one deleted, before anybody orders.
        insert: &[
            "insert into companies select m.top + 2 * p.nth - k.less, concat('35-', lpad(concat(m.top + 2 * p.nth - k.less), 8, '0'), '-0'), \
             concat('Otway Tools Limited ', m.top + 2 * p.nth - k.less), false, NOW, NOW, 0 \
             from picked p cross join (select 0 as less union all select 1) k \
             cross join (select max(company_id) as top from companies) m where p.what = 'insert'",
        ],
    },
    How {
        first: "",
        unused: None,
        set: &[(
            "email",
            "concat(t.user_name, '.', substring(md5(concat(coalesce(t.email, ''))) from 1 for 4), '@mail.example')",
        )],
        insert: &[
            "insert into customers select lpad(concat(m.top + 17 * p.nth), 8, '0'), t.full_name, t.date_of_birth, \
             concat('guest', m.top + 17 * p.nth, '@shop.example'), concat('guest', m.top + 17 * p.nth), t.country_code, NOW, NOW, 0 \
             from picked p join customers t on t.document_number = p.document_number \
             cross join (select cast(max(document_number) as decimal(20,0)) as top from customers) m where p.what = 'insert'",
        ],
    },
    How {
        first: "",
        unused: None,
        set: &[("default_price", "mod(t.default_price * 7 + 13, 900) + 1.5")],
        insert: &[
            "insert into products select concat('P', lpad(concat(m.top + p.nth), 4, '0')), t.supplier_id, t.product_name, \
             mod(t.default_price * 3, 900) + 1.5, NOW, NOW, 0 \
             from picked p join products t on t.product_code = p.product_code and t.supplier_id = p.supplier_id \
             cross join (select max(cast(substring(product_code from 2) as decimal(20,0))) as top from products) m \
             where p.what = 'insert'",
        ],
    },
    How {
        first: "",
        unused: None,
        set: &[("price", "mod(t.price * 7 + 13, 900) + 1.5")],
        // Pairs that have no price yet, as many as are wanted.
        insert: &[
            "insert into product_prices select c.product_code, c.company_id, mod(c.place * 379, 90000) / 100.0 + 1.5, NOW, NOW, 0 \
             from (select n.product_code, b.company_id, row_number() over (order by md5(concat(n.product_code, '/', b.company_id))) as place \
             from (select distinct product_code from products where is_deleted = 0) n \
             cross join companies b where b.is_deleted = 0 and not exists (select 1 from product_prices x \
             where x.product_code = n.product_code and x.company_id = b.company_id)) c \
             cross join (select count(*) as wanted from picked where what = 'insert') w where c.place <= w.wanted",
        ],
    },
    How {
        first: "",
        unused: None,
        set: &[(
            "status",
            "case t.status when 'new' then 'paid' when 'paid' then 'shipped' when 'shipped' then 'delivered' \
             when 'delivered' then 'returned' else 'delivered' end",
        )],
        // The lines first: the numbers of the new orders follow from the greatest before them.
        insert: &[
            "insert into order_lines select m.top + p.nth, l.order_line_no, l.product_code, l.supplier_id, mod(l.quantity, 40) + 1, \
             l.unit_price, NOW, NOW, 0 from picked p join order_lines l on l.order_no = p.order_no and l.is_deleted = 0 \
             cross join (select max(order_no) as top from order_headers) m where p.what = 'insert'",
            "insert into order_headers select m.top + p.nth, t.company_id, t.customer_document_no, current_date, 'new', NOW, NOW, 0 \
             from picked p join order_headers t on t.order_no = p.order_no \
             cross join (select max(order_no) as top from order_headers) m where p.what = 'insert'",
        ],
    },
    How { first: "", unused: None, set: &[("quantity", "mod(t.quantity, 40) + 1")], insert: &[] },
];

struct Changed<'d> {
    definition: &'d Definition,
    how: &'d How,
    server: Server,
}

impl Changed<'_> {
    /// A table of the picked rows, each with what shall become of it.
    fn pick(&self, of: Change) -> String {
        let Definition { name, key, .. } = self.definition;
        let keys = key.join(", ");
        let text: Vec<String> = key.iter().map(|column| format!("'/', t.{column}")).collect();
        let (step, first, text) = (of.step, self.how.first, text.join(", "));
        let share = |of_touched: f64| format!("ceil(total * {})", of.percent / 100.0 * of_touched);
        let [deleted, marked, updated, inserted] = [0.05, 0.10, 0.45, 0.40].map(share);
        // A few more of a large table than are wanted, so that not all of it is sorted. No digit is greater than `g`.
        let few = ((of.percent / 100.0 * 1.2 + 0.001).min(1.0) * f64::from(u32::MAX)) as u32;
        format!(
            "drop table if exists picked;\n\
             create temporary table picked as\n  \
             select {keys}, place - deleted - marked - updated as nth,\n    \
             case when place <= deleted then 'delete' when place <= deleted + marked then 'mark'\n    \
             when place <= deleted + marked + updated then 'update' else 'insert' end as what\n  \
             from (\n    \
             select {keys}, row_number() over (order by {first}hash) as place,\n      \
             {deleted} as deleted, {marked} as marked,\n      \
             {updated} as updated, {inserted} as inserted\n    \
             from (select t.*, md5(concat('{step}', {text})) as hash from {name} t where is_deleted = 0) t\n    \
             cross join (select count(*) as total from {name} where is_deleted = 0) c\n    \
             where total < 10000 or hash < '{few:08x}'\n  \
             ) as numbered where place <= deleted + marked + updated + inserted;\n\
             alter table picked add primary key ({keys});"
        )
    }

    fn statements(&self) -> Vec<String> {
        let now = self.server.now();
        let mut statements: Vec<String> = self.how.insert.iter().map(|sql| sql.replace("NOW", now)).collect();
        let name = self.definition.name;
        statements.push(self.update(name, self.how.set, "update", None));
        let mark = &[("is_deleted", "1")];
        statements.push(self.update(name, mark, "mark", self.how.unused));
        statements.push(self.delete(name, self.how.unused));
        if name == "order_headers" {
            statements.push(self.update("order_lines", mark, "mark", None));
            statements.push(self.delete("order_lines", None));
        }
        statements
    }

    /// The rows of `table` that belong to picked rows of one kind.
    fn picked(&self, what: &str, condition: Option<&str>) -> String {
        let joined: Vec<String> = self.definition.key.iter().map(|column| format!("t.{column} = p.{column}")).collect();
        let condition = condition.map_or_else(String::new, |condition| format!(" and {condition}"));
        format!("{} and p.what = '{what}'{condition}", joined.join(" and "))
    }

    fn update(&self, table: &str, set: &[(&str, &str)], what: &str, condition: Option<&str>) -> String {
        let set: Vec<String> = set.iter().map(|(column, value)| format!("{column} = {value}")).collect();
        let set = format!("{}, updated_datetime = {}", set.join(", "), self.server.now());
        let picked = self.picked(what, condition);
        match self.server {
            Server::Mariadb => format!("update {table} t join picked p set {set} where {picked}"),
            Server::Postgres => format!("update {table} t set {set} from picked p where {picked}"),
        }
    }

    fn delete(&self, table: &str, condition: Option<&str>) -> String {
        let picked = self.picked("delete", condition);
        match self.server {
            Server::Mariadb => format!("delete t from {table} t join picked p where {picked}"),
            Server::Postgres => format!("delete from {table} t using picked p where {picked}"),
        }
    }
}

//! The shop system itself: six tables, the people who visit, and what happens from one delivery to the next.

use std::collections::HashMap;
use std::io;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time};

use super::table::Table;
use super::vocabulary::{ADJECTIVES, FAMILY, FORMS, GIVEN, NOUNS, PLACES, STATUS, TRADES};
use crate::Settings;
use crate::access_log::Visitor;
use crate::country::{COUNTRIES, pick_country};
use crate::random::Random;

const COMPANIES: usize = 60;
const CODES: usize = 150;
const PRICES_PER_COMPANY: usize = 40;
/// The first delivery looks back this many days.
const HISTORY: i64 = 180;

/// All tables as they are after the delivery that was made last.
pub(crate) struct World {
    seed: u64,
    day: Date,
    first_day: Date,
    companies: Table,
    customers: Table,
    products: Table,
    product_prices: Table,
    order_headers: Table,
    order_lines: Table,
    /// Orders so far, also those that are no longer kept.
    orders: usize,
    visitors: Vec<Visitor>,
    /// Index of each customer's country.
    country_of: Vec<usize>,
    /// Cents by product and supplier.
    default_price: HashMap<(usize, usize), i64>,
    /// Cents by product and buying company.
    agreed_price: HashMap<(usize, usize), i64>,
}

impl World {
    /// The shop as the first delivery shows it.
    pub fn new(settings: &Settings) -> Self {
        let mut world = Self::founded(settings);
        let taken = world.open(settings, |_, _| Ok(()));
        debug_assert!(taken.is_ok(), "nothing is written");
        world
    }

    /// The same, handing over orders and their lines after each order, so that they can be taken out. What is taken out cannot be
    /// changed by later deliveries.
    pub fn opened(settings: &Settings, take: impl FnMut(&mut Table, &mut Table) -> io::Result<()>) -> io::Result<Self> {
        let mut world = Self::founded(settings);
        world.open(settings, take)?;
        Ok(world)
    }

    fn founded(settings: &Settings) -> Self {
        Self {
            seed: settings.seed,
            day: settings.last_day,
            first_day: settings.last_day.saturating_sub(HISTORY.days()),
            companies: Table::new("companies", &["company_id", "tax_number", "company_name", "is_supplier"]),
            customers: Table::new(
                "customers",
                &["document_number", "full_name", "date_of_birth", "email", "user_name", "country_code"],
            ),
            products: Table::new("products", &["product_code", "supplier_id", "product_name", "default_price"]),
            product_prices: Table::new("product_prices", &["product_code", "company_id", "price"]),
            order_headers: Table::new(
                "order_headers",
                &["order_no", "company_id", "customer_document_no", "order_date", "status"],
            ),
            order_lines: Table::new(
                "order_lines",
                &["order_no", "order_line_no", "product_code", "supplier_id", "quantity", "unit_price"],
            ),
            orders: 0,
            visitors: Vec::new(),
            country_of: Vec::new(),
            default_price: HashMap::new(),
            agreed_price: HashMap::new(),
        }
    }

    fn open(
        &mut self,
        settings: &Settings,
        mut take: impl FnMut(&mut Table, &mut Table) -> io::Result<()>,
    ) -> io::Result<()> {
        let random = &mut Random::new(settings.seed, "orders", 1);
        let opened = self.first_day.to_datetime(Time::midnight());
        for _ in 0..COMPANIES {
            self.add_company(random, 1, opened);
        }
        for code in 0..CODES {
            for supplier in [0, 37] {
                self.add_product(random, 1, opened, code, (code * 3 + supplier) % (COMPANIES / 5));
            }
        }
        for company in 1..=COMPANIES {
            for nth in 0..PRICES_PER_COMPANY {
                self.agree_price(random, 1, opened, (company * 11 + nth * 7) % CODES, company);
            }
        }
        for _ in 0..settings.count(5_000.0, 20) {
            self.add_customer(random, 1, opened);
        }
        let orders = settings.count(25_000.0, 30);
        for index in 0..orders {
            let day = HISTORY * index as i64 / orders as i64;
            let at = self.moment(random, self.first_day.saturating_add((day + 1).days()));
            self.add_order(random, 1, at);
            take(&mut self.order_headers, &mut self.order_lines)?;
        }
        Ok(())
    }

    /// What happens until delivery `number`: a little of everything.
    pub fn change(&mut self, number: u32) {
        let random = &mut Random::new(self.seed, "orders", number);
        self.day = self.day.saturating_add(1.days());
        let at = self.day.to_datetime(Time::midnight()).saturating_add(9.hours());
        let few = 2 + self.order_headers.rows.len() / 1_500;

        self.add_company(random, number, at);
        let renamed = random.below(COMPANIES);
        self.companies.update(number, at, renamed, 2, company_name(random, renamed + 1));

        for _ in 0..few {
            self.add_customer(random, number, at);
            let moved = random.below(self.customers.rows.len());
            if !self.customers.rows[moved].deleted {
                let email = format!("{}@mail.example", self.visitors[moved].username);
                self.customers.update(number, at, moved, 3, email);
            }
        }
        let gone = random.below(self.customers.rows.len());
        self.customers.delete(number, at, gone);

        let code = CODES + number as usize - 2;
        self.add_product(random, number, at, code, code % (COMPANIES / 5));
        for _ in 0..few {
            let product = random.below(2 * CODES);
            let cents = random.between(150, 90_000);
            self.products.update(number, at, product, 3, money(cents));
            let price = random.below(COMPANIES * PRICES_PER_COMPANY);
            if !self.product_prices.rows[price].deleted {
                self.product_prices.update(number, at, price, 2, money(random.between(150, 90_000)));
            }
            self.agree_price(random, number, at, code, 1 + random_company(number, price));
        }
        let ended = random.below(COMPANIES * PRICES_PER_COMPANY);
        self.product_prices.delete(number, at, ended);

        for _ in 0..few {
            self.set_status(random, number, at);
        }
        self.cancel_order(random, number, at);
        for _ in 0..few {
            let line = random.below(self.order_lines.rows.len());
            if !self.order_lines.rows[line].deleted {
                let quantity = random.between(1, 40).to_string();
                self.order_lines.update(number, at, line, 4, quantity);
            }
        }
        for _ in 0..few * 5 {
            let at = self.moment(random, self.day);
            self.add_order(random, number, at);
        }
    }

    /// The tables, those first that others refer to.
    pub fn tables(&self) -> [&Table; 6] {
        [&self.companies, &self.customers, &self.products, &self.product_prices, &self.order_headers, &self.order_lines]
    }

    /// The last day the delivery speaks of.
    pub fn day(&self) -> Date {
        self.day
    }

    /// The customers as visitors of the site, in the order of the table.
    pub fn visitors(&self) -> &[Visitor] {
        &self.visitors
    }

    /// A product code; people of one country like similar things.
    pub fn favourite(&self, random: &mut Random, visitor: Option<usize>) -> String {
        let country = visitor.map_or(0, |index| self.country_of[index]);
        product_code((random.skewed(CODES) + country * 13) % CODES)
    }

    fn moment(&self, random: &mut Random, day: Date) -> DateTime {
        day.to_datetime(Time::midnight()).saturating_add(random.between(7 * 3_600, 21 * 3_600).seconds())
    }

    fn add_company(&mut self, random: &mut Random, number: u32, at: DateTime) {
        let id = self.companies.rows.len() + 1;
        let tax_number = format!("{}-{:08}-{}", random.pick(&[30, 33, 34]), random.below(100_000_000), id % 10);
        let supplier = if id.is_multiple_of(5) { "true" } else { "false" };
        let values = vec![id.to_string(), tax_number, company_name(random, id), supplier.to_owned()];
        self.companies.insert(number, at, values);
    }

    fn add_customer(&mut self, random: &mut Random, number: u32, at: DateTime) {
        let index = self.customers.rows.len();
        let (given, family) = (random.pick(GIVEN), random.pick(FAMILY));
        let username = format!("{}{}", given.to_lowercase(), index + 1);
        let born = jiff::civil::date(1950, 1, 1).saturating_add(random.between(0, 20_000).days());
        let email = if random.percent(3.0) { String::new() } else { format!("{username}@shop.example") };
        let country = pick_country(random);
        self.visitors.push(Visitor::new(random, username.clone(), country));
        self.country_of.push(country);
        let values = vec![
            document_number(index),
            format!("{given} {family}"),
            born.to_string(),
            email,
            username,
            COUNTRIES[country].1.to_owned(),
        ];
        self.customers.insert(number, at, values);
    }

    fn add_product(&mut self, random: &mut Random, number: u32, at: DateTime, code: usize, supplier: usize) {
        let cents = random.between(150, 90_000);
        self.default_price.insert((code, supplier), cents);
        let name = format!("{} {}", random.pick(ADJECTIVES), random.pick(NOUNS));
        let values = vec![product_code(code), supplier_id(supplier).to_string(), name, money(cents)];
        self.products.insert(number, at, values);
    }

    /// A company's own price for a product; nothing happens when there is one.
    fn agree_price(&mut self, random: &mut Random, number: u32, at: DateTime, code: usize, company: usize) {
        if self.agreed_price.contains_key(&(code, company)) {
            return;
        }
        let cents = random.between(120, 85_000);
        self.agreed_price.insert((code, company), cents);
        self.product_prices.insert(number, at, vec![product_code(code), company.to_string(), money(cents)]);
    }

    fn add_order(&mut self, random: &mut Random, number: u32, at: DateTime) {
        let order_no = (100_001 + self.orders).to_string();
        self.orders += 1;
        let mut customer = random.skewed(self.customers.rows.len());
        while self.customers.rows[customer].deleted {
            customer = random.below(self.customers.rows.len());
        }
        let company = 1 + random.skewed(COMPANIES);
        let status = if number == 1 { random.weighted(STATUS) } else { "new" };
        let values = vec![
            order_no.clone(),
            company.to_string(),
            document_number(customer),
            at.date().to_string(),
            status.to_owned(),
        ];
        self.order_headers.insert(number, at, values);
        for line in 1..=random.between(1, 7) {
            let code = (random.skewed(CODES) + self.country_of[customer] * 13) % CODES;
            let supplier = (code * 3 + *random.pick(&[0, 37])) % (COMPANIES / 5);
            let list = self.agreed_price.get(&(code, company)).or_else(|| self.default_price.get(&(code, supplier)));
            let percent = random.weighted(&[(8, 100), (1, 95), (1, 90)]);
            let values = vec![
                order_no.clone(),
                line.to_string(),
                product_code(code),
                supplier_id(supplier).to_string(),
                random.between(1, 40).to_string(),
                money(list.copied().unwrap_or(1_000) * percent / 100),
            ];
            self.order_lines.insert(number, at, values);
        }
    }

    /// An order goes on: paid, shipped, delivered.
    fn set_status(&mut self, random: &mut Random, number: u32, at: DateTime) {
        let order = random.below(self.order_headers.rows.len());
        let row = &self.order_headers.rows[order];
        let next = match row.values[4].as_str() {
            "new" => "paid",
            "paid" => "shipped",
            "shipped" => "delivered",
            _ => "returned",
        };
        if !row.deleted && row.values[4] != next {
            self.order_headers.update(number, at, order, 4, next.to_owned());
        }
    }

    /// An order is deleted with all its lines.
    fn cancel_order(&mut self, random: &mut Random, number: u32, at: DateTime) {
        let order = random.below(self.order_headers.rows.len());
        if self.order_headers.rows[order].deleted {
            return;
        }
        self.order_headers.delete(number, at, order);
        let order_no = self.order_headers.rows[order].values[0].clone();
        for line in 0..self.order_lines.rows.len() {
            if self.order_lines.rows[line].values[0] == order_no {
                self.order_lines.delete(number, at, line);
            }
        }
    }
}

fn company_name(random: &mut Random, id: usize) -> String {
    format!("{} {} {} {id}", random.pick(PLACES), random.pick(TRADES), random.pick(FORMS))
}

fn document_number(index: usize) -> String {
    format!("{:08}", 7_000_013 + index * 17)
}

fn product_code(code: usize) -> String {
    format!("P{:04}", code + 1)
}

/// Every fifth company supplies.
fn supplier_id(supplier: usize) -> usize {
    (supplier + 1) * 5
}

fn random_company(number: u32, row: usize) -> usize {
    (number as usize * 31 + row) % COMPANIES
}

fn money(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

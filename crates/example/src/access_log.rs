//! Lines of a web server's access log in the combined format, as real logs have them: known and unknown visitors, all kinds of
//! devices, robots, and a few lines that nobody can read.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use jiff::civil::DateTime;

use crate::country::{address, pick_country, unknown_address};
use crate::random::Random;

/// User agents of people, as seen in the wild, with how often they come.
const BROWSERS: [(u32, &str); 11] = [
    (
        20,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    ),
    (
        6,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
    ),
    (5, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0"),
    (
        15,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    ),
    (
        12,
        "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
    ),
    (
        9,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Mobile Safari/537.36",
    ),
    (
        10,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    ),
    (
        5,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    ),
    (
        6,
        "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
    ),
    (4, "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0"),
    (
        1,
        "Mozilla/5.0 (PlayStation; PlayStation 5/8.20) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
    ),
];

/// User agents of programs.
const ROBOTS: [(u32, &str); 6] = [
    (6, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
    (4, "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"),
    (2, "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"),
    (2, "curl/8.7.1"),
    (2, "python-requests/2.32.3"),
    (1, "-"),
];

const REFERRERS: [(u32, &str); 4] = [
    (6, "-"),
    (2, "https://shop.example/"),
    (2, "https://www.google.com/"),
    (1, "https://news.example/tools?id=7&x=\\\"a\\\""),
];

/// A person with a user name, who comes back from the same address with the same device.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub username: String,
    pub address: Ipv4Addr,
    agent: &'static str,
}

impl Visitor {
    /// A visitor from the given country.
    pub fn new(random: &mut Random, username: String, country: usize) -> Self {
        Self { username, address: address(random, country), agent: random.weighted(&BROWSERS) }
    }
}

/// The pages of the site. A page is asked for more often the earlier it stands.
pub(crate) trait Site {
    /// A page for this visitor; `None` is somebody without a user name.
    fn page(&self, random: &mut Random, visitor: Option<usize>) -> String;
}

/// Whether a line can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Good,
    Malformed,
}

/// Somebody who is on the site just now.
#[derive(Clone, Copy)]
struct Guest {
    /// `None` is a stranger or a robot.
    visitor: Option<usize>,
    address: Ipv4Addr,
    agent: &'static str,
}

/// The requests to a site, one after the other. A few guests are there at any time, and each stays for a handful of requests.
pub(crate) struct Traffic<'a, S> {
    visitors: &'a [Visitor],
    site: &'a S,
    guests: Vec<Guest>,
}

impl<'a, S: Site> Traffic<'a, S> {
    const GUESTS: usize = 12;

    /// Nobody is there yet.
    pub fn new(visitors: &'a [Visitor], site: &'a S) -> Self {
        Self { visitors, site, guests: Vec::new() }
    }

    fn guest(&self, random: &mut Random) -> Guest {
        if !self.visitors.is_empty() && random.percent(62.0) {
            let index = random.skewed(self.visitors.len());
            let Visitor { address, agent, .. } = self.visitors[index];
            return Guest { visitor: Some(index), address, agent };
        }
        let address = if random.percent(4.0) {
            unknown_address(random)
        } else {
            let country = pick_country(random);
            address(random, country)
        };
        let robot = random.percent(35.0);
        Guest { visitor: None, address, agent: random.weighted(if robot { &ROBOTS[..] } else { &BROWSERS[..] }) }
    }

    /// Puts the next line of the log into `line`, which is emptied first.
    pub fn next(&mut self, line: &mut String, random: &mut Random, at: DateTime) -> Line {
        line.clear();
        let slot = random.below(Self::GUESTS);
        if slot >= self.guests.len() {
            let guest = self.guest(random);
            self.guests.push(guest);
        } else if random.percent(15.0) {
            self.guests[slot] = self.guest(random);
        }
        let Guest { visitor, address: ip, agent } = self.guests[slot.min(self.guests.len() - 1)];
        let username = visitor.map_or("-", |index| self.visitors[index].username.as_str());
        let (method, path, status) = if visitor.is_some() && random.percent(12.0) {
            ("POST", "/login".to_owned(), 302)
        } else if visitor.is_none() && random.percent(3.0) {
            ("POST", "/login".to_owned(), 401)
        } else {
            let status = random.weighted(&[(90, 200), (5, 304), (4, 404), (1, 500)]);
            (random.weighted(&[(94, "GET"), (5, "HEAD"), (1, "OPTIONS")]), self.site.page(random, visitor), status)
        };
        let bytes = if status == 304 { "-".to_owned() } else { random.between(180, 64_000).to_string() };
        let protocol = random.weighted(&[(6, "HTTP/1.1"), (4, "HTTP/2.0")]);
        let referrer = random.weighted(&REFERRERS);
        let stamp = at.strftime("%d/%b/%Y:%H:%M:%S");
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "{ip} - {username} [{stamp} +1000] \"{method} {path} {protocol}\" {status} {bytes} \"{referrer}\" \"{agent}\""
        );
        if random.percent(0.4) {
            spoil(line, random);
            return Line::Malformed;
        }
        Line::Good
    }
}

/// Makes a line unreadable, in one of the ways that disks, proxies and careless programs know.
fn spoil(line: &mut String, random: &mut Random) {
    match random.below(4) {
        // Inside the quotes: cut later, it might be a good line of the shorter common format.
        0 => line.truncate(line.find(" HTTP/").unwrap_or(0)),
        1 => *line = line.replace('"', ""),
        2 => *line = line.replace(" +1000]", "]").replacen('/', "-", 2),
        _ => {
            line.clear();
            let _ = write!(line, "worker {} exited on signal 11", random.between(100, 30_000));
        }
    }
}

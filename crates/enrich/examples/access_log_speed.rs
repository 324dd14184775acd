//! How many access-log lines a second one core reads: the parser alone, then with device, browser and country.
//!
//! `cargo run --release -p thalweg-enrich --example access_log_speed [LINES | FILE]`

use std::hint::black_box;
use std::time::Instant;

use thalweg_enrich::mmdb_writer::{CountryRange, country_database};
use thalweg_enrich::{Countries, Devices, parse_access_line};

const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
    "curl/8.6.0",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "1000000".to_owned());
    let log = match argument.parse() {
        Ok(lines) => generate(lines),
        Err(_) => std::fs::read(&argument)?,
    };
    let lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();

    let start = Instant::now();
    let read = lines.iter().filter(|line| black_box(parse_access_line(line)).is_ok()).count();
    report("parser", start, lines.len());
    println!("{} of {} lines are well-formed", read, lines.len());

    let start = Instant::now();
    let mut devices = Devices::new();
    black_box(devices.agent("curl"));
    println!("preparing the rules for user agents: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);

    let mut countries = Countries::from_bytes(country_database(&ranges())?, "generated")?;
    let start = Instant::now();
    for line in lines.iter().filter_map(|line| parse_access_line(line).ok()) {
        black_box(countries.country(line.ip));
        black_box(devices.agent(line.user_agent.unwrap_or_default()));
    }
    report("parser, device, browser and country", start, lines.len());
    Ok(())
}

fn report(what: &str, start: Instant, lines: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = lines as f64 / start.elapsed().as_secs_f64();
    println!("{what}: {rate:.0} lines/s");
}

fn generate(lines: u32) -> Vec<u8> {
    let mut state = 42_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let mut log = String::new();
    for number in 0..lines {
        let host = std::net::Ipv4Addr::from_bits((random() % (lines / 20 + 1)).wrapping_mul(2_654_435_761));
        let (second, minute, hour, day) =
            (number % 60, number / 60 % 60, number / 3_600 % 24, number / 86_400 % 28 + 1);
        let (path, size) = (random() % 1_000, random() % 60_000);
        let agent = AGENTS[random() as usize % AGENTS.len()];
        log += &format!(
            "{host} - user{path} [{day:02}/Dec/2024:{hour:02}:{minute:02}:{second:02} -0300] \"GET /product/P{path:05} HTTP/1.1\" 200 {size} \
             \"https://www.example.org/\" \"{agent}\"\n"
        );
    }
    log.into_bytes()
}

/// 5,000 ranges over all IPv4 addresses.
fn ranges() -> Vec<CountryRange> {
    let step = u32::MAX / 5_000;
    let countries = ["AU", "BR", "DE", "JP", "US"];
    let range = |number: u32| CountryRange {
        first: std::net::Ipv4Addr::from_bits(number * step).into(),
        last: std::net::Ipv4Addr::from_bits(number * step + step / 10 * 9).into(),
        country: countries[number as usize % countries.len()].to_owned(),
    };
    (0..5_000).map(range).collect()
}

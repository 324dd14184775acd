//! Device class and browser of a user agent, by the rules of uap-core (`vendor/uap-core`).
//!
//! Preparing the rules costs time and memory, so it happens at the first question, once per process.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use ua_parser::{device, os, user_agent};

/// What kind of device asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// Phones, tablets and televisions with Android.
    Android,
    /// iPhone and iPod.
    IPhone,
    /// iPad, unless it says that it is a Macintosh, as it does by default since 2019.
    IPad,
    /// Windows on any device.
    Windows,
    /// macOS.
    Macintosh,
    /// Linux on a desktop or server.
    Linux,
    /// A program that collects pages.
    Bot,
    /// All else: tools, televisions, no user agent that is known.
    Other,
}

impl Device {
    /// The word that stands in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Android => "Android",
            Self::IPhone => "iPhone",
            Self::IPad => "iPad",
            Self::Windows => "Windows",
            Self::Macintosh => "Macintosh",
            Self::Linux => "Linux",
            Self::Bot => "bot",
            Self::Other => "Other",
        }
    }
}

/// What a user agent tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The device class.
    pub device: Device,
    /// Name of the browser, bot or program (uap-core's family: `Chrome Mobile`), if it is a known one.
    pub browser: Option<Arc<str>>,
}

/// Answers for user agents, each distinct one asked of the rules once. One for each thread.
#[derive(Debug, Default)]
pub struct Devices {
    known: HashMap<Box<str>, Agent>,
    browsers: HashMap<Box<str>, Arc<str>>,
}

impl Devices {
    /// Distinct user agents that are remembered; beyond it, the memory starts anew. About 5 MB.
    const REMEMBERED: usize = 20_000;
    /// Bytes of a user agent that are looked at; nothing of use comes later, and the rules' cost grows with the length.
    const LOOKED_AT: usize = 1_000;

    /// Nothing is remembered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Device class and browser of a user agent as it stands in the log.
    pub fn agent(&mut self, user_agent: &str) -> &Agent {
        // Two look-ups, because a borrow cannot be returned on one branch only.
        if !self.known.contains_key(user_agent) {
            if self.known.len() >= Self::REMEMBERED {
                self.known.clear();
            }
            let agent = self.classify(user_agent);
            self.known.insert(user_agent.into(), agent);
        }
        &self.known[user_agent]
    }

    fn classify(&mut self, user_agent: &str) -> Agent {
        let seen = &user_agent[..user_agent.floor_char_boundary(Self::LOOKED_AT)];
        let rules = Rules::get();
        let found = rules.browsers.extract(seen).map(|found| found.family).filter(|family| !family.is_empty());
        let device = rules.device(seen, found.as_deref());
        let browser = found.map(|family| match self.browsers.get(family.as_ref()) {
            Some(shared) => shared.clone(),
            None => {
                let shared: Arc<str> = family.as_ref().into();
                self.browsers.insert(family.as_ref().into(), shared.clone());
                shared
            }
        });
        Agent { device, browser }
    }
}

/// uap-core's rules, prepared.
struct Rules {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
    /// Rules that are sure of a robot.
    robots: device::Extractor<'static>,
    /// The last device rule: words that robots have, but also some devices that uap-core recognises before it comes to this rule.
    robot_words: device::Extractor<'static>,
}

const RULES: &str = include_str!("../vendor/uap-core/rules.tsv");

impl Rules {
    fn get() -> &'static Self {
        static RULES: OnceLock<Rules> = OnceLock::new();
        RULES.get_or_init(Self::prepare)
    }

    /// The rules are a part of the program and a test prepares them, so that a mistake in them cannot reach a user.
    fn prepare() -> Self {
        const SOUND: &str = "the vendored rules are sound, which a test proves";
        let rules = |wanted: &'static str| {
            RULES.lines().filter_map(move |line| {
                let mut fields = line.split('\t');
                let (kind, regex, name) = (fields.next()?, fields.next()?, fields.next()?);
                (kind == wanted).then_some((regex, (!name.is_empty()).then_some(Cow::Borrowed(name))))
            })
        };
        let robots = |wanted: &'static str| {
            let parsers = rules(wanted).map(|(regex, name)| device::Parser {
                regex: regex.into(),
                device_replacement: name,
                ..device::Parser::default()
            });
            device::Builder::new().push_all(parsers).expect(SOUND).build().expect(SOUND)
        };
        let browsers = || {
            let parsers = rules("browser").map(|(regex, name)| user_agent::Parser {
                regex: regex.into(),
                family_replacement: name,
                ..user_agent::Parser::default()
            });
            user_agent::Builder::new().push_all(parsers).expect(SOUND).build().expect(SOUND)
        };
        let systems = || {
            let parsers = rules("system").map(|(regex, name)| os::Parser {
                regex: regex.into(),
                os_replacement: name,
                ..os::Parser::default()
            });
            os::Builder::new().push_all(parsers).expect(SOUND).build().expect(SOUND)
        };
        std::thread::scope(|scope| {
            let browsers = scope.spawn(browsers);
            Self {
                systems: systems(),
                robots: robots("robot"),
                robot_words: robots("robot word"),
                browsers: browsers.join().expect(SOUND),
            }
        })
    }

    fn device(&self, user_agent: &str, browser: Option<&str>) -> Device {
        if self.robots.extract(user_agent).is_some() || says_robot(user_agent) {
            return Device::Bot;
        }
        let system = self.systems.extract(user_agent).map(|found| found.os);
        let device = match system.as_deref() {
            Some("iOS") if user_agent.contains("iPad") => Device::IPad,
            Some("iOS") => Device::IPhone,
            Some(name) if name.starts_with("Android") || name == "Chromecast Android" => Device::Android,
            Some(name) if name.starts_with("Windows") => Device::Windows,
            Some("Mac OS X" | "Mac OS") => Device::Macintosh,
            Some(name) if is_linux(name) => Device::Linux,
            _ => Device::Other,
        };
        // A phone of the make Cubot is no robot, nor is the browser Silk.
        let known_device =
            matches!(device, Device::Android | Device::IPhone | Device::IPad) || browser == Some("Amazon Silk");
        if !known_device && self.robot_words.extract(user_agent).is_some() { Device::Bot } else { device }
    }
}

/// Marks of robots that uap-core's rules leave out: an address to complain to, and browsers without a window.
fn says_robot(user_agent: &str) -> bool {
    ["+http://", "+https://", "HeadlessChrome", "PhantomJS"].iter().any(|mark| user_agent.contains(mark))
}

fn is_linux(system: &str) -> bool {
    const DISTRIBUTIONS: &[&str] = &[
        "Linux",
        "Ubuntu",
        "Kubuntu",
        "Debian",
        "Fedora",
        "Red Hat",
        "CentOS",
        "Gentoo",
        "SUSE",
        "Mandriva",
        "Slackware",
        "PCLinuxOS",
        "Puppy",
        "Mageia",
        "Linux Mint",
        "Arch Linux",
        "VRE",
        "Iceweasel",
        "Mint",
    ];
    DISTRIBUTIONS.contains(&system) || system.ends_with("Linux") && !system.starts_with("Chromecast")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user_agent: &str, device: &str, browser: Option<&str>) {
        let mut devices = Devices::new();
        let found = devices.agent(user_agent);
        assert_eq!((found.device.as_str(), found.browser.as_deref()), (device, browser), "{user_agent}");
    }

    #[test]
    fn devices_and_browsers() {
        check(
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36",
            "Android",
            Some("Chrome Mobile"),
        );
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
            "iPhone",
            Some("Mobile Safari"),
        );
        check(
            "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
            "iPad",
            Some("Mobile Safari"),
        );
        check(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Edg/124.0",
            "Windows",
            Some("Edge"),
        );
        check(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
            "Macintosh",
            Some("Safari"),
        );
        check("Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0", "Linux", Some("Firefox"));
        check(
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
            "Linux",
            Some("Firefox"),
        );
        check("Googlebot/2.1 (+http://www.google.com/bot.html)", "bot", Some("Googlebot"));
        check(
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0 Mobile Safari/537.36 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "bot",
            Some("bingbot"),
        );
        check(
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.162 Mobile Safari/537.36",
            "Android",
            Some("Chrome Mobile"),
        );
        check(
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0.0.0 Safari/537.36",
            "bot",
            Some("HeadlessChrome"),
        );
        check("curl/8.6.0", "Other", Some("curl"));
        check("", "Other", None);
        check("größer als alles", "Other", None);
        check(&"ü".repeat(5_000), "Other", None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut devices = Devices::new();
        for number in 0..Devices::REMEMBERED + 10 {
            devices.known.insert(number.to_string().into(), Agent { device: Device::Other, browser: None });
        }
        devices.agent("curl/8.6.0");
        assert_eq!(devices.known.len(), 1);
    }
}

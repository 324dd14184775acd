//! The words that names are made of.

pub(super) const GIVEN: &[&str] = &[
    "Aaliyah", "Amelia", "Arjun", "Aroha", "Beatrix", "Caleb", "Chidi", "Dewi", "Eddie", "Fatima", "Grace", "Hana",
    "Imran", "Isla", "Jarrah", "Kiri", "Lachlan", "Mei", "Noah", "Olive", "Priya", "Quentin", "Rangi", "Sione",
    "Tahlia", "Umar", "Violet", "Wiremu", "Yuki", "Zoe",
];

pub(super) const FAMILY: &[&str] = &[
    "Adeyemi",
    "Bauer",
    "Campbell",
    "Das",
    "Evans",
    "Fonoti",
    "Gupta",
    "Hohepa",
    "Ibrahim",
    "Jansen",
    "Kaur",
    "Lim",
    "Müller",
    "Nakamura",
    "O'Brien",
    "Patel",
    "Quinn",
    "Rawiri",
    "Suzuki",
    "Tan",
    "Usman",
    "Vainikolo",
    "Williams",
    "Young",
];

pub(super) const PLACES: &[&str] = &[
    "Banksia",
    "Coorong",
    "Dandenong",
    "Eucla",
    "Flinders",
    "Gippsland",
    "Hawkesbury",
    "Illawarra",
    "Jervis",
    "Kakadu",
    "Lockyer",
    "Murray",
    "Nullarbor",
    "Otway",
    "Pilbara",
    "Snowy",
];

pub(super) const TRADES: &[&str] = &[
    "Hardware",
    "Plumbing",
    "Joinery",
    "Electrical",
    "Fasteners",
    "Timber",
    "Roofing",
    "Fencing",
    "Tools, Hire & Sales",
    "Irrigation",
];

pub(super) const FORMS: &[&str] = &["Pty Ltd", "Ltd", "Co-operative", "\"Trade\" Group"];

pub(super) const ADJECTIVES: &[&str] = &[
    "brass",
    "galvanised",
    "cordless",
    "folding",
    "stainless",
    "hardwood",
    "insulated",
    "threaded",
    "double",
    "marine",
    "adjustable",
    "slotted",
];

pub(super) const NOUNS: &[&str] = &[
    "chisel",
    "coupling",
    "dowel",
    "elbow",
    "gate-latch",
    "hose",
    "joist-hanger",
    "mallet",
    "nail-gun",
    "pulley",
    "ratchet",
    "screw",
    "spirit-level",
    "tap",
    "tarp",
    "trowel",
    "washer",
    "winch",
];

pub(super) const STATUS: &[(u32, &str)] =
    &[(1, "new"), (2, "paid"), (3, "shipped"), (13, "delivered"), (1, "returned")];

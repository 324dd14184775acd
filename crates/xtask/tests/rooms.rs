//! Who may look into which room: the table in ARCHITECTURE.md against the dependencies that cargo sees.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use thalweg_xtask::workspace_root;

/// What the table says of a room.
enum MayUse {
    /// These rooms.
    Rooms(BTreeSet<String>),
    /// Every room: the binary.
    All,
    /// Every room, and no room may use it but in tests: tools of the workspace.
    Tool,
}

/// Rows of the form ``| `room` | what lives there | rooms it may use |``.
fn table() -> BTreeMap<String, MayUse> {
    let text = std::fs::read_to_string(workspace_root().join("ARCHITECTURE.md")).unwrap();
    let mut rooms = BTreeMap::new();
    let rows = text.lines().skip_while(|line| !line.starts_with("| crate ")).skip(2);
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let names: Vec<&str> = cells[0].split(',').map(|name| name.trim().trim_matches('`')).collect();
        for name in &names {
            let may_use = match *cells.last().unwrap() {
                _ if names.len() > 1 => MayUse::Tool,
                "all" => MayUse::All,
                "" => MayUse::Rooms(BTreeSet::new()),
                list => MayUse::Rooms(list.split(',').map(|room| room.trim().to_owned()).collect()),
            };
            rooms.insert((*name).to_owned(), may_use);
        }
    }
    rooms
}

/// Each crate of the workspace with the rooms it depends on, and whether only its tests do.
fn dependencies() -> BTreeMap<String, BTreeSet<(String, bool)>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(workspace_root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let room = |name: &str| name.strip_prefix("thalweg-").map(str::to_owned);
    let mut crates = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = room(package["name"].as_str().unwrap()).expect("crates are named thalweg-<room>");
        let uses = package["dependencies"].as_array().unwrap().iter();
        let uses = uses.filter_map(|dependency| {
            let room = room(dependency["name"].as_str().unwrap())?;
            Some((room, dependency["kind"].as_str() == Some("dev")))
        });
        crates.insert(name, uses.collect());
    }
    crates
}

#[test]
fn every_room_uses_only_rooms_it_may_use() {
    let table = table();
    let mut wrong = Vec::new();
    for (name, uses) in dependencies() {
        let Some(may_use) = table.get(&name) else {
            wrong.push(format!("`{name}` is not in the table"));
            continue;
        };
        for (used, in_tests_only) in uses {
            let is_tool = matches!(table.get(&used), Some(MayUse::Tool));
            let allowed = match may_use {
                MayUse::Tool => true,
                _ if in_tests_only && (is_tool || used == "example") => true,
                MayUse::All => !is_tool,
                MayUse::Rooms(rooms) => rooms.contains(&used),
            };
            if !allowed {
                wrong.push(format!("`{name}` uses `{used}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the table of rooms in ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn arrows_point_one_way() {
    let mut left: BTreeMap<String, BTreeSet<String>> = dependencies()
        .into_iter()
        .map(|(name, uses)| (name, uses.into_iter().filter(|(_, in_tests)| !in_tests).map(|(used, _)| used).collect()))
        .collect();
    while let Some(free) = left.iter().find(|(_, uses)| uses.is_empty()).map(|(name, _)| name.clone()) {
        left.remove(&free);
        for uses in left.values_mut() {
            uses.remove(&free);
        }
    }
    assert!(left.is_empty(), "these use each other in a circle: {:?}", left.keys());
}

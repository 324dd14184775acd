//! Whether a case went as its file says.

use crate::case::{Case, Expected};
use crate::check::{Refreshed, Verdict};

/// What is not as expected; `None` when all is.
pub fn judge(case: &Case, verdict: &Verdict) -> Option<String> {
    let reasons: Vec<String> = match verdict {
        Verdict::Invalid(error) => return Some(format!("the engine does not take it: {error}")),
        Verdict::Wrong(fault) => {
            let statements = fault.statements.join("\n    ");
            return Some(format!("{} in refresh {}: {}\n    {statements}", fault.kind, fault.refresh, fault.message));
        }
        Verdict::Obstacle(reason) => vec![reason.clone()],
        Verdict::Right { refreshes, .. } => refreshes
            .iter()
            .filter_map(|refresh| match refresh {
                Refreshed::Full(reason) => Some(reason.clone()),
                Refreshed::Failed(error, statement) => Some(format!("{error}: {statement}")),
                Refreshed::Nothing | Refreshed::Keys { .. } | Refreshed::Added(_) => None,
            })
            .collect(),
    };
    match &case.expected {
        Expected::Any => None,
        Expected::Incremental => reasons.first().map(|reason| format!("refreshed in full: {reason}")),
        Expected::Full(part) if reasons.iter().any(|reason| reason.contains(part)) => None,
        Expected::Full(part) if reasons.is_empty() => Some(format!("refreshed by keys, not in full ({part})")),
        Expected::Full(part) => Some(format!("in full for another reason than `{part}`: {}", reasons[0])),
    }
}

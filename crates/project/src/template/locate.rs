//! From a place in rendered SQL back to the place in the file.

use std::ops::Range;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp};

/// The span of the file that a span of the rendered text came from.
///
/// Both texts are compared word by word. The answer is `None` where the span, or the word it begins or ends in, was made by the template.
/// Where the texts are the same, the answer is the span itself.
pub fn locate(original: &str, rendered: &str, rendered_span: Range<usize>) -> Option<Range<usize>> {
    if rendered_span.start > rendered_span.end || rendered_span.end > rendered.len() {
        return None;
    }
    if original == rendered {
        return Some(rendered_span);
    }
    let old = words(original);
    let new = words(rendered);
    let old_texts: Vec<&str> = old.iter().map(|word| &original[word.clone()]).collect();
    let new_texts: Vec<&str> = new.iter().map(|word| &rendered[word.clone()]).collect();
    // Only ever for the sake of a message; a text that takes longer is one large change.
    let deadline = Instant::now() + Duration::from_millis(200);
    let operations = similar::capture_diff_slices_deadline(Algorithm::Myers, &old_texts, &new_texts, Some(deadline));
    let place = |at: usize, is_end: bool| -> Option<usize> {
        let index = new.iter().position(|word| {
            if is_end { word.start < at && at <= word.end } else { word.start <= at && at < word.end }
        })?;
        let offset = at - new[index].start;
        operations.iter().find_map(|operation| match operation {
            DiffOp::Equal { old_index, new_index, len } if (*new_index..new_index + len).contains(&index) => {
                Some(old[old_index + index - new_index].start + offset)
            }
            _ => None,
        })
    };
    if rendered_span.is_empty() {
        let at = place(rendered_span.start, false).or_else(|| place(rendered_span.start, true))?;
        return Some(at..at);
    }
    let range = place(rendered_span.start, false)?..place(rendered_span.end, true)?;
    (range.start <= range.end).then_some(range)
}

/// Words, runs of white space, and single other characters.
fn words(text: &str) -> Vec<Range<usize>> {
    #[derive(PartialEq, Clone, Copy)]
    enum Kind {
        Word,
        Space,
        Other,
    }
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut last = Kind::Other;
    for (at, character) in text.char_indices() {
        let kind = match character {
            c if c.is_alphanumeric() || c == '_' => Kind::Word,
            c if c.is_whitespace() => Kind::Space,
            _ => Kind::Other,
        };
        let end = at + character.len_utf8();
        match words.last_mut() {
            Some(word) if kind == last && kind != Kind::Other => word.end = end,
            _ => words.push(at..end),
        }
        last = kind;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(original: &str, rendered: &str, part: &str) -> Option<(usize, String)> {
        let at = rendered.find(part).expect("part of the rendered text");
        let span = locate(original, rendered, at..at + part.len())?;
        Some((span.start, original[span].to_owned()))
    }

    #[test]
    fn what_the_template_left_alone_is_found() {
        let original = "{{ config(materialized='view') }}\nselect amonut, {{ var('x') }} as currency\nfrom {{ ref('orders') }} o\nwhere o.ok\n";
        let rendered = "\nselect amonut, 'AUD' as currency\nfrom store.orders o\nwhere o.ok\n";
        assert_eq!(located(original, rendered, "amonut"), Some((41, "amonut".to_owned())));
        assert_eq!(located(original, rendered, "o.ok").map(|(_, text)| text), Some("o.ok".to_owned()));
        assert_eq!(
            located(original, rendered, "select amonut, 'AUD' as currency").map(|(_, text)| text),
            Some("select amonut, {{ var('x') }} as currency".to_owned())
        );
        assert_eq!(located(original, rendered, "AUD"), None);
        assert_eq!(located(original, rendered, "store.orders"), None);
    }

    #[test]
    fn the_same_text_maps_to_itself() {
        assert_eq!(locate("select 1", "select 1", 7..8), Some(7..8));
        assert_eq!(locate("select 1", "select 1", 7..9), None);
    }
}

//! Which columns of a stream are taken.

/// `select: [name, -name]`: with any plain name only those are taken, then those with a minus are left out. A name may be written
/// as in the store or as at the source.
pub fn is_selected(select: &[String], name: &str, source_name: &str) -> bool {
    let is = |selected: &str| selected == name || selected.eq_ignore_ascii_case(source_name);
    let mut taken = select.iter().filter(|selected| !selected.starts_with('-')).peekable();
    (taken.peek().is_none() || taken.any(|selected| is(selected)))
        && !select.iter().filter_map(|selected| selected.strip_prefix('-')).any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection() {
        let select =
            |list: &[&str], name| is_selected(&list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(), name, name);
        assert!(
            select(&[], "a")
                && select(&["a"], "a")
                && !select(&["a"], "b")
                && !select(&["-a"], "a")
                && select(&["-a"], "b")
        );
    }
}

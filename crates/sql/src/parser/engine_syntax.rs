//! What DuckDB writes and `sqlparser` does not read, put into words that it does.
//!
//! Tokens change, their places do not, so every span stays a span of the user's text; the text itself is never touched.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace, Word};

/// Adapts the tokens of a query in place. What it does not know it leaves to the parser's error.
pub(super) fn adapt(tokens: &mut [TokenWithSpan]) {
    let significant: Vec<usize> = (0..tokens.len()).filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_))).collect();
    for at in 0..significant.len() {
        joins(tokens, &significant[at..]);
        if tokens[significant[at]].token == Token::LBracket {
            comprehension(tokens, &significant[at..]);
        }
    }
}

/// `a ASOF [LEFT] JOIN b` and `a POSITIONAL JOIN b` read the same tables as joins of the common kind.
fn joins(tokens: &mut [TokenWithSpan], ahead: &[usize]) {
    let word = |offset: usize| ahead.get(offset).and_then(|at| unquoted(&tokens[*at].token)).unwrap_or_default();
    let joined = matches!(word(1).as_str(), "join" | "left" | "right" | "full" | "inner") ;
    match word(0).as_str() {
        "asof" if joined => tokens[ahead[0]].token = Token::Whitespace(Whitespace::Space),
        "positional" if word(1) == "join" => {
            tokens[ahead[0]].token =
                Token::Word(Word { value: "CROSS".to_owned(), quote_style: None, keyword: Keyword::CROSS });
        }
        _ => {}
    }
}

/// `[f(x) for x in list if p(x)]` becomes `[f(x) , list , p(x)]`: the same tables, functions and columns.
fn comprehension(tokens: &mut [TokenWithSpan], ahead: &[usize]) {
    let mut depth = 0_usize;
    let (mut bound, mut condition) = (None, None);
    for (offset, at) in ahead.iter().enumerate() {
        match &tokens[*at].token {
            Token::LBracket | Token::LParen | Token::LBrace => depth += 1,
            Token::RBracket | Token::RParen | Token::RBrace if depth == 1 => break,
            Token::RBracket | Token::RParen | Token::RBrace => depth -= 1,
            token if depth == 1 => match unquoted(token).as_deref() {
                Some("for") if bound.is_none() => {
                    // `for x in` or `for x, i in`
                    let is_in = |ahead_of: usize| {
                        ahead.get(offset + ahead_of).and_then(|at| unquoted(&tokens[*at].token)).as_deref() == Some("in")
                    };
                    match (is_in(2), is_in(4)) {
                        (true, _) => bound = Some((offset, offset + 2)),
                        (false, true) => bound = Some((offset, offset + 4)),
                        _ => return,
                    }
                }
                Some("if") if bound.is_some() => condition = Some(offset),
                _ => {}
            },
            _ => {}
        }
    }
    let Some((from, to)) = bound else { return };
    tokens[ahead[from]].token = Token::Comma;
    for at in &ahead[from + 1..=to] {
        tokens[*at].token = Token::Whitespace(Whitespace::Space);
    }
    if let Some(condition) = condition {
        tokens[ahead[condition]].token = Token::Comma;
    }
}

fn unquoted(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_lowercase()),
        _ => None,
    }
}

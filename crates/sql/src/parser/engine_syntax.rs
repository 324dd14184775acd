//! What engines write and `sqlparser` does not read, put into words that it does.
//!
//! Tokens change, their places do not, so every span stays a span of the user's text; the text itself is never touched. Only the
//! facts must survive: an `ASOF JOIN` may become a plain one, because it reads the same tables and columns.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Whitespace};

use crate::dialect::Grammar;

/// The tokens for the parser, and the places of what the parser does not see.
pub(super) struct Adapted {
    pub(super) tokens: Vec<TokenWithSpan>,
    pub(super) samples: Vec<Span>,
    /// Where something was taken away or put into other words that changes which columns a query has: what it was.
    pub(super) hidden: Vec<(Span, Hidden)>,
}

/// What the parser does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hidden {
    /// `(s).*`: the fields of a struct.
    StructStar,
    /// `*columns(...)` as arguments.
    UnpackedColumns,
    /// `#1`: a column by its position.
    Ordinal,
    /// `[f(x) for x in list if p(x)]`: the whole, the range of `list`, and the variables.
    Comprehension {
        /// Where the list stands, in which the variables do not mean anything.
        list: Span,
        /// The variables.
        variables: Vec<String>,
    },
    /// `* NOT LIKE`, `* SIMILAR TO` and their like: columns by a pattern that is not `ILIKE`.
    StarPattern,
}

/// Adapts the tokens of a query. What it does not know it leaves to the parser's error.
pub(super) fn adapt(tokens: &[TokenWithSpan], grammar: Grammar) -> Adapted {
    let mut text = Text {
        tokens: tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).cloned().collect(),
        samples: Vec::new(),
        hidden: Vec::new(),
    };
    for at in 0..text.tokens.len() {
        if grammar != Grammar::DuckDb {
            text.common_table(at);
            text.sample(at);
            continue;
        }
        text.operator(at);
        text.join(at);
        text.comprehension(at);
        text.window_frame(at);
        text.common_table(at);
        text.sample(at);
        text.star(at);
        text.pivot(at);
    }
    text.complete();
    Adapted { tokens: text.tokens, samples: text.samples, hidden: text.hidden }
}

/// A query without its blanks and comments.
struct Text {
    tokens: Vec<TokenWithSpan>,
    samples: Vec<Span>,
    hidden: Vec<(Span, Hidden)>,
}

impl Text {
    /// The unquoted word at a place, in lower case; empty for all else.
    fn word(&self, at: usize) -> String {
        match self.tokens.get(at).map(|token| &token.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    fn is(&self, at: usize, token: &Token) -> bool {
        self.tokens.get(at).is_some_and(|found| found.token == *token)
    }

    fn blank(&mut self, places: impl IntoIterator<Item = usize>) {
        for at in places {
            if let Some(token) = self.tokens.get_mut(at) {
                token.token = Token::Whitespace(Whitespace::Space);
            }
        }
    }

    /// Notes what stands from one token to another.
    fn hide(&mut self, first: usize, last: usize, what: Hidden) {
        if let (Some(first), Some(last)) = (self.tokens.get(first), self.tokens.get(last)) {
            self.hidden.push((Span::new(first.span.start, last.span.end), what));
        }
    }

    fn put(&mut self, at: usize, token: Token) {
        if let Some(place) = self.tokens.get_mut(at) {
            place.token = token;
        }
    }

    /// The place of the bracket that closes the one at `at`.
    fn closing(&self, at: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (offset, token) in self.tokens.get(at..)?.iter().enumerate() {
            match token.token {
                Token::LBracket | Token::LParen | Token::LBrace => depth += 1,
                Token::RBracket | Token::RParen | Token::RBrace if depth <= 1 => {
                    return (depth == 1).then_some(at + offset);
                }
                Token::RBracket | Token::RParen | Token::RBrace => depth -= 1,
                _ => {}
            }
        }
        None
    }

    /// Operators and literals that only differ in how they are written.
    fn operator(&mut self, at: usize) {
        match &self.tokens[at].token {
            Token::EscapedStringLiteral(text) => {
                let text = Token::SingleQuotedString(text.clone());
                self.put(at, text);
            }
            // `*columns(...)` as arguments, `(s).*`
            Token::Mul
                if at > 0
                    && self.word(at + 1) == "columns"
                    && matches!(self.tokens[at - 1].token, Token::LParen | Token::Comma) =>
            {
                self.hide(at, at + 1, Hidden::UnpackedColumns);
                self.blank([at]);
            }
            Token::RParen if self.is(at + 1, &Token::Period) && self.is(at + 2, &Token::Mul) => {
                self.hide(at + 1, at + 2, Hidden::StructStar);
                self.blank([at + 1, at + 2])
            }
            // `a ** b`, `a ^@ b`
            Token::Mul if self.is(at + 1, &Token::Mul) && self.touch(at) => self.blank([at + 1]),
            Token::CaretAt => self.put(at, Token::Caret),
            // `order by #1`
            Token::Sharp if matches!(self.tokens.get(at + 1).map(|next| &next.token), Some(Token::Number(..))) => {
                self.hide(at, at + 1, Hidden::Ordinal);
                self.blank([at])
            }
            // `limit 10%`
            Token::Mod if at >= 2 && self.word(at - 2) == "limit" => {
                let ends = self
                    .tokens
                    .get(at + 1)
                    .is_none_or(|next| matches!(next.token, Token::RParen | Token::SemiColon | Token::EOF));
                if ends || self.word(at + 1) == "offset" {
                    self.blank([at]);
                }
            }
            Token::Word(_) => match self.word(at).as_str() {
                // `x in list`, `x not in list`: a comparison with a value.
                "in" if at > 0 && !self.is(at + 1, &Token::LParen) && !self.is(at - 1, &Token::Period) => {
                    self.put(at, Token::Eq);
                    if self.word(at - 1) == "not" {
                        self.blank([at - 1]);
                    }
                }
                "symmetric" if at > 0 && self.word(at - 1) == "between" => self.blank([at]),
                "glob" if at > 0 && self.ends_operand(at - 1) && !self.is(at + 1, &Token::LParen) => {
                    self.put(at, Token::make_keyword("LIKE"));
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn touch(&self, at: usize) -> bool {
        self.tokens[at].span.end == self.tokens[at + 1].span.start
    }

    /// Whether a value may end here, so that the next word can be an operator.
    fn ends_operand(&self, at: usize) -> bool {
        match &self.tokens[at].token {
            Token::Word(word) => {
                word.keyword == Keyword::NoKeyword
                    || word.quote_style.is_some()
                    || !matches!(
                        word.keyword,
                        Keyword::SELECT
                            | Keyword::FROM
                            | Keyword::JOIN
                            | Keyword::WHERE
                            | Keyword::AND
                            | Keyword::OR
                            | Keyword::ON
                            | Keyword::BY
                    )
            }
            Token::Comma | Token::LParen | Token::Period => false,
            _ => true,
        }
    }

    /// `a ASOF [LEFT] JOIN b` and `a POSITIONAL JOIN b` become joins that are marked: `GLOBAL`, which DuckDB does not have. A positional
    /// one has no condition, by which it is told from the other.
    fn join(&mut self, at: usize) {
        let next = self.word(at + 1);
        match self.word(at).as_str() {
            "asof" if matches!(next.as_str(), "join" | "left" | "right" | "full" | "inner") => {
                self.put(at, Token::make_keyword("GLOBAL"));
            }
            "positional" if next == "join" => self.put(at, Token::make_keyword("GLOBAL")),
            _ => {}
        }
    }

    /// `[f(x) for x in list if p(x)]` becomes `[f(x) , list , p(x)]`: the same tables, functions and columns.
    fn comprehension(&mut self, open: usize) {
        let Some(close) = self.is(open, &Token::LBracket).then(|| self.closing(open)).flatten() else { return };
        let mut at = open + 1;
        let mut bound = false;
        let mut variables_of = Vec::new();
        let (mut list_start, mut list_end) = (close, close);
        while at < close {
            match self.tokens[at].token {
                Token::LBracket | Token::LParen | Token::LBrace => at = self.closing(at).unwrap_or(close),
                _ => match self.word(at).as_str() {
                    // `for x in` or `for x, i in`
                    "for" if !bound => {
                        let variables = if self.word(at + 2) == "in" { 2 } else { 4 };
                        if self.word(at + variables) != "in" {
                            return;
                        }
                        let named = (at + 1..at + variables).filter_map(|name| match &self.tokens[name].token {
                            Token::Word(word) => Some(word.value.clone()),
                            _ => None,
                        });
                        variables_of = named.collect();
                        list_start = at + variables + 1;
                        self.put(at, Token::Comma);
                        self.blank(at + 1..=at + variables);
                        bound = true;
                    }
                    "if" if bound => {
                        list_end = at;
                        self.put(at, Token::Comma);
                    }
                    _ => {}
                },
            }
            at += 1;
        }
        if bound && list_start < list_end {
            let list = Span::new(self.tokens[list_start].span.start, self.tokens[list_end - 1].span.end);
            self.hide(open, close, Hidden::Comprehension { list, variables: variables_of });
        }
    }

    /// `EXCLUDE TIES` and its like at the end of a window frame.
    fn window_frame(&mut self, at: usize) {
        if self.word(at) != "exclude" {
            return;
        }
        let words = match (self.word(at + 1).as_str(), self.word(at + 2).as_str()) {
            ("no", "others") | ("current", "row") => 3,
            ("ties" | "group", _) => 2,
            _ => return,
        };
        if self.is(at + words, &Token::RParen) {
            self.blank(at..at + words);
        }
    }

    /// `AS [NOT] MATERIALIZED (` and `USING KEY (...) AS (` of a CTE.
    fn common_table(&mut self, at: usize) {
        match self.word(at).as_str() {
            "materialized" if at > 0 && self.is(at + 1, &Token::LParen) => {
                let before = self.word(at - 1);
                if before == "as" {
                    self.blank([at]);
                } else if before == "not" && at > 1 && self.word(at - 2) == "as" {
                    self.blank([at - 1, at]);
                }
            }
            "using" if self.word(at + 1) == "key" && self.is(at + 2, &Token::LParen) => {
                if let Some(close) = self.closing(at + 2)
                    && self.word(close + 1) == "as"
                {
                    self.blank(at..=close);
                }
            }
            _ => {}
        }
    }

    /// `TABLESAMPLE ...` and `USING SAMPLE ...`
    fn sample(&mut self, at: usize) {
        let mut end = match (self.word(at).as_str(), self.word(at + 1).as_str()) {
            ("tablesample", _) => at + 1,
            ("using", "sample") => at + 2,
            _ => return,
        };
        if !self.word(end).is_empty() {
            end += 1;
        } else if matches!(self.tokens.get(end).map(|token| &token.token), Some(Token::Number(..))) {
            end += 1;
            if self.is(end, &Token::Mod) || matches!(self.word(end).as_str(), "percent" | "rows") {
                end += 1;
            }
        }
        for _ in 0..2 {
            if self.is(end, &Token::LParen) {
                end = self.closing(end).map_or(end, |close| close + 1);
            }
            if self.word(end) == "repeatable" {
                end += 1;
            }
        }
        if let (Some(first), Some(last)) = (self.tokens.get(at), self.tokens.get(end - 1)) {
            self.samples.push(Span::new(first.span.start, last.span.end));
        }
        self.blank(at..end);
    }

    /// `* LIKE 'x%'`, `* NOT SIMILAR TO 'x'`: columns by pattern.
    fn star(&mut self, at: usize) {
        if !self.is(at, &Token::Mul) {
            return;
        }
        let not = usize::from(self.word(at + 1) == "not");
        let operator = at + 1 + not;
        let written = self.word(operator);
        match written.as_str() {
            "like" | "glob" => self.put(operator, Token::make_keyword("ILIKE")),
            "similar" => {
                self.put(operator, Token::make_keyword("ILIKE"));
                self.blank([operator + 1]);
            }
            "ilike" => {}
            _ => return,
        }
        if not == 1 || written != "ilike" {
            self.hide(at, operator, Hidden::StarPattern);
        }
        self.blank(at + 1..operator);
    }

    /// `GROUP BY` within the parentheses of a pivot.
    fn pivot(&mut self, at: usize) {
        if self.word(at) != "pivot" || !self.is(at + 1, &Token::LParen) {
            return;
        }
        let Some(close) = self.closing(at + 1) else { return };
        let mut inside = at + 2;
        while inside < close {
            if self.is(inside, &Token::LParen) {
                inside = self.closing(inside).unwrap_or(close);
            } else if self.word(inside) == "group" && self.word(inside + 1) == "by" {
                self.blank(inside..close);
                return;
            }
            inside += 1;
        }
    }

    /// `from t where x` becomes `from t select * where x`, and `filter (x)` of an aggregate `filter (where x)`.
    fn complete(&mut self) {
        let mut inserts = Vec::new();
        for at in 0..self.tokens.len() {
            match self.word(at).as_str() {
                "from" if self.begins_query(at) => {
                    inserts.extend(self.place_of_select(at).map(|place| (place, ["SELECT", "*"].as_slice())));
                }
                "filter"
                    if at > 0
                        && self.is(at - 1, &Token::RParen)
                        && self.is(at + 1, &Token::LParen)
                        && self.word(at + 2) != "where" =>
                {
                    inserts.push((at + 2, ["WHERE"].as_slice()));
                }
                _ => {}
            }
        }
        inserts.sort_by_key(|(at, _)| *at);
        for (at, words) in inserts.into_iter().rev() {
            let Some(start) = self.tokens.get(at).map(|token| token.span.start) else { continue };
            for word in words.iter().rev() {
                let token = if *word == "*" { Token::Mul } else { Token::make_keyword(word) };
                self.tokens.insert(at, TokenWithSpan::new(token, Span::new(start, start)));
            }
        }
    }

    /// Whether the `FROM` at a place stands where a query begins.
    fn begins_query(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else { return true };
        match self.word(before).as_str() {
            // `a is distinct from b`
            "distinct" if before > 0 && matches!(self.word(before - 1).as_str(), "is" | "not") => false,
            "union" | "except" | "intersect" | "all" | "distinct" => true,
            // `union by name from t`, but not `select name from t`.
            "name" => before > 0 && self.word(before - 1) == "by",
            _ if self.is(before, &Token::LParen) => true,
            // After the last CTE: nothing but CTEs back to the WITH of this level.
            _ if self.is(before, &Token::RParen) => {
                let mut depth = 0_usize;
                for back in (0..at).rev() {
                    match self.tokens[back].token {
                        Token::RParen => depth += 1,
                        Token::LParen if depth == 0 => return false,
                        Token::LParen => depth -= 1,
                        _ if depth > 0 => {}
                        _ => match self.word(back).as_str() {
                            "select" | "from" | "values" => return false,
                            "with" => return true,
                            _ => {}
                        },
                    }
                }
                false
            }
            _ => false,
        }
    }

    /// Where a `SELECT *` must come so that what follows the `FROM` list can be read; `None` where nothing is needed.
    fn place_of_select(&self, from: usize) -> Option<usize> {
        let mut at = from + 1;
        while at < self.tokens.len() {
            match self.tokens[at].token {
                Token::LParen | Token::LBracket | Token::LBrace => at = self.closing(at)?,
                Token::RParen | Token::SemiColon | Token::EOF => return None,
                _ => match self.word(at).as_str() {
                    _ if self.is(at - 1, &Token::Period) => {}
                    "where" | "group" | "having" | "qualify" | "window" => return Some(at),
                    "select" | "union" | "except" | "intersect" | "order" | "limit" | "offset" => return None,
                    _ => {}
                },
            }
            at += 1;
        }
        None
    }
}

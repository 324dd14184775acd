//! Where an expression stands in the text.
//!
//! The syntax tree keeps the places of names and literals only. An expression's place is found by reading its tokens once more: the
//! start nearest to its first name at which the parser makes the very same tree. So a place is proven, or there is none.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{Expr, Value, ValueWithSpan, Visit, Visitor};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use crate::parser::positions::Positions;

/// How far before its first name an expression may begin, in tokens.
const REACH: usize = 40;

/// How much of the text an expression takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// As much as possible.
    Whole,
    /// Up to the next AND.
    Conjunct,
    /// What an operator around it leaves.
    Tight,
}

pub(super) struct Places<'a> {
    positions: &'a Positions<'a>,
    parser: Parser<'a>,
    /// Precedences, the loosest first: of AND, and those at which a piece of an expression may end.
    conjunct: u8,
    tight: Vec<u8>,
    tokens: Vec<TokenWithSpan>,
}

impl<'a> Places<'a> {
    pub(super) fn new(
        positions: &'a Positions<'a>,
        parser: Parser<'a>,
        grammar: &dyn Dialect,
        tokens: Vec<TokenWithSpan>,
    ) -> Self {
        let tight = [
            Precedence::And,
            Precedence::Is,
            Precedence::Like,
            Precedence::Eq,
            Precedence::Between,
            Precedence::Pipe,
            Precedence::PlusMinus,
            Precedence::MulDivModOp,
            Precedence::DoubleColon,
        ];
        Self {
            positions,
            parser,
            conjunct: grammar.prec_value(Precedence::And),
            tight: tight.into_iter().map(|precedence| grammar.prec_value(precedence)).collect(),
            tokens,
        }
    }

    pub(super) fn range(&self, span: Span) -> Range<usize> {
        self.positions.range(span)
    }

    /// The place of an expression; `None` where it cannot be proven.
    pub(super) fn of(&mut self, expression: &Expr, extent: Extent) -> Option<Range<usize>> {
        let (first, last) = reach(expression)?;
        let start = self
            .tokens
            .partition_point(|token| (token.span.start.line, token.span.start.column) < (first.line, first.column));
        let mut tried = 0;
        for at in (0..=start.min(self.tokens.len().checked_sub(1)?)).rev() {
            // Inserted tokens stand nowhere; blanks are no start.
            let token = self.tokens[at].clone();
            if matches!(token.token, Token::Whitespace(_) | Token::EOF) || token.span.start == token.span.end {
                continue;
            }
            if tried == REACH || matches!(token.token, Token::SemiColon) {
                return None;
            }
            tried += 1;
            let Some(end) = self.reads(at, expression, extent) else { continue };
            let end =
                self.tokens.get(..end)?.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)))?;
            if (end.span.end.line, end.span.end.column) < (last.line, last.column) {
                continue;
            }
            let range = self.positions.offset(token.span.start)..self.positions.offset(end.span.end);
            return (!range.is_empty()).then_some(range);
        }
        None
    }

    /// Where the expression ends (the first token after it) if it begins at this token.
    fn reads(&mut self, at: usize, expression: &Expr, extent: Extent) -> Option<usize> {
        let precedences = match extent {
            Extent::Whole => vec![0],
            Extent::Conjunct => vec![self.conjunct],
            Extent::Tight => std::iter::once(0).chain(self.tight.iter().copied()).collect(),
        };
        for precedence in precedences {
            self.go(at)?;
            if self.parser.parse_subexpr(precedence).is_ok_and(|read| read == *expression) {
                return Some(self.parser.index());
            }
        }
        None
    }

    /// Puts the parser before a token that is no blank.
    fn go(&mut self, at: usize) -> Option<()> {
        while self.parser.index() > at {
            self.parser.prev_token();
        }
        while self.parser.index() < at {
            // The parser skips blanks before a token, so what is before the next one is passed by one step at most.
            let before = self.parser.index();
            self.parser.advance_token();
            if self.parser.index() > at {
                return self
                    .tokens
                    .get(before..at)?
                    .iter()
                    .all(|token| matches!(token.token, Token::Whitespace(_)))
                    .then(|| {
                        self.parser.prev_token();
                    });
            }
        }
        Some(())
    }

    /// The text from the token that begins at `start` to the end of its query: the closing parenthesis, a set operator, `ORDER BY`.
    pub(super) fn query_from(&self, start: usize) -> Range<usize> {
        let first = self.tokens.partition_point(|token| self.positions.offset(token.span.start) < start);
        let mut depth = 0_usize;
        let mut end = start;
        for token in self.tokens.get(first..).unwrap_or_default() {
            match &token.token {
                Token::Whitespace(_) => continue,
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => break,
                Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
                Token::SemiColon | Token::EOF => break,
                Token::Word(word) if depth == 0 && word.quote_style.is_none() => {
                    let word = word.value.to_ascii_lowercase();
                    if matches!(
                        word.as_str(),
                        "union" | "intersect" | "except" | "order" | "limit" | "offset" | "fetch"
                    ) {
                        break;
                    }
                }
                _ => {}
            }
            end = self.positions.offset(token.span.end);
        }
        start..end.max(start)
    }

    /// The tokens from the one that begins at `start`, without blanks.
    pub(super) fn tokens_from(&self, start: usize) -> impl Iterator<Item = (Range<usize>, &Token)> {
        let first = self.tokens.partition_point(|token| self.positions.offset(token.span.start) < start);
        let rest = self.tokens.get(first..).unwrap_or_default().iter();
        rest.filter(|token| !matches!(token.token, Token::Whitespace(_)))
            .map(|token| (self.positions.range(token.span), &token.token))
    }

    /// The range of a call: its name and the parentheses that follow.
    pub(super) fn call(&self, name: Range<usize>) -> Range<usize> {
        let first = self.tokens.partition_point(|token| self.positions.offset(token.span.start) < name.end);
        let mut depth = 0_usize;
        for token in self.tokens.get(first..).unwrap_or_default() {
            match &token.token {
                Token::Whitespace(_) => {}
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace if depth == 1 => {
                    return name.start..self.positions.offset(token.span.end);
                }
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                _ if depth == 0 => break,
                _ => {}
            }
        }
        name
    }

    /// Where this word stands, if it is the one before a place.
    pub(super) fn word_before(&self, place: usize, word: &str) -> Option<usize> {
        let at = self.tokens.partition_point(|token| self.positions.offset(token.span.start) < place);
        let before = self.tokens.get(..at)?.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)))?;
        match &before.token {
            Token::Word(found) if found.value.eq_ignore_ascii_case(word) => {
                Some(self.positions.offset(before.span.start))
            }
            _ => None,
        }
    }

    /// The parentheses that follow a word, which comes after `from` and outside of others: `over (...)`.
    pub(super) fn parentheses_after(&self, from: usize, word: &str) -> Option<Range<usize>> {
        let first = self.tokens.partition_point(|token| self.positions.offset(token.span.start) < from);
        let mut depth = 0_usize;
        let mut found = false;
        for token in self.tokens.get(first..)? {
            match &token.token {
                Token::Whitespace(_) => {}
                Token::LParen if depth == 0 && found => {
                    let start = self.positions.offset(token.span.start);
                    return Some(self.call(start..start));
                }
                _ if depth == 0 && found => return None,
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.checked_sub(1)?,
                Token::Word(found_word) if depth == 0 => {
                    found = found_word.quote_style.is_none() && found_word.value.eq_ignore_ascii_case(word);
                }
                Token::EOF | Token::SemiColon => return None,
                _ => {}
            }
        }
        None
    }

    /// Where the last of these words stands directly within parentheses.
    pub(super) fn last_word_within(&self, parentheses: &Range<usize>, words: &[&str]) -> Option<usize> {
        let first = self.tokens.partition_point(|token| self.positions.offset(token.span.start) <= parentheses.start);
        let mut depth = 0_usize;
        let mut found = None;
        for token in self.tokens.get(first..)? {
            if self.positions.offset(token.span.end) >= parentheses.end {
                break;
            }
            match &token.token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.checked_sub(1)?,
                Token::Word(word)
                    if depth == 0
                        && word.quote_style.is_none()
                        && words.iter().any(|one| word.value.eq_ignore_ascii_case(one)) =>
                {
                    found = Some(self.positions.offset(token.span.start));
                }
                _ => {}
            }
        }
        found
    }

    /// Where the ORDER BY of the query that begins at `start` ends or would stand: before LIMIT and its like, or at the end.
    pub(super) fn order_end(&self, start: usize) -> Option<usize> {
        let first = self.tokens.partition_point(|token| self.positions.offset(token.span.start) < start);
        let mut depth = 0_usize;
        let mut end = None;
        for token in self.tokens.get(first..)? {
            match &token.token {
                Token::Whitespace(_) => continue,
                Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => break,
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
                Token::SemiColon | Token::EOF => break,
                Token::Word(word)
                    if depth == 0
                        && word.quote_style.is_none()
                        && ["limit", "offset", "fetch"].iter().any(|one| word.value.eq_ignore_ascii_case(one)) =>
                {
                    break;
                }
                _ => {}
            }
            end = Some(self.positions.offset(token.span.end));
        }
        end
    }

    /// The range with the parentheses around it, where there are some.
    pub(super) fn enclosing(&self, range: Range<usize>) -> Range<usize> {
        let at = self.tokens.partition_point(|token| self.positions.offset(token.span.start) < range.start);
        let before = self.tokens.get(..at).unwrap_or_default();
        let open = before.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)));
        match open {
            Some(open) if open.token == Token::LParen => {
                let start = self.positions.offset(open.span.start);
                let whole = self.call(start..start);
                if whole.end >= range.end { whole } else { range }
            }
            _ => range,
        }
    }

    /// The place of an expression as near as its names tell.
    pub(super) fn near(&self, expression: &Expr) -> Range<usize> {
        match reach(expression) {
            Some((first, last)) => self.positions.range(Span::new(first, last)),
            None => 0..0,
        }
    }
}

/// From the first to the last place that the tree keeps.
fn reach(expression: &Expr) -> Option<(Location, Location)> {
    let mut found = Reach(None);
    let _ = expression.visit(&mut found);
    found.0
}

struct Reach(Option<(Location, Location)>);

impl Reach {
    fn add(&mut self, span: Span) {
        if span.start.line == 0 {
            return;
        }
        let key = |location: &Location| (location.line, location.column);
        self.0 = Some(match self.0 {
            None => (span.start, span.end),
            Some((first, last)) => (
                if key(&span.start) < key(&first) { span.start } else { first },
                if key(&span.end) > key(&last) { span.end } else { last },
            ),
        });
    }
}

impl Visitor for Reach {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(name) => self.add(name.span),
            Expr::CompoundIdentifier(parts) => parts.iter().for_each(|part| self.add(part.span)),
            Expr::Case { case_token, end_token, .. } => {
                self.add(case_token.0.span);
                self.add(end_token.0.span);
            }
            Expr::Function(function) => {
                function.name.0.iter().filter_map(|part| part.as_ident()).for_each(|part| self.add(part.span));
            }
            Expr::Wildcard(token) | Expr::QualifiedWildcard(_, token) => self.add(token.0.span),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if !matches!(value.value, Value::Placeholder(_)) {
            self.add(value.span);
        }
        ControlFlow::Continue(())
    }
}

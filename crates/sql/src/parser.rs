//! Facts from the text of a query. This module and those below it are the only ones that name `sqlparser`.
//!
//! The syntax tree never leaves here and is never printed: what others see are [`Query`] and byte ranges.

mod engine_syntax;
mod facts;
mod grammar;
mod positions;
mod relation;

use std::ops::Range;

use sqlparser::ast::{Expr, Visit};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::dialect::Dialect;
use crate::query::{Query, SqlError};
use positions::Positions;

pub use relation::{parse_blocks, parse_relation, parse_summed};

/// How deeply expressions and queries may nest. `sqlparser`'s own 50 is too little for generated SQL.
const NESTING: usize = 300;

/// The facts about a text that must hold exactly one query: `SELECT`, `WITH`, `VALUES` or `FROM`.
///
/// Never panics, whatever the text. What the engine accepts and the parser does not understand is an error that names the place.
pub fn parse_select(sql: &str, dialect: &dyn Dialect) -> Result<Query, SqlError> {
    let grammar = grammar_of(dialect);
    Ok(read(sql, &grammar, &Positions::new(sql))?.facts)
}

/// The type that an expression is cast to, as it is written, in small letters; `None` where a cast is not all of it.
pub(crate) fn cast_to(expression: &str, dialect: &dyn Dialect) -> Option<String> {
    let grammar = grammar_of(dialect);
    let parser = Parser::new(grammar.dialect()).with_recursion_limit(NESTING);
    let mut read = parser.try_with_sql(expression).ok()?.parse_expr().ok()?;
    while let Expr::Nested(inner) = read {
        read = *inner;
    }
    match read {
        Expr::Cast { data_type, .. } => Some(data_type.to_string().to_ascii_lowercase()),
        _ => None,
    }
}

/// A query as it was read.
struct Reading<'a> {
    facts: Query,
    tree: Box<sqlparser::ast::Query>,
    /// The parser with the tokens it has read, for reading pieces of them once more.
    parser: Parser<'a>,
    adapted: engine_syntax::Adapted,
}

fn grammar_of(dialect: &dyn Dialect) -> grammar::Reading {
    grammar::Reading::by(dialect.grammar())
}

fn read<'a>(sql: &str, grammar: &'a grammar::Reading, positions: &Positions<'_>) -> Result<Reading<'a>, SqlError> {
    let tokens = tokenize(sql, positions, grammar)?;
    let body = find_body(&tokens, positions, sql)?;
    let adapted = engine_syntax::adapt(&tokens, grammar.grammar);

    let mut parser =
        Parser::new(grammar.dialect()).with_recursion_limit(NESTING).with_tokens_with_locations(adapted.tokens.clone());
    let tree = parser.parse_query().map_err(|error| parse_error(error, &tokens, positions))?;
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let span = positions.range(rest.span);
        let found = sql.get(span.clone()).unwrap_or_default();
        return Err(SqlError::new(format!("expected the end of the query, found `{found}`: {LIMITS}"), span));
    }

    let mut reader = facts::Reader::new(sql, positions, &tokens);
    // The reader answers with the first thing that has no place in a query that only reads.
    if let std::ops::ControlFlow::Break(error) = tree.visit(&mut reader) {
        return Err(error);
    }
    let samples = adapted.samples.iter().map(|span| positions.range(*span)).collect();
    let facts = Query { ordered: is_ordered(&tree), ..reader.finish(body, samples) };
    Ok(Reading { facts, tree, parser, adapted })
}

/// Whether a query says in which order its rows come, parentheses around it or not.
fn is_ordered(query: &sqlparser::ast::Query) -> bool {
    match query.body.as_ref() {
        _ if query.order_by.is_some() => true,
        sqlparser::ast::SetExpr::Query(inner) => is_ordered(inner),
        _ => false,
    }
}

/// The facts about an expression, such as the condition of a test. Spans are those of the expression's text.
pub fn parse_expression(expression: &str, dialect: &dyn Dialect) -> Result<Query, SqlError> {
    // The line end keeps a final comment from reaching further than the expression.
    const BEFORE: &str = "select 1 where ";
    let shift = |span: Range<usize>| {
        let end = expression.len();
        span.start.saturating_sub(BEFORE.len()).min(end)..span.end.saturating_sub(BEFORE.len()).min(end)
    };
    let mut query = parse_select(&format!("{BEFORE}{expression}\n"), dialect)
        .map_err(|error| SqlError::new(error.message, shift(error.span)))?;
    query.body = shift(query.body);
    query.tables.iter_mut().for_each(|table| table.span = shift(table.span.clone()));
    query.functions.iter_mut().for_each(|function| function.span = shift(function.span.clone()));
    query.schema_references.iter_mut().for_each(|reference| reference.span = shift(reference.span.clone()));
    query.clock.iter_mut().chain(&mut query.volatile).for_each(|span| *span = shift(span.clone()));
    Ok(query)
}

const LIMITS: &str = "either the SQL is wrong here, or it uses a construct that Thalweg does not understand yet and must be written in another way";

fn tokenize(sql: &str, positions: &Positions<'_>, grammar: &grammar::Reading) -> Result<Vec<TokenWithSpan>, SqlError> {
    let mut tokens = Vec::new();
    Tokenizer::new(grammar.dialect(), sql).with_unescape(false).tokenize_with_location_into_buf(&mut tokens).map_err(
        |error| {
            let at = positions.offset(error.location);
            // An unclosed quote or comment is reported where it opens, which is where the last whole token ends.
            let opened = tokens.last().map_or(0, |token| positions.range(token.span).end);
            let message = error.message.to_lowercase();
            let start =
                if message.contains("unterminated") || message.contains("unexpected eof") { opened } else { at };
            SqlError::new(
                format!("the SQL cannot be read: {}", lower_first(error.message.trim())),
                start..at.max(start),
            )
        },
    )?;
    Ok(tokens)
}

/// The range from the first to the last token of the only statement.
fn find_body(tokens: &[TokenWithSpan], positions: &Positions<'_>, sql: &str) -> Result<Range<usize>, SqlError> {
    let mut significant =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon | Token::EOF));
    let Some(first) = significant.next() else {
        return Err(SqlError::new("there is no query here: expected `select ...`", 0..0));
    };
    let start = positions.range(first.span);
    let end = positions.range(significant.next_back().unwrap_or(first).span).end;
    let begins_query = match &first.token {
        Token::LParen => true,
        Token::Word(word) => {
            word.quote_style.is_none()
                && matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::FROM)
        }
        _ => false,
    };
    if !begins_query {
        let found = sql.get(start.clone()).unwrap_or_default();
        let instead = match found.to_ascii_lowercase().as_str() {
            "pivot" => "write `select * from TABLE pivot (AGGREGATE for COLUMN in (VALUES))`",
            "unpivot" => "write `select * from TABLE unpivot (VALUE for NAME in (COLUMNS))`",
            "table" => "write `select * from TABLE`",
            "describe" | "summarize" | "show" | "explain" => "it describes a query instead of being one",
            _ => "only a query can stand here, a statement that changes something cannot",
        };
        return Err(SqlError::new(
            format!("expected a query that begins with SELECT, WITH, VALUES or FROM, found `{found}`: {instead}"),
            start,
        ));
    }
    let mut ended = None;
    for token in tokens {
        match &token.token {
            Token::SemiColon => ended = Some(()),
            Token::Whitespace(_) | Token::EOF => {}
            _ if ended.is_some() && positions.range(token.span).start > start.start => {
                return Err(SqlError::new(
                    "expected one query, found a second statement after the semicolon: put it into a file of its own",
                    positions.range(token.span),
                ));
            }
            _ => {}
        }
    }
    Ok(start.start..end)
}

fn parse_error(error: ParserError, tokens: &[TokenWithSpan], positions: &Positions<'_>) -> SqlError {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::new(
                format!("the query nests deeper than {NESTING} levels: split it with WITH"),
                positions.end()..positions.end(),
            );
        }
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
    };
    let (message, location) = positions::split_location(&text);
    let at = location.map_or(positions.end(), |location| positions.offset(location));
    let span = tokens.iter().map(|token| positions.range(token.span)).find(|span| span.start == at && !span.is_empty());
    let message = message
        .replace("Expected: ", "expected ")
        .replace(", found: ", ", found ")
        .replace("found EOF", "found the end of the query");
    SqlError::new(
        format!("the SQL is not understood: {}; {LIMITS}", lower_first(message.trim())),
        span.unwrap_or(at..at),
    )
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

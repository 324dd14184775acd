//! The grammars queries are read with. DuckDB's is `sqlparser`'s own for it, with what that one leaves out.

use std::any::TypeId;

use sqlparser::dialect::{Dialect, DuckDbDialect, PostgreSqlDialect};

use crate::dialect::Grammar;

/// A grammar that statements are read with.
#[derive(Debug)]
pub(super) struct Reading {
    /// Which it is.
    pub(super) grammar: Grammar,
    dialect: Box<dyn Dialect>,
}

impl Reading {
    pub(super) fn by(grammar: Grammar) -> Self {
        let dialect: Box<dyn Dialect> = match grammar {
            Grammar::DuckDb => Box::new(DuckDbGrammar::default()),
            Grammar::Postgres => Box::new(PostgreSqlDialect {}),
        };
        Self { grammar, dialect }
    }

    pub(super) fn dialect(&self) -> &dyn Dialect {
        self.dialect.as_ref()
    }
}

#[derive(Debug, Default)]
struct DuckDbGrammar(DuckDbDialect);

macro_rules! as_duckdb {
    ($($question:ident),* $(,)?) => { $(fn $question(&self) -> bool { self.0.$question() })* };
}

macro_rules! yes {
    ($($question:ident),* $(,)?) => { $(fn $question(&self) -> bool { true })* };
}

impl Dialect for DuckDbGrammar {
    /// The parser asks for the type in places where it has no question of its own.
    fn dialect(&self) -> TypeId {
        self.0.dialect()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.0.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.0.is_identifier_part(ch)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.0.identifier_quote_style(identifier)
    }

    as_duckdb!(
        supports_trailing_commas,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        supports_bitwise_shift_operators,
        supports_named_fn_args_with_eq_operator,
        supports_named_fn_args_with_assignment_operator,
        supports_dictionary_syntax,
        support_map_literal_syntax,
        supports_lambda_functions,
        allow_extract_single_quotes,
        supports_array_typedef_with_brackets,
        supports_from_first_select,
        supports_order_by_all,
        supports_select_wildcard_exclude,
        supports_notnull_operator,
        supports_select_wildcard_replace,
        supports_comma_separated_trim,
        supports_numeric_literal_underscores,
    );

    yes!(
        supports_nested_comments,
        supports_string_escape_constant,
        supports_select_wildcard_rename,
        supports_select_wildcard_ilike,
        supports_window_clause_named_window_reference,
        supports_window_function_null_treatment_arg,
        supports_limit_comma,
        supports_parens_around_table_factor,
        supports_values_as_table_factor,
        supports_interval_options,
        supports_extract_comma_syntax,
        allow_extract_custom,
        supports_group_by_with_modifier,
        supports_left_associative_joins_without_parens,
        supports_aliased_function_args,
    );
}

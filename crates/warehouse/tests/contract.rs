//! The contract of a warehouse, run against each of them.

mod suite;

use suite::{DuckDbSite, PostgresSite};

/// Runs every case of the contract at a new site.
macro_rules! contract {
    ($warehouse:ident, $site:expr, [$($case:ident),* $(,)?]) => {
        mod $warehouse {
            use super::*;
            $(
                #[test]
                fn $case() {
                    suite::$case(&$site);
                }
            )*
        }
    };
}

contract!(
    duckdb,
    DuckDbSite::new(),
    [
        a_connection_lost_in_a_transaction_leaves_nothing,
        a_damaged_file_is_named,
        a_failed_change_kills_the_transaction,
        a_failed_query_kills_the_transaction,
        a_query_is_described,
        a_reader_cannot_write,
        a_reader_sees_one_state,
        a_statement_is_stopped_from_another_thread,
        a_transaction_commits_or_is_undone,
        an_append_is_all_or_nothing,
        batches_are_appended,
        changes_are_counted,
        definitions_are_undone_too,
        file_names_cannot_speak,
        files_of_different_columns_are_one_relation,
        metadata_goes_into_the_file,
        no_files_are_an_empty_relation,
        one_statement_at_a_time,
        statements_stay_inside,
        tables_are_found,
        values_are_bound,
        values_of_duckdb_survive_the_landing,
        values_survive_the_landing,
    ]
);

contract!(
    postgres,
    PostgresSite::new(),
    [
        a_connection_lost_in_a_transaction_leaves_nothing,
        a_damaged_file_is_named,
        a_failed_change_kills_the_transaction,
        a_failed_query_kills_the_transaction,
        a_query_is_described,
        a_reader_cannot_write,
        a_reader_sees_one_state,
        a_statement_is_stopped_from_another_thread,
        a_transaction_commits_or_is_undone,
        an_append_is_all_or_nothing,
        batches_are_appended,
        changes_are_counted,
        definitions_are_undone_too,
        file_names_cannot_speak,
        files_of_different_columns_are_one_relation,
        no_files_are_an_empty_relation,
        one_statement_at_a_time,
        tables_are_found,
        values_are_bound,
        values_of_postgres_survive_the_landing,
        values_survive_the_landing,
        values_that_cannot_be_stored_are_named,
    ]
);

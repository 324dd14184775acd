//! The histories that nobody thought of, with the warehouse in Postgres: the same ones each time, and few, since each law is asked with copies
//! of the database. `PROPTEST_CASES` asks for more.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::history::{bag, config, delivery, keyed, model};
use crate::oracle::Declared;
use crate::replaying::{act, play};
use crate::site::on_postgres;

/// How many of each kind are played.
const FEW: u32 = 2;

fn runner() -> TestRunner {
    let config = config();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { FEW };
    // What fails is told as it is: to make it smaller takes long here.
    let config = Config { cases, max_shrink_iters: 0, ..config };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn keyed_streams_on_postgres() {
    let deliveries = prop::collection::vec(delivery(), 1..5);
    let models = prop::collection::vec(model(), 0..4);
    let history = (any::<bool>(), any::<bool>(), deliveries, models);
    let played = runner().run(&history, |(sequence, marks, deliveries, models)| {
        on_postgres(|| keyed(Declared { sequence, marks }, &deliveries, &models));
        Ok(())
    });
    played.unwrap();
}

#[test]
fn bags_on_postgres() {
    let delivery = prop::collection::vec((0_u8..3, prop::option::of(0_u8..2)), 0..6);
    let history = (any::<bool>(), prop::collection::vec(delivery, 1..5));
    let played = runner().run(&history, |(replace, deliveries)| {
        on_postgres(|| bag(replace, &deliveries));
        Ok(())
    });
    played.unwrap();
}

/// Found by a history: what is written anew with what it held is no news to a stream that is replaced as a whole.
#[test]
fn the_same_delivered_twice_is_no_news() {
    let delivery = vec![(1, Some(1)), (0, None)];
    bag(true, &[delivery.clone(), delivery.clone(), vec![(1, Some(1))], delivery.clone(), delivery]);
}

#[test]
fn replayed_rows_on_postgres() {
    let history = (any::<bool>(), any::<bool>(), prop::collection::vec(act(), 1..7));
    let played = runner().run(&history, |(sequence, marks, acts)| {
        on_postgres(|| play(sequence, marks, &acts));
        Ok(())
    });
    played.unwrap();
}

//! Nothing is lost or duplicated whatever the service answers where its protocol leaves it open.
//!
//! The combinations of answers are numbered. The test takes each `ANSWERS_STRIDE`th of them with a script of its own, so that every
//! two answers to different points meet; all of them with
//!
//! ```text
//! ANSWERS_STRIDE=1 cargo test --release --test it sim::answers
//! ```

use std::collections::BTreeSet;

use snowpipe_streaming::answers::{Answers, POINTS};

use super::draw::draw;
use super::run::run;
use super::setting;

/// The stride if `ANSWERS_STRIDE` is not set: a prime, so that each answer is met in turn.
const STRIDE: u64 = 557;

/// The combination with this number, as the words of the points.
fn words(number: u64) -> Vec<&'static str> {
    let mut rest = usize::try_from(number).unwrap();
    let words = POINTS.iter().map(|point| {
        let word = point.words[rest % point.words.len()];
        rest /= point.words.len();
        word
    });
    words.collect()
}

fn combinations() -> u64 {
    POINTS
        .iter()
        .map(|point| point.words.len() as u64)
        .product()
}

fn numbers(stride: u64) -> impl Iterator<Item = u64> {
    let stride = usize::try_from(stride.max(1)).unwrap();
    (0..combinations()).step_by(stride)
}

#[test]
fn any_two_answers_meet() {
    let mut met = BTreeSet::new();
    for number in numbers(STRIDE) {
        let words: Vec<_> = words(number).into_iter().enumerate().collect();
        for (place, one) in words.iter().enumerate() {
            met.extend(words[..place].iter().map(|other| (*other, *one)));
        }
    }
    let lengths: Vec<usize> = POINTS.iter().map(|point| point.words.len()).collect();
    let pairs = lengths.iter().enumerate();
    let pairs = pairs.map(|(place, length)| length * lengths[..place].iter().sum::<usize>());
    assert_eq!(met.len(), pairs.sum::<usize>());
}

#[test]
fn nothing_is_lost_or_duplicated_under_any_combination_of_answers() {
    let stride = setting("ANSWERS_STRIDE").unwrap_or(STRIDE);
    let mut runs = 0;
    for number in numbers(stride) {
        let mut answers = Answers::default();
        for (point, word) in POINTS.iter().zip(words(number)) {
            answers = answers.with(point.key, word).unwrap();
        }
        let mut plan = draw(number);
        plan.server.answers = answers;
        let wrong = run(&plan, None).wrong;
        assert!(
            wrong.is_empty(),
            "combination {number}: {answers:?}: {wrong:#?}\n{plan}"
        );
        runs += 1;
    }
    println!("answers: {runs} of {} combinations", combinations());
}

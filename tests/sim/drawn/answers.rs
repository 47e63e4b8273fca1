//! Nothing is lost or duplicated whatever the service answers where its protocol leaves it open.
//!
//! The test runs a script under each of some combinations of answers, in which any three answers to different points meet. With
//! `ANSWERS_RUNS` it goes on with so many further ones:
//!
//! ```text
//! ANSWERS_RUNS=5000 cargo test --release --test sim drawn::answers
//! ```

use std::collections::BTreeSet;

use snowpipe_streaming_emulator::answers::{Answers, POINTS, Point};

use super::draw::{draw, pick};
use super::run::run;
use super::setting;

/// An answer to each point that a client can notice, by its place among the words.
type Combination = Vec<usize>;

/// Three points with an answer each.
type Triple = [(usize, usize); 3];

/// The points that requests and statuses show. The others are about the values of rows.
fn noticed() -> Vec<&'static Point> {
    let groups = ["wire.", "channels.", "tables.", "values.malformed_row"];
    let is_noticed = |point: &&Point| groups.iter().any(|group| point.key.starts_with(group));
    POINTS.iter().filter(is_noticed).collect()
}

fn drawn(points: &[&Point], rng: &mut fastrand::Rng) -> Combination {
    let places = points.iter().map(|point| rng.usize(..point.words.len()));
    places.collect()
}

fn triples(combination: &Combination) -> impl Iterator<Item = Triple> {
    let chosen: Vec<(usize, usize)> = combination.iter().copied().enumerate().collect();
    let count = chosen.len();
    (0..count).flat_map(move |one| {
        let chosen = chosen.clone();
        (0..one).flat_map(move |other| {
            let chosen = chosen.clone();
            (0..other).map(move |third| [chosen[one], chosen[other], chosen[third]])
        })
    })
}

/// How many triples there are.
fn all_triples(points: &[&Point]) -> usize {
    let firsts = vec![0; points.len()];
    let products = triples(&firsts).map(|triple| {
        let counts = triple.map(|(point, _)| points[point].words.len());
        counts.iter().product::<usize>()
    });
    products.sum()
}

/// Combinations in which any three answers meet. Each is the one of a few random ones with the most triples that are new.
fn covering() -> Vec<Combination> {
    const CANDIDATES: usize = 30;
    let points = noticed();
    let mut rng = fastrand::Rng::with_seed(21);
    let wanted = all_triples(&points);
    let mut met: BTreeSet<Triple> = BTreeSet::new();
    let mut chosen = Vec::new();
    while met.len() < wanted {
        let candidates = (0..CANDIDATES).map(|_| drawn(&points, &mut rng));
        let news = |one: &Combination| triples(one).filter(|triple| !met.contains(triple)).count();
        let best = candidates.max_by_key(news).unwrap();
        met.extend(triples(&best));
        chosen.push(best);
    }
    chosen
}

/// A combination with an answer to each other point as well.
fn answers(combination: &Combination, number: u64) -> Answers {
    let mut rng = fastrand::Rng::with_seed(number);
    let answers = POINTS.iter().fold(Answers::default(), |answers, point| {
        let word = *pick::<&str>(&mut rng, point.words);
        answers.with(point.key, word).unwrap()
    });
    let points = noticed();
    let words = points.iter().zip(combination);
    words.fold(answers, |answers, (point, place)| {
        answers.with(point.key, point.words[*place]).unwrap()
    })
}

#[test]
fn nothing_is_lost_or_duplicated_under_any_three_answers() {
    let mut combinations = covering();
    println!("answers: {} combinations", combinations.len());
    let further = setting("ANSWERS_RUNS").unwrap_or_default();
    let mut rng = fastrand::Rng::with_seed(22);
    let points = noticed();
    combinations.extend((0..further).map(|_| drawn(&points, &mut rng)));
    for (number, combination) in (0..).zip(&combinations) {
        let mut plan = draw(number);
        plan.server.answers = answers(combination, number);
        let wrong = run(&plan, None).wrong;
        assert!(
            wrong.is_empty(),
            "combination {number}: {:?}: {wrong:#?}\n{plan}",
            plan.server.answers
        );
    }
}

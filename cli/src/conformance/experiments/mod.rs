//! The experiments: what each asks, what is expected, and what it costs.

mod channels;
mod errors;
mod evolution;
mod list;
mod login;
mod numbers;
mod pipes;
mod probe;
mod rows;
mod tables;
mod timing;
mod values;
mod wire;

use super::Broken;
use super::lab::{Lab, Place, filled};
use snowpipe_streaming_emulator::answers::POINTS;

/// A question to the service.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Experiment {
    /// The id, such as `E7`.
    pub id: &'static str,
    /// What is asked.
    pub question: &'static str,
    /// What depends on the answer.
    pub meaning: &'static str,
    /// About how many requests one run sends, statements included.
    pub requests: u32,
    /// The most rows that one run appends.
    pub rows: u32,
    /// Whether it needs statements beside those that create its tables.
    pub needs_statements: bool,
    /// Whether it is carried out only if it is named, because it puts load on the service.
    pub is_opt_in: bool,
    /// The statements that create its tables.
    setup: &'static [&'static str],
    /// What is expected beside the points of `POINTS`, the conversions of `E12` and the expressions of `E33`.
    expectations: &'static [(&'static str, &'static str)],
}

impl Experiment {
    /// What is expected at a point or question.
    pub(super) fn expected(&self, what: &str) -> Option<&'static str> {
        let point = POINTS.iter().find(|point| point.key == what);
        if let Some(point) = point {
            return point.words.first().copied();
        }
        let mut expectations = self.expectations.iter();
        let known = expectations.find(|(known, _)| *known == what);
        let known = known.map(|(_, word)| *word);
        let known = known.or_else(|| values::expected(what));
        known.or_else(|| probe::expected(what))
    }

    /// The statements that create its tables in this run.
    pub(super) fn setup(&self, place: &Place, run: u32) -> impl Iterator<Item = String> {
        let fill = move |text: &&'static str| filled(text, place, self.id, run);
        self.setup.iter().map(fill)
    }

    pub(super) async fn carry_out(&self, lab: &mut Lab<'_>) -> Result<(), Broken> {
        match self.id {
            "E1" => login::bodies(lab).await,
            "E2" => login::token_life(lab).await,
            "E4" => wire::elastic(lab).await,
            "E5" => wire::errors(lab).await,
            "E6" => wire::status(lab).await,
            "E7" => channels::tokens(lab).await,
            "E8" => wire::long_bodies(lab).await,
            "E9" => rows::json_edges(lab).await,
            "E10" => rows::defaults(lab).await,
            "E11" => numbers::numbers(lab).await,
            "E12" => values::conversions(lab).await,
            "E13" => values::numbers_in_variants(lab).await,
            "E14" => values::zones(lab).await,
            "E15" => evolution::types(lab).await,
            "E16" => evolution::limits(lab).await,
            "E17" => rows::unknown_keys(lab).await,
            "E18" => pipes::grammar(lab).await,
            "E19" => pipes::select_lists(lab).await,
            "E20" => tables::kinds(lab).await,
            "E21" => tables::checks(lab).await,
            "E22" => errors::error_tables(lab).await,
            "E23" => channels::names(lab).await,
            "E24" => pipes::addresses(lab).await,
            "E25" => channels::offsets(lab).await,
            "E26" => tables::changes(lab).await,
            "E27" => pipes::recreated(lab).await,
            "E28" => channels::reopening(lab).await,
            "E29" => errors::lists(lab).await,
            "E30" => timing::counters(lab).await,
            "E31" => wire::many_names(lab).await,
            "E32" => timing::rate(lab).await,
            "E33" => probe::expressions(lab).await,
            "E34" => timing::commits(lab).await,
            "E35" => login::refusals(lab).await,
            "E36" => wire::pipe_info(lab).await,
            "E37" => tables::functions(lab).await,
            "E38" => timing::visibility(lab).await,
            "E39" => login::other_tokens(lab).await,
            "E40" => wire::compressed_bodies(lab).await,
            id => Err(Broken::new(format!("there is no experiment {id}"))),
        }
    }
}

/// All experiments, in the order in which they are carried out.
pub fn experiments() -> &'static [Experiment] {
    list::ALL
}

/// The statements to carry out in `database` and `schema` before a run that carries out none itself.
pub fn statements(database: &str, schema: &str, runs: u32) -> Vec<String> {
    let place = Place {
        database: database.to_owned(),
        schema: schema.to_owned(),
    };
    let mut all = Vec::new();
    for run in 1..=runs.max(1) {
        for experiment in experiments().iter().filter(|one| !one.needs_statements) {
            all.extend(experiment.setup(&place, run));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{experiments, statements};

    #[test]
    fn ids_are_unique_and_what_is_expected_has_one_word() {
        let mut ids = BTreeSet::new();
        let mut whats = BTreeSet::new();
        for experiment in experiments() {
            assert!(ids.insert(experiment.id), "{}", experiment.id);
            for (what, _) in experiment.expectations {
                assert!(whats.insert(*what), "{what}");
            }
            assert!(experiment.question.ends_with('?'), "{}", experiment.id);
        }
    }

    #[test]
    fn statements_for_others_have_full_names() {
        let all = statements("DB", "S", 2);
        assert!(all.contains(&r#"CREATE TABLE "DB"."S"."E6_T_2" (A NUMBER)"#.to_owned()));
        assert!(!all.iter().any(|text| text.contains("E7_")));
    }
}

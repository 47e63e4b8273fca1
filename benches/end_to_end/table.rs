//! The table: every configuration in turn, several times.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::floor::Floors;
use crate::grid;
use crate::job::Task;
use crate::lab::{Lab, Sample};
use crate::machine::{self, Machine};
use crate::options::Options;
use crate::report::{Line, Report};
use crate::rows::Form;

/// Single flushes after each stream.
const FLUSHES: u32 = 3;
/// Rows for a floor.
const FLOOR_ROWS: u64 = 500_000;

/// Measures the configurations of the options, prints the table and writes it to a file.
pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine::look();
    let mut lab = Lab::new(options.test)?;
    let configs = grid::configs(options);
    let flushes = if options.test { 1 } else { FLUSHES };
    let floor_rows = if options.test { 2_500 } else { FLOOR_ROWS };
    let mut floors: BTreeMap<Form, Vec<Floors>> = BTreeMap::new();
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); configs.len()];
    // In turn, so that other load on the machine affects all of them.
    for run in 1..=options.runs() {
        eprintln!("run {run} of {}", options.runs());
        for form in configs.iter().map(|config| config.form) {
            let of_form = floors.entry(form).or_default();
            if of_form.len() < run {
                of_form.push(lab.floors(form, floor_rows)?);
            }
        }
        for (config, samples) in configs.iter().zip(&mut samples) {
            samples.push(lab.run(Task::Stream, *config, flushes)?);
        }
    }

    let floors: BTreeMap<Form, Floors> = floors
        .into_iter()
        .filter_map(|(form, runs)| Some((form, Floors::middle(&runs)?)))
        .collect();
    let mut lines = Vec::new();
    for (config, samples) in configs.into_iter().zip(&samples) {
        let floor = floors.get(&config.form).context("each form has a floor")?;
        lines.push(Line::new(config, samples, floor));
    }
    let report = Report {
        machine,
        load_after: machine::load(),
        floors,
        lines,
    };
    report.print();
    options
        .table_json()
        .map_or(Ok(()), |path| report.write(&path))
}

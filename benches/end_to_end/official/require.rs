//! Thresholds: `1000:cpu_us_per_row<=0.5` of one configuration, `wire_bytes<=1` of all.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result, ensure};

use super::compare::{self, Compared, FIGURES};
use crate::job::Config;

/// Figures of this crate only: its CPU per row divided by that of a floor.
const OF_FLOOR: [&str; 2] = ["times_floor", "times_busy_floor"];

/// A threshold for a figure. Both statistics of a ratio have to meet it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Requirement {
    /// The configuration; `None` for all.
    configuration: Option<String>,
    figure: String,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl FromStr for Requirement {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value, bound): (_, _, fn(f64) -> Bound) =
            if let Some((name, value)) = text.split_once(">=") {
                (name, value, Bound::AtLeast)
            } else {
                let (name, value) = text
                    .split_once("<=")
                    .context("a requirement is [CONFIGURATION:]FIGURE>=VALUE or <=VALUE")?;
                (name, value, Bound::AtMost)
            };
        let value: f64 = value
            .trim()
            .parse()
            .context("the value is not a finite number")?;
        ensure!(value.is_finite(), "the value is not a finite number");
        let name = name.trim();
        let (configuration, figure) = match name.rsplit_once(':') {
            Some((configuration, figure)) => (Some(configuration.to_owned()), figure),
            None => (None, name),
        };
        let names: Vec<_> = FIGURES.iter().map(|f| f.name).chain(OF_FLOOR).collect();
        ensure!(
            names.contains(&figure),
            "there is no figure {figure:?}, but {}",
            names.join(", ")
        );
        Ok(Self {
            configuration,
            figure: figure.to_owned(),
            bound: bound(value),
        })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Bound::AtLeast(value) => write!(f, "{}>={value}", self.figure),
            Bound::AtMost(value) => write!(f, "{}<={value}", self.figure),
        }
    }
}

impl Requirement {
    /// Fails if its configuration is not measured, because the requirement would never be checked.
    pub(crate) fn is_possible(&self, configs: &[Config]) -> Result<()> {
        let names: Vec<String> = configs.iter().copied().map(compare::name).collect();
        let of_one = self.configuration.as_ref();
        ensure!(
            of_one.is_none_or(|name| names.contains(name)),
            "{self} is required of {of_one:?}, and there is only {}",
            names.join(", ")
        );
        Ok(())
    }

    /// Messages about the configurations that do not meet it. An unknown figure does not meet it.
    pub(crate) fn unmet(&self, compared: &[Compared]) -> Vec<String> {
        let concerned = compared.iter().filter(|one| {
            let only = self.configuration.as_ref();
            only.is_none_or(|only| *only == one.name)
        });
        let unmet = |one: &Compared| {
            let values = self.values(one);
            let is_met = !values.is_empty() && values.iter().all(|value| self.bound.admits(*value));
            (!is_met).then(|| format!("{}:{self}: {values:.3?}", one.name))
        };
        concerned.filter_map(unmet).collect()
    }

    /// The figure by each statistic.
    fn values(&self, of: &Compared) -> Vec<f64> {
        match self.figure.as_str() {
            "times_floor" => of.times_floor.into_iter().collect(),
            "times_busy_floor" => of.times_busy_floor.into_iter().collect(),
            figure => {
                let ratio = of.ratios.get(figure);
                ratio.map_or_else(Vec::new, |ratio| vec![ratio.median, ratio.of_medians])
            }
        }
    }
}

impl Bound {
    fn admits(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

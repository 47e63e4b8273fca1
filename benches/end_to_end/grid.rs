//! The configurations that are measured.

use crate::job::Config;
use crate::options::Options;
use crate::rows::Form;

const MILLION: u64 = 1_000_000;

/// The configurations of a plain run. Each varies one property.
const USUAL: [(u64, usize, usize, u64, Form); 16] = [
    (MILLION, 1, 1, 0, Form::Typed),
    (MILLION, 100, 1, 0, Form::Typed),
    (MILLION, 1_000, 1, 0, Form::Typed),
    (MILLION, 10_000, 1, 0, Form::Typed),
    (MILLION, 1, 4, 0, Form::Typed),
    (MILLION, 1_000, 4, 0, Form::Typed),
    (MILLION, 10_000, 4, 0, Form::Typed),
    (MILLION, 1, 1, 50, Form::Typed),
    (MILLION, 1_000, 1, 50, Form::Typed),
    (MILLION, 1_000, 4, 50, Form::Typed),
    (MILLION, 1_000, 1, 0, Form::Value),
    (MILLION, 100, 1, 0, Form::Ndjson),
    (MILLION, 1_000, 1, 0, Form::Ndjson),
    (5 * MILLION, 1, 1, 0, Form::Typed),
    (5 * MILLION, 1_000, 1, 0, Form::Typed),
    (5 * MILLION, 1_000, 4, 0, Form::Typed),
];

/// The configurations that the options ask for.
pub(crate) fn configs(options: &Options) -> Vec<Config> {
    let config = |(rows, batch, channels, delay_ms, form)| Config {
        // In a test only the paths matter.
        rows: if options.test { 2_500 } else { rows },
        batch,
        channels,
        delay_ms,
        form,
        paced: options.paced,
        rate: options.rate,
        http2: options.http2,
    };
    if options.names_one() {
        let rows = options.rows.unwrap_or(MILLION);
        let batch = options.batch.unwrap_or(1_000);
        let channels = options.channels.unwrap_or(1);
        let delay_ms = options.delay_ms.unwrap_or(0);
        let form = options.form.unwrap_or(Form::Typed);
        vec![config((rows, batch, channels, delay_ms, form))]
    } else if options.full {
        product().into_iter().map(config).collect()
    } else {
        USUAL.into_iter().map(config).collect()
    }
}

fn product() -> Vec<(u64, usize, usize, u64, Form)> {
    let mut all = Vec::new();
    for form in [Form::Typed, Form::Value, Form::Ndjson] {
        for rows in [MILLION, 5 * MILLION] {
            for delay_ms in [0, 50] {
                for channels in [1, 4] {
                    for batch in [1, 100, 1_000, 10_000] {
                        all.push((rows, batch, channels, delay_ms, form));
                    }
                }
            }
        }
    }
    all
}

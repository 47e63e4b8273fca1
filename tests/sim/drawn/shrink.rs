//! Shrinks a failing script: removes the parts without which it still fails in the same way.

use snowpipe_streaming_emulator::answers::Answers;

use super::plan::Plan;
use super::run::run;
use super::truth::Sabotage;

/// The maximum number of smaller scripts to try.
const TRIES: usize = 400;

/// A smaller script with the same kind of failure, and its violations.
pub fn shrink(plan: &Plan, sabotage: Option<Sabotage>) -> (Plan, Vec<String>) {
    shrink_by(plan, |plan| run(plan, sabotage).wrong)
}

/// Like [`shrink`], with `judge` returning the violations of a script.
pub fn shrink_by(plan: &Plan, judge: impl Fn(&Plan) -> Vec<String>) -> (Plan, Vec<String>) {
    let mut best = plan.clone();
    let mut wrong = judge(plan);
    let wanted = failure_kind(&wrong);
    let mut tries = 0;
    loop {
        let mut smaller = false;
        let mut part = 0;
        // A part that cannot be removed is not tried again until another part was removed.
        while let Some(candidate) = without(&best, part) {
            tries += 1;
            if tries > TRIES {
                return (best, wrong);
            }
            let found = judge(&candidate);
            if failure_kind(&found) == wanted {
                (best, wrong, smaller) = (candidate, found, true);
            } else {
                part += 1;
            }
        }
        if !smaller {
            return (best, wrong);
        }
    }
}

/// The first violation without numbers, texts and lists, so that the same defect at another time compares equal.
pub fn failure_kind(wrong: &[String]) -> String {
    let first = wrong.first().map_or("", String::as_str);
    let end = first.find(['"', '[']).unwrap_or(first.len());
    let letters = first[..end].chars();
    letters.filter(|letter| !letter.is_ascii_digit()).collect()
}

/// The script without its part of this number. `None` if it has fewer parts.
fn without(plan: &Plan, mut part: usize) -> Option<Plan> {
    let mut plan = plan.clone();
    let live: Vec<usize> = (0..plan.channels.len())
        .filter(|i| plan.channels[*i].rows > 0)
        .collect();
    if live.len() > 1 {
        if let Some(channel) = live.get(part) {
            plan.channels[*channel].rows = 0;
            return Some(plan);
        }
        part -= live.len();
    }
    if part < plan.steps.len() {
        plan.steps.remove(part);
        return Some(plan);
    }
    part -= plan.steps.len();
    if part < plan.rates.len() {
        plan.rates.remove(part);
        return Some(plan);
    }
    part -= plan.rates.len();
    for channel in &mut plan.channels {
        if part < channel.ops.len() {
            channel.ops.remove(part);
            return Some(plan);
        }
        part -= channel.ops.len();
    }
    for channel in live {
        let rows = plan.channels[channel].rows;
        if rows < 2 {
            continue;
        }
        if part == 0 {
            plan.channels[channel].rows = rows / 2;
            return Some(plan);
        }
        part -= 1;
    }
    simplified(&plan).into_iter().nth(part)
}

/// Copies of the script, each with one setting reset to its simplest value.
fn simplified(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut with = |is_plain: bool, change: &dyn Fn(&mut Plan)| {
        if !is_plain {
            let mut plan = plan.clone();
            change(&mut plan);
            plans.push(plan);
        }
    };
    let server = &plan.server;
    with(server.late_per_mille == 0, &|p| {
        p.server.late_per_mille = 0;
    });
    with(server.latency_ms == 0, &|p| {
        p.server.latency_ms = 0;
    });
    with(server.commit_every_ms == 0, &|p| {
        p.server.commit_every_ms = 0;
    });
    with(server.status_names.is_none(), &|p| {
        p.server.status_names = None;
    });
    with(server.requests_per_second.is_none(), &|p| {
        p.server.requests_per_second = None;
    });
    with(server.request_bytes.is_none(), &|p| {
        p.server.request_bytes = None;
    });
    with(server.token_life_s == 3_600, &|p| {
        p.server.token_life_s = 3_600;
    });
    for (key, _) in server.answers.differences() {
        let default = Answers::default().word(key).unwrap();
        with(false, &|p| {
            p.server.answers = p.server.answers.with(key, default).unwrap();
        });
    }
    for i in 0..plan.channels.len() {
        let channel = &plan.channels[i];
        let is_out = channel.rows == 0;
        with(is_out || channel.bad_percent == 0, &|p| {
            p.channels[i].bad_percent = 0;
        });
        with(is_out || channel.chunk == 1, &|p| {
            p.channels[i].chunk = 1;
        });
        with(is_out || channel.senders == 0, &|p| {
            p.channels[i].senders = 0;
        });
        with(is_out || channel.row_bytes == 0, &|p| {
            p.channels[i].row_bytes = 0;
        });
    }
    for i in 0..plan.processes.len() {
        let process = &plan.processes[i];
        with(process.append_ms.is_none(), &|p| {
            p.processes[i].append_ms = None;
        });
        with(!process.isolate, &|p| {
            p.processes[i].isolate = false;
        });
        with(process.budget == 64 << 20, &|p| {
            p.processes[i].budget = 64 << 20;
        });
    }
    plans
}

//! E11: columns that fill themselves.

use std::collections::BTreeSet;

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, Parts};
use crate::conformance::outcome::Outcome;
use crate::conformance::statements::refused;

pub(super) const EXPECTED: &[(&str, &str)] = &[
    ("default.sequence", "1, 2"),
    ("default.uuid", "36 characters each, all different"),
    ("default.expression", "7, 7"),
    ("identity.one_channel", "1, 2"),
    ("identity.two_channels", "all different"),
    ("identity.given", "lands"),
];

/// Creates a table, and lands two rows in it; the values of its column `V` in order, or why there are none.
async fn values(
    lab: &mut Lab<'_>,
    table: &str,
    column: &str,
) -> Result<Result<Vec<String>, String>, Broken> {
    let create = format!("CREATE TABLE {{{table}}} (K NUMBER, V {column})");
    if let Err(why) = lab.try_sql(&create).await? {
        return Ok(Err(format!("CREATE TABLE is {}", refused(&why))));
    }
    let rows = "{\"K\":1}\n{\"K\":2}\n";
    let inserted = match lab.row((table, "c"), rows).await? {
        Outcome::Committed(status) => status.inserted(),
        other => return Ok(Err(other.word())),
    };
    if inserted != Some(2) {
        return Ok(Err("the rows are rejected".to_owned()));
    }
    lab.visible(table, 2).await?;
    let select = format!("SELECT V FROM {{{table}}} ORDER BY K");
    Ok(Ok(lab.column(&select).await?))
}

fn are_different(values: &[String]) -> bool {
    values.iter().collect::<BTreeSet<_>>().len() == values.len()
}

/// The values, or why there are none.
fn joined(values: Result<Vec<String>, String>) -> String {
    values.map_or_else(|why| why, |values| values.join(", "))
}

pub(super) async fn numbers(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let word = sequence(lab).await;
    lab.see_part("default.sequence", word)?;
    let word = values(lab, "UUIDS", "VARCHAR DEFAULT UUID_STRING()").await;
    let word = word.map(|found| match found {
        Ok(values) if are_different(&values) && values.iter().all(|value| value.len() == 36) => {
            "36 characters each, all different".to_owned()
        }
        other => joined(other),
    });
    lab.see_part("default.uuid", word)?;
    let word = values(lab, "COMPUTED", "NUMBER DEFAULT 2 * 3 + 1").await;
    lab.see_part("default.expression", word.map(joined))?;
    let mut parts = Parts::default();
    parts.add(identities(lab).await)?;
    parts.end()
}

async fn sequence(lab: &mut Lab<'_>) -> Result<String, Broken> {
    if let Err(why) = lab.try_sql("CREATE SEQUENCE {SEQUENCE}").await? {
        return Ok(format!("CREATE SEQUENCE is {}", refused(&why)));
    }
    let found = values(lab, "NUMBERED", "NUMBER DEFAULT {SEQUENCE}.NEXTVAL").await?;
    Ok(joined(found))
}

async fn identities(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let found = values(lab, "IDENTITIES", "NUMBER AUTOINCREMENT").await?;
    let is_there = found.is_ok();
    lab.see("identity.one_channel", joined(found));
    if !is_there {
        return Ok(());
    }
    let rows = "{\"K\":3}\n{\"K\":4}\n";
    let outcome = lab.row(("IDENTITIES", "d"), rows).await?;
    if let Outcome::Committed(_) = outcome {
        lab.visible("IDENTITIES", 4).await?;
        let all = lab.column("SELECT V FROM {IDENTITIES}").await?;
        let word = if are_different(&all) {
            "all different".to_owned()
        } else {
            all.join(", ")
        };
        lab.see("identity.two_channels", word);
    } else {
        lab.see("identity.two_channels", outcome.word());
    }
    let row = "{\"K\":5,\"V\":1000}\n";
    let outcome = lab.row(("IDENTITIES", "e"), row).await?;
    let word = outcome.word();
    if word == "lands" {
        lab.visible("IDENTITIES", 5).await?;
        let given = lab.cells("SELECT V FROM {IDENTITIES} WHERE K = 5").await?;
        let word = match &*given {
            "1000" => "lands",
            _ => "is replaced by a number",
        };
        lab.see("identity.given", word);
    } else {
        lab.see("identity.given", word);
    }
    Ok(())
}

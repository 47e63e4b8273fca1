//! E11: columns that fill themselves.

use std::collections::BTreeSet;

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, refused};

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
    let token = lab.open(table, "c").await?;
    let at = (table, "c");
    lab.append(at, &token, "o1", "{\"K\":1}\n{\"K\":2}\n")
        .await?;
    lab.committed(at, "o1").await?;
    let select = format!("SELECT V FROM {{{table}}} ORDER BY K");
    Ok(Ok(lab.column(&select).await?))
}

fn are_different(values: &[String]) -> bool {
    values.iter().collect::<BTreeSet<_>>().len() == values.len()
}

pub(super) async fn numbers(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let word = if let Err(why) = lab.try_sql("CREATE SEQUENCE {SEQUENCE}").await? {
        format!("CREATE SEQUENCE is {}", refused(&why))
    } else {
        let found = values(lab, "NUMBERED", "NUMBER DEFAULT {SEQUENCE}.NEXTVAL").await?;
        found.map_or_else(|why| why, |values| values.join(", "))
    };
    lab.see("default.sequence", word);
    let found = values(lab, "UUIDS", "VARCHAR DEFAULT UUID_STRING()").await?;
    let word = found.map_or_else(
        |why| why,
        |values| {
            let are_long = values.iter().all(|value| value.len() == 36);
            if are_long && are_different(&values) {
                "36 characters each, all different".to_owned()
            } else {
                values.join(", ")
            }
        },
    );
    lab.see("default.uuid", word);
    let found = values(lab, "COMPUTED", "NUMBER DEFAULT 2 * 3 + 1").await?;
    lab.see(
        "default.expression",
        found.map_or_else(|why| why, |values| values.join(", ")),
    );
    let found = values(lab, "IDENTITIES", "NUMBER AUTOINCREMENT").await?;
    let is_there = found.is_ok();
    lab.see(
        "identity.one_channel",
        found.map_or_else(|why| why, |values| values.join(", ")),
    );
    if !is_there {
        return Ok(());
    }
    let at = ("IDENTITIES", "d");
    let token = lab.open(at.0, at.1).await?;
    lab.append(at, &token, "o1", "{\"K\":3}\n{\"K\":4}\n")
        .await?;
    lab.committed(at, "o1").await?;
    let all = lab.column("SELECT V FROM {IDENTITIES}").await?;
    let word = if all.len() == 4 && are_different(&all) {
        "all different".to_owned()
    } else {
        all.join(", ")
    };
    lab.see("identity.two_channels", word);
    let at = ("IDENTITIES", "e");
    let token = lab.open(at.0, at.1).await?;
    lab.append(at, &token, "o1", "{\"K\":5,\"V\":1000}\n")
        .await?;
    lab.committed(at, "o1").await?;
    let given = lab.column("SELECT V FROM {IDENTITIES} WHERE K = 5").await?;
    let word = match given.first().map(String::as_str) {
        Some("1000") => "lands",
        Some(_) => "is replaced by a number",
        None => "is rejected",
    };
    lab.see("identity.given", word);
    Ok(())
}

//! The channel names of a group's partitions.

use std::fmt::{self, Write as _};

/// Separates the group's name from the partition's. Neither the name nor the escapes contain it.
const SEPARATOR: char = ':';
const ESCAPE: char = '~';

/// The name of a partition's channel in a group: `<group>:<partition>`. For a look at the channel of a partition that another
/// program owns, for example with
/// [`latest_committed_offset_tokens`](crate::StreamingIngestClient::latest_committed_offset_tokens).
///
/// Partitions that differ have names that differ, also without regard to case, because the server ignores the case of channel
/// names when it opens them. So `Rides` becomes `~rides`.
///
/// ```
/// use snowpipe_streaming::ingest::group::channel_name;
/// assert_eq!(channel_name("resort", &"Rides:3"), "resort:~rides:3");
/// ```
pub fn channel_name(group: &str, partition: &impl fmt::Display) -> String {
    let mut name = String::new();
    for char in group.chars() {
        if char == SEPARATOR {
            name.push(ESCAPE);
            name.push('.');
        } else {
            escape(&mut name, char);
        }
    }
    name.push(SEPARATOR);
    for char in partition.to_string().chars() {
        escape(&mut name, char);
    }
    name
}

/// Writes capitals as `~` and the small letter, and what is not ASCII by its number.
fn escape(name: &mut String, char: char) {
    match char {
        'A'..='Z' | ESCAPE => name.extend([ESCAPE, char.to_ascii_lowercase()]),
        _ if char.is_ascii() => name.push(char),
        // Writing to a string cannot fail.
        _ => {
            let _ = write!(name, "{ESCAPE}({:x})", u32::from(char));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::channel_name;

    #[test]
    fn a_name_is_readable() {
        assert_eq!(
            channel_name("resort", &"lift-rides:3"),
            "resort:lift-rides:3"
        );
        assert_eq!(
            channel_name("Resort", &"Lift.Rides:0"),
            "~resort:~lift.~rides:0"
        );
    }

    #[test]
    fn names_differ_without_regard_to_case() {
        let groups = ["a", "A", "~a", "a:", "a~.", "é", "É", "~(e9)", "(e9)"];
        let partitions = ["b:1", "B:1", "~b:1", ":b:1", "ß:1", "ss:1", "b:11"];
        let names: BTreeSet<_> = groups
            .iter()
            .flat_map(|group| partitions.map(|partition| channel_name(group, &partition)))
            .map(|name| name.to_uppercase())
            .collect();
        assert_eq!(names.len(), groups.len() * partitions.len());
    }
}

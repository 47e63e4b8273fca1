//! What a report must not show: secrets, and the names of the account's objects.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use percent_encoding::utf8_percent_encode;
use snowpipe_streaming::Profile;
use snowpipe_streaming::auth::Secret;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::lab::SEGMENT;

/// The longest text of a body that a report has.
const MOST_TEXT: usize = 2_000;

/// The length of the shortest piece of a secret that [`Secret::remove_from`] finds, if the secret is not shorter itself.
const PIECE: usize = 8;

/// The texts to replace in a report, each with what stands for it.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// Replaced wherever they occur.
    secrets: Vec<Secret>,
    /// Hashes of the pieces of all secrets.
    pieces: HashSet<u64>,
    hasher: RandomState,
    /// Replaced where they are whole words, in any case.
    names: Vec<(String, &'static str)>,
}

impl Hidden {
    pub(super) fn of(profile: &Profile, database: &str) -> Self {
        let mut hidden = Self::default();
        if let Ok(url) = profile.url()
            && let Ok(url) = Url::parse(&url)
            && let Some(host) = url.host_str()
        {
            hidden.name(host, "<account-host>");
        }
        hidden.name(profile.account(), "<account>");
        hidden.name(database, "<database>");
        for (name, place) in [
            (profile.user(), "<user>"),
            (profile.role(), "<role>"),
            (profile.warehouse(), "<warehouse>"),
        ] {
            hidden.name(name.unwrap_or_default(), place);
        }
        hidden
    }

    pub(super) fn name(&mut self, name: &str, place: &'static str) {
        if name.is_empty() {
            return;
        }
        // In an address a name is written otherwise, and another one in a statement.
        let name = name.to_ascii_lowercase();
        let in_path = utf8_percent_encode(&name, SEGMENT).to_string();
        let in_path = in_path.to_ascii_lowercase();
        let in_statement = name.replace('"', "\"\"");
        let forms = BTreeSet::from([name, in_path, in_statement]);
        let forms = forms.into_iter().filter(|form| {
            let mut known = self.names.iter();
            !known.any(|(name, _)| name == form)
        });
        let forms: Vec<String> = forms.collect();
        self.names
            .extend(forms.into_iter().map(|form| (form, place)));
        // A name may contain another one.
        self.names
            .sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    }

    pub(super) fn secret(&mut self, secret: &Secret) {
        let is_known = |known: &Secret| known.expose() == secret.expose();
        if !secret.expose().is_empty() && !self.secrets.iter().any(is_known) {
            let encoded: String = byte_serialize(secret.expose().as_bytes()).collect();
            for form in [secret.expose(), &encoded] {
                self.pieces
                    .extend(pieces(form).map(|piece| self.hasher.hash_one(piece)));
            }
            self.secrets.push(secret.clone());
        }
    }

    /// Whether a text may have a piece of a secret: most have none, and to search for each secret takes long.
    fn may_have_secret(&self, text: &str) -> bool {
        let mut pieces = pieces(text).map(|piece| self.hasher.hash_one(piece));
        pieces.any(|piece| self.pieces.contains(&piece))
            || self
                .secrets
                .iter()
                .any(|secret| secret.expose().len() < PIECE)
    }

    /// A text as a report shows it, at most a few kilobytes of it.
    pub(super) fn hide(&self, text: &str) -> String {
        let all = text.len();
        // What is cut off in the end is not searched; a secret at the cut is shorter than what is.
        let mut text: String = text.chars().take(4 * MOST_TEXT).collect();
        let is_cut = text.len() < all;
        let has_secret = self.may_have_secret(&text);
        let secrets = self.secrets.iter();
        for secret in secrets.filter(|_| has_secret) {
            text = secret.remove_from(&text, "<secret>");
        }
        for (name, place) in &self.names {
            text = replaced(&text, name, place);
        }
        match text.char_indices().nth(MOST_TEXT) {
            Some((end, _)) => {
                text.truncate(end);
                format!("{text}… ({all} bytes)")
            }
            None if is_cut => format!("{text}… ({all} bytes)"),
            None => text,
        }
    }
}

/// All pieces of a text of the length of the shortest piece of a secret that is hidden.
fn pieces(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes().windows(PIECE)
}

/// Replaces `name`, which is in lower case, where no letter, digit or underscore stands beside it.
fn replaced(text: &str, name: &str, place: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let is_part = |letter: Option<char>| letter.is_some_and(|l| l.is_alphanumeric() || l == '_');
    let mut result = String::with_capacity(text.len());
    let mut copied = 0;
    for (at, _) in lower.match_indices(name) {
        let end = at + name.len();
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(end..).and_then(|text| text.chars().next());
        if at < copied || is_part(before) || is_part(after) {
            continue;
        }
        result.push_str(text.get(copied..at).unwrap_or_default());
        result.push_str(place);
        copied = end;
    }
    result.push_str(text.get(copied..).unwrap_or_default());
    result
}

#[cfg(test)]
mod tests {
    use super::Hidden;

    #[test]
    fn secrets_and_names_are_replaced() {
        let mut hidden = Hidden::default();
        hidden.secret(&"ey.secret".into());
        hidden.name("RESORT", "<database>");
        hidden.name("resort-eu", "<account>");
        hidden.name("", "<nothing>");
        hidden.name("Größe \"1\"", "<schema>");
        let text = r#"{"token":"ey.secret","path":"/databases/resort/x","a":"RESORT-EU.b","c":"RESORTS","d":"/schemas/Gr%C3%B6%C3%9Fe%20%221%22/y","e":"größe ""1"""}"#;
        assert_eq!(
            hidden.hide(text),
            r#"{"token":"<secret>","path":"/databases/<database>/x","a":"<account>.b","c":"RESORTS","d":"/schemas/<schema>/y","e":"<schema>"}"#
        );
    }

    #[test]
    fn a_piece_of_a_secret_is_replaced() {
        let mut hidden = Hidden::default();
        hidden.secret(&"0123456789/abcdef".into());
        for (text, shown) in [
            ("token 0123456789/abcdef.", "token <secret>."),
            ("token 0123456789%2Fabcdef.", "token <secret>."),
            ("cut: 01234567", "cut: <secret>"),
            ("none: 0123456", "none: 0123456"),
        ] {
            assert_eq!(hidden.hide(text), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let shown = Hidden::default().hide(&"é".repeat(5_000));
        assert!(shown.ends_with("… (10000 bytes)"), "{}", &shown[3_990..]);
    }
}

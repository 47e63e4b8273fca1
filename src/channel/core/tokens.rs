//! Which tokens an append may carry. A token promises that everything up to it is committed, so integers have to rise and
//! texts must not repeat.
//!
//! Text that the caller gave stays text, even if it consists of digits. Rows that share a token go in one call and one request.

use std::collections::HashSet;

use super::batch::{SealedBatch, Unit, UnitTokens};
use super::used_tokens::UsedTokens;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;

/// The tokens that new ones are checked against.
#[derive(Debug)]
pub(super) struct Tokens {
    open: Option<OffsetToken>,
    highest: Highest,
    /// Text tokens that may still end a request or become the committed token.
    outstanding: HashSet<OffsetToken>,
    /// The latest text tokens that are no longer outstanding.
    used: UsedTokens,
}

/// The greatest numbers among the tokens. Texts that consist of digits are not compared with each other. But on the server
/// they equal the integers with these digits, so such a text has to exceed every appended integer, and an integer every
/// such text.
#[derive(Debug, Clone, Copy, Default)]
struct Highest {
    /// The greatest integer, or the open token if it reads as one.
    known: Option<i128>,
    /// The greatest integer that was appended.
    appended: Option<i128>,
    /// The greatest appended text that reads as an integer.
    text: Option<i128>,
}

impl Highest {
    fn check_integer(&self, first: i128) -> Result<()> {
        match self.known.max(self.text) {
            Some(last) if first <= last => Err(backward(first, last)),
            _ => Ok(()),
        }
    }

    fn check_text(&self, token: &OffsetToken) -> Result<()> {
        match token.reads_as_integer() {
            Some(number) if Some(number) <= self.appended => Err(reused(token)),
            _ => Ok(()),
        }
    }

    fn note_integer(&mut self, last: i128) {
        self.known = Some(last);
        self.appended = Some(last);
    }

    fn note_text(&mut self, token: &OffsetToken) {
        self.text = self.text.max(token.reads_as_integer());
    }
}

impl Tokens {
    pub(super) fn new(open: Option<OffsetToken>) -> Self {
        Self {
            highest: Highest {
                known: open.as_ref().and_then(OffsetToken::reads_as_integer),
                ..Highest::default()
            },
            open,
            outstanding: HashSet::new(),
            used: UsedTokens::default(),
        }
    }

    /// Refuses units whose integer tokens do not rise or whose text tokens repeat. A text token repeats if it is outstanding,
    /// the committed one, the open's, or one of the last [`UsedTokens::MAX`].
    pub(super) fn check(&self, units: &[Unit], watermark: Option<&OffsetToken>) -> Result<()> {
        let mut highest = self.highest;
        for unit in units {
            match &unit.tokens {
                UnitTokens::Untracked => {}
                UnitTokens::Run { first } => {
                    highest.check_integer(*first)?;
                    highest.note_integer(first + i128::from(unit.rows) - 1);
                }
                UnitTokens::Whole { start, end } => {
                    if let Some(end) = end.as_integer() {
                        // Rows before the last token would be repeated by a resume.
                        highest.check_integer(start.as_integer().unwrap_or(end))?;
                        highest.note_integer(end);
                        continue;
                    }
                    highest.check_text(end)?;
                    highest.note_text(end);
                    if watermark == Some(end)
                        || self.open.as_ref() == Some(end)
                        || self.outstanding.contains(end)
                        || self.used.contains(end)
                    {
                        return Err(reused(end));
                    }
                }
            }
        }
        // The new units must not repeat a text among themselves. A single one cannot, so the common case allocates nothing.
        let mut new = HashSet::new();
        for unit in units.get(1..).map_or(&[][..], |_| units) {
            if let UnitTokens::Whole { end, .. } = &unit.tokens
                && end.as_integer().is_none()
                && !new.insert(end)
            {
                return Err(reused(end));
            }
        }
        Ok(())
    }

    /// Records a unit that was appended.
    pub(super) fn note(&mut self, unit: &Unit) {
        match &unit.tokens {
            UnitTokens::Untracked => {}
            UnitTokens::Run { first } => {
                self.highest.note_integer(first + i128::from(unit.rows) - 1);
            }
            UnitTokens::Whole { end, .. } => {
                if let Some(end) = end.as_integer() {
                    self.highest.note_integer(end);
                } else {
                    self.highest.note_text(end);
                    self.outstanding.insert(end.clone());
                }
            }
        }
    }

    /// Once a batch is accepted, it is not split any more, so of its tokens only the last one can be committed.
    pub(super) fn accepted(&mut self, batch: &SealedBatch) {
        self.accepted_units(&batch.units);
    }

    fn accepted_units(&mut self, units: &[Unit]) {
        let inner = units.len().saturating_sub(1);
        for unit in units.iter().take(inner) {
            if let UnitTokens::Whole { end, .. } = &unit.tokens {
                self.settle(end);
            }
        }
    }

    /// The token is committed: it is the watermark or precedes it.
    pub(super) fn committed(&mut self, token: &OffsetToken) {
        self.settle(token);
    }

    /// Releases memory that an idle channel does not need.
    pub(super) fn shrink(&mut self) {
        self.used.shrink();
        self.outstanding.shrink_to_fit();
    }

    fn settle(&mut self, token: &OffsetToken) {
        if self.outstanding.remove(token) {
            self.used.push(token);
        }
    }
}

fn backward(token: i128, last: i128) -> Error {
    Error::new(
        ErrorKind::TokenReused,
        format!(
            "the offset token {token} does not come after {last}; integer tokens of a channel must rise, otherwise a resume would lose or repeat rows"
        ),
    )
}

fn reused(token: &OffsetToken) -> Error {
    Error::new(
        ErrorKind::TokenReused,
        format!(
            "the offset token {token:?} was used before; a token promises that everything up to it is committed, so append rows that share a token in one append_rows"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> OffsetToken {
        OffsetToken::new(text).unwrap()
    }

    fn whole(end: &str) -> Unit {
        Unit {
            tokens: UnitTokens::Whole {
                start: token("start"),
                end: token(end),
            },
            rows: 2,
            len: 10,
        }
    }

    fn run(first: i128, rows: u64) -> Unit {
        Unit {
            tokens: UnitTokens::Run { first },
            rows,
            len: 10,
        }
    }

    /// Which of these units are accepted if each is appended in a separate call.
    fn verdicts(open: Option<&str>, units: &[Unit]) -> Vec<bool> {
        let mut tokens = Tokens::new(open.map(token));
        let mut verdicts = Vec::new();
        for unit in units {
            let result = tokens.check(std::slice::from_ref(unit), None);
            if let Err(error) = &result {
                assert_eq!(error.kind(), ErrorKind::TokenReused);
            } else {
                tokens.note(unit);
            }
            verdicts.push(result.is_ok());
        }
        verdicts
    }

    #[test]
    fn integers_rise_whatever_carries_them() {
        let units = [
            run(5, 3),
            run(7, 1),
            run(8, 1),
            whole("9"),
            run(9, 1),
            whole("8"),
            whole("20"),
            run(21, 1),
        ];
        let expected = [true, false, true, true, false, false, true, true];
        assert_eq!(verdicts(Some("4"), &units), expected);
        assert_eq!(verdicts(Some("5"), &[run(5, 1), run(6, 1)]), [false, true]);
        assert_eq!(verdicts(Some("007"), &[run(1, 1)]), [true], "not a number");
        assert_eq!(verdicts(None, &[run(-3, 2), run(-1, 1)]), [true, true]);
    }

    #[test]
    fn text_made_of_digits_is_compared_as_text() {
        let texts = ["10", "11", "2", "1", "11"].map(whole);
        assert_eq!(verdicts(Some("5"), &texts), [true, true, true, true, false]);
        assert_eq!(
            verdicts(Some("2"), &[whole("2"), whole("1")]),
            [false, true]
        );
        // As a token it is the same as the integer.
        let mixed = [
            whole("10"),
            run(9, 1),
            run(10, 1),
            run(11, 4),
            whole("12"),
            whole("15"),
        ];
        let expected = [true, false, false, true, false, true];
        assert_eq!(verdicts(None, &mixed), expected);
        let mut integer = whole("20");
        integer.tokens = UnitTokens::Whole {
            start: 1.into(),
            end: 20.into(),
        };
        let units = [integer.clone(), whole("20"), whole("20"), integer];
        assert_eq!(verdicts(None, &units[..2]), [true, false]);
        assert_eq!(verdicts(None, &units[2..]), [true, false]);
    }

    #[test]
    fn text_only_must_not_repeat() {
        let units = [whole("b"), whole("a"), whole("b"), whole("open")];
        assert_eq!(verdicts(Some("open"), &units), [true, true, false, false]);
        let tokens = Tokens::new(None);
        let (a, b) = (whole("a"), whole("b"));
        tokens.check(&[a.clone(), b.clone()], None).unwrap();
        tokens.check(&[a.clone(), b, a.clone()], None).unwrap_err();
        tokens.check(&[a], Some(&token("a"))).unwrap_err();
        tokens.check(&[run(1, 5), run(5, 1)], None).unwrap_err();
    }

    #[test]
    fn of_an_accepted_batch_only_the_last_token_is_awaited_and_none_may_be_used_again() {
        let units = ["a", "b", "c"].map(whole);
        let mut tokens = Tokens::new(None);
        for unit in &units {
            tokens.note(unit);
        }
        assert_eq!(tokens.outstanding.len(), 3);
        tokens.accepted_units(&units);
        assert_eq!(tokens.outstanding, HashSet::from([token("c")]));
        tokens.committed(&token("c"));
        assert!(tokens.outstanding.is_empty());
        for unit in units {
            tokens.check(&[unit], None).unwrap_err();
        }
    }
}

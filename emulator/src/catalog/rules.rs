//! What settles how values become cells, beside the types of their columns.

use super::account_zone::AccountZone;
use super::binary::BinaryFormat;
use super::cell::Cell;
use super::datetime;
use crate::answers::{AcceptOrReject, OmittedColumn, RejectOrAccept, TimeZone, Values};

/// What a pipe settles about values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    /// How text becomes bytes.
    pub(crate) binary: BinaryFormat,
    /// Whether a JSON null in a VARIANT column becomes SQL NULL.
    pub(crate) sql_null: bool,
    /// Whether values are converted as casts convert them, which take more than the columns of a default pipe: numbers as BOOLEAN, a
    /// TIME with an offset.
    pub(crate) is_cast: bool,
    /// The account's time zone.
    pub(crate) zone: AccountZone,
    /// The answers to what is not documented of the values of default pipes. For casts they are the default ones.
    pub(crate) values: Values,
    /// What a column holds that a select list leaves out.
    pub(crate) omitted: OmittedColumn,
}

impl Rules {
    /// The rules of casts in UTC, for which null is SQL NULL.
    pub(crate) fn of_casts() -> Self {
        Self {
            sql_null: true,
            is_cast: true,
            ..Self::default()
        }
    }

    /// Whether a value is accepted that casts accept.
    pub(super) fn takes(&self, answer: RejectOrAccept) -> bool {
        self.is_cast || answer == RejectOrAccept::Accept
    }

    /// The same of a value that default pipes are known to accept.
    pub(super) fn keeps(&self, answer: AcceptOrReject) -> bool {
        self.is_cast || answer == AcceptOrReject::Accept
    }

    /// The cell of a column that a select list leaves out; `None` is the column's DEFAULT.
    pub(super) fn omitted_cell(&self) -> Option<Cell> {
        match self.omitted {
            OmittedColumn::Default => None,
            OmittedColumn::Null => Some(Cell::Null),
        }
    }

    /// The zone of the time that `text` is, if it names none.
    pub(super) fn zone_of(&self, text: &str) -> AccountZone {
        let answer = if datetime::is_integer(text) {
            self.values.integer_zone
        } else {
            self.values.text_zone
        };
        match answer {
            TimeZone::Utc => AccountZone::default(),
            TimeZone::Account => self.zone,
        }
    }
}

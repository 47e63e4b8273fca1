//! The tables.

/// One of the tables. Lists and reports have this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Customers,
    Orders,
    OrderItems,
}

/// The schema of the tables. The tables have different names in each schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) database: String,
    pub(crate) name: String,
}

impl Table {
    /// The tables that each configuration has. They belong together: no order is without items.
    pub(crate) const RELATED: [Self; 2] = [Self::Orders, Self::OrderItems];

    /// The column with the id of a row.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Customers => "CUSTOMER_ID",
            Self::Orders => "ORDER_ID",
            Self::OrderItems => "ORDER_ITEM_ID",
        }
    }

    /// The table's name in the schema RAW.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Customers => "CUSTOMERS",
            Self::Orders => "ORDERS",
            Self::OrderItems => "ORDER_ITEMS",
        }
    }
}

impl Schema {
    /// A table's name in this schema: in STAGING it ends in `_STAGING`.
    pub(crate) fn table(&self, table: Table) -> String {
        let suffix = if self.is_staging() {
            STAGING_SUFFIX
        } else {
            ""
        };
        format!("{}{suffix}", table.name())
    }

    /// A table's full name.
    pub(crate) fn path(&self, table: Table) -> String {
        format!("{}.{}.{}", self.database, self.name, self.table(table))
    }

    /// The schema of a default pipe with this name.
    pub(crate) fn of_pipe(pipe: &str) -> &'static str {
        if is_of_staging(pipe) { STAGING } else { RAW }
    }

    /// Whether the default pipe of a table of this schema can have this name.
    pub(crate) fn may_have(&self, pipe: &str) -> bool {
        !pipe.to_uppercase().ends_with(DEFAULT_PIPE) || is_of_staging(pipe) == self.is_staging()
    }

    fn is_staging(&self) -> bool {
        self.name.eq_ignore_ascii_case(STAGING)
    }
}

const RAW: &str = "RAW";
const STAGING: &str = "STAGING";
const STAGING_SUFFIX: &str = "_STAGING";
const DEFAULT_PIPE: &str = "-STREAMING";

fn is_of_staging(pipe: &str) -> bool {
    let pipe = pipe.to_uppercase();
    pipe.trim_end_matches(DEFAULT_PIPE)
        .ends_with(STAGING_SUFFIX)
}

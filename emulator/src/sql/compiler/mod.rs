//! Compiles a SELECT in Snowflake's SQL into one of SQLite's that means the same, or refuses it.
//!
//! Every expression gets a Snowflake type, from the columns of the tables up to the answer, and is written with the functions of
//! [`functions`](super::functions). What has no rule here is refused by name: nothing is left to SQLite's own understanding of it.
//!
//! The compiler writes every part of SQLite's SQL itself, and the text of a statement is bound. A value has one form for each
//! type, in which SQLite's own comparisons, sorting and grouping are right.

pub(crate) mod aggregates;
pub(crate) mod calls;
pub(crate) mod casts;
pub(crate) mod clauses;
pub(crate) mod comparisons;
pub(crate) mod conversions;
pub(crate) mod dates;
pub(crate) mod expressions;
pub(crate) mod intervals;
pub(crate) mod likes;
pub(crate) mod literals;
pub(crate) mod number_calls;
pub(crate) mod operators;
pub(crate) mod queries;
pub(crate) mod regexp_calls;
pub(crate) mod scalar_names;
pub(crate) mod scopes;
pub(crate) mod selects;
pub(crate) mod semistructured;
pub(crate) mod sources;
pub(crate) mod state;
pub(crate) mod table_functions;
pub(crate) mod text_calls;
pub(crate) mod types;

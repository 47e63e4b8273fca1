//! Snowflake's DDL: parsing it, and changing the catalog by it.

pub(crate) mod deep_stack;
pub(crate) mod pipe;
pub(crate) mod script;
pub(crate) mod session;
pub(crate) mod statements;
pub(crate) mod table;

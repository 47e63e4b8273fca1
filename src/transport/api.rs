//! The endpoints: one attempt each.

//! What named and elastic channels share on the way of their rows, without I/O: the attempts of a request, and the decision what a
//! failed one means.

pub(crate) mod attempts;

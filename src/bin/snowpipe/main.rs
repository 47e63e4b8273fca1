//! The `snowpipe` command: finds out why streaming does not work, sends rows, and shows channels.

fn main() {}

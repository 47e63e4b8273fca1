//! Credentials: forms, renewal, bounds, and that no secret is shown.

mod bounds;
mod clock;
mod credentials;
mod forms;
mod secrets;
mod trace_of_a_run;
mod workload_identity;

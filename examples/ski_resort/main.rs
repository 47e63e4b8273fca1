//! The ski-resort pipeline: a generator writes tickets, season passes and lift rides to a durable queue, and a streamer
//! moves them through three channels into three tables.

mod cli;
mod customer;
mod dice;
mod files;
mod generator;
mod misconfigured;
mod produce;
mod queue;
mod resorts;
mod rider;
mod role;
mod rows;
mod speed;
mod table;
mod vocabulary;
mod world;

#[cfg(test)]
mod tests;

fn main() {}

//! The repository itself: layers, papers, links, and code of users that must compile.

mod compiles;
mod delivery;
mod layers;
mod official_sdk;
mod papers;

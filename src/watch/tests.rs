//! Watchers against a naive one: seeded random stores, clients and budgets, every message judged by the list of all rows.

mod cases;
mod client;
mod random;

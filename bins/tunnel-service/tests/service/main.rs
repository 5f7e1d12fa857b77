//! The whole service in one process: GUIs over a real socket, sessions with a portal on the
//! loopback address, on machines in memory.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails the test")]

mod abuse;
mod machine;
mod portal;
mod sessions;
mod world;

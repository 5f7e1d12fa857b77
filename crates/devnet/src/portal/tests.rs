//! The core against parties that live in the test, in virtual time.

mod accepting;
mod authorizing;
mod changing;
mod network;
mod relaying;

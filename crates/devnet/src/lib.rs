//! devnet
mod dialer;
pub mod relay;

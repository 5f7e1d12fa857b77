//! devnet
mod dialer;
pub mod gateway;
pub mod relay;

//! A client and a gateway as a pair, on an emulated network with relays and NATs.
//!
//! With the feature `__virtual-time` every hop takes time, and time is what the test says. Without
//! it the clock is the real one and nothing waits: tests that need no timer run both ways.

mod allocations;
mod bounds;
#[cfg(feature = "__virtual-time")]
mod conditions;
mod cost;
#[cfg(feature = "__virtual-time")]
mod drops;
#[cfg(feature = "__virtual-time")]
mod first_byte;
#[cfg_attr(
    not(feature = "__virtual-time"),
    expect(dead_code, reason = "only tests that let time pass use all of it")
)]
mod lab;
#[cfg(feature = "__virtual-time")]
mod lifetime;
mod meeting;
mod memory;
#[cfg_attr(
    not(feature = "__virtual-time"),
    expect(dead_code, reason = "only tests that let time pass use all of it")
)]
mod relay;
mod replays;
mod robustness;

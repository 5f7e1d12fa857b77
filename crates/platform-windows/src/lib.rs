//! The platform contract on Windows.

pub mod egress;

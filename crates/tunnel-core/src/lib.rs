//! tunnel-core

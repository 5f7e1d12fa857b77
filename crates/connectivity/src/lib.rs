//! connectivity

//! Scenarios with the real programs in namespaces.

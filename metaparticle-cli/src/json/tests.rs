//! What JSON means for a shape, without a store.

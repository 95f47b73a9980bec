//! The service, from outside.

//! The binary, on stores that real structs have written.

mod copying;
mod damage;
mod exact;
mod flipped;
mod refused;
mod support;
mod viewing;

//! What the attributes accept: every option, every parameter form, and surroundings that expansions must survive.

mod forms;
mod keys;
mod options;
mod surroundings;

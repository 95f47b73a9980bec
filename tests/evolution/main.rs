//! Several versions of a program over one store: which reads what the others have written, and that none destroys anything.

mod chains;
mod matrix;
mod schema_file;
mod shapes;

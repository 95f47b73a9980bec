//! Where the examples keep their data: the folder given as an argument, or one below the user's data folder.

use std::path::PathBuf;

/// The store's path for the example called `name`, as text. Says where it is.
pub fn store_path(name: &str) -> String {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let default = || dirs::data_dir().unwrap_or_else(std::env::temp_dir).join("metaparticle-examples");
    let path = given.unwrap_or_else(default).join(name).display().to_string();
    println!("The data is in {path}");
    path
}

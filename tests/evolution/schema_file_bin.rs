//! Verifies a schema file as a version of a program: `schema-file PATH VERSION`.

use metaparticle::{Result, SchemaFile};

macro_rules! version {
    ($module:ident, $($item:tt)*) => { mod $module { $($item)* } };
}

version!(
    first,
    #[metaparticle::persistent]
    pub(super) struct User {
        age: u32,
    }
);
version!(
    widened,
    #[metaparticle::persistent]
    pub(super) struct User {
        age: u64,
    }
);
version!(
    retyped,
    #[metaparticle::persistent]
    pub(super) struct User {
        age: String,
    }
);
version!(
    other_key,
    #[metaparticle::persistent(key = u64)]
    pub(super) struct User {
        age: u32,
    }
);
version!(
    renamed,
    #[metaparticle::persistent]
    pub(super) struct Member {
        age: u32,
    }
);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let file = SchemaFile::new(&arguments[1]);
    match &*arguments[2] {
        "first" => file.with::<first::User>(),
        "widened" => file.with::<widened::User>(),
        "retyped" => file.with::<retyped::User>(),
        "other key" => file.with::<other_key::User>(),
        "renamed" => file.with::<renamed::Member>(),
        other => panic!("there is no version {other}"),
    }
    .verify()
}

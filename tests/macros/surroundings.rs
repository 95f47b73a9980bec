//! Expansions survive what the user's module looks like.

/// The crate under another name, behind a path, and without its own name in scope.
mod renamed {
    pub(super) use metaparticle as storage;
    use storage::{persistent, transactional};

    #[persistent(default, crate = crate::surroundings::renamed::storage)]
    pub(super) struct Visits {
        count: u64,
    }

    #[transactional(crate = crate::surroundings::renamed::storage)]
    pub(super) fn visit(page: &mut Visits) -> storage::Result<u64> {
        page.count += 1;
        Ok(page.count)
    }
}

/// Everything that an expansion might be tempted to name, taken.
mod shadowed {
    #![allow(dead_code, non_camel_case_types, non_snake_case)]
    pub(super) enum Option {}
    pub(super) enum Result {}
    pub(super) struct String;
    pub(super) struct Vec;
    pub(super) struct Box;
    pub(super) trait Clone {}
    pub(super) trait Default {}
    pub(super) trait Deref {}
    pub(super) struct Tracked;
    pub(super) struct Error;
    pub(super) mod core {}
    pub(super) mod std {}
    pub(super) mod serde {}
    pub(super) struct bool;
    pub(super) struct str;
    pub(super) fn Ok() {}
    pub(super) fn Err() {}
    pub(super) fn Some() {}

    /// Methods for every type with the names of ours.
    pub(super) trait Everywhere {
        fn read(&self) {}
        fn write(&self) {}
        fn write_all(&self) {}
        fn deref(&self) {}
        fn store(&self) {}
        fn map(&self) {}
        fn attempts(&self) {}
        fn clone(&self) {}
    }
    impl<T: ?Sized> Everywhere for T {}

    #[::metaparticle::persistent(default)]
    pub(super) struct Visits {
        count: u64,
        text: ::std::string::String,
        list: ::std::vec::Vec<u64>,
    }

    #[::metaparticle::transactional(attempts = 3)]
    pub(super) fn visit(
        page: &mut Visits,
        other: ::metaparticle::Mut<Visits>,
        text: &::core::primitive::str,
    ) -> ::metaparticle::Result<u64> {
        page.count += 1;
        other.set_count(page.count);
        page.text.push_str(text);
        ::metaparticle::Ok(page.count)
    }

    impl Visits {
        #[::metaparticle::transactional]
        pub(super) fn count(&mut self, more: u64) -> ::metaparticle::Result<u64> {
            ::metaparticle::Ok(self.count + more)
        }
    }
}

/// Items that come out of somebody else's macro.
mod generated {
    macro_rules! counter {
        ($name:ident, $field:ident: $ty:ty, $function:ident) => {
            #[metaparticle::persistent(default)]
            pub(super) struct $name {
                $field: $ty,
            }

            #[metaparticle::transactional]
            pub(super) fn $function(counter: &mut $name, by: $ty) -> metaparticle::Result<$ty> {
                counter.$field += by;
                Ok(counter.$field)
            }
        };
    }
    counter!(Hits, hits: u32, hit);

    /// Fragments come in groups without delimiters.
    macro_rules! function {
        ($name:ident($a:ident: $object:ty, $b:ident: &mut $inner:ty, $c:pat => $plain:ty) -> $returned:ty $body:block) => {
            #[metaparticle::transactional]
            pub(super) fn $name($a: $object, $b: &mut $inner, $c: $plain) -> $returned $body
        };
    }
    function!(fragments(a: metaparticle::Mut<Hits>, b: &mut Hits, (x, y) => (u32, u32)) -> metaparticle::Result<u32> {
        b.hits += x;
        a.set_hits(y);
        Ok(*a.hits() + b.hits)
    });
    function!(optional(a: Option<metaparticle::Ref<Hits>>, b: &mut Hits, _ => ()) -> metaparticle::Result<bool> {
        b.hits = 0;
        Ok(a.is_some())
    });
}

/// Types and functions in a function.
#[test]
fn items_in_a_function_work() {
    #[metaparticle::persistent(default)]
    struct Local {
        n: u64,
    }
    #[metaparticle::transactional]
    fn bump(local: &mut Local) -> metaparticle::Result<u64> {
        local.n += 1;
        Ok(local.n)
    }
    let store = metaparticle::Store::open("memory:").expect("opens");
    assert_eq!(store.run(|| bump("a")).expect("runs"), 1);
}

#[test]
fn expansions_survive_their_surroundings() {
    let store = metaparticle::Store::open("memory:").expect("opens");
    let _entered = store.enter();
    assert_eq!(generated::hit("a", 2).expect("runs"), 2);
    assert_eq!(generated::fragments("b", "a", (1, 4)).expect("runs"), 7);
    assert!(generated::optional("b", "a", ()).expect("runs"));
    let other = metaparticle::Store::open("memory:").expect("opens");
    let _entered = other.enter();
    assert_eq!(renamed::visit("a").expect("runs"), 1);
    let third = metaparticle::Store::open("memory:").expect("opens");
    let _entered = third.enter();
    assert_eq!(shadowed::visit("a", "b", "x").expect("runs"), 1);
    assert_eq!(shadowed::Visits::count("b", 1).expect("runs"), 2);
    let fourth = metaparticle::Store::open("memory:").expect("opens");
    let _entered = fourth.enter();
    assert_eq!(metaparticle_tests::strict::visit(1).expect("runs"), 1);
    use metaparticle_tests::strict;
    strict::copy(1, 2).and_then(|()| strict::Visits::reset(1)).expect("runs");
}

#[test]
fn a_store_can_be_shared_as_web_frameworks_want_it() {
    fn shareable<T: Clone + Send + Sync + 'static>() {}
    shareable::<metaparticle::Store>();
    fn sendable<T: Send + Sync + 'static>() {}
    sendable::<metaparticle::Error>();
}

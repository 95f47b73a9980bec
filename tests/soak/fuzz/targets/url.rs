//! The URL of a store with a password in it, which must be in no message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metaparticle::fuzzing;
use metaparticle_fuzz::bounded;

const SECRET: &str = "Zq9Kx7Wv";
const SCHEMES: [&str; 9] = ["etcd", "etcds", "mysql", "mariadb", "postgres", "postgresql", "redis", "rediss", "other"];

fuzz_target!(|input: (u8, [&str; 4])| {
    let (scheme, [user, before, after, rest]) = input;
    let scheme = SCHEMES[usize::from(scheme) % SCHEMES.len()];
    let url = format!("{scheme}://{user}:{before}{SECRET}{after}@{rest}");
    bounded(url.as_bytes(), || {
        let (shown, errors) = fuzzing::url(&url);
        assert!(!shown.contains(SECRET), "{url} is shown as {shown}");
        assert!(errors.iter().all(|error| !format!("{error} {error:?}").contains(SECRET)), "{url}: {errors:?}");
        // Without a password, anything at all.
        let url = format!("{scheme}://{user}{before}{after}@{rest}");
        fuzzing::url(&url);
    });
});

//! Every form of a parameter, on functions and on methods.

// Also the forms that clippy would have shorter.
#![allow(clippy::multiple_bound_locations, clippy::needless_arbitrary_self_type, clippy::needless_borrows_for_generic_args)]

use std::fmt::Display;

use metaparticle::{Mut, Persistent, Ref, Result, Store, Tx, persistent, transactional};

#[persistent(default)]
pub(crate) struct Visits {
    pub(crate) count: u64,
    log: Vec<String>,
}

#[persistent]
struct Account {
    balance: i64,
}

#[persistent(default, singleton)]
struct Settings {
    theme: String,
    changes: u64,
}

fn store() -> Store {
    Store::open("memory:").expect("opens")
}

#[transactional]
fn exclusive(page: &mut Visits) -> Result<u64> {
    page.count += 1;
    Ok(page.count)
}

#[transactional]
fn shared(page: Ref<Visits>) -> Result<u64> {
    Ok(page.count)
}

#[transactional]
fn tracked(page: Mut<Visits>) -> Result<u64> {
    page.set_count(page.count() + 1);
    *page.count_mut() += 1;
    let entry = page.count().to_string();
    page.log_mut().push(entry);
    Ok(page.count)
}

/// Lifetimes that are written out mean what they mean elsewhere.
#[transactional]
fn with_lifetimes<'a>(page: &'a mut Visits, other: Ref<'_, Visits>, third: Mut<'a, Visits>) -> Result<u64> {
    page.count += other.count + third.count();
    Ok(page.count)
}

#[transactional]
fn optional(a: Option<&mut Account>, b: Option<Ref<Account>>, c: Option<Mut<Account>>) -> Result<[Option<i64>; 3]> {
    let read = [a.as_ref().map(|a| a.balance), b.map(|b| b.balance), c.as_ref().map(|c| *c.balance())];
    if let Some(a) = a {
        a.balance += 1;
    }
    if let Some(mut c) = c {
        c.set_balance(-1);
    }
    Ok(read)
}

#[transactional]
fn settings(#[singleton] settings: &mut Settings, theme: &str) -> Result<u64> {
    settings.theme = theme.to_owned();
    settings.changes += 1;
    Ok(settings.changes)
}

#[transactional]
fn read_settings(#[singleton] mine: Ref<Settings>, tx: &Tx) -> Result<String> {
    assert_eq!(tx.get::<Settings>(())?.changes, mine.changes);
    Ok(mine.theme.clone())
}

#[transactional]
fn patterns(Visits { count, .. }: &mut Visits, (a, b): (u64, u64), [c, _]: &[u64; 2], _: u64, mut d: u64) -> Result<u64> {
    d += a + b + c;
    *count += d;
    Ok(*count)
}

#[transactional]
fn generic<T: Persistent, D: Display + Clone, const N: usize>(
    object: &mut T,
    what: D,
    how: impl Display + Clone,
    f: fn(&mut T),
) -> Result<String>
where
    D: PartialEq,
{
    f(object);
    Ok(format!("{what} {how} {N}"))
}

#[transactional]
fn borrows_an_argument<'a>(page: &mut Visits, text: &'a str) -> Result<&'a str> {
    page.log.push(text.to_owned());
    Ok(text.trim())
}

#[transactional]
fn returns_early(page: &mut Visits) -> Result<&'static str> {
    if page.count > 0 {
        return Ok("early");
    }
    page.count += 1;
    for entry in &page.log {
        if entry.is_empty() {
            continue;
        }
    }
    Ok("late")
}

#[transactional]
fn returns_something(page: Ref<Visits>) -> Result<impl Iterator<Item = u64>> {
    let count = page.count;
    Ok((0..count).map(move |n| n * 2))
}

#[transactional]
fn only_a_transaction(tx: &Tx) -> Result<bool> {
    tx.contains::<Visits>("home")
}

impl Account {
    /// Opens an account.
    #[transactional]
    fn open(tx: &Tx, name: &str) -> Result<()> {
        tx.insert(name, Self { balance: 0 })
    }

    #[transactional]
    fn deposit(&mut self, amount: i64, (times, _): (i64, ())) -> Result<i64> {
        self.add(amount * times);
        Ok(self.balance)
    }

    #[transactional]
    fn merge(&mut self, other: Mut<Account>, tx: &Tx) -> Result<i64> {
        self.add(*other.balance());
        other.set_balance(0);
        assert_eq!(tx.attempt(), 1);
        Ok(self.balance)
    }

    /// The lifetime of `self` is the transaction's, whatever its name.
    #[transactional]
    fn named<'a>(self: &'a mut Self, name: &'a str, #[expect(unused_variables)] unused: u8) -> Result<&'a str> {
        self.balance += 1;
        Ok(name.trim())
    }

    /// Calls another one, and itself.
    #[transactional]
    fn collect(&mut self, from: &str, times: u8) -> Result<i64> {
        if times > 0 {
            self.balance += Self::deposit(from, -1, (1, ())).map(|_| 1)?;
            Self::deposit(from, -1, (1, ()))?;
        }
        Ok(self.balance)
    }

    fn add(&mut self, amount: i64) {
        self.balance += amount;
    }
}

impl Settings {
    #[transactional]
    fn change(#[singleton] &mut self) -> Result<u64> {
        self.changes += 1;
        Ok(self.changes)
    }
}

/// A trait can give its functions a body; what implements it follows the same rules.
trait Counter {
    #[transactional]
    fn count(&self, page: &mut Visits) -> Result<u64>
    where
        Self: Sized,
    {
        page.count += self.step();
        Ok(page.count)
    }

    fn step(&self) -> u64;
}

impl Counter for u64 {
    fn step(&self) -> u64 {
        *self
    }
}

/// A service of the user's that is not persistent.
struct Bank {
    fee: i64,
}

impl Bank {
    #[transactional]
    fn pay(&self, from: &mut Account, to: &mut Account, amount: i64) -> Result<i64> {
        from.balance -= amount + self.fee;
        to.balance += amount;
        Ok(from.balance)
    }

    #[transactional]
    fn associated(page: &mut Visits) -> Result<Self> {
        page.count += 1;
        Ok(Self { fee: page.count as i64 })
    }
}

#[test]
fn every_form_of_a_parameter_works() {
    let store = store();
    let _entered = store.enter();
    assert_eq!((exclusive("home").expect("runs"), shared("home").expect("runs"), tracked("home").expect("runs")), (1, 1, 3));
    assert_eq!(with_lifetimes("sum", "home", String::from("other")).expect("runs"), 3);
    assert_eq!(patterns("p", (1, 2), &[3, 4], 5, 6).expect("runs"), 12);
    assert_eq!(generic::<Visits, _, 3>("home", "a", 'b', |page| page.count = 7).expect("runs"), "a b 3");
    assert_eq!(shared(&"home".to_owned()).expect("runs"), 7);
    assert_eq!(borrows_an_argument("home", " x ").expect("runs"), "x");
    assert_eq!((returns_early("new").expect("runs"), returns_early("new").expect("runs")), ("late", "early"));
    assert_eq!(returns_something("home").expect("runs").sum::<u64>(), 42);
    assert!(only_a_transaction().expect("runs"));
    assert_eq!(3.count("trait").expect("runs"), 3);
}

#[test]
fn absent_objects_are_none() {
    let store = store();
    let _entered = store.enter();
    Account::open("ann").expect("opens");
    assert_eq!(optional("ann", "ben", "cleo").expect("runs"), [Some(0), None, None]);
    assert_eq!(optional("ben", "ann", "ann").expect_err("in hand").kind(), metaparticle::ErrorKind::Borrowed);
    assert_eq!(optional("ben", "cleo", "ann").expect("runs"), [None, None, Some(1)]);
    assert_eq!(optional("cleo", "ann", "dora").expect("runs"), [None, Some(-1), None]);
}

#[test]
fn a_singleton_has_no_key() {
    let store = store();
    let _entered = store.enter();
    assert_eq!((settings("dark").expect("runs"), Settings::change().expect("runs")), (1, 2));
    assert_eq!(read_settings().expect("runs"), "dark");
}

#[test]
fn methods_are_called_with_the_key() {
    let store = store();
    let _entered = store.enter();
    let bank = Bank { fee: 1 };
    Account::open("ann").and_then(|()| Account::open("ben")).expect("opens");
    assert_eq!(Account::deposit("ann", 50, (2, ())).expect("runs"), 100);
    assert_eq!(Account::named("cleo", " c ", 0).map_err(|error| error.kind()), Err(metaparticle::ErrorKind::NotFound));
    assert_eq!(Account::collect("ann", "ben", 1).expect("runs"), 101);
    assert_eq!(Account::deposit("ben", 2, (1, ())).expect("runs"), 0);
    assert_eq!(Account::deposit("ann", -1, (1, ())).expect("runs"), 100);
    assert_eq!(Account::named("ben", " b ", 0).expect("runs"), "b");
    assert_eq!(Account::deposit("ben", -1, (1, ())).expect("runs"), 0);
    assert_eq!(bank.pay("ann", "ben", 10).expect("runs"), 89);
    assert_eq!(Account::merge("ann", "ben").expect("runs"), 99);
    assert_eq!(Bank::associated("home").expect("runs").fee, 1);
}

#[test]
fn the_same_things_work_without_macros() {
    let store = store();
    let count = store.transaction(|tx| {
        let mut page = tx.get_mut::<Visits>("home")?;
        page.set_count(page.count() + 1);
        metaparticle::Ok(*page.count())
    });
    assert_eq!(count.expect("runs"), 1);
    let _entered = store.enter();
    let count = metaparticle::scoped("home", |page: &mut Visits| {
        page.count += 1;
        metaparticle::Ok(page.count)
    });
    assert_eq!(count.expect("runs"), 2);
    let changes = metaparticle::scoped((), |settings: &mut Settings| metaparticle::Ok(settings.changes));
    assert_eq!(changes.expect("runs"), 0);
    let absent = store.transaction(|tx| metaparticle::Ok(tx.get::<Option<Account>>("nobody")?.is_none()));
    assert!(absent.expect("runs"));
}

#[test]
fn a_future_takes_its_store_along() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let store = store();
    let mut scoped = pin!(store.scope(async {
        let first = exclusive("home").expect("runs");
        std::future::ready(()).await;
        first + exclusive("home").expect("runs")
    }));
    assert_eq!(scoped.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(3));
    exclusive("home").expect_err("the store was left again");
}

trait Scale {
    const FACTOR: u64;
}

struct Thousands;

impl Scale for Thousands {
    const FACTOR: u64 = 1_000;
}

impl Visits {
    /// Nothing that is passed tells what these are.
    #[transactional]
    fn add_scaled<'a, S: Scale, const N: u64>(&'a mut self, by: impl Into<u64> + Clone) -> Result<u64> {
        self.count += S::FACTOR * N + by.into();
        Ok(self.count)
    }

    #[transactional]
    #[expect(unused_variables, reason = "it is about the body, of which there is one")]
    fn forget(&mut self) -> Result<()> {
        let count = self.count;
        self.log.clear();
        Ok(())
    }
}

#[test]
fn methods_may_have_generics_that_no_argument_tells_and_expect_lints() {
    let store = store();
    let _entered = store.enter();
    // With `impl` in an argument, generics can be given, but for the key's.
    Visits::forget("home").expect("runs");
    assert_eq!(scaled("home").expect("runs"), 2_001);
}

fn scaled(key: &str) -> Result<u64> {
    Visits::add_scaled::<Thousands, 2>(key, 1_u32)
}

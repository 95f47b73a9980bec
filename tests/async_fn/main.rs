//! Transactional functions that are `async fn`: on several executors, and on engines that answer at once and later.

mod dropped;
mod first_use;
mod group;
mod guessed;
mod later;
mod left;
mod waiting;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use metaparticle::{ErrorKind, Mut, Ref, Result, Store, Tx, persistent, transactional};
use metaparticle_tests::TestStore;

use later::Later;

#[persistent(default)]
pub(crate) struct Counter {
    n: u64,
    title: String,
}

#[transactional]
pub(crate) async fn increment(counter: &mut Counter) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n)
}

#[transactional(read_only)]
pub(crate) async fn count(counter: Ref<Counter>) -> Result<u64> {
    Ok(counter.n)
}

/// Keys that are known only at run time, one after the other.
#[transactional]
async fn follow(tx: &Tx, start: &str, steps: u32) -> Result<(String, u32)> {
    let mut key = start.to_owned();
    for _ in 0..steps {
        let next = tx.get::<Counter>(&key)?.title.clone();
        tx.get_mut::<Counter>(&key)?.n += 1;
        key = next;
    }
    Ok((key, tx.attempt()))
}

impl Counter {
    /// A method, with an argument that is cloned and one that is borrowed.
    #[transactional]
    async fn retitle(&mut self, title: String, suffix: &str) -> Result<usize> {
        self.title = title + suffix;
        Ok(self.title.len())
    }
}

#[transactional]
fn nested(counter: Mut<Counter>) -> Result<u64> {
    counter.set_n(counter.n() + 10);
    Ok(*counter.n())
}

#[transactional]
async fn outer(first: &mut Counter, second: Option<Ref<Counter>>) -> Result<(u64, bool)> {
    first.n += 1;
    let found = second.is_some();
    Ok((nested("third")? + first.n, found))
}

/// Every engine, and one that never answers at once.
fn stores() -> Vec<(&'static str, TestStore)> {
    let servers = ["etcd", "mysql", "postgres", "redis"]
        .into_iter()
        .filter(|engine| metaparticle_tests::servers::is_there(engine, "async_fn"));
    let mut stores: Vec<_> =
        ["fjall", "memory", "sled"].into_iter().chain(servers).map(|engine| (engine, TestStore::new(engine))).collect();
    stores.push(("later", TestStore::on(Later::store().0)));
    stores
}

fn many_threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime")
}

fn is_send<T: Send>(future: T) -> T {
    future
}

#[test]
fn no_increment_of_many_tasks_is_lost() {
    for (engine, store) in stores() {
        let runtime = many_threads();
        let shared: Store = store.clone();
        runtime.block_on(async {
            let task = |_| {
                tokio::spawn(is_send(shared.scope(async {
                    for _ in 0..10 {
                        increment("n").await.expect("increments");
                    }
                })))
            };
            for task in (0..20).map(task).collect::<Vec<_>>() {
                task.await.expect("no panic");
            }
        });
        let counted = pollster::block_on(shared.scope(count("n"))).expect("counts");
        assert_eq!(counted, 200, "{engine}");
    }
}

#[test]
fn any_executor_will_do() {
    for (engine, store) in stores() {
        let all = async {
            assert_eq!(increment("n").await?, 1);
            assert_eq!(Counter::retitle("n", "Wel".to_owned(), "come").await?, 7);
            assert_eq!(outer("n", "nobody").await?, (12, false));
            assert_eq!(increment("n").await?, 3);
            metaparticle::Ok(())
        };
        pollster::block_on(store.scope(all)).unwrap_or_else(|error| panic!("{engine}: {error:?}"));
    }
}

#[test]
fn keys_known_at_run_time_are_fetched_without_another_attempt() {
    for (engine, store) in stores() {
        store
            .transaction(|tx| {
                for (key, next) in [("a", "b"), ("b", "c"), ("c", "d")] {
                    tx.get_mut::<Counter>(key)?.title = next.to_owned();
                }
                metaparticle::Ok(())
            })
            .expect("prepares");
        let before = store.stats();
        let ended = pollster::block_on(store.scope(follow("a", 3))).expect("follows");
        assert_eq!(ended, ("d".to_owned(), 1), "{engine}");
        let after = store.stats();
        assert_eq!((after.attempts - before.attempts, after.reruns - before.reruns), (1, 0), "{engine}");
        for key in ["a", "b", "c"] {
            assert_eq!(pollster::block_on(store.scope(count(key))).expect("counts"), 1, "{engine}: {key}");
        }
    }
}

#[test]
fn keys_that_are_arguments_or_usual_take_one_round_trip_to_read_and_one_to_commit() {
    let (store, calls) = Later::store();
    let one = || pollster::block_on(store.scope(outer("first", "second")));
    one().expect("runs");
    calls.reset();
    one().expect("runs");
    // The nested function's key is known at run time only; but it was the same the last time.
    println!("round trips of a function that asks for what it asked for before: {} + {}", calls.reads(), calls.commits());
    assert_eq!((calls.reads(), calls.commits()), (1, 1));
    calls.reset();
    pollster::block_on(store.scope(increment("first"))).expect("increments");
    println!("round trips of a function with its key as an argument: {} + {}", calls.reads(), calls.commits());
    assert_eq!((calls.reads(), calls.commits()), (1, 1));
}

#[test]
fn what_was_read_on_a_guess_and_not_asked_for_is_not_compared() {
    let (store, other, calls) = Later::two_stores();
    let read = |key: &'static str| {
        let options = metaparticle::TransactionOptions::new().name("habitual");
        store.transaction_async_with(options, move |tx| {
            let n = tx.get_mut::<Counter>("first").map(|mut counter| {
                counter.n += 1;
                counter.n
            })?;
            if !key.is_empty() {
                tx.get::<Counter>(key)?;
            }
            metaparticle::Ok((n, tx.attempt()))
        })
    };
    assert_eq!(pollster::block_on(read("second")).expect("reads"), (1, 1));
    // Now "second" is read with the first request; another process changes it before the commit.
    calls.before_commit(move || assert_eq!(pollster::block_on(other.scope(increment("second"))).expect("increments"), 1));
    assert_eq!(pollster::block_on(read("")).expect("reads"), (2, 1), "it has run again");
}

#[test]
fn what_changes_between_two_answers_ends_the_attempt() {
    let (store, calls) = Later::store();
    let swap = |store: &Store, n: u64| {
        store.transaction(|tx| {
            tx.get_mut::<Counter>("first")?.n = n;
            tx.get_mut::<Counter>("second")?.n = n;
            metaparticle::Ok(())
        })
    };
    swap(&store, 1).expect("prepares");
    let other = store.clone();
    calls.before_read("second", move || swap(&other, 2).expect("changes both"));
    let read = store.transaction_async(|tx| {
        let first = tx.get::<Counter>("first")?.n;
        let second = tx.get::<Counter>("second")?.n;
        assert_eq!(first, second, "a body saw a mixture");
        metaparticle::Ok((first, tx.attempt()))
    });
    assert_eq!(pollster::block_on(read).expect("reads"), (2, 2));
}

#[test]
fn no_attempt_sees_a_mixture() {
    let (store, _) = Later::store();
    let runtime = many_threads();
    let swap = |store: &Store, by: i64| {
        let body = move |tx: &Tx| {
            let a = tx.get::<Counter>("a")?.n;
            let b = tx.get::<Counter>("b")?.n;
            assert_eq!(a + b, 1000, "a body saw a mixture");
            tx.get_mut::<Counter>("a")?.n = a.wrapping_add_signed(by);
            tx.get_mut::<Counter>("b")?.n = b.wrapping_add_signed(-by);
            metaparticle::Ok(())
        };
        store.transaction_async(body)
    };
    store
        .transaction(|tx| {
            tx.get_mut::<Counter>("a")?.n = 500;
            tx.get_mut::<Counter>("b")?.n = 500;
            metaparticle::Ok(())
        })
        .expect("prepares");
    runtime.block_on(async {
        let task = |by: i64| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    swap(&store, by).await.expect("moves");
                }
            })
        };
        for task in [1, -1, 2, -2, 3, -3].map(task) {
            task.await.expect("no panic");
        }
    });
    let both = store.transaction(|tx| Ok::<_, metaparticle::Error>((tx.get::<Counter>("a")?.n, tx.get::<Counter>("b")?.n)));
    assert_eq!(both.expect("reads"), (500, 500));
}

#[test]
fn ranges_are_read_and_guarded() {
    for (engine, store) in stores() {
        let add = |key: &'static str| {
            store.transaction_async(move |tx| {
                let there = tx.range::<Counter>(..).collect::<Result<Vec<_>>>()?.len();
                tx.insert(key, Counter { n: there as u64, title: String::new() })?;
                Ok::<_, metaparticle::Error>(tx.keys::<Counter>(..).collect::<Result<Vec<_>>>()?.len())
            })
        };
        let both = async { tokio::join!(add("x"), add("y")) };
        let (one, other) = tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(both);
        let mut sizes = [one.expect("adds"), other.expect("adds")];
        sizes.sort();
        assert_eq!(sizes, [1, 2], "{engine}: a phantom");
    }
}

#[test]
fn what_changes_between_two_pages_ends_the_attempt() {
    let (store, calls) = Later::store();
    store
        .transaction(|tx| (0..300).try_for_each(|n| tx.insert(format!("{n:03}"), Counter { n, title: String::new() })))
        .expect("prepares");
    let other = store.clone();
    let remove = move || assert!(other.transaction(|tx| tx.remove::<Counter>("007")).expect("removes"));
    calls.before_scan(1, remove);
    let options = metaparticle::TransactionOptions::new().timeout(Duration::from_secs(5));
    let keys = store.transaction_async_with(options, |tx| {
        let keys: Vec<String> = tx.keys::<Counter>(..).collect::<Result<_>>()?;
        metaparticle::Ok((keys.len(), tx.attempt()))
    });
    assert_eq!(pollster::block_on(keys).expect("the second attempt sees it"), (299, 2));
}

#[test]
fn the_error_of_conflicts_without_end_names_the_object() {
    let (store, calls) = Later::store();
    pollster::block_on(store.scope(increment("second"))).expect("increments");
    let other = store.clone();
    calls.before_read("third", move || {
        assert_eq!(pollster::block_on(other.scope(increment("second"))).expect("increments"), 2);
    });
    let options = metaparticle::TransactionOptions::new().attempts(1);
    let read = store.transaction_async_with(options, |tx| {
        let first = tx.get::<Counter>("first")?.n + tx.get::<Counter>("second")?.n;
        metaparticle::Ok(first + tx.get::<Counter>("third")?.n)
    });
    let error = pollster::block_on(read).expect_err("it had one attempt");
    assert!(error.is_conflict() && error.to_string().contains("Counter \"second\""), "{error}");
}

#[test]
fn an_error_that_the_body_swallows_while_it_has_to_wait_is_not_taken_for_an_answer() {
    let (store, _) = Later::store();
    pollster::block_on(store.scope(increment("n"))).expect("increments");
    let read = store.transaction_async(|tx| Ok::<_, metaparticle::Error>(tx.get::<Counter>("n").map_or(0, |counter| counter.n)));
    assert_eq!(pollster::block_on(read).expect("reads"), 1);
}

#[test]
fn disjoint_accessor_changes_rebase_without_a_rerun() {
    let (store, other, calls) = Later::two_stores();
    pollster::block_on(store.scope(increment("n"))).expect("increments");
    // After the body has run and before its commit is sent, another process changes another field.
    calls.before_commit(move || {
        other
            .transaction(|tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.set_title("new".to_owned())))
            .expect("retitles");
    });
    let add = store.transaction_async(|tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        let n = counter.n() + 1;
        counter.set_n(n);
        metaparticle::Ok(tx.attempt())
    });
    assert_eq!(pollster::block_on(add).expect("adds"), 1, "it was run again");
    let read = |tx: &Tx| tx.get::<Counter>("n").map(|counter| (counter.n, counter.title.clone()));
    assert_eq!(store.transaction(read).expect("reads"), (2, "new".to_owned()));
    assert_eq!(store.stats().rebases, 1);
}

#[test]
fn errors_and_panics_roll_back() {
    for (engine, store) in stores() {
        let fail = store.transaction_async(|tx| {
            tx.get_mut::<Counter>("n")?.n = 7;
            Err::<(), _>(metaparticle::Error::engine(ErrorKind::Engine, "no"))
        });
        assert_eq!(pollster::block_on(fail).expect_err("it fails").to_string(), "no", "{engine}");
        let panic = store.transaction_async(|tx| {
            tx.get_mut::<Counter>("n")?.n = 7;
            if true {
                panic!("on purpose")
            }
            metaparticle::Ok(())
        });
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pollster::block_on(panic)));
        assert!(caught.is_err(), "{engine}");
        assert_eq!(pollster::block_on(store.scope(count("n"))).expect("counts"), 0, "{engine}");
    }
}

#[test]
fn the_executors_thread_is_not_blocked() {
    // All on one thread: what answers runs only if the thread is free.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (store, calls) = Later::held_store();
    runtime.block_on(async {
        let answers = async {
            loop {
                calls.release();
                tokio::task::yield_now().await;
            }
        };
        let work = store.scope(async {
            for _ in 0..5 {
                increment("n").await.expect("increments");
            }
        });
        tokio::select! { () = work => {}, () = answers => {} }
    });
    calls.release_all();
    assert_eq!(store.transaction(|tx| tx.get::<Counter>("n").map(|counter| counter.n)).expect("counts"), 5);
}

#[test]
fn a_disk_is_waited_for_without_blocking_the_thread() {
    let store = TestStore::new("sled");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let shared: Store = store.clone();
    let ticks = runtime.block_on(async {
        let mut ticks = 0u64;
        let count = async {
            loop {
                ticks += 1;
                tokio::task::yield_now().await;
            }
        };
        let work = shared.scope(async {
            for _ in 0..50 {
                increment("n").await.expect("increments");
            }
        });
        tokio::select! { () = work => {}, () = count => {} }
        ticks
    });
    assert!(ticks > 50, "while the disk was waited for, nothing else ran: {ticks}");
}

#[test]
fn sync_functions_work_on_an_engine_that_answers_later_also_on_a_runtimes_thread() {
    let (store, _) = Later::store();
    let runtime = many_threads();
    let shared = store.clone();
    let counted = runtime.block_on(async move {
        tokio::spawn(async move {
            shared.run(|| {
                nested("n").expect("adds");
                nested("n").expect("adds")
            })
        })
        .await
        .expect("no panic")
    });
    assert_eq!(counted, 20);
    drop(store);
}

#[test]
fn an_engine_that_does_not_answer_is_an_error_by_the_deadline() {
    let (store, calls) = Later::held_store();
    let options = || metaparticle::TransactionOptions::new().timeout(Duration::from_millis(500));
    let read = store.transaction_async_with(options(), |tx| tx.get::<Counter>("n").map(|counter| counter.n));
    assert_eq!(pollster::block_on(read).expect_err("no answer").kind(), ErrorKind::Timeout);
    calls.release_all();
    pollster::block_on(store.scope(increment("n"))).expect("increments");
    // The commit is sent, and not answered: nobody knows what became of it.
    calls.hold_commits();
    let write = store.transaction_async_with(options(), |tx| {
        tx.get_mut::<Counter>("n")?.n += 1;
        metaparticle::Ok(())
    });
    let error = pollster::block_on(write).expect_err("no answer");
    assert!(error.is_indeterminate() && error.to_string().contains("not known"), "{error:?}");
    let write = store.transaction_with(options(), |tx| {
        tx.get_mut::<Counter>("n")?.n += 1;
        metaparticle::Ok(())
    });
    assert!(write.expect_err("no answer").is_indeterminate());
}

#[test]
fn a_store_can_be_in_the_state_of_a_web_service() {
    fn is_state<T: Clone + Send + Sync + 'static>(_: &T) {}
    let (store, _) = Later::store();
    is_state(&store);
    let shared = Arc::new(store.clone());
    let future = is_send(async move { shared.transaction_async(|tx| tx.get::<Counter>("n").map(|counter| counter.n)).await });
    assert_eq!(pollster::block_on(future).expect("reads"), 0);
    fn takes(_: impl Future<Output = Result<u64>> + Send) {}
    takes(store.scope(increment("n")));
}

/// Also a future that is dropped before its end.
#[test]
fn destructors_in_a_scope_are_of_its_store() {
    struct Increments;
    impl Drop for Increments {
        fn drop(&mut self) {
            let counted = metaparticle::scoped("n", |counter: &mut Counter| {
                counter.n += 1;
                metaparticle::Ok(())
            });
            counted.expect("the store is entered");
        }
    }
    let store = Store::open("memory:").expect("opens");
    let mut future = Box::pin(store.scope(async {
        let _increments = Increments;
        std::future::pending::<()>().await;
    }));
    assert!(later::poll_once(&mut future).is_pending());
    drop(future);
    assert_eq!(store.transaction(|tx| tx.get::<Counter>("n").map(|counter| counter.n)).expect("reads"), 1);
}

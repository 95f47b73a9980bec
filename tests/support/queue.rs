//! A bounded queue as an object: what is put in waits for room, what is taken out waits for something to be there.

use metaparticle::{Result, Tx, persistent, transactional};

/// A queue of numbers, by text.
#[persistent(default)]
pub struct Queue {
    items: Vec<u64>,
}

const CAPACITY: usize = 2;

/// Puts an item behind the others, once there is room.
#[transactional(timeout = "120s")]
pub fn put(tx: &Tx, queue: &mut Queue, item: u64) -> Result<()> {
    tx.wait_until(queue.items.len() < CAPACITY)?;
    queue.items.push(item);
    Ok(())
}

/// Takes the first item, once there is one.
#[transactional(timeout = "120s")]
pub fn take(tx: &Tx, queue: &mut Queue) -> Result<u64> {
    tx.wait_until(!queue.items.is_empty())?;
    Ok(queue.items.remove(0))
}

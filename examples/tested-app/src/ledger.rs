//! What outlives a process: the stock and every order that was answered. It stands for a database.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Answer, Order};

/// See the module's text.
#[derive(Debug)]
pub struct Ledger {
    rows: Mutex<Rows>,
}

#[derive(Debug)]
struct Rows {
    stock: u32,
    answered: BTreeMap<u64, (Order, Answer)>,
}

/// How long a write takes until it is safe.
const WRITE: Duration = Duration::from_millis(20);

impl Ledger {
    /// A ledger with so many pieces in stock, and no order.
    pub fn new(stock: u32) -> Self {
        Ledger {
            rows: Mutex::new(Rows {
                stock,
                answered: BTreeMap::new(),
            }),
        }
    }

    /// The answer to an order that was answered before.
    pub fn answered(&self, id: u64) -> Option<Answer> {
        let rows = self.rows.lock();
        rows.answered.get(&id).map(|(_, answer)| *answer)
    }

    /// Takes the pieces from the stock where there are as many, and remembers the answer.
    pub fn reserve(&self, order: &Order) -> Answer {
        let rows = &mut *self.rows.lock();
        let answer = match rows.stock.checked_sub(order.pieces) {
            Some(left) => {
                rows.stock = left;
                Answer::Reserved
            }
            None => Answer::SoldOut,
        };
        rows.answered.insert(order.id, (*order, answer));
        answer
    }

    /// Waits until what was written is safe.
    pub async fn written(&self) {
        tokio::time::sleep(WRITE).await;
    }

    /// The pieces that are left.
    pub fn stock(&self) -> u32 {
        self.rows.lock().stock
    }

    /// The pieces of all orders that were reserved, each order once.
    pub fn reserved(&self) -> u32 {
        let rows = self.rows.lock();
        let reserved = rows.answered.values();
        let reserved = reserved.filter(|(_, answer)| *answer == Answer::Reserved);
        reserved.map(|(order, _)| order.pieces).sum()
    }
}

//! Typed tables, transactions, change feed and durable stores.

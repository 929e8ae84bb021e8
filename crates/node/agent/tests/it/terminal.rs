//! A terminal of the stand-in host: what is typed comes back, until `exit`.

use std::io;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use runtime::{Terminal, TerminalSize};
use tokio::sync::Notify;

use crate::host::Host;

/// Its command's end hangs up, and the host's log tells of both.
pub struct Echo {
    host: Host,
    typed: Mutex<(BytesMut, bool)>,
    changed: Notify,
}

impl Echo {
    pub fn new(host: Host) -> Self {
        Self { host, typed: Mutex::new((BytesMut::from("# "), false)), changed: Notify::new() }
    }

    fn log(&self, line: &str) {
        self.host.state.lock().log.push(line.to_owned());
    }
}

#[async_trait]
impl Terminal for Echo {
    async fn read(&self) -> io::Result<Bytes> {
        loop {
            let changed = self.changed.notified();
            {
                let (typed, is_over) = &mut *self.typed.lock();
                if !typed.is_empty() || *is_over {
                    return Ok(typed.split().freeze());
                }
            }
            changed.await;
        }
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let (typed, is_over) = &mut *self.typed.lock();
        typed.extend_from_slice(bytes);
        *is_over |= bytes == b"exit\r";
        self.changed.notify_waiters();
        self.changed.notify_one();
        Ok(bytes.len())
    }

    fn resize(&self, size: TerminalSize) -> io::Result<()> {
        self.log(&format!("size {}x{}", size.columns, size.rows));
        Ok(())
    }

    async fn exit(&self) -> i32 {
        5
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.log("hang up");
    }
}

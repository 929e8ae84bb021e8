//! Commands that run beside the container's own: health checks, mostly.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shim::{EXEC_OUTPUT_BYTES_MAX, EXECS_MAX, Exec, ExecReply};

use super::clock::Instant;
use super::hold::{OWN_PROGRAM, output_pipe};

struct Running {
    connection: u64,
    request: u64,
    helper: Pid,
    output_pipe: Option<File>,
    output: Vec<u8>,
    deadline_ms: i64,
    timed_out: bool,
    code: Option<i32>,
}

#[derive(Default)]
pub(crate) struct Execs(Vec<Running>);

impl Execs {
    /// Starts a command in the container whose first process is `container`.
    pub(crate) fn begin(
        &mut self,
        connection: u64,
        request: u64,
        container: i32,
        exec: &Exec,
    ) -> io::Result<()> {
        if exec.args.is_empty() {
            return Err(io::Error::other("no command specified"));
        }
        if self.0.len() >= EXECS_MAX {
            return Err(io::Error::other(format!("{EXECS_MAX} commands run in it already")));
        }
        let (reader, writer) = output_pipe()?;
        let mut child = Command::new(OWN_PROGRAM)
            .arg("exec")
            .arg(container.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::from(writer.try_clone()?))
            .stderr(Stdio::from(writer))
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // The helper reads it all before it does anything else.
            let _ = stdin.write_all(&serde_json::to_vec(exec)?);
        }
        let timeout_ms = i64::try_from(exec.timeout_ms).unwrap_or(i64::MAX);
        self.0.push(Running {
            connection,
            request,
            helper: Pid::from_raw(child.id() as i32),
            output_pipe: Some(reader),
            output: Vec::new(),
            deadline_ms: Instant::now().millis().saturating_add(timeout_ms),
            timed_out: false,
            code: None,
        });
        Ok(())
    }

    /// What is to be watched.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().filter_map(|exec| exec.output_pipe.as_ref().map(|pipe| pipe.as_fd()))
    }

    /// Milliseconds until the next one runs out of time.
    pub(crate) fn next_deadline_ms(&self) -> Option<i32> {
        let now = Instant::now().millis();
        let waiting = self.0.iter().filter(|exec| !exec.timed_out);
        let next = waiting.map(|exec| exec.deadline_ms.saturating_sub(now).max(0)).min()?;
        Some(i32::try_from(next).unwrap_or(i32::MAX))
    }

    /// Reads what was written, and kills those that ran out of time.
    pub(crate) fn advance(&mut self) {
        let now = Instant::now().millis();
        for exec in &mut self.0 {
            exec.read();
            if !exec.timed_out && exec.code.is_none() && now >= exec.deadline_ms {
                exec.timed_out = true;
                // The helper's command dies with it.
                let _ = kill(exec.helper, Signal::SIGKILL);
            }
        }
    }

    /// A child has ended.
    pub(crate) fn ended(&mut self, pid: Pid, code: i32) {
        for exec in self.0.iter_mut().filter(|exec| exec.helper == pid) {
            exec.code = Some(code);
        }
    }

    /// Takes out those that ended: whom to answer, and what.
    pub(crate) fn finished(&mut self) -> Vec<(u64, u64, ExecReply)> {
        let (ended, running) =
            std::mem::take(&mut self.0).into_iter().partition(|exec| exec.code.is_some());
        self.0 = running;
        let ended: Vec<Running> = ended;
        ended
            .into_iter()
            .map(|mut exec| {
                exec.read();
                let code = exec.code.filter(|_| !exec.timed_out);
                let output = String::from_utf8_lossy(&exec.output).into_owned();
                (exec.connection, exec.request, ExecReply { code, output })
            })
            .collect()
    }
}

impl Running {
    /// Reads what there is; what is beyond the limit is dropped.
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(pipe) = self.output_pipe.as_mut() {
            match pipe.read(&mut buffer) {
                Ok(0) => self.output_pipe = None,
                Ok(count) => {
                    let room = EXEC_OUTPUT_BYTES_MAX.saturating_sub(self.output.len());
                    self.output.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.output_pipe = None,
            }
        }
    }
}

//! A [`Channel`] over the pipes of a child process: the local shell, or the system's `ssh`.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::channel::{Channel, ChannelError, Inbox};

pub struct Pipes {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    buffer: Vec<u8>,
}

impl Pipes {
    pub fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        if let Some(s) = &stdin {
            rustix::io::ioctl_fionbio(s, true)?;
        }
        if let Some(s) = &stdout {
            rustix::io::ioctl_fionbio(s, true)?;
        }
        if let Some(s) = &stderr {
            rustix::io::ioctl_fionbio(s, true)?;
        }
        Ok(Self { child, stdin, stdout, stderr, buffer: vec![0; 64 * 1024] })
    }
}

/// Reads once; closes the stream at its end. True if anything happened.
fn take<S: Read>(stream: &mut Option<S>, buffer: &mut [u8], into: &mut Vec<u8>) -> std::io::Result<bool> {
    let Some(s) = stream else { return Ok(false) };
    match s.read(buffer) {
        Ok(0) => {
            *stream = None;
            Ok(true)
        }
        Ok(n) => {
            into.extend_from_slice(&buffer[..n]);
            Ok(true)
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
        Err(e) => Err(e),
    }
}

impl Channel for Pipes {
    fn exchange(&mut self, out: &[u8], inbox: &mut Inbox, until: Instant) -> Result<usize, ChannelError> {
        loop {
            let mut sent = 0;
            if !out.is_empty()
                && let Some(stdin) = &mut self.stdin
            {
                match stdin.write(out) {
                    Ok(n) => sent = n,
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                    // The reader is gone: what it said before it went is read below.
                    Err(e) if e.kind() == ErrorKind::BrokenPipe => self.stdin = None,
                    Err(e) => return Err(e.into()),
                }
            }
            let got_out = take(&mut self.stdout, &mut self.buffer, &mut inbox.out)?;
            let got_err = take(&mut self.stderr, &mut self.buffer, &mut inbox.err)?;
            if self.stdout.is_none() {
                // Whatever is still in the pipe of stderr belongs to the last words.
                while take(&mut self.stderr, &mut self.buffer, &mut inbox.err)? && self.stderr.is_some() {}
                inbox.eof = true;
            }
            if sent > 0 || got_out || got_err || inbox.eof {
                return Ok(sent);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(0);
            }
            let mut fds = Vec::with_capacity(3);
            if let Some(s) = &self.stdout {
                fds.push(PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN));
            }
            if let Some(s) = &self.stderr {
                fds.push(PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN));
            }
            if let (Some(s), false) = (&self.stdin, out.is_empty()) {
                fds.push(PollFd::from_borrowed_fd(s.as_fd(), PollFlags::OUT));
            }
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(ChannelError(e.to_string())),
            }
        }
    }

    fn close(&mut self) {
        self.stdin = None;
    }
}

/// For `poll`; rounded up so that a deadline has passed when it returns.
pub fn timespec(left: Duration) -> Timespec {
    let left = left.min(Duration::from_secs(3600)) + Duration::from_millis(1);
    Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
}

impl Drop for Pipes {
    /// The shell ends at the end of its input and tidies up; one that does not is killed.
    fn drop(&mut self) {
        self.stdin = None;
        let until = Instant::now() + Duration::from_secs(2);
        let mut pause = Duration::from_millis(1);
        while Instant::now() < until {
            // Its last words must not keep it waiting.
            let mut inbox = Inbox::default();
            let _ = take(&mut self.stdout, &mut self.buffer, &mut inbox.out);
            let _ = take(&mut self.stderr, &mut self.buffer, &mut inbox.err);
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(pause),
                _ => return,
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

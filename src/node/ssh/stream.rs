//! The socket under an ssh session, and a [`Channel`] over one of the session's channels.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use ssh2::{BlockDirections, Session};

use super::super::channel::{Channel, ChannelError, Inbox};
use super::super::pipes::timespec;

/// Straight to the node, or into the pump of a jump host.
#[derive(Clone)]
pub enum Stream {
    Tcp(Arc<TcpStream>),
    Jumped(Arc<UnixStream>),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(s) => s.as_fd(),
            Self::Jumped(s) => s.as_fd(),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// An operation that libssh2 left half done must be repeated before any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stuck {
    No,
    Writing,
    Reading,
}

pub struct SshChannel {
    session: Session,
    channel: ssh2::Channel,
    stream: Stream,
    buffer: Vec<u8>,
    stuck: Stuck,
    keep_alive: Instant,
}

const KEEP_ALIVE: Duration = Duration::from_secs(15);

impl SshChannel {
    /// The session must be non-blocking from now on.
    pub fn new(session: Session, channel: ssh2::Channel, stream: Stream) -> Self {
        let keep_alive = Instant::now() + KEEP_ALIVE;
        Self { session, channel, stream, buffer: vec![0; 64 * 1024], stuck: Stuck::No, keep_alive }
    }

    fn blocked_outbound(&self) -> bool {
        matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }

    /// Whatever can be done without waiting: how much was sent, and whether anything came.
    pub fn step(&mut self, out: &[u8], inbox: &mut Inbox) -> Result<(usize, bool), ChannelError> {
        let mut sent = 0;
        if !out.is_empty() && self.stuck != Stuck::Reading {
            match self.channel.write(out) {
                Ok(n) => {
                    sent = n;
                    self.stuck = Stuck::No;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.stuck = if self.blocked_outbound() { Stuck::Writing } else { Stuck::No };
                }
                Err(e) => return self.broken(inbox, &e),
            }
        }
        if self.stuck == Stuck::Writing {
            return Ok((sent, false));
        }
        self.stuck = Stuck::No;
        let mut came = false;
        for stream_id in [0, ssh2::EXTENDED_DATA_STDERR] {
            loop {
                match self.channel.stream(stream_id).read(&mut self.buffer) {
                    Ok(0) => break,
                    Ok(n) => {
                        came = true;
                        let into = if stream_id == 0 { &mut inbox.out } else { &mut inbox.err };
                        into.extend_from_slice(&self.buffer[..n]);
                        // The conversation looks at what came before it takes more.
                        if into.len() > 4 << 20 {
                            break;
                        }
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        if self.blocked_outbound() {
                            self.stuck = Stuck::Reading;
                            return Ok((sent, came));
                        }
                        break;
                    }
                    Err(e) => return self.broken(inbox, &e),
                }
            }
        }
        if self.channel.eof() {
            inbox.eof = true;
            came = true;
        }
        Ok((sent, came))
    }

    /// A broken stream ends the inbox, so that what arrived before is read first.
    fn broken(&mut self, inbox: &mut Inbox, error: &std::io::Error) -> Result<(usize, bool), ChannelError> {
        if inbox.out.is_empty() && inbox.err.is_empty() {
            return Err(ChannelError(error.to_string()));
        }
        inbox.eof = true;
        Ok((0, true))
    }

    /// Data of this channel that libssh2 holds already.
    pub fn has_queued(&self) -> bool {
        self.stuck == Stuck::No && self.channel.read_window().available > 0
    }

    pub fn poll_flags(&self) -> PollFlags {
        if self.blocked_outbound() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
    }

    fn keep_alive(&mut self) {
        if self.stuck == Stuck::No && Instant::now() >= self.keep_alive {
            let _ = self.session.keepalive_send();
            self.keep_alive = Instant::now() + KEEP_ALIVE;
        }
    }
}

impl Channel for SshChannel {
    fn exchange(&mut self, out: &[u8], inbox: &mut Inbox, until: Instant) -> Result<usize, ChannelError> {
        loop {
            let (sent, came) = self.step(out, inbox)?;
            if sent > 0 || came {
                return Ok(sent);
            }
            // Reading one stream takes the other's packets off the socket as well: those will wake no poll.
            if self.has_queued() {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(0);
            }
            self.keep_alive();
            let left = left.min(KEEP_ALIVE);
            let mut fds = [PollFd::new(&self.stream, self.poll_flags())];
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(ChannelError(e.to_string())),
            }
        }
    }

    fn close(&mut self) {
        // The shell sees the end of its input and tidies up; a few tries are enough for one small packet.
        for _ in 0..50 {
            match self.channel.send_eof() {
                Err(e) if e.code() == ssh2::ErrorCode::Session(-37) => {
                    let mut fds = [PollFd::new(&self.stream, self.poll_flags())];
                    let _ = poll(&mut fds, Some(&timespec(Duration::from_millis(10))));
                }
                _ => return,
            }
        }
    }
}

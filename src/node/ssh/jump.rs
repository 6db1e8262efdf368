//! ProxyJump: a socket pair whose other end a thread pumps through a jump host's channel.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use ssh2::Session;

use super::super::channel::Inbox;
use super::super::pipes::timespec;
use super::stream::{SshChannel, Stream};

/// The near end of a connection that leads through `channel`. The thread ends when either side closes.
pub fn pump(session: Session, channel: ssh2::Channel, stream: Stream) -> std::io::Result<UnixStream> {
    let (near, far) = UnixStream::pair()?;
    far.set_nonblocking(true)?;
    session.set_blocking(false);
    std::thread::Builder::new().name("kdeploy-jump".into()).stack_size(256 * 1024).spawn(move || {
        let channel = SshChannel::new(session, channel, stream.clone());
        let _ = run(channel, &stream, far);
    })?;
    Ok(near)
}

fn run(mut channel: SshChannel, stream: &Stream, mut far: UnixStream) -> std::io::Result<()> {
    let mut inbox = Inbox::default();
    let mut out: Vec<u8> = vec![];
    let mut buffer = vec![0; 64 * 1024];
    let mut far_ended = false;
    loop {
        let mut moved = false;
        if out.is_empty() && !far_ended {
            match far.read(&mut buffer) {
                Ok(0) => far_ended = true,
                Ok(n) => {
                    out.extend_from_slice(&buffer[..n]);
                    moved = true;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        // What came is passed on before more is taken, so that nothing grows without bounds.
        if inbox.out.len() < 1 << 20 || !out.is_empty() {
            let (sent, came) = channel.step(&out, &mut inbox).map_err(|e| std::io::Error::other(e.0))?;
            out.drain(..sent);
            moved |= sent > 0 || (came && !inbox.eof);
            inbox.err.clear();
        }
        while !inbox.out.is_empty() {
            match far.write(&inbox.out) {
                Ok(n) => {
                    inbox.out.drain(..n);
                    moved = true;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        if (inbox.eof && inbox.out.is_empty()) || (far_ended && out.is_empty()) {
            return Ok(());
        }
        if moved || (inbox.out.is_empty() && channel.has_queued()) {
            continue;
        }
        let mut far_flags = PollFlags::empty();
        if out.is_empty() && !far_ended {
            far_flags |= PollFlags::IN;
        }
        if !inbox.out.is_empty() {
            far_flags |= PollFlags::OUT;
        }
        let mut fds = [PollFd::new(stream, channel.poll_flags()), PollFd::new(&far, far_flags)];
        match poll(&mut fds, Some(&timespec(std::time::Duration::from_secs(15)))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

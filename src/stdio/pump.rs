//! Moves a container's output from its pipes into its log file, as long as the container lives.
//!
//! One timestamp per read, one write per batch. Buffers grow with the flow (up to [`READ_BYTES_MAX`]) and are given back when
//! it has paused for a while, so that an idle pod costs next to nothing. The beginning of a line that has not ended is kept beside the log: a pump that is
//! killed is followed by one that goes on with the line.

use crate::base::Bytes;
use crate::stdio::cri::{Framer, Stream, timestamp};
use crate::stdio::file::{LogCounters, LogFile};
use crate::stdio::tap::{Tap, Taps};
use crate::sys;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// Bytes of the first read after a pause: a page holds what most containers say at once.
const READ_BYTES_MIN: usize = 4 * 1024;
/// Bytes of the largest read: a batch then still fits the second-level cache, where framing is fastest.
const READ_BYTES_MAX: usize = 128 * 1024;
/// Without output for so long, an instance has paused. Less, and a steady flow would have its memory mapped anew for each batch.
const PAUSE: Duration = Duration::from_millis(100);
/// Time to reach the end of the output after the process ended; a child of it may keep the pipe open forever.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Time between two tries while output waits for the disk.
const DISK_RETRY: Duration = Duration::from_millis(500);

/// Why pumping shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The instance has ended: what is in the pipes is still read.
    Ended,
    /// Another process goes on with the same pipes: what was read is written down, the rest stays in them.
    HandedOver,
}

/// How pumping ended. The counters of the [`LogFile`] have the same numbers while it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PumpReport {
    /// Bytes read from the container.
    pub bytes: u64,
    /// Bytes of records that could not be written.
    pub lost_bytes: u64,
    /// The end of the output was not reached one second after the instance ended: something still holds it open.
    pub cut: bool,
}

/// Pumps `stdout` and `stderr` (or a terminal as `stdout`) into `log` until both end, or until `stop` says so; from when they come,
/// to each of `tapping`, too.
/// *Errors*: none; an output that cannot be read has ended, a batch that cannot be written is counted as lost or waits.
pub async fn pump(
    stdout: OwnedFd,
    stderr: Option<OwnedFd>,
    mut log: LogFile,
    mut tapping: mpsc::Receiver<Tap>,
    stop: impl Future<Output = Stop>,
) -> PumpReport {
    let counters = log.counters();
    let left = log.load_held();
    let [held_out, held_err] = left.held;
    let mut batch = Bytes::default();
    let mut out = Output::open(stdout, Framer::resume(Stream::Stdout, held_out));
    let mut err = stderr.and_then(|fd| Output::open(fd, Framer::resume(Stream::Stderr, held_err)));
    if let Some((stream, bytes)) = left.batch {
        let output = match stream {
            Stream::Stdout => &mut out,
            Stream::Stderr => &mut err,
        };
        if let Some(output) = output {
            frame(&mut output.framer, &bytes, &mut batch);
        }
    }
    let mut waits = !written(&mut log, &mut batch, &out, &err);
    let mut stop = pin!(stop);
    let mut ended = false;
    let mut err_first = false;
    let mut taps = Taps::default();
    let mut deadline = pin!(tokio::time::sleep(DRAIN_TIME));
    let mut cut = false;
    while out.is_some() || err.is_some() {
        // Biased: the order to stop and its deadline before the flow, which may never pause; then the output that waited.
        let chosen = tokio::select! {
            biased;
            why = &mut stop, if !ended => match why {
                // What waits is in the spool, and whoever goes on with the pipes finds it there.
                Stop::HandedOver if waits => return report(&counters, cut),
                Stop::HandedOver => break,
                Stop::Ended => {
                    ended = true;
                    deadline.as_mut().reset(tokio::time::Instant::now() + DRAIN_TIME);
                    continue;
                }
            },
            () = &mut deadline, if ended => {
                cut = true;
                break;
            }
            Some(tap) = tapping.recv() => {
                taps.add(tap, [held(&out), held(&err)]);
                continue;
            }
            () = tokio::time::sleep(DISK_RETRY), if waits => {
                waits = !written(&mut log, &mut batch, &out, &err);
                continue;
            }
            () = readable(&err), if err_first && !waits => &mut err,
            () = readable(&out), if !waits => &mut out,
            () = readable(&err), if !waits => &mut err,
            () = tokio::time::sleep(PAUSE), if !waits && (has_buffer(&out) || has_buffer(&err)) => {
                [&mut out, &mut err].into_iter().flatten().for_each(Output::rest);
                batch.shrink_to(0);
                continue;
            }
        };
        err_first = !err_first;
        match chosen
            .as_mut()
            .map(|output| output.read_into(&mut log, &mut batch, &mut taps))
        {
            Some(Read::Bytes(n)) => counters.add_read(n),
            Some(Read::NotNow) => {
                waits = true;
                continue;
            }
            Some(Read::End) | None => finish(chosen.take(), &mut batch),
        }
        waits = !written(&mut log, &mut batch, &out, &err);
        if waits {
            continue;
        }
        batch.shrink_to(4 * READ_BYTES_MAX);
        // A container that never pauses must not keep the loop from everything else.
        tokio::task::yield_now().await;
    }
    finish(out, &mut batch);
    finish(err, &mut batch);
    log.append_last(&mut batch);
    log.remove_held();
    report(&counters, cut)
}

/// Logs the batch and remembers what was read beyond it; whether the disk took all of it.
fn written(
    log: &mut LogFile,
    batch: &mut Bytes,
    out: &Option<Output>,
    err: &Option<Output>,
) -> bool {
    let taken = log.append(batch, !inside_line(out) && !inside_line(err));
    if taken {
        log.save_held(held(out), held(err));
    }
    taken
}

fn report(counters: &LogCounters, cut: bool) -> PumpReport {
    PumpReport {
        bytes: counters.read_bytes(),
        lost_bytes: counters.lost_bytes(),
        cut,
    }
}

fn frame(framer: &mut Framer, bytes: &[u8], batch: &mut Bytes) {
    framer.feed(bytes, &timestamp(jiff::Timestamp::now()), batch);
}

fn finish(output: Option<Output>, batch: &mut Bytes) {
    if let Some(mut output) = output {
        output
            .framer
            .finish(&timestamp(jiff::Timestamp::now()), batch);
    }
}

fn held(output: &Option<Output>) -> &[u8] {
    output.as_ref().map_or(&[], |output| output.framer.held())
}

fn inside_line(output: &Option<Output>) -> bool {
    output.as_ref().is_some_and(|o| o.framer.is_inside_line())
}

fn has_buffer(output: &Option<Output>) -> bool {
    output.as_ref().is_some_and(|o| !o.buffer.is_empty())
}

/// Ready when there is something to read or the end; never if the output has ended.
async fn readable(output: &Option<Output>) {
    match output {
        // An error here means that the loop is going away; reading then says the rest.
        Some(output) => drop(output.source.readable().await),
        None => std::future::pending().await,
    }
}

/// What one read gave.
enum Read {
    /// So many bytes; none if there were none yet.
    Bytes(usize),
    /// They wait for the disk.
    NotNow,
    End,
}

/// One output that has not ended.
struct Output {
    source: AsyncFd<OwnedFd>,
    framer: Framer,
    buffer: Vec<u8>,
    next_read_bytes: usize,
}

impl Output {
    /// `None` if it cannot be waited for, which pipes and terminals can.
    fn open(fd: OwnedFd, framer: Framer) -> Option<Output> {
        rustix::io::ioctl_fionbio(&fd, true).ok()?;
        Some(Output {
            source: sys::watch(fd).ok()?,
            framer,
            buffer: Vec::new(),
            next_read_bytes: READ_BYTES_MIN,
        })
    }

    /// One read, framed into `batch`.
    fn read_into(&mut self, log: &mut LogFile, batch: &mut Bytes, taps: &mut Taps) -> Read {
        self.buffer.resize(self.next_read_bytes, 0);
        let (stream, buffer) = (self.framer.stream(), &mut self.buffer);
        let take = |source: &OwnedFd| log.take(stream, source.as_fd(), buffer);
        match self.source.try_io(Interest::READABLE, take) {
            Ok(0) => Read::End,
            Ok(n) => {
                frame(&mut self.framer, &self.buffer[..n], batch);
                taps.tell(stream, &self.buffer[..n]);
                if n == self.buffer.len() {
                    self.next_read_bytes = (n * 4).min(READ_BYTES_MAX);
                }
                Read::Bytes(n)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Bytes(0),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Read::NotNow,
            // EIO: a terminal whose other side is closed.
            Err(_) => Read::End,
        }
    }

    /// Gives back what it does not need while nothing flows.
    fn rest(&mut self) {
        self.next_read_bytes = READ_BYTES_MIN;
        self.buffer = Vec::new();
    }
}

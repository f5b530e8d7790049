//! One blob into the content store: resumed where an earlier attempt ended, retried while it comes on, never kept if it is wrong.

use super::PullError;
use super::session::Session;
use crate::image::ImageError;
use crate::image::blobs::{Arrival, Blobs, Partial};
use crate::image::digest::Digest;
use crate::sys;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;

/// Attempts that bring nothing, or next to nothing, before we give up.
const ATTEMPTS: u32 = 5;
/// Bytes received at once.
const BUFFER_BYTES: usize = 128 << 10;
/// Bytes that must come in the time of our patience, and with an attempt: less is a registry that keeps us waiting on purpose.
const LEAST_BYTES: u64 = 16 << 10;

/// Makes sure that a blob of this size is in the store. Of several threads and processes one receives it, and the others wait.
/// `progress` is told how many bytes came; `stop` ends it without an error, because somebody else has one. Errors: as [`PullError`]; `Mismatch` if it is another; `Store`.
pub(in crate::image) fn receive(
    session: &Session,
    blobs: &Blobs,
    (digest, size): (&Digest, u64),
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), ImageError> {
    let mut partial = match blobs.arrival(digest, size)? {
        Arrival::Present => {
            progress(size);
            return Ok(());
        }
        Arrival::Partial(partial) => partial,
    };
    progress(partial.len());
    let mut failures = 0;
    let mut wait = session.times.first_wait;
    while partial.len() < size {
        let before = partial.len();
        let result = part(session, &mut partial, (digest, size), &|count| {
            progress(count);
            stop.load(Ordering::Relaxed)
        });
        let problem = match result {
            Ok(()) if partial.len() == size => break,
            Ok(()) if stop.load(Ordering::Relaxed) => return Ok(()),
            Ok(()) => None,
            Err(ImageError::Pull { source, .. }) if source.may_pass() => Some(source),
            Err(error) => return Err(partial.failed(error)),
        };
        if partial.len() >= before + LEAST_BYTES {
            failures = 0;
            wait = session.times.first_wait;
        } else {
            failures += 1;
        }
        let pause = problem.as_ref().map_or(wait, |problem| problem.wait(wait));
        if failures == ATTEMPTS {
            // What came stays for the next time.
            return Err(match problem {
                Some(source) => ImageError::Pull {
                    reference: digest.to_string(),
                    source,
                },
                None => mismatch(digest, size, format!("only {} bytes", partial.len())),
            });
        }
        sleep(pause);
        wait *= 2;
    }
    partial.finish(digest, size)
}

/// One answer of the registry, to its end, or until `progress` says that nobody wants it any more.
fn part(
    session: &Session,
    partial: &mut Partial,
    (digest, size): (&Digest, u64),
    progress: &dyn Fn(u64) -> bool,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::pull(digest, source);
    let patience = session.times.patience;
    let (start, mut stream) = session.blob(digest, partial.len()).map_err(failed)?;
    if start != partial.len() {
        partial.restart()?;
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut since, mut recent) = (sys::now().mono, 0);
    loop {
        let count = stream.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
        if partial.len() + count as u64 > size {
            return Err(mismatch(digest, size, "more bytes".to_owned()));
        }
        partial.append(&buffer[..count])?;
        if progress(count as u64) {
            return Ok(());
        }
        recent += count as u64;
        let now = sys::now().mono;
        if now >= since + patience {
            if recent < LEAST_BYTES {
                let url = stream.url.to_string();
                return Err(failed(PullError::Stalled { url, patience }));
            }
            (since, recent) = (now, 0);
        }
    }
}

fn mismatch(digest: &Digest, size: u64, found: String) -> ImageError {
    ImageError::Mismatch {
        file: format!("blobs/{digest}"),
        expected: format!("{digest} of {size} bytes"),
        found,
    }
}

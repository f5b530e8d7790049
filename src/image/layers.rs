//! The layers of an image at a registry: received side by side, unpacked in order.

use crate::image::blobs::Blobs;
use crate::image::config::Content;
use crate::image::ensure::add;
use crate::image::files::Files;
use crate::image::pull::Progress;
use crate::image::registry::{Session, receive};
use crate::image::store::{Store, store_error};
use crate::image::unpack::Limits;
use crate::image::{ImageError, ImageRecord};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

/// Layers received at once. Source: Docker and containerd; more does not fill a line better and annoys registries.
const LAYERS_AT_ONCE: usize = 3;
/// Bytes that must stay free on the disk of the store.
const SPARE_BYTES: u64 = 16 << 20;

/// Receives what is missing and unpacks it.
pub(super) fn bring(
    store: &Store,
    name: &str,
    session: &Session,
    content: &Content,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<ImageRecord, ImageError> {
    let blobs = Blobs::new(store.data());
    // The same layer twice is received once.
    let mut queue = VecDeque::new();
    let mut sizes = BTreeMap::new();
    for (digest, size) in content
        .layers
        .iter()
        .filter_map(|layer| layer.blob.as_ref())
    {
        if sizes.insert(digest, *size).is_none() {
            queue.push_back((digest, *size));
        }
    }
    let bytes = sizes
        .values()
        .fold(0_u64, |sum, size| sum.saturating_add(*size));
    tell(Progress::Begun {
        layers: content.layers.len(),
        bytes,
    });
    let missing = sizes
        .iter()
        .filter(|(digest, size)| !blobs.has(digest, **size));
    check_room(
        store.data(),
        missing.fold(0_u64, |sum, (_, size)| sum.saturating_add(*size)),
    )?;
    let files = Files::directory(&blobs.layout())?;
    let (queue, stop) = (Mutex::new(queue), AtomicBool::new(false));
    let (told, news) = mpsc::channel();
    let progress = |count| tell(Progress::Received(count));
    let receiver = |told: mpsc::Sender<_>| {
        while let Some((digest, size)) = next(&queue, &stop) {
            let result = receive(session, &blobs, (digest, size), &stop, &progress);
            if told.send((digest.clone(), result)).is_err() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..LAYERS_AT_ONCE.min(sizes.len()) {
            let told = told.clone();
            let receiver = &receiver;
            scope.spawn(move || receiver(told));
        }
        drop(told);
        let mut here = std::collections::BTreeSet::new();
        let added = add(
            store,
            name,
            &files,
            content,
            &mut |layer| {
                let Some((digest, _)) = &layer.blob else {
                    return Ok(());
                };
                while !here.contains(digest) {
                    // Every receiver tells of each of its layers before it ends.
                    let Ok((digest, result)) = news.recv() else {
                        break;
                    };
                    result?;
                    here.insert(digest);
                }
                Ok(())
            },
            &|| tell(Progress::Unpacked),
        );
        stop.store(true, Ordering::Relaxed);
        added
    })
}

fn next<T>(queue: &Mutex<VecDeque<T>>, stop: &AtomicBool) -> Option<T> {
    if stop.load(Ordering::Relaxed) {
        return None;
    }
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

/// Refuses before anything is written what cannot fit, and what no layer is.
fn check_room(data: &Path, bytes: u64) -> Result<(), ImageError> {
    let room = || -> io::Result<u64> {
        let disk = rustix::fs::statvfs(data)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    };
    let room = room().map_err(|source| store_error(data, source))?;
    if bytes > Limits::LAYER.bytes || bytes.saturating_add(SPARE_BYTES) > room {
        let text = format!("its layers have {bytes} bytes, and {room} are free");
        return Err(store_error(
            data,
            io::Error::new(io::ErrorKind::StorageFull, text),
        ));
    }
    Ok(())
}

//! What a process that only waits need not keep mapped.

use nix::libc;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

/// Below the frame that looks where the stack ends so much of it is kept: for the rest of that frame, and for what it calls.
const KEPT_BELOW: usize = 2048;

/// Gives back what only the work before needed: of the program, and of the stack of the calling thread.
pub fn release_idle() {
    release_stack();
    release_program();
}

/// Gives back the stack below this frame: how deep calls once went is not how deep they are. What is called next finds zeroes
/// where it makes its frames.
#[inline(never)]
fn release_stack() {
    let here = 0_u8;
    let here = (&raw const here).addr();
    let mut attributes = MaybeUninit::uninit();
    let (mut lowest, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: both fill what they are given; the attributes are only used, and destroyed, if they were made.
    let is_known = unsafe {
        libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) == 0 && {
            let code = libc::pthread_attr_getstack(attributes.as_ptr(), &mut lowest, &mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            code == 0
        }
    };
    let page = page_size();
    let end = here.saturating_sub(KEPT_BELOW) / page * page;
    let begin = lowest.addr().next_multiple_of(page);
    if !is_known || begin >= end || end >= lowest.addr() + size {
        return;
    }
    // SAFETY: the range is part of this thread's own stack, below every frame that lives and out of reach of what this one calls:
    // no value is there. A part that the stack has not grown to has no pages; nothing else can be in it.
    unsafe { libc::madvise(lowest.with_addr(begin), end - begin, libc::MADV_DONTNEED) };
}

fn page_size() -> usize {
    // SAFETY: it takes a number and answers with one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).unwrap_or(4096)
}

/// Lets go of the pages of this program's code and constants: they stay in the page cache, shared, and come back one by one as
/// they are used. Starting maps megabytes of them that waiting does not need.
fn release_program() {
    // SAFETY: the callback fits the type, keeps no pointer, and takes no data.
    unsafe { libc::dl_iterate_phdr(Some(release_object), std::ptr::null_mut()) };
}

/// Releases the loaded segments of one object that are not writable: nothing in them ever differs from the file. (What is
/// read-only after relocation is part of a writable segment.)
unsafe extern "C" fn release_object(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: the C library passes a valid description with its program headers, which live as long as the object.
    let (base, headers) = unsafe {
        let info = &*info;
        (
            info.dlpi_addr,
            std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)),
        )
    };
    let page = page_size() as u64;
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let first = base + header.p_vaddr;
        let (begin, end) = (first / page * page, first + header.p_memsz);
        // SAFETY: the range is a private file mapping without a change of ours: what is dropped is read again from the file.
        unsafe {
            libc::madvise(
                begin as *mut c_void,
                (end - begin) as usize,
                libc::MADV_DONTNEED,
            )
        };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident pages of files, in KiB. Source: proc_pid_status(5).
    fn file_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        let line = status.lines().find_map(|l| l.strip_prefix("RssFile:"));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.expect("RssFile")
    }

    #[test]
    fn the_program_goes_on_with_less_of_itself_in_memory() {
        let before = file_kib();
        release_program();
        let after = file_kib();
        assert!(after < before, "{after} KiB of {before} KiB are left");
    }

    /// Each has 4 KiB, and several times that in a test build.
    const FRAMES: usize = 128;

    /// Goes down so many frames, and is back.
    #[inline(never)]
    fn dive(frames: usize) -> usize {
        let frame = std::hint::black_box([frames; 512]);
        match frames {
            0 => frame[7],
            _ => dive(frames - 1) + std::hint::black_box(frame)[511],
        }
    }

    /// Resident pages of the mapping that this address is in, in KiB. Source: proc_pid_smaps(5).
    fn resident_around(address: usize) -> u64 {
        let maps = std::fs::read_to_string("/proc/thread-self/smaps").expect("smaps");
        let mut is_here = false;
        for line in maps.lines() {
            let first = line.split_whitespace().next().unwrap_or_default();
            let number = |text| usize::from_str_radix(text, 16).ok();
            let ends = first.split_once('-');
            if let Some((Some(from), Some(to))) = ends.map(|(a, b)| (number(a), number(b))) {
                is_here = (from..to).contains(&address);
            } else if is_here && let Some(rest) = line.strip_prefix("Rss:") {
                let kib = rest.split_whitespace().next();
                return kib.and_then(|kib| kib.parse().ok()).expect("a number");
            }
        }
        panic!("no mapping has {address:x}");
    }

    #[test]
    fn the_stack_that_is_not_in_use_is_given_back() {
        let thread = std::thread::Builder::new().stack_size(32 << 20);
        let ran = thread.spawn(|| {
            let kept = std::hint::black_box([7_u8; 20_000]);
            let here = (&raw const kept).addr();
            assert_eq!(dive(FRAMES), (0..=FRAMES).sum::<usize>());
            let deep = resident_around(here);
            release_idle();
            let flat = resident_around(here);
            assert!(deep > 512, "{deep} KiB is not deep");
            assert!(flat + 256 <= deep, "{flat} KiB of {deep} KiB are left");
            assert!(std::hint::black_box(kept).iter().all(|byte| *byte == 7));
            // What was given back is there again when it is needed.
            assert_eq!(dive(FRAMES), (0..=FRAMES).sum::<usize>());
        });
        ran.expect("a thread").join().expect("it ran");
    }
}

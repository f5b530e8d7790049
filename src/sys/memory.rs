//! What a process that only waits need not keep mapped.

use nix::libc;
use std::ffi::{c_int, c_void};

/// Lets go of the pages of this program's code and constants: they stay in the page cache, shared, and come back one by one as
/// they are used. Starting maps megabytes of them that waiting does not need.
pub fn release_program() {
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
    // SAFETY: it takes a number and answers with one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }
        .max(1)
        .cast_unsigned();
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
}

//! cgroup v2 has no file that says which devices may be used, but a program of the kernel's that decides. Source: kernel
//! documentation, admin-guide/cgroup-v2, "Device controller"; bpf(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const PROG_LOAD: i64 = 5;
const PROG_ATTACH: i64 = 8;
/// `BPF_PROG_TYPE_CGROUP_DEVICE` and `BPF_CGROUP_DEVICE`.
const CGROUP_DEVICE_PROGRAM: u32 = 15;
const CGROUP_DEVICE_ATTACHMENT: u32 = 6;
/// `BPF_F_ALLOW_MULTI`: beside what those above have, all of which must agree.
const ALLOW_MULTI: u32 = 2;
/// `r0 = 0; exit`: no to everything.
static NO: [u64; 2] = [0xb7, 0x95];

/// The members of `union bpf_attr` that loading takes.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    program: u64,
    license: u64,
}

/// The members of `union bpf_attr` that attaching takes.
#[repr(C)]
struct Attach {
    cgroup: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Lets no process of a cgroup v2 and those below it open or make a device.
pub fn deny_devices(cgroup: BorrowedFd<'_>) -> io::Result<()> {
    let load = Load {
        kind: CGROUP_DEVICE_PROGRAM,
        instructions: 2,
        program: NO.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
    };
    // SAFETY: `load` is a prefix of `union bpf_attr` of the size that is told, and the kernel takes the rest as zero; it points to
    // two instructions and a string that live as long as the program.
    let program = unsafe { bpf(PROG_LOAD, &raw const load) }?;
    let number = i32::try_from(program).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    let program = unsafe { OwnedFd::from_raw_fd(number) };
    let attach = Attach {
        cgroup: cgroup.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: CGROUP_DEVICE_ATTACHMENT,
        flags: ALLOW_MULTI,
    };
    // SAFETY: as above; it has no pointers, and both descriptors are open.
    unsafe { bpf(PROG_ATTACH, &raw const attach) }.map(|_| ())
}

/// SAFETY: `attributes` must be what the command takes, with valid pointers.
unsafe fn bpf<T>(command: i64, attributes: *const T) -> io::Result<i64> {
    // SAFETY: the caller vouches for the attributes, whose size is that of their type.
    let result =
        unsafe { nix::libc::syscall(nix::libc::SYS_bpf, command, attributes, size_of::<T>()) };
    match result {
        0.. => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

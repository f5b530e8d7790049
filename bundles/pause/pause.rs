//! The pause process: it holds the namespaces of a pod and, as PID 1 of a shared PID namespace, reaps what is orphaned there.
//!
//! All signals are blocked and then taken one by one: a blocked signal reaches even the init of a PID namespace, so TERM and
//! INT end it and SIGCHLD is never missed. Every SIGCHLD reaps all zombies, because signals of one kind merge. No libc, no
//! heap, a few KiB.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
mod nr {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WAIT4: usize = 61;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod nr {
    pub const RT_SIGPROCMASK: usize = 135;
    pub const WAIT4: usize = 260;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const EXIT_GROUP: usize = 94;
}

const SIG_BLOCK: usize = 0;
const SIGINT: isize = 2;
const SIGTERM: isize = 15;
const SIGCHLD: isize = 17;
const WNOHANG: usize = 1;
static ALL: u64 = !0;

// The kernel enters with the stack aligned to 16; a function expects it as after a call.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", main = sym main);

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "bl {main}", main = sym main);

/// SAFETY: the caller gives arguments that the system call `n` takes; pointers must be valid for it.
unsafe fn syscall(n: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel clobbers rcx and r11 only; memory is as the caller promised.
    unsafe {
        asm!("syscall", inlateout("rax") n => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel preserves all registers but x0; memory is as the caller promised.
    unsafe {
        asm!("svc 0", in("x8") n, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, options(nostack));
    }
    result
}

extern "C" fn main() -> ! {
    let mask = core::ptr::addr_of!(ALL) as usize;
    let size = size_of::<u64>();
    // SAFETY: `mask` points to a static of `size` bytes; the null pointers are optional results.
    unsafe { syscall(nr::RT_SIGPROCMASK, SIG_BLOCK, mask, 0, size) };
    loop {
        // SAFETY: as above; no time limit, no siginfo wanted.
        match unsafe { syscall(nr::RT_SIGTIMEDWAIT, mask, 0, 0, size) } {
            SIGINT | SIGTERM => break,
            // SAFETY: no pointers are passed.
            SIGCHLD => while unsafe { syscall(nr::WAIT4, usize::MAX, 0, WNOHANG, 0) } > 0 {},
            _ => {}
        }
    }
    loop {
        // SAFETY: no pointers are passed; it does not return.
        unsafe { syscall(nr::EXIT_GROUP, 0, 0, 0, 0) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        // SAFETY: no pointers are passed; it does not return.
        unsafe { syscall(nr::EXIT_GROUP, 255, 0, 0, 0) };
    }
}

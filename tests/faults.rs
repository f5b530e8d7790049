//! Bad input and bad luck, with the finished program: whatever the runtime, the disk, the image or the machine does wrong, it is
//! said clearly and in time, nothing leaks, and the pod can be deleted. Needs root.

mod support;

mod faults {
    mod callers;
    mod disk;
    mod faulty;
    mod image;
    mod machine;
    mod runtime;
    mod sandbox;
    mod stalled;
}

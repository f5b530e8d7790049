/* The programs that run in the benchmark's containers, and its stopwatch: what a shell is too slow for.
 *
 *   tool write BYTES LENGTH DIR   writes lines of this length, tells in DIR/took how many nanoseconds that took, and stays
 *   tool exit DIR                 tells in DIR/at when it ends, in nanoseconds since the epoch, and ends
 *   tool stamp                    copies lines, each behind the time at which it came
 *   tool no-vdso COMMAND...       runs it without PR_GET_AUXV (Linux 6.4), which tells of a vDSO that valgrind has taken away
 *
 * Both writers wait until somebody opens the FIFO DIR/go for writing, so that nothing of a start is measured. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void await(const char *directory)
{
	char byte;
	if (chdir(directory))
		fail(directory);
	int go = open("go", O_RDONLY | O_CLOEXEC);
	if (go < 0 || read(go, &byte, 1) < 0)
		fail("go");
}

/* Whole or not at all: somebody waits for the name. */
static void tell(const char *name, long long value)
{
	char text[32];
	int file = open(".part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int length = snprintf(text, sizeof text, "%lld\n", value);
	if (file < 0 || write(file, text, length) != length || rename(".part", name))
		fail(name);
}

static void write_lines(long long bytes, size_t length, const char *directory)
{
	static char buffer[64 * 1024];
	if (length < 1 || length > sizeof buffer)
		fail("length");
	size_t whole = sizeof buffer / length * length;
	memset(buffer, 'x', whole);
	for (size_t end = length; end <= whole; end += length)
		buffer[end - 1] = '\n';
	bytes -= bytes % (long long)length;
	await(directory);
	long long begin = now();
	while (bytes > 0) {
		ssize_t written = write(1, buffer, bytes < (long long)whole ? (size_t)bytes : whole);
		if (written <= 0 || written % (ssize_t)length)
			fail("write"); /* a blocking pipe takes all */
		bytes -= written;
	}
	tell("took", now() - begin);
}

#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856
#endif

static void run_without_vdso(char **command)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_GET_AUXV, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof program / sizeof *program, program};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		fail("seccomp");
	execvp(*command, command);
	fail(*command);
}

int main(int count, char **arguments)
{
	if (count == 5 && !strcmp(arguments[1], "write")) {
		write_lines(atoll(arguments[2]), (size_t)atoll(arguments[3]), arguments[4]);
		pause();
	} else if (count == 3 && !strcmp(arguments[1], "exit")) {
		await(arguments[2]);
		tell("at", now());
	} else if (count == 2 && !strcmp(arguments[1], "stamp")) {
		static char line[64 * 1024];
		while (fgets(line, sizeof line, stdin)) {
			printf("%lld %s", now(), line);
			fflush(stdout);
		}
	} else if (count > 2 && !strcmp(arguments[1], "no-vdso")) {
		run_without_vdso(arguments + 2);
	} else {
		return 2;
	}
	return 0;
}

/* Lets user-mode Linux run on processors whose extended state is larger than it knows: it hands the host the first part of the
 * state only, which the host refuses. The rest is filled in with what the thread has. Loaded with LD_PRELOAD. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Of <linux/ptrace.h> and <elf.h>; <sys/ptrace.h> declares `ptrace` in another way. */
enum { PEEKTEXT = 1, PEEKUSER = 3, GETREGSET = 0x4204, SETREGSET = 0x4205, XSTATE = 0x202 };

static long set_state(long thread, const struct iovec *part) {
  static __thread unsigned char state[1 << 16] __attribute__((aligned(64)));
  struct iovec whole = {state, sizeof state};
  if (syscall(SYS_ptrace, GETREGSET, thread, XSTATE, &whole)) return -1;
  memcpy(state, part->iov_base, part->iov_len < whole.iov_len ? part->iov_len : whole.iov_len);
  return syscall(SYS_ptrace, SETREGSET, thread, XSTATE, &whole);
}

long ptrace(int request, ...) {
  va_list arguments;
  va_start(arguments, request);
  long thread = va_arg(arguments, long), address = va_arg(arguments, long), data = va_arg(arguments, long);
  va_end(arguments);
  if (request == SETREGSET && address == XSTATE) return set_state(thread, (const struct iovec *)data);
  if (request >= PEEKTEXT && request <= PEEKUSER) {
    /* The C library gives the word, the system puts it somewhere. */
    long word;
    long result = syscall(SYS_ptrace, request, thread, address, &word);
    return result ? result : word;
  }
  return syscall(SYS_ptrace, request, thread, address, data);
}

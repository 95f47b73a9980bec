/* Stands between a process and a folder: notes in a log what is done to the files there, so that a power cut can be made of it
 * afterwards, and has a call fail or be the last one. Loaded with LD_PRELOAD.
 *
 * A sync is noted and not carried out. All calls of the process are carried out one after the other: what the log says is
 * what the folder has.
 *
 * SHIM_FOLDER    the folder; links are not followed
 * SHIM_LOG       the file to which the entries below are appended
 * SHIM_CUT       the process is killed before the call of this number, from 1; or before its next call, at SIGTERM
 * SHIM_FAIL      the call of this number fails, or the next one that can fail so
 * SHIM_ERROR     the number of its error
 * SHIM_LASTING   if set: later calls that can fail so do, too, until there is a file of this name
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The kinds of entries, and what is in them. Names are paths below the folder. */
enum {
  WRITTEN = 1, /* inode, offset, length, bytes */
  ZEROED = 2,  /* inode, offset, length: as if zeros were written */
  RESIZED = 3, /* inode, length */
  SYNCED = 4,  /* inode */
  UNSYNCED = 5, /* inode: a sync has failed */
  MADE = 6,    /* inode, name; offset is 1 for a folder */
  RENAMED = 7, /* two names */
  REMOVED = 8, /* name */
  LINKED = 9,  /* two names */
  FAILED = 10, /* name: what has failed on purpose, for people */
  ODD = 11,    /* name: something that cannot be told here */
};

/* What fails so. A full disk takes no new bytes and no new names. */
enum { ANY, TAKES_SPACE };

struct entry {
  uint32_t kind, first, second, zero;
  uint64_t inode, offset, length;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder, *lasting;
static size_t folder_length;
static int log_file = -1;
static unsigned long calls, cut_at, fail_at;
static int error_number, has_failed;
/* The call that was to fail has written a part; the next one fails. */
static int fails_next;
/* Set when the process is told to end: it is killed before its next call. */
static volatile sig_atomic_t cuts_next;

static unsigned long number(const char *name) {
  const char *text = getenv(name);
  return text ? strtoul(text, NULL, 10) : 0;
}

static void told_to_end(int signal) {
  (void)signal;
  cuts_next = 1;
}

__attribute__((constructor)) static void start(void) {
  const char *log = getenv("SHIM_LOG");
  folder = getenv("SHIM_FOLDER");
  if (!folder || !log) {
    folder = NULL;
    return;
  }
  folder_length = strlen(folder);
  lasting = getenv("SHIM_LASTING");
  cut_at = number("SHIM_CUT");
  fail_at = number("SHIM_FAIL");
  error_number = (int)number("SHIM_ERROR");
  log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_file < 0) abort();
  signal(SIGTERM, told_to_end);
}

/* Appends to the log. What cannot be noted must not happen. */
static void note(int kind, uint64_t inode, uint64_t offset, uint64_t length, const char *first, const char *second,
                 const void *bytes) {
  struct entry entry = {kind, first ? strlen(first) : 0, second ? strlen(second) : 0, 0, inode, offset, length};
  struct iovec parts[] = {{&entry, sizeof entry},
                          {(void *)first, entry.first},
                          {(void *)second, entry.second},
                          {(void *)bytes, bytes ? length : 0}};
  size_t size = 0;
  for (int i = 0; i < 4; i++) size += parts[i].iov_len;
  if (syscall(SYS_writev, log_file, parts, 4) != (long)size) abort();
}

/* What is behind the folder in a path; NULL for a path that is not below it. The folder itself is "". */
static const char *below(const char *path) {
  if (!folder || strncmp(path, folder, folder_length)) return NULL;
  path += folder_length;
  if (*path && *path != '/') return NULL;
  while (*path == '/') path++;
  return path;
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  path[n > 0 ? n : 0] = 0;
  return n > 0;
}

/* The name below the folder that a path means, put into `out`; NULL if it is not below. */
static const char *name_at(int at, const char *path, char *out) {
  if (!folder || !path) return NULL;
  if (*path == '/') {
    snprintf(out, PATH_MAX, "%s", path);
  } else {
    if (at == AT_FDCWD ? !getcwd(out, PATH_MAX) : !path_of(at, out)) return NULL;
    size_t n = strlen(out);
    snprintf(out + n, PATH_MAX - n, "/%s", path);
  }
  size_t n = strlen(out);
  while (n > 1 && out[n - 1] == '/') out[--n] = 0;
  return below(out);
}

/* The name of an open file, if it is below the folder; one that was removed has " (deleted)" behind it. */
static const char *name_of(int fd, char *out, struct stat *found) {
  if (!folder || fstat(fd, found) || !(S_ISREG(found->st_mode) || S_ISDIR(found->st_mode)) || !path_of(fd, out)) return NULL;
  return below(out);
}

/* Begins a call on the folder; 1 if it is to fail. */
static int begin(const char *call, const char *name, int what) {
  pthread_mutex_lock(&lock);
  calls++;
  if (calls == cut_at || cuts_next) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
  }
  int can_fail = error_number != ENOSPC || what == TAKES_SPACE;
  int is_due = fail_at && calls >= fail_at && can_fail;
  if (!is_due || (has_failed && !fails_next && (!lasting || !syscall(SYS_faccessat, AT_FDCWD, lasting, F_OK)))) return 0;
  char text[PATH_MAX + 64];
  snprintf(text, sizeof text, "call %lu, %s %s", calls, call, name);
  note(FAILED, 0, 0, 0, text, NULL, NULL);
  has_failed = 1;
  fails_next = 0;
  return 1;
}

static long end(long result) {
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

static long failed(void) {
  errno = error_number;
  return end(-1);
}

/* When the process ends, a call of another thread comes to its end, and none begins. */
__attribute__((destructor)) static void stop(void) {
  if (folder) pthread_mutex_lock(&lock);
}

static int is_zero(const char *bytes, size_t n) { return n > 0 && !bytes[0] && !memcmp(bytes, bytes + 1, n - 1); }

/* offset -1: where the file is. */
static ssize_t write_at(const char *call, int fd, const struct iovec *parts, int count, off_t offset) {
  char path[PATH_MAX];
  struct stat found;
  const char *name = name_of(fd, path, &found);
  if (!name) {
    return offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0);
  }
  ssize_t result = 0;
  if (begin(call, name, TAKES_SPACE)) {
    /* Of several pages, some are written, and the next call fails, as on a real disk. */
    if (count != 1 || parts[0].iov_len <= 4096) return failed();
    fails_next = 1;
  }
  off_t at = offset;
  if (at < 0) {
    int flags = fcntl(fd, F_GETFL);
    /* Its size may have changed while another thread had the lock. */
    fstat(fd, &found);
    at = flags & O_APPEND ? found.st_size : lseek(fd, 0, SEEK_CUR);
  }
  for (int i = 0; i < count; i++) {
    size_t length = fails_next ? (parts[i].iov_len - 1) / 8192 * 4096 : parts[i].iov_len;
    if (fails_next && !length) length = 4096;
    ssize_t n = offset < 0 ? syscall(SYS_write, fd, parts[i].iov_base, length)
                           : syscall(SYS_pwrite64, fd, parts[i].iov_base, length, at);
    if (n < 0) return end(result ? result : -1);
    if (is_zero(parts[i].iov_base, n)) {
      note(ZEROED, found.st_ino, at, n, NULL, NULL, NULL);
    } else if (n) {
      note(WRITTEN, found.st_ino, at, n, NULL, NULL, parts[i].iov_base);
    }
    result += n;
    at += n;
    if ((size_t)n < parts[i].iov_len) break;
  }
  return end(result);
}

ssize_t write(int fd, const void *bytes, size_t n) {
  struct iovec part = {(void *)bytes, n};
  return write_at("write", fd, &part, 1, -1);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset) {
  struct iovec part = {(void *)bytes, n};
  return write_at("pwrite", fd, &part, 1, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset) { return pwrite64(fd, bytes, n, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) { return write_at("writev", fd, parts, count, -1); }

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  return write_at("pwritev", fd, parts, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev64(fd, parts, count, offset); }

/* Calls that make a file longer or shorter. */
static int resize(const char *call, int fd, int what, long (*real)(int, int, off_t, off_t), int mode, off_t offset,
                  off_t length) {
  char path[PATH_MAX];
  struct stat found;
  const char *name = name_of(fd, path, &found);
  if (!name) return (int)real(fd, mode, offset, length);
  if (begin(call, name, what)) return (int)failed();
  long result = real(fd, mode, offset, length);
  if (!result) {
    fstat(fd, &found);
    if (mode & ~FALLOC_FL_KEEP_SIZE) note(ODD, found.st_ino, 0, 0, name, NULL, NULL);
    note(RESIZED, found.st_ino, 0, found.st_size, NULL, NULL, NULL);
  }
  return (int)end(result);
}

static long real_ftruncate(int fd, int mode, off_t offset, off_t length) {
  (void)mode, (void)offset;
  return syscall(SYS_ftruncate, fd, length);
}

static long real_fallocate(int fd, int mode, off_t offset, off_t length) {
  return syscall(SYS_fallocate, fd, mode, offset, length);
}

int ftruncate64(int fd, off64_t length) { return resize("ftruncate", fd, ANY, real_ftruncate, 0, 0, length); }

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  return resize("fallocate", fd, TAKES_SPACE, real_fallocate, mode, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }

int posix_fallocate64(int fd, off64_t offset, off64_t length) { return fallocate64(fd, 0, offset, length) ? errno : 0; }

int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

static int sync_file(const char *call, int fd, long real) {
  char path[PATH_MAX];
  struct stat found;
  const char *name = name_of(fd, path, &found);
  if (!name) return (int)syscall(real, fd);
  if (begin(call, name, TAKES_SPACE)) {
    note(UNSYNCED, found.st_ino, 0, 0, NULL, NULL, NULL);
    return (int)failed();
  }
  note(SYNCED, found.st_ino, 0, 0, NULL, NULL, NULL);
  return (int)end(0);
}

int fsync(int fd) { return sync_file("fsync", fd, SYS_fsync); }

int fdatasync(int fd) { return sync_file("fdatasync", fd, SYS_fdatasync); }

/* Nothing survives a power cut for it. */
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
  char path[PATH_MAX];
  struct stat found;
  const char *name = name_of(fd, path, &found);
  if (!name) return (int)syscall(SYS_sync_file_range, fd, offset, length, flags);
  return (int)(begin("sync_file_range", name, TAKES_SPACE) ? failed() : end(0));
}

int openat64(int at, const char *path, int flags, ...) {
  mode_t mode = 0;
  if (flags & (O_CREAT | O_TMPFILE)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  char whole[PATH_MAX];
  const char *name = name_at(at, path, whole);
  if (!name) return (int)syscall(SYS_openat, at, path, flags, mode);
  struct stat found;
  int existed = !fstatat(at, path, &found, 0);
  if (begin("open", name, flags & O_CREAT && !existed ? TAKES_SPACE : ANY)) return (int)failed();
  existed = !fstatat(at, path, &found, 0);
  int fd = (int)syscall(SYS_openat, at, path, flags, mode);
  if (fd >= 0 && !fstat(fd, &found)) {
    if ((flags & O_TMPFILE) == O_TMPFILE) note(ODD, found.st_ino, 0, 0, name, NULL, NULL);
    if (!existed) note(MADE, found.st_ino, 0, 0, name, NULL, NULL);
    if (existed && flags & O_TRUNC) note(RESIZED, found.st_ino, 0, 0, NULL, NULL, NULL);
  }
  return (int)end(fd);
}

#define OPEN(at, path, flags)                                      \
  mode_t mode = 0;                                                 \
  if (flags & (O_CREAT | O_TMPFILE)) {                             \
    va_list rest;                                                  \
    va_start(rest, flags);                                         \
    mode = va_arg(rest, mode_t);                                   \
    va_end(rest);                                                  \
  }                                                                \
  return openat64(at, path, flags, mode)

int openat(int at, const char *path, int flags, ...) { OPEN(at, path, flags); }

int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD, path, flags); }

int open(const char *path, int flags, ...) { OPEN(AT_FDCWD, path, flags); }

int creat(const char *path, mode_t mode) { return openat64(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }

int mkdirat(int at, const char *path, mode_t mode) {
  char whole[PATH_MAX];
  const char *name = name_at(at, path, whole);
  if (!name) return (int)syscall(SYS_mkdirat, at, path, mode);
  if (begin("mkdir", name, TAKES_SPACE)) return (int)failed();
  long result = syscall(SYS_mkdirat, at, path, mode);
  struct stat found;
  if (!result && !fstatat(at, path, &found, 0)) note(MADE, found.st_ino, 1, 0, name, NULL, NULL);
  return (int)end(result);
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int unlinkat(int at, const char *path, int flags) {
  char whole[PATH_MAX];
  const char *name = name_at(at, path, whole);
  if (!name) return (int)syscall(SYS_unlinkat, at, path, flags);
  if (begin(flags & AT_REMOVEDIR ? "rmdir" : "unlink", name, ANY)) return (int)failed();
  long result = syscall(SYS_unlinkat, at, path, flags);
  if (!result) note(REMOVED, 0, 0, 0, name, NULL, NULL);
  return (int)end(result);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  char whole[PATH_MAX], other[PATH_MAX];
  const char *name = name_at(from_at, from, whole), *new_name = name_at(to_at, to, other);
  if (!name && !new_name) return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
  if (begin("rename", name ? name : new_name, TAKES_SPACE)) return (int)failed();
  long result = syscall(SYS_renameat2, from_at, from, to_at, to, flags);
  if (!result && name && new_name && !(flags & ~RENAME_NOREPLACE)) {
    note(RENAMED, 0, 0, 0, name, new_name, NULL);
  } else if (!result) {
    note(ODD, 0, 0, 0, name ? name : new_name, NULL, NULL);
  }
  return (int)end(result);
}

int renameat(int from_at, const char *from, int to_at, const char *to) { return renameat2(from_at, from, to_at, to, 0); }

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
  char whole[PATH_MAX], other[PATH_MAX];
  const char *name = name_at(from_at, from, whole), *new_name = name_at(to_at, to, other);
  if (!new_name) return (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
  if (begin("link", new_name, TAKES_SPACE)) return (int)failed();
  long result = syscall(SYS_linkat, from_at, from, to_at, to, flags);
  if (!result) note(name ? LINKED : ODD, 0, 0, 0, name ? name : new_name, new_name, NULL);
  return (int)end(result);
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

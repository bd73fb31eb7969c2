/* Faults on demand, for tests/resources.py: built as a shared library and put before the C library by LD_PRELOAD. An allocation of
   at least faults_least bytes fails when faults_memory of them went before it; a call that changes a folder (open for writing, write,
   fsync, rename) fails when faults_files of them did. -1: none. glibc's names for what is replaced are used, so only glibc will do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);

atomic_llong faults_memory = -1, faults_files = -1;
atomic_llong faults_hit = 0; /* how many calls failed */
long long faults_least = 0;
int faults_stay = 0; /* all after the first fail, too: no memory, no space */
int faults_errno = ENOSPC;
char faults_folder[PATH_MAX] = "";

static int due(atomic_llong *left) {
    if (atomic_load(left) < 0 || atomic_fetch_sub(left, 1) > 0) return 0;
    if (faults_stay) atomic_store(left, 0);
    atomic_fetch_add(&faults_hit, 1);
    return 1;
}
static int refused(size_t n) { return (long long)n >= faults_least && due(&faults_memory) && (errno = ENOMEM); }

void *malloc(size_t n) { return refused(n) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return refused(n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return refused(n) ? NULL : __libc_realloc(p, n); }
void *memalign(size_t to, size_t n) { return refused(n) ? NULL : __libc_memalign(to, n); }
void *aligned_alloc(size_t to, size_t n) { return memalign(to, n); }
int posix_memalign(void **p, size_t to, size_t n) {
    void *got = memalign(to, n);
    if (!got) return ENOMEM;
    *p = got;
    return 0;
}

static int inside(const char *path) {
    const size_t n = strlen(faults_folder);
    return n && strncmp(path, faults_folder, n) == 0;
}
static int open_inside(int fd) {
    char link[40], path[PATH_MAX];
    if (!faults_folder[0] || atomic_load(&faults_files) < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return inside(path);
}
#define FAIL_IF(touches) if ((touches) && due(&faults_files)) return errno = faults_errno, -1

static int opened(int at, const char *path, int flags, mode_t mode) {
    FAIL_IF(flags & (O_WRONLY | O_RDWR | O_CREAT) && inside(path));
    return (int)syscall(SYS_openat, at, path, flags, mode);
}
#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { MODE return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE return opened(at, path, flags | O_LARGEFILE, mode); }
ssize_t write(int fd, const void *from, size_t n) {
    if (n > 1 && open_inside(fd)) {
        if (due(&faults_files)) return errno = faults_errno, -1;
        n = (n + 1) / 2; /* a full disk takes a part first */
    }
    return syscall(SYS_write, fd, from, n);
}
int fsync(int fd) {
    FAIL_IF(open_inside(fd));
    return (int)syscall(SYS_fsync, fd);
}
int rename(const char *from, const char *to) {
    FAIL_IF(inside(to));
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int mkdir(const char *path, mode_t mode) {
    FAIL_IF(inside(path));
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

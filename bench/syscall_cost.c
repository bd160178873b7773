/* syscall_cost - nanoseconds per system call, in whatever place it is started.
 *
 * Each operation runs for a fixed time on one CPU, without libc's caches in between; the path is
 * one that exists, unchanged, in every place compared. One line of JSON. The caller starts it in
 * the places in turn and takes medians (bench/sandbox.mjs). Usage: syscall_cost [MS] */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"

#define PATH      "/usr/include/linux/landlock.h"
#define BATCH     200
#define BATCH_BIG 4 /* for operations that take tens of microseconds */

static int zero, ping[2], pong[2];
static char page[4096];

static bool op_getpid(void)
{
    return syscall(SYS_getpid) > 0;
}

static bool op_open_close(void)
{
    long fd = syscall(SYS_openat, AT_FDCWD, PATH, O_RDONLY, 0);
    return fd >= 0 && syscall(SYS_close, fd) == 0;
}

static bool op_stat(void)
{
    struct stat st;
    return syscall(SYS_newfstatat, AT_FDCWD, PATH, &st, 0) == 0;
}

static bool op_read_4k(void)
{
    return syscall(SYS_pread64, zero, page, sizeof(page), 0) == (long)sizeof(page);
}

static bool op_ping_pong(void)
{
    char c = 'x';
    return write(ping[1], &c, 1) == 1 && read(pong[0], &c, 1) == 1;
}

static bool op_clone_wait(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid;
}

static const struct {
    const char *name;
    bool (*run)(void);
    int batch;
    bool wall;
} ops[] = {
    {"getpid", op_getpid, BATCH, false},
    {"open_close", op_open_close, BATCH, false},
    {"stat", op_stat, BATCH, false},
    {"read_4k", op_read_4k, BATCH, false},
    {"pipe_ping_pong", op_ping_pong, BATCH_BIG, true},
    {"clone_wait", op_clone_wait, BATCH_BIG, true},
};

static int64_t cpu_ns(void)
{
    struct rusage ru;
    if (getrusage(RUSAGE_SELF, &ru) < 0)
        return 0;
    return (int64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000000 +
           (int64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000;
}

static double measure(size_t i, int64_t ns)
{
    int64_t began = time_mono_ns(), now, cpu = cpu_ns();
    uint64_t n = 0;
    do {
        for (int k = 0; k < ops[i].batch; k++)
            if (!ops[i].run()) {
                fprintf(stderr, "syscall_cost: %s: %m\n", ops[i].name);
                exit(1);
            }
        n += (uint64_t)ops[i].batch;
        now = time_mono_ns();
    } while (now - began < ns);
    return (double)(ops[i].wall ? now - began : cpu_ns() - cpu) / (double)n;
}

/* The last CPU this process may use; both ends of the pipes share it. */
static void pin(void)
{
    cpu_set_t may, one;
    if (sched_getaffinity(0, sizeof(may), &may) < 0)
        return;
    CPU_ZERO(&one);
    for (int i = CPU_SETSIZE - 1; i >= 0; i--)
        if (CPU_ISSET(i, &may)) {
            CPU_SET(i, &one);
            break;
        }
    (void)sched_setaffinity(0, sizeof(one), &one);
}

int main(int argc, char **argv)
{
    uint64_t ms = 50;
    if (argc > 1 && str_to_u64(argv[1], strlen(argv[1]), 10000, &ms) < 0)
        return fprintf(stderr, "usage: syscall_cost [MS]\n"), 2;
    pin();
    zero = open(PATH, O_RDONLY | O_CLOEXEC);
    if (zero < 0 || pipe2(ping, O_CLOEXEC) < 0 || pipe2(pong, O_CLOEXEC) < 0) {
        fprintf(stderr, "syscall_cost: " PATH " or pipes: %m\n");
        return 1;
    }
    pid_t echo = fork();
    if (echo == 0) {
        close(ping[1]);
        for (char c; read(ping[0], &c, 1) == 1;)
            if (write(pong[1], &c, 1) != 1)
                break;
        _exit(0);
    }
    printf("{");
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        (void)measure(i, 1000000);
        printf("%s\"%s\":%.1f", i ? "," : "", ops[i].name, measure(i, (int64_t)ms * 1000000));
    }
    printf("}\n");
    close(ping[1]);
    int status;
    return waitpid(echo, &status, 0) == echo ? 0 : 1;
}

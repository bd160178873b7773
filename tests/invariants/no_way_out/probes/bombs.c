/* bombs.c - see bombs.h. The test gives each a ceiling well above what the sandbox's limits allow;
 * reaching it means that no limit is there. Some are ended from outside before they can print:
 * that is the call's answer then. Nothing is given back on purpose before the end, which with
 * `hold=1` is a signal from outside. What the kernel has one count of for the whole machine, or for
 * each of its users, is in quotas.c. */
#include "bombs.h"
#include "probe.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1ul << 20)

static long more_process(unsigned long i)
{
    (void)i;
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

/* Never waited for. */
static long more_zombie(unsigned long i)
{
    (void)i;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}

static void *sit(void *arg)
{
    pause();
    return arg;
}

static long more_thread(unsigned long i)
{
    (void)i;
    pthread_t t;
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 65536);
    int r = pthread_create(&t, &a, sit, NULL);
    errno = r;
    return r ? -1 : 0;
}

static long touch(void *p)
{
    if (p == MAP_FAILED)
        return -1;
    for (size_t k = 0; k < MIB; k += 4096)
        ((volatile char *)p)[k] = 1;
    return 0;
}

static long more_memory(unsigned long i)
{
    (void)i;
    return touch(mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

/* Written, never mapped: no process's memory. */
static long more_memfd(unsigned long i)
{
    static int fd = -1;
    static char junk[1 << 16];
    if (fd < 0)
        fd = memfd_create("bomb", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    for (size_t k = 0; k < MIB; k += sizeof(junk))
        if (pwrite(fd, junk, sizeof(junk), (off_t)(i * MIB + k)) < 0)
            return -1;
    return 0;
}

/* Touched and detached: nobody's memory until the namespace ends. */
static long more_shm(unsigned long i)
{
    (void)i;
    int id = shmget(IPC_PRIVATE, MIB, IPC_CREAT | 0600);
    if (id < 0)
        return -1;
    void *p = shmat(id, NULL, 0);
    if (p == (void *)-1)
        return -1;
    touch(p);
    return shmdt(p);
}

static long more_msg(unsigned long i)
{
    (void)i;
    static struct {
        long type;
        char text[8192];
    } m = {.type = 1};
    static int id = -1;
    static int failures;
    if (id < 0)
        id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    for (unsigned k = 0; id >= 0 && k < MIB / sizeof(m.text);) {
        if (msgsnd(id, &m, sizeof(m.text), IPC_NOWAIT) == 0) {
            k++;
            failures = 0;
        } else if (errno != EAGAIN || ++failures > 1) {
            return -1;
        } else {
            id = msgget(IPC_PRIVATE, IPC_CREAT | 0600); /* a full queue: the next */
        }
    }
    return id;
}

static long more_sem(unsigned long i)
{
    (void)i;
    return semget(IPC_PRIVATE, 16000, IPC_CREAT | 0600); /* a MiB each */
}

static long more_mqueue(unsigned long i)
{
    char name[32];
    snprintf(name, sizeof(name), "/bomb-%d-%lu", getpid(), i);
    mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
    if (fact_number("outside") > 0) /* of the host nothing is left behind */
        mq_unlink(name);
    return q;
}

static long fill(const char *dir, unsigned long i)
{
    static int fd = -1;
    static char junk[1 << 16], path[64];
    if (fd < 0) {
        snprintf(path, sizeof(path), "%s/bomb-XXXXXX", dir);
        fd = mkstemp(path);
        memset(junk, 7, sizeof(junk));
    }
    for (size_t k = 0; fd >= 0 && k < MIB; k += sizeof(junk)) {
        ssize_t n = pwrite(fd, junk, sizeof(junk), (off_t)(i * MIB + k));
        if (n != (ssize_t)sizeof(junk)) {
            int code = n < 0 ? errno : ENOSPC;
            unlink(path);
            errno = code;
            return -1;
        }
    }
    return fd;
}

static long more_tmp(unsigned long i)
{
    return fill("/tmp", i);
}

static long more_workspace(unsigned long i)
{
    return fill("/workspace", i);
}

static long more_dev_shm(unsigned long i)
{
    return fill("/dev/shm", i);
}

static long more_inode(unsigned long i)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/i-%d-%lu", getpid(), i);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : close(fd);
}

/* One below the other; the path is longer than any PATH_MAX soon. */
static long more_depth(unsigned long i)
{
    if (i == 0 && chdir("/tmp") < 0)
        return -1;
    return mkdir("d", 0700) < 0 ? -1 : chdir("d");
}

static long more_sparse(unsigned long i)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, 1ll << 40) < 0) /* a terabyte of nothing */
        return -1;
    static char junk[4096] = {1}; /* then something, a page every MiB */
    for (unsigned k = 0; k < 256; k++)
        if (pwrite(fd, junk, sizeof(junk), (off_t)((i * 256 + k) * MIB)) != (ssize_t)sizeof(junk))
            return -1;
    return 0;
}

static long more_fd(unsigned long i)
{
    (void)i;
    return open("/dev/null", O_RDONLY);
}

/* Descriptors of many processes; each holds as many as it may. */
static long more_pty(unsigned long i)
{
    (void)i;
    return open("/dev/ptmx", O_RDWR | O_NOCTTY);
}

/* A full socket buffer in each: kernel memory. */
static long more_socket(unsigned long i)
{
    (void)i;
    int p[2];
    static char junk[1 << 16];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) < 0)
        return -1;
    while (write(p[0], junk, sizeof(junk)) > 0)
        ;
    return 0;
}

static long more_pipe(unsigned long i)
{
    (void)i;
    int p[2];
    static char junk[1 << 16];
    if (pipe2(p, O_NONBLOCK) < 0)
        return -1;
    (void)fcntl(p[1], F_SETPIPE_SZ, MIB);
    while (write(p[1], junk, sizeof(junk)) > 0)
        ;
    return 0;
}

/* Signals that wait in a process that does not take them. */
static long more_signal(unsigned long i)
{
    if (i == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
    }
    return sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1});
}

/* exec with arguments twice as long each time. */
static long more_argv(unsigned long i)
{
    size_t n = 1024ul << i;
    char **argv = calloc(n / 1024 + 2, sizeof(*argv));
    char *kb = malloc(1025);
    if (!argv || !kb)
        return -1;
    memset(kb, 'a', 1024);
    kb[1024] = '\0';
    argv[0] = kb;
    for (size_t k = 1; k < n / 1024; k++)
        argv[k] = kb;
    char *const none[] = {NULL};
    int p[2], code = 0;
    if (pipe2(p, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        execve("/bin/true", argv, none);
        code = errno;
        (void)!write(p[1], &code, sizeof(code));
        _exit(1);
    }
    close(p[1]);
    ssize_t k = read(p[0], &code, sizeof(code));
    close(p[0]);
    waitpid(pid, NULL, 0);
    free(argv);
    free(kb);
    errno = code;
    return k == (ssize_t)sizeof(code) ? -1 : 0;
}

static long more_output(unsigned long i)
{
    (void)i;
    static char junk[1 << 16];
    if (!junk[0])
        for (size_t k = 0; k < sizeof(junk); k++)
            junk[k] = k % 80 == 79 ? '\n' : 'y';
    for (size_t k = 0; k < MIB;) {
        ssize_t n = write(1, junk, sizeof(junk));
        if (n < 0)
            return -1;
        k += (size_t)n;
    }
    return 0;
}

static const struct {
    const char *kind;
    more_fn *more;
} kinds[] = {
    {"aio", more_aio},
    {"inotify_instances", more_inotify},
    {"inotify_watches", more_watch},
    {"epoll_watches", more_epoll},
    {"socket_filters", more_socket_filter},
    {"tcp", more_tcp},
    {"udp", more_udp},
    {"orphans", more_orphan},
    {"files", more_files},
    {"timers", more_timer},
    {"passed", more_passed},
    {"processes", more_process},
    {"zombies", more_zombie},
    {"threads", more_thread},
    {"memory", more_memory},
    {"memfd", more_memfd},
    {"shm", more_shm},
    {"messages", more_msg},
    {"semaphores", more_sem},
    {"mqueues", more_mqueue},
    {"tmp", more_tmp},
    {"workspace", more_workspace},
    {"dev_shm", more_dev_shm},
    {"inodes", more_inode},
    {"depth", more_depth},
    {"sparse", more_sparse},
    {"descriptors", more_fd},
    {"ptys", more_pty},
    {"sockets", more_socket},
    {"pipes", more_pipe},
    {"signals", more_signal},
    {"argv", more_argv},
    {"output", more_output},
};

int bomb(const char *kind)
{
    more_fn *more = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strcmp(kind, kinds[i].kind) == 0)
            more = kinds[i].more;
    long max = fact_number("max");
    if (!more || max <= 0) {
        fprintf(stderr, "probes bomb KIND max=N\n");
        return 2;
    }
    setpgid(0, 0);
    if (fact_number("hidden") > 0) /* others of the user may not look at its descriptors */
        prctl(PR_SET_DUMPABLE, 0);
    signal(SIGXFSZ, SIG_IGN);
    unsigned long i = 0;
    int code = 0;
    while (i < (unsigned long)max) {
        if (more(i) < 0) {
            code = errno;
            break;
        }
        i++;
    }
    char line[128];
    int n = snprintf(line, sizeof(line), "{\"bomb\":\"%s\",\"reached\":%lu,\"stopped\":\"%s\"}\n",
                     kind, i, code ? strerrorname_np(code) : "nothing");
    (void)!write(1, line, (size_t)n);
    while (fact_number("hold") > 0)
        pause();
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM); /* the children: they hold the pipe */
    return code ? 0 : 3;
}

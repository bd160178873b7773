/* main.c - runs probes and prints what came of them, one JSON object per line.
 *
 *   probes --list                          the table: name, class, tried, holds
 *   probes [--only NAME[,NAME]] [k=v...]   runs them; k=v are facts about the host
 *   probes bomb KIND [k=v...]              one resource bomb (bombs.c)
 *   probes flip A B                        exchanges two names until it is killed
 *
 * Runs in any root: linked statically, needs /proc only where a probe is about it. Each probe is a
 * child in a process group of its own, so that one that crashes, hangs or leaves processes behind
 * says nothing about the next. The evidence lies in memory shared with the parent. */
#include "probe.h"
#include "bombs.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct probe *const groups[] = {
    mounts_probes,  namespaces_probes, processes_probes, proc_probes,   files_probes,
    links_probes,   devices_probes,    sockets_probes,   doors_probes,  kernel_probes,
    machine_probes, terminals_probes,  cgroups_probes,   limits_probes,
};

/* What a probe has recorded; shared between it and the parent. */
static struct evidence {
    unsigned held, escaped, unable, absent, host;
    bool done;
    size_t len;
    char text[6000];
} * ev;

struct start start;
static int n_facts;
static char **facts;

static __attribute__((format(printf, 1, 0))) void add(const char *fmt, va_list ap)
{
    size_t room = sizeof(ev->text) - ev->len;
    if (ev->len && room > 3) {
        memcpy(ev->text + ev->len, "; ", 2);
        ev->len += 2;
        room -= 2;
    }
    int n = vsnprintf(ev->text + ev->len, room, fmt, ap);
    if (n > 0)
        ev->len += (size_t)n < room ? (size_t)n : room - 1;
}

void got(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(fmt, ap);
    va_end(ap);
}

#define RECORD(counter)                                                                            \
    do {                                                                                           \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        ev->counter++;                                                                             \
        add(fmt, ap);                                                                              \
        va_end(ap);                                                                                \
    } while (0)

void unable(const char *fmt, ...)
{
    RECORD(unable);
}

void not_applicable(const char *fmt, ...)
{
    RECORD(absent);
}

void host_decides(const char *fmt, ...)
{
    RECORD(host);
}

void must(bool ok, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (ok) {
        ev->held++;
    } else {
        ev->escaped++;
        got("NOT SO");
    }
    add(fmt, ap);
    va_end(ap);
}

static void refused_list(const char *what, long r, int code, va_list ap)
{
    if (r >= 0) {
        ev->escaped++;
        got("%s: WORKED (%ld)", what, r);
        return;
    }
    for (int e; (e = va_arg(ap, int)) != 0;)
        if (e == code) {
            ev->held++;
            got("%s: %s", what, strerrorname_np(code));
            return;
        }
    ev->unable++;
    got("%s: %s is no refusal", what, strerrorname_np(code));
}

void refused(const char *what, long r, ...)
{
    int code = errno;
    va_list ap;
    va_start(ap, r);
    refused_list(what, r, code, ap);
    va_end(ap);
}

long refused_call(const char *what, long number, long a, long b, long c, long d, long e)
{
    long r = syscall(number, a, b, c, d, e);
    refused(what, r, NO_CALL);
    return r;
}

void refused_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    refused(path, fd, NO_FILE);
    if (fd >= 0)
        close(fd);
}

const char *fact(const char *key)
{
    size_t n = strlen(key);
    for (int i = 0; i < n_facts; i++)
        if (strncmp(facts[i], key, n) == 0 && facts[i][n] == '=')
            return facts[i] + n + 1;
    return NULL;
}

long fact_number(const char *key)
{
    const char *v = fact(key);
    return v && *v ? strtol(v, NULL, 10) : -1;
}

long read_text(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    size_t n = 0;
    for (ssize_t k; n < size - 1 && (k = read(fd, buf + n, size - 1 - n)) != 0;) {
        if (k < 0) {
            int code = errno;
            close(fd);
            errno = code;
            return -1;
        }
        n += (size_t)k;
    }
    close(fd);
    buf[n] = '\0';
    return (long)n;
}

const char *scratch(void)
{
    static const char *const places[] = {"/workspace", "/tmp", "/dev/shm"};
    static char dir[512];
    if (fact("scratch")) {
        snprintf(dir, sizeof(dir), "%s/probe-XXXXXX", fact("scratch"));
        if (mkdtemp(dir))
            return dir;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        snprintf(dir, sizeof(dir), "%s/probe-XXXXXX", places[i]);
        if (mkdtemp(dir))
            return dir;
    }
    unable("no directory to write in: %m");
    _exit(0);
}

int in_child(void (*f)(void *), void *arg)
{
    pid_t pid = fork();
    if (pid == 0) {
        f(arg);
        _exit(0);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    return status;
}

/* ---- printing ---- */

static void print_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_pair(const char *key, const char *value, const char *before)
{
    printf("%s\"%s\":", before, key);
    print_string(value);
}

static const char *verdict(void)
{
    if (ev->escaped)
        return "ESCAPED";
    if (ev->unable || !ev->done)
        return "unable";
    if (ev->host)
        return "host";
    if (ev->held)
        return "held";
    return ev->absent ? "n/a" : "unable";
}

static void print_row(const struct probe *p)
{
    ev->text[ev->len] = '\0';
    print_pair("name", p->name, "{");
    print_pair("class", p->class, ",");
    print_pair("tried", p->tried, ",");
    print_pair("got", ev->text, ",");
    print_pair("verdict", verdict(), ",");
    printf(",\"attempts\":%u}\n", ev->held + ev->escaped + ev->unable + ev->absent + ev->host);
    fflush(stdout);
}

/* ---- running ---- */

static void run(const struct probe *p)
{
    *ev = (struct evidence){.held = 0};
    sigset_t chld, old;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &old);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &old, NULL);
        setpgid(0, 0);
        p->run();
        ev->done = true;
        _exit(0);
    }
    int status = 0;
    struct timespec end, now;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += p->seconds ? p->seconds : 10;
    pid_t gone = 0;
    while (pid > 0 && (gone = waitpid(pid, &status, WNOHANG)) == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= end.tv_sec)
            break;
        struct timespec wait = {.tv_sec = 1};
        (void)sigtimedwait(&chld, NULL, &wait);
    }
    if (pid > 0)
        kill(-pid, SIGKILL);
    if (pid > 0 && gone == 0)
        waitpid(pid, &status, 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (pid < 0)
        unable("fork: %m");
    else if (gone == 0)
        unable("did not end within its time");
    else if (WIFSIGNALED(status))
        unable("ended by signal %d", WTERMSIG(status));
    else if (!ev->done && !ev->unable)
        unable("ended early");
    print_row(p);
}

/* Exchanges two names for ever. A third one, A.flipping, says that it has begun. */
static int flip(const char *a, const char *b)
{
    char mark[512];
    snprintf(mark, sizeof(mark), "%s.flipping", a);
    for (unsigned long n = 0;; n++) {
        if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0 &&
            errno != ENOENT)
            return 1;
        if (n == 1000)
            close(open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
}

static void look_at_start(void)
{
    if (!getcwd(start.cwd, sizeof(start.cwd)))
        snprintf(start.cwd, sizeof(start.cwd), "getcwd: %m");
    DIR *d = opendir("/proc/self/fd");
    size_t len = 0;
    for (struct dirent *de; d && (de = readdir(d));) {
        char target[256];
        if (de->d_name[0] == '.' || strtol(de->d_name, NULL, 10) == dirfd(d))
            continue;
        ssize_t n = readlinkat(dirfd(d), de->d_name, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = '\0';
        start.n_fds += strtol(de->d_name, NULL, 10) > 2;
        int k = snprintf(start.fds + len, sizeof(start.fds) - len, "%s=%s ", de->d_name, target);
        if (k > 0 && (size_t)k < sizeof(start.fds) - len)
            len += (size_t)k;
    }
    if (d)
        closedir(d);
    else
        snprintf(start.fds, sizeof(start.fds), "/proc/self/fd: %m");
}

static bool chosen(const char *only, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = only; p && (p = strstr(p, name)); p += n)
        if ((p == only || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
            return true;
    return !only;
}

/* They attack for real: on a host, as root, /proc and more is moved away. So they do not start by
 * accident; whoever starts them tells them something about the host. */
static bool meant(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strchr(argv[i], '=') || strcmp(argv[i], "--list") == 0)
            return true;
    fprintf(stderr,
            "probes attack what they run on. The tests start them, in a sandbox, with facts "
            "(key=value); here only --list works.\n");
    return false;
}

int main(int argc, char **argv)
{
    look_at_start();
    if (argc > 1 && strcmp(argv[1], "--nothing") == 0)
        return 0;
    if (argc == 4 && strcmp(argv[1], "flip") == 0)
        return flip(argv[2], argv[3]);
    if (!(argc > 2 && strcmp(argv[1], "bomb") == 0) && !meant(argc, argv))
        return 2;
    bool list = argc > 1 && strcmp(argv[1], "--list") == 0;
    const char *only = argc > 2 && strcmp(argv[1], "--only") == 0 ? argv[2] : NULL;
    facts = argv + 1;
    n_facts = argc - 1;
    if (argc > 2 && strcmp(argv[1], "bomb") == 0)
        return bomb(argv[2]);
    ev = mmap(NULL, sizeof(*ev), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ev == MAP_FAILED)
        return 1;
    unsigned n = 0;
    for (size_t g = 0; g < sizeof(groups) / sizeof(*groups); g++)
        for (const struct probe *p = groups[g]; p->name; p++) {
            if (!chosen(only, p->name))
                continue;
            n++;
            if (list) {
                print_pair("name", p->name, "{");
                print_pair("class", p->class, ",");
                print_pair("tried", p->tried, ",");
                print_pair("holds", p->holds, ",");
                printf("}\n");
            } else {
                run(p);
            }
        }
    printf("{\"end\":%u}\n", n);
    return 0;
}

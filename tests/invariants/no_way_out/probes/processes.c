/* processes.c - reaching into other processes: init, and those of the host.
 *
 * Init runs under the same uid as everything else in the sandbox; what keeps programs out of it is
 * that it is not dumpable, and the filter. Host processes have no number in our pid namespace; the
 * test tells us the number of one of its own (victim) and looks afterwards whether anything has
 * happened to it. */
#include "probe.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* The host's process as the test numbers it, unless that number is somebody's in here. */
static pid_t victim(void)
{
    long pid = fact_number("victim");
    char path[32];
    if (pid <= 0) {
        unable("no victim was named");
        _exit(0);
    }
    snprintf(path, sizeof(path), "/proc/%ld", pid);
    if (fact("outside") == NULL && open(path, O_PATH | O_CLOEXEC) >= 0)
        got("%s is in sight", path);
    return (pid_t)pid;
}

static void attach(const char *what, pid_t pid)
{
    long r = ptrace(PTRACE_SEIZE, pid, NULL, NULL);
    refused(what, r, EPERM, ESRCH, EACCES, 0);
    if (r >= 0)
        ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void trace_init(void)
{
    attach("seize init", 1);
    long r = ptrace(PTRACE_ATTACH, 1, NULL, NULL);
    refused("attach to init", r, EPERM, ESRCH, EACCES, 0);
    if (r >= 0) {
        waitpid(1, NULL, __WALL);
        ptrace(PTRACE_DETACH, 1, NULL, NULL);
    }
}

static void trace_outsider(void)
{
    attach("seize the victim", victim());
    attach("seize its parent", (pid_t)fact_number("victim") - 1);
}

static void vm_read(const char *what, pid_t pid)
{
    char mine[64];
    struct iovec here = {mine, sizeof(mine)}, there = {(void *)(uintptr_t)0x400000, sizeof(mine)};
    long r = syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0);
    refused(what, r, EPERM, ENOSYS, 0);
    r = syscall(SYS_process_vm_writev, pid, &here, 0, &there, 0, 0);
    refused("writev", r, EPERM, ENOSYS, 0);
}

static void read_memory(void)
{
    vm_read("init", 1);
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    /* Its own child a program may trace; by number and memory it may not even reach that. */
    vm_read("a child", pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void take_descriptor(void)
{
    long fd = syscall(SYS_pidfd_open, 1, 0);
    if (fd < 0) {
        refused("pidfd_open(1)", fd, NO_CALL);
        return;
    }
    for (long n = 0; n < 6; n++)
        refused_call("pidfd_getfd(init)", SYS_pidfd_getfd, fd, n, 0, 0, 0);
}

static void compare(void)
{
    refused_call("kcmp(file)", SYS_kcmp, 1, getpid(), 0, 0, 0);
    refused_call("kcmp(vm)", SYS_kcmp, 1, getpid(), 1, 0, 0);
    refused_call("kcmp(files)", SYS_kcmp, 1, getpid(), 2, 0, 0);
}

static char state_of(const char *pid)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    if (read_text(path, text, sizeof(text)) <= 0)
        return '?';
    char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : '?';
}

/* The kernel drops signals to pid 1 that it has no handler for, and says that they were sent. So
 * the evidence is what became of init. */
static void signal_init(void)
{
    static const int signals[] = {SIGKILL, SIGSTOP, SIGTSTP, SIGTERM, SIGINT,  SIGHUP,
                                  SIGSEGV, SIGBUS,  SIGUSR1, SIGPIPE, SIGABRT, SIGALRM};
    long fd = syscall(SYS_pidfd_open, 1, 0);
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        /* A sanitizer's runtime handles these in init, and ends it; the program as it ships does
         * not. */
        if (fact("sanitized") && (signals[i] == SIGSEGV || signals[i] == SIGBUS))
            continue;
        (void)kill(1, signals[i]);
        (void)syscall(SYS_tgkill, 1, 1, signals[i]);
        siginfo_t si = {.si_signo = signals[i], .si_code = SI_QUEUE};
        (void)syscall(SYS_rt_sigqueueinfo, 1, signals[i], &si);
        if (fd >= 0)
            (void)syscall(SYS_pidfd_send_signal, fd, signals[i], NULL, 0);
    }
    for (int i = 0; i < 20; i++)
        sched_yield();
    char s = state_of("1");
    must(s == 'S' || s == 'R' || s == 'D', "init goes on, state %c", s);
}

static void signal_outsider(void)
{
    pid_t pid = victim();
    refused("kill(victim)", kill(pid, SIGUSR1), ESRCH, EPERM, 0);
    refused("its group", kill(-pid, SIGUSR1), ESRCH, EPERM, 0);
    refused("tgkill", syscall(SYS_tgkill, pid, pid, SIGUSR1), ESRCH, EPERM, 0);
    siginfo_t si = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    refused("sigqueue", syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &si), ESRCH, EPERM, 0);
    long fd = syscall(SYS_pidfd_open, pid, 0);
    refused("pidfd_open", fd, ESRCH, EPERM, ENOSYS, 0);
}

/* Signal 0 to every number there may be: who answers must be one of ours. */
static void guess_pids(void)
{
    char path[64];
    unsigned answered = 0, strangers = 0;
    for (pid_t pid = 2; pid < 70000; pid++) {
        if (kill(pid, 0) < 0 && errno == ESRCH)
            continue;
        answered++;
        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        char text[2048];
        if (read_text(path, text, sizeof(text)) <= 0)
            continue; /* a thread, or gone meanwhile */
        char *ns = strstr(text, "NSpid:");
        if (ns && strchr(ns, '\n') > ns &&
            memchr(ns + 7, '\t', (size_t)(strchr(ns, '\n') - ns - 7)))
            strangers++;
    }
    must(answered < 2000 && strangers == 0, "%u numbers below 70000 answer, %u with another level",
         answered, strangers);
}

/* Nothing above: init has no parent here, and we descend from it. */
static void ancestors(void)
{
    char text[2048];
    if (read_text("/proc/1/status", text, sizeof(text)) <= 0) {
        unable("/proc/1/status: %m");
        return;
    }
    must(strstr(text, "\nPPid:\t0\n") != NULL, "init's parent is 0");
    must(strstr(text, "\nNSpid:\t1\n") != NULL, "one pid namespace level is seen");
    must(getsid(0) > 0, "our session leader is in sight (%d)", getsid(0));
    must(getpgid(getppid()) > 0, "our parent's group is in sight (%d)", getpgid(getppid()));
}

static void groups(void)
{
    pid_t pid = victim();
    refused("setpgid(0, victim)", setpgid(0, pid), EPERM, ESRCH, 0);
    refused("setpgid(victim, 0)", setpgid(pid, 0), EPERM, ESRCH, EACCES, 0);
    refused("getsid(victim)", getsid(pid), ESRCH, EPERM, 0);
    refused("getpgid(victim)", getpgid(pid), ESRCH, EPERM, 0);
}

static void priority(void)
{
    int was = getpriority(PRIO_PROCESS, 0);
    long r = setpriority(PRIO_PROCESS, 0, was - 5);
    refused("nice -5", r, EPERM, EACCES, 0);
    struct sched_param fifo = {.sched_priority = 1};
    refused("SCHED_FIFO", sched_setscheduler(0, SCHED_FIFO, &fifo), EPERM, 0);
    refused("SCHED_RR", sched_setscheduler(0, SCHED_RR, &fifo), EPERM, 0);
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } d = {.size = 48, .policy = 6, .runtime = 1000000, .deadline = 2000000, .period = 2000000};
    refused("SCHED_DEADLINE", syscall(SYS_sched_setattr, 0, &d, 0), EPERM, 0);
    refused("ioprio real time", syscall(SYS_ioprio_set, 1, 0, 1 << 13), EPERM, EINVAL, 0);
}

/* By user, not by process: as an ordinary user the sandbox shares its uid with others. */
static void priority_of_user(void)
{
    pid_t pid = victim();
    errno = 0;
    refused("getpriority(victim)", getpriority(PRIO_PROCESS, pid) < 0 && errno ? -1 : 0, ESRCH, 0);
    refused("setpriority(victim)", setpriority(PRIO_PROCESS, pid, 19), ESRCH, EPERM, 0);
    refused("ioprio_set(victim)", syscall(SYS_ioprio_set, 1, pid, 3 << 13), ESRCH, EPERM, 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    refused("sched_setaffinity(victim)", sched_setaffinity(pid, sizeof(one), &one), ESRCH, EPERM,
            0);
    if (fact("outside")) /* it would reach everything this user runs */
        return;
    (void)syscall(SYS_ioprio_set, 3 /* IOPRIO_WHO_USER */, getuid(), 2 << 13 | 5);
    host_decides("ioprio of all of uid %d lowered", getuid());
}

static void limits_of_others(void)
{
    struct rlimit64 l;
    struct rlimit none = {0, 0};
    refused("prlimit(victim)", prlimit64(victim(), RLIMIT_NOFILE, NULL, &l), ESRCH, EPERM, 0);
    refused("prlimit(victim, 0)", syscall(SYS_prlimit64, victim(), RLIMIT_NOFILE, &none, NULL),
            ESRCH, EPERM, 0);
    if (prlimit64(1, RLIMIT_CORE, NULL, &l) == 0) {
        l.rlim_max++;
        refused("raise init's", prlimit64(1, RLIMIT_CORE, &l, NULL), EPERM, 0);
    } else {
        refused("prlimit(init)", -1, EPERM, 0);
    }
}

/* Init runs under our uid, and limits ask for no more than that: with RLIMIT_NOFILE of 1 its poll
 * fails, and the sandbox is over. Only what is set already is set here. */
static void limits_of_init(void)
{
    struct rlimit64 l;
    if (prlimit64(1, RLIMIT_CORE, NULL, &l) < 0) {
        refused("read init's limits", -1, EPERM, 0);
        return;
    }
    refused("set init's core limit to what it is", prlimit64(1, RLIMIT_CORE, &l, NULL), EPERM,
            ENOSYS, 0);
}

static void memory_of_others(void)
{
    void *page = NULL;
    int node = 0, status = 0;
    refused_call("move_pages(init)", SYS_move_pages, 1, 1, (long)&page, (long)&node, (long)&status);
    unsigned long mask = 1;
    refused_call("migrate_pages(init)", SYS_migrate_pages, 1, 64, (long)&mask, (long)&mask, 0);
    long fd = syscall(SYS_pidfd_open, 1, 0);
    struct iovec io = {(void *)(uintptr_t)0x400000, 4096};
    if (fd < 0) {
        refused("pidfd_open(1)", fd, NO_CALL);
        return;
    }
    refused("process_madvise(init)", syscall(SYS_process_madvise, fd, &io, 1, 21, 0), EPERM, EACCES,
            ENOSYS, 0);
    refused("process_mrelease(init)", syscall(SYS_process_mrelease, fd, 0), EPERM, EINVAL, ENOSYS,
            EACCES, 0);
}

/* A descriptor of init is worth more than its memory: the worker's channel is one. */
static void pidfd_tricks(void)
{
    long fd = syscall(SYS_pidfd_open, 1, 0);
    if (fd < 0) {
        refused("pidfd_open(1)", fd, NO_CALL);
        return;
    }
    for (unsigned nr = 1; nr <= 10; nr++) /* PIDFD_GET_*_NAMESPACE: _IO(0xff, 1..10) */
        refused("namespace by ioctl", syscall(SYS_ioctl, fd, 0xff00u | nr, 0), EPERM, EACCES,
                ENOTTY, EINVAL, EOPNOTSUPP, 0);
}

const struct probe processes_probes[] = {
    {"ptrace_init", "tracing the supervisor", "PTRACE_SEIZE and PTRACE_ATTACH of pid 1",
     "init is not dumpable", trace_init, 0},
    {"ptrace_outsider", "tracing processes of the host", "seize the host's process by its number",
     "own pid namespace", trace_outsider, 0},
    {"process_vm", "memory of other processes", "process_vm_readv and writev of init, of a child",
     "refused by the filter; init is not dumpable", read_memory, 0},
    {"pidfd_getfd", "descriptors of the supervisor", "pidfd_getfd of init's 0 to 5",
     "refused by the filter; init is not dumpable", take_descriptor, 0},
    {"kcmp", "address leaks by comparing kernel objects", "kcmp of files and memory with init",
     "refused by the filter", compare, 0},
    {"signal_init", "killing or stopping the supervisor",
     "twelve signals by kill, tgkill, sigqueue and pidfd to pid 1",
     "pid 1 of a pid namespace takes only what it has handlers for", signal_init, 0},
    {"signal_outsider", "signals to outsiders", "kill, group, tgkill, sigqueue, pidfd by number",
     "own pid namespace; Landlock's signal scope", signal_outsider, 0},
    {"guess_pids", "signals to outsiders", "signal 0 to every number below 70000",
     "own pid namespace", guess_pids, 0},
    {"ancestors", "a parent outside", "read init's parent, our session and groups",
     "own pid namespace; init starts a session", ancestors, 0},
    {"process_groups", "joining or moving groups of the host", "setpgid, getsid, getpgid",
     "own pid namespace", groups, 0},
    {"priority", "starving the host", "nice below the start, FIFO, RR, DEADLINE, real-time I/O",
     "no CAP_SYS_NICE", priority, 0},
    {"priority_outsider", "starving the host",
     "priority, affinity, ioprio of the host's process "
     "by number and by user",
     "own pid namespace", priority_of_user, 0},
    {"prlimit_outsider", "limits of others", "prlimit of the host's process; raise init's",
     "own pid namespace; no CAP_SYS_RESOURCE", limits_of_others, 0},
    {"limits_of_init", "ending the supervisor by its limits",
     "set a resource limit of init to what it is", "the second filter: limits of oneself only",
     limits_of_init, 0},
    {"memory_of_init", "memory of other processes", "move_pages, migrate_pages, process_madvise",
     "refused by the filter; init is not dumpable", memory_of_others, 0},
    {"pidfd_namespaces", "namespaces through a pidfd", "ten PIDFD_GET_*_NAMESPACE on init",
     "init is not dumpable", pidfd_tricks, 0},
    {.name = NULL},
};

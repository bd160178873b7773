/* procs.c - scanning and ending the processes of a sandbox.
 *
 * Called by init only, which is pid 1 of the namespace: everything that lives here is its
 * descendant or is going to be. A process list is a moving target, so nothing is decided on a pid
 * alone: a process is its pid and start time.
 *
 * Ending "what this call has started" is a fixed point: scan, kill what is not on the list from
 * before the call, scan again, until a scan proves that nothing is left. Finding nothing is no
 * proof: a process can fork and end between the moment its name is read and the moment its file is,
 * and the child may have got a number the scan is past already. So a scan counts only when
 *  - no name that was read had vanished when its file was opened (torn),
 *  - every zombie was a zombie in the scan before (it cannot have forked since), and
 *  - process numbers did not start over from the bottom meanwhile. They grow otherwise, and names
 *    are read in their order, so a child born during a scan, of a parent the scan has passed, is
 *    still ahead of it.
 * Processes that fork faster than this are stopped: kill(-1, SIGSTOP) is carried out under the lock
 * that fork needs, and a fork on its way gets the signal for its child, too. What is spared goes on
 * afterwards, unless it was stopped before. If even that does not help, kill(-1, SIGKILL) ends
 * everything.
 *
 * Without a namespace (paths.h) the machine's other processes are in /proc, too, and kill(-1) is
 * out of the question: the descendants are picked out, and nothing else is counted or signalled.
 * Init is their subreaper there, so none escapes by being orphaned; a fork bomb may outrun the
 * rounds. */
#include "sandbox/init/procs.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/init/ipc.h"
#include "sandbox/paths.h"

#define MAX_PROCS   40000
#define MANY        64               /* more new ones than this in a second round: a fork bomb */
#define NAMING_NS   (30 * NS_PER_MS) /* for naming them one by one */
#define KILL_ALL_NS (2 * NS_PER_S)   /* without a namespace, where it takes rounds */
/* For the killed to be gone. They need a processor for that, which on a busy machine takes its
 * time, and until then count against the memory of the next call. Only one stuck in the kernel uses
 * it up. */
#define GONE_NS (2 * NS_PER_S)
/* For doing it while everything is stopped. Long enough for thousands of processes on a busy
 * machine: nothing of them does anything meanwhile. */
#define STOPPED_NS (400 * NS_PER_MS)

void procs_done(struct procs *p)
{
    free(p->ids);
    *p = (struct procs){.ids = NULL};
}

static int add(struct procs *p, struct proc_id id)
{
    if (p->n == MAX_PROCS)
        return -E_LIMIT;
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 32;
        struct proc_id *grown = mem_array(cap, sizeof(*grown));
        if (p->n)
            memcpy(grown, p->ids, p->n * sizeof(*grown));
        free(p->ids);
        p->ids = grown;
        p->cap = cap;
    }
    p->ids[p->n++] = id;
    return 0;
}

int procs_parse_stat(const char *text, struct procs_stat *ret)
{
    /* "PID (name) S ppid ..." - the name may hold anything, the last parenthesis ends it; the
     * parent is field 4, the number of threads 20, the start time 22. */
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || !p[2] || p[3] != ' ')
        return -E_PARSE;
    struct procs_stat st = {.state = p[2]};
    p += 4;
    for (int field = 4; field <= 22; field++) {
        size_t n = strcspn(p, " \n");
        uint64_t value = 0;
        bool wanted = field == 4 || field == 20 || field == 22;
        if (wanted && str_to_u64(p, n, field == 22 ? UINT64_MAX : INT32_MAX, &value) < 0)
            return -E_PARSE;
        if (field == 4)
            st.parent = (pid_t)value;
        else if (field == 20)
            st.threads = value;
        else if (field == 22)
            st.start = value;
        if (field < 22 && p[n] != ' ')
            return -E_PARSE;
        p += n + (field < 22);
    }
    *ret = st;
    return 0;
}

/* Reads /proc/PID/`what`; -errno when the process is gone. */
static int read_file(int proc, const char *pid, const char *what, char *buf, size_t cap)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/%s", pid, what);
    AUTO_CLOSE int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, cap - 1);
    if (n < 0)
        return -errno;
    buf[n] = '\0';
    return 0;
}

/* The pid that a directory entry of /proc names, or 0. Init is left out. */
static pid_t entry_pid(const struct dirent *de)
{
    uint64_t pid;
    if (str_to_u64(de->d_name, strlen(de->d_name), INT32_MAX, &pid) < 0)
        return 0;
    return pid == 1 || (pid_t)pid == getpid() ? 0 : (pid_t)pid;
}

/* One pass over /proc. `dead` (may be NULL) gets the zombies. */
static int scan(struct procs *ret, struct procs *dead, bool *ret_torn)
{
    DIR *d = opendir("/proc");
    if (!d)
        return -errno;
    AUTO(procs) list = {.ids = NULL};
    int r = 0;
    *ret_torn = false;
    for (struct dirent *de; r >= 0 && (de = readdir(d));) {
        char text[512];
        struct procs_stat st;
        pid_t pid = entry_pid(de);
        if (!pid)
            continue;
        if (read_file(dirfd(d), de->d_name, "stat", text, sizeof(text)) < 0 ||
            procs_parse_stat(text, &st) < 0 || st.state == 'X') {
            *ret_torn = true;
            continue;
        }
        const struct proc_id id = {.pid = pid,
                                   .parent = st.parent,
                                   .start = st.start,
                                   .stopped = st.state == 'T' || st.state == 't'};
        /* The first thread can end alone; the process then looks like a zombie with threads. */
        if (st.state != 'Z' || st.threads > 1)
            r = add(&list, id);
        else if (dead)
            r = add(dead, id);
    }
    closedir(d);
    if (r < 0)
        return r;
    *ret = list;
    list = (struct procs){.ids = NULL};
    return 0;
}

static bool has_pid(const struct procs *p, pid_t pid)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->ids[i].pid == pid)
            return true;
    return false;
}

/* Those of `all` that descend from this process. A child can have a lower pid than its parent,
 * hence the repetition. */
static int pick_descendants(const struct procs *all, struct procs *ret)
{
    AUTO(procs) list = {.ids = NULL};
    const pid_t self = getpid();
    int r = 0;
    for (bool again = true; again && r >= 0;) {
        again = false;
        for (size_t i = 0; i < all->n && r >= 0; i++)
            if (!has_pid(&list, all->ids[i].pid) &&
                (all->ids[i].parent == self || has_pid(&list, all->ids[i].parent))) {
                r = add(&list, all->ids[i]);
                again = true;
            }
    }
    if (r < 0)
        return r;
    *ret = list;
    list = (struct procs){.ids = NULL};
    return 0;
}

int procs_list(struct procs *ret)
{
    AUTO(procs) list = {.ids = NULL};
    bool torn = true;
    int r = 0;
    for (int i = 0; r >= 0 && torn && i < 3; i++) {
        procs_done(&list);
        r = scan(&list, NULL, &torn);
    }
    if (r < 0 || paths()->shared)
        return r < 0 ? r : pick_descendants(&list, ret);
    *ret = list;
    list = (struct procs){.ids = NULL};
    return 0;
}

bool procs_has(const struct procs *p, struct proc_id id)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->ids[i].pid == id.pid && p->ids[i].start == id.start)
            return true;
    return false;
}

/* kill(-1) would reach every process of the user. Rounds instead, as long as they find somebody; a
 * fork bomb that is faster than we can name its children is stopped first, then killed. */
static void kill_descendants(void (*reap)(void *arg), void *arg)
{
    const int64_t until = time_mono_ns() + KILL_ALL_NS;
    while (time_mono_ns() < until) {
        AUTO(procs) now = {.ids = NULL};
        if (procs_list(&now) < 0 || now.n == 0)
            break;
        for (size_t i = 0; i < now.n; i++)
            kill(now.ids[i].pid, SIGSTOP);
        for (size_t i = 0; i < now.n; i++)
            kill(now.ids[i].pid, SIGKILL);
        reap(arg);
        poll(NULL, 0, 1);
    }
    reap(arg);
}

/* Waits for the killed: `which`, or everybody when it is NULL. Bounded. */
static void wait_gone(const struct procs *which, void (*reap)(void *arg), void *arg)
{
    const int64_t until = time_mono_ns() + GONE_NS;
    for (int ms = 1;; ms = ms < 16 ? ms * 2 : ms) {
        reap(arg);
        AUTO(procs) left = {.ids = NULL};
        if (procs_list(&left) < 0 || time_mono_ns() >= until)
            return;
        bool any = !which && left.n > 0;
        for (size_t i = 0; which && !any && i < left.n; i++)
            any = procs_has(which, left.ids[i]);
        if (!any)
            return;
        poll(NULL, 0, ms); /* for grandchildren there is no event */
    }
}

void procs_kill_all(void (*reap)(void *arg), void *arg)
{
    if (paths()->shared) {
        kill_descendants(reap, arg);
        return;
    }
    kill(-1, SIGKILL); /* reaches everybody */
    wait_gone(NULL, reap, arg);
    ipc_remove_all();
}

/* Whether the process that has number `pid` now is spared. A spared one that has ended may have
 * left its number to a stranger, whose children are strangers, too. */
static bool spares_holder(const struct procs *spare, const struct procs *now, pid_t pid)
{
    for (size_t i = 0; i < now->n; i++)
        if (now->ids[i].pid == pid)
            return procs_has(spare, now->ids[i]);
    return false;
}

/* Adds to `spare` what its members have started. A child can have a lower pid than its parent
 * (numbers wrap around), hence the repetition; an orphan's parent is init and tells nothing. */
static int spare_descendants(struct procs *spare, const struct procs *now)
{
    int r = 0;
    for (bool again = true; again && r >= 0;) {
        again = false;
        for (size_t i = 0; i < now->n && r >= 0; i++)
            if (now->ids[i].parent > 1 && !procs_has(spare, now->ids[i]) &&
                has_pid(spare, now->ids[i].parent) &&
                spares_holder(spare, now, now->ids[i].parent)) {
                r = add(spare, now->ids[i]);
                again = true;
            }
    }
    return r;
}

/* The number the namespace has given out last, the fifth word of /proc/loadavg; 0: not known. */
static uint64_t last_number(void)
{
    char text[128];
    AUTO_CLOSE int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *word = strrchr(text, ' ');
    uint64_t v;
    return word && str_to_u64(word + 1, strcspn(word + 1, "\n"), INT32_MAX, &v) == 0 ? v : 0;
}

struct hunt {
    struct procs *spare;
    struct procs killed, dead; /* dead: zombies of the last scan */
    int fresh;                 /* found by the last round and not killed before */
    int found;                 /* in all, those killed before and still there included */
    bool proven;               /* nobody can have slipped through that round */
};

static void hunt_done(struct hunt *h)
{
    procs_done(&h->killed);
    procs_done(&h->dead);
}

static bool all_known(const struct procs *now, const struct procs *before)
{
    for (size_t i = 0; i < now->n; i++)
        if (!procs_has(before, now->ids[i]))
            return false;
    return true;
}

/* Kills those of `now` that are neither spared nor killed already. */
static int kill_strangers(struct hunt *h, const struct procs *now)
{
    int r = 0;
    h->found = h->fresh = 0;
    for (size_t i = 0; i < now->n && r >= 0; i++) {
        if (procs_has(h->spare, now->ids[i]))
            continue;
        h->found++;
        if (procs_has(&h->killed, now->ids[i]))
            continue;
        h->fresh++;
        kill(now->ids[i].pid, SIGKILL);
        r = add(&h->killed, now->ids[i]);
    }
    return r;
}

static int hunt_round(struct hunt *h)
{
    AUTO(procs) now = {.ids = NULL};
    AUTO(procs) dead = {.ids = NULL};
    bool torn;
    uint64_t first = last_number();
    int r = scan(&now, &dead, &torn);
    if (r >= 0)
        r = spare_descendants(h->spare, &now);
    h->proven = r >= 0 && !torn && all_known(&dead, &h->dead) && last_number() >= first;
    if (r >= 0)
        r = kill_strangers(h, &now);
    procs_done(&h->dead);
    h->dead = dead;
    dead = (struct procs){.ids = NULL};
    return r;
}

/* Rounds until one proves that nothing else runs, or `until`. 1: proven. */
static int hunt_until(struct hunt *h, int64_t until, bool bombs_too, void (*reap)(void *arg),
                      void *arg)
{
    for (int i = 0; time_mono_ns() < until; i++) {
        int r = hunt_round(h);
        reap(arg);
        if (r < 0)
            return r;
        if (h->found == 0 && h->proven)
            return 1;
        if (!bombs_too && i > 0 && h->fresh > MANY)
            return 0;
        if (h->fresh == 0 && h->found > 0)
            poll(NULL, 0, 1); /* the killed need a moment; for grandchildren there is no event */
    }
    return 0;
}

/* Everything stands still; the hunt goes on; the spared go on. 1: proven. */
static int hunt_stopped(struct hunt *h, void (*reap)(void *arg), void *arg)
{
    AUTO(procs) before = {.ids = NULL};
    int r = procs_list(&before);
    if (r < 0)
        return r;
    kill(-1, SIGSTOP);
    r = hunt_until(h, time_mono_ns() + STOPPED_NS, true, reap, arg);
    AUTO(procs) after = {.ids = NULL};
    if (procs_list(&after) < 0)
        return -E_LIMIT; /* then everything ends: nothing may stay stopped for ever */
    for (size_t i = 0; i < after.n; i++) {
        bool was = false;
        for (size_t k = 0; k < before.n; k++)
            was = was || (before.ids[k].stopped && before.ids[k].pid == after.ids[i].pid &&
                          before.ids[k].start == after.ids[i].start);
        if (!was)
            kill(after.ids[i].pid, SIGCONT);
    }
    return r;
}

/* The same without a namespace, where nothing proves anything. */
static int hunt_round_shared(struct hunt *h)
{
    AUTO(procs) now = {.ids = NULL};
    int r = procs_list(&now);
    if (r >= 0)
        r = spare_descendants(h->spare, &now);
    return r < 0 ? r : kill_strangers(h, &now);
}

static int kill_others_shared(struct hunt *h, void (*reap)(void *arg), void *arg)
{
    const int64_t until = time_mono_ns() + NAMING_NS + STOPPED_NS;
    int r;
    do {
        r = hunt_round_shared(h);
        reap(arg);
        if (r >= 0 && h->found == 0)
            return 0;
        poll(NULL, 0, 1);
    } while (r >= 0 && time_mono_ns() < until);
    if (r >= 0 && h->fresh == 0) { /* all that is left is dying: no reason to end the spared, too */
        wait_gone(&h->killed, reap, arg);
        return 0;
    }
    kill_descendants(reap, arg);
    return 1;
}

/* Whether a killed one still stands: at its end, for a tracer that had asked for that stop. */
static bool held_by_tracer(const struct procs *killed)
{
    AUTO(procs) left = {.ids = NULL};
    bool held = false;
    if (procs_list(&left) < 0)
        return true;
    for (size_t i = 0; i < left.n; i++)
        held = held || (left.ids[i].stopped && procs_has(killed, left.ids[i]));
    return held;
}

int procs_kill_others(struct procs *spare, void (*reap)(void *arg), void *arg)
{
    __attribute__((cleanup(hunt_done))) struct hunt h = {.spare = spare};
    if (paths()->shared)
        return kill_others_shared(&h, reap, arg);
    int r = hunt_until(&h, time_mono_ns() + NAMING_NS, false, reap, arg);
    if (r == 0)
        r = hunt_stopped(&h, reap, arg);
    if (r == 1)
        return 0;
    /* What is left then is known and killed: it sits in the kernel and gives back its memory. A
     * spared one that keeps it from doing so ends, too. */
    if (r == 0 && h.fresh == 0 && h.proven) {
        wait_gone(&h.killed, reap, arg);
        if (!held_by_tracer(&h.killed))
            return 0;
    }
    procs_kill_all(reap, arg);
    return 1;
}

/* Pages of anonymous memory out of the text of /proc/PID/statm ("size resident shared ..."); 0 when
 * it is odd. */
static uint64_t anonymous_pages(const char *text)
{
    uint64_t n[3];
    for (int i = 0; i < 3; i++) {
        size_t len = strcspn(text, " \n");
        if (str_to_u64(text, len, UINT32_MAX, &n[i]) < 0)
            return 0;
        text += len + (text[len] == ' ');
    }
    return n[1] > n[2] ? n[1] - n[2] : 0;
}

/* Since Linux 6.2 the size of /proc/PID/fd is the number of descriptors. */
static uint64_t open_files(int proc, const char *pid)
{
    char path[264];
    struct stat st;
    snprintf(path, sizeof(path), "%s/fd", pid);
    return fstatat(proc, path, &st, 0) < 0 ? 0 : (uint64_t)st.st_size;
}

void procs_usage(struct procs_usage *ret)
{
    DIR *d = opendir("/proc");
    uint64_t pages = 0;
    AUTO(procs) ours = {.ids = NULL};
    if (paths()->shared && procs_list(&ours) < 0)
        procs_done(&ours);
    *ret = (struct procs_usage){.memory_bytes = 0};
    for (struct dirent *de; d && (de = readdir(d));) {
        char text[512];
        struct procs_stat st;
        pid_t pid = entry_pid(de);
        if (!pid || (paths()->shared && !has_pid(&ours, pid)))
            continue;
        if (read_file(dirfd(d), de->d_name, "statm", text, sizeof(text)) >= 0)
            pages += anonymous_pages(text);
        if (read_file(dirfd(d), de->d_name, "stat", text, sizeof(text)) >= 0 &&
            procs_parse_stat(text, &st) >= 0) {
            ret->processes++;
            ret->threads += st.threads;
            ret->files += open_files(dirfd(d), de->d_name);
        }
    }
    if (d)
        closedir(d);
    ret->memory_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* procs.c - scanning and ending the processes of a sandbox.
 *
 * Called by init only, which is pid 1 of the namespace: everything that lives here is its
 * descendant or is going to be. Without a namespace (place.h) the machine's other processes are in
 * /proc too; then the descendants are picked out first, and nothing else is counted or signalled.
 * Init is their subreaper there, so none of them escapes by being orphaned. A process list is a
 * moving target, so nothing is decided on a pid alone: a process is its pid and start time. Ending
 * "what this call has started" is a fixed point: scan, kill what is not on the list from before the
 * call, scan again, until a scan finds nothing. A fork bomb can outrun that; then kill(-1), which
 * the kernel carries out under the lock that fork needs too, ends everything at once. */
#include "sandbox/procs.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/place.h"

#define MAX_PROCS   40000
#define MANY        64 /* more new processes than this in a second round: a fork bomb */
#define PATIENCE_NS (80 * NS_PER_MS) /* for the polite way */
#define KILL_ALL_NS (2 * NS_PER_S)   /* without a namespace, where it takes rounds */

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

static int list_all(struct procs *ret)
{
    DIR *d = opendir("/proc");
    if (!d)
        return -errno;
    AUTO(procs) list = {.ids = NULL};
    int r = 0;
    for (struct dirent *de; r >= 0 && (de = readdir(d));) {
        char text[512];
        struct procs_stat st;
        pid_t pid = entry_pid(de);
        if (pid && read_file(dirfd(d), de->d_name, "stat", text, sizeof(text)) >= 0 &&
            procs_parse_stat(text, &st) >= 0 && st.state != 'Z' && st.state != 'X')
            r = add(&list, (struct proc_id){.pid = pid, .parent = st.parent, .start = st.start});
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
    if (!place()->shared)
        return list_all(ret);
    AUTO(procs) all = {.ids = NULL};
    int r = list_all(&all);
    return r < 0 ? r : pick_descendants(&all, ret);
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

void procs_kill_all(void (*reap)(void *arg), void *arg)
{
    if (place()->shared) {
        kill_descendants(reap, arg);
        return;
    }
    /* Everything is dead when this returns, but for what sits in the kernel; a zombie that still
     * has to be collected needs no waiting for. */
    kill(-1, SIGKILL);
    reap(arg);
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
                has_pid(spare, now->ids[i].parent)) {
                r = add(spare, now->ids[i]);
                again = true;
            }
    }
    return r;
}

struct round {
    int found, fresh; /* still there in all; of those, not killed before */
};

static int kill_round(struct procs *spare, struct procs *killed, struct round *ret)
{
    AUTO(procs) now = {.ids = NULL};
    int r = procs_list(&now);
    if (r >= 0)
        r = spare_descendants(spare, &now);
    *ret = (struct round){.found = 0};
    for (size_t i = 0; i < now.n && r >= 0; i++) {
        if (procs_has(spare, now.ids[i]))
            continue;
        ret->found++;
        if (procs_has(killed, now.ids[i]))
            continue;
        ret->fresh++;
        kill(now.ids[i].pid, SIGKILL);
        r = add(killed, now.ids[i]);
    }
    return r;
}

int procs_kill_others(struct procs *spare, void (*reap)(void *arg), void *arg)
{
    const int64_t until = time_mono_ns() + PATIENCE_NS;
    AUTO(procs) killed = {.ids = NULL};
    struct round n = {.fresh = 1};
    for (int i = 0; time_mono_ns() < until; i++) {
        int r = kill_round(spare, &killed, &n);
        reap(arg);
        if (r >= 0 && n.found == 0)
            return 0;
        if (r < 0 || (i > 0 && n.fresh > MANY)) {
            n.fresh = 1;
            break;
        }
        if (n.fresh ==
            0) /* the killed need a moment; there is nothing to wait on for grandchildren */
            poll(NULL, 0, 1);
    }
    if (n.fresh == 0)
        return 0;
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

void procs_usage(struct procs_usage *ret)
{
    DIR *d = opendir("/proc");
    uint64_t pages = 0;
    AUTO(procs) ours = {.ids = NULL};
    if (place()->shared && procs_list(&ours) < 0)
        procs_done(&ours);
    *ret = (struct procs_usage){.memory_bytes = 0};
    for (struct dirent *de; d && (de = readdir(d));) {
        char text[512];
        struct procs_stat st;
        pid_t pid = entry_pid(de);
        if (!pid || (place()->shared && !has_pid(&ours, pid)))
            continue;
        if (read_file(dirfd(d), de->d_name, "statm", text, sizeof(text)) >= 0)
            pages += anonymous_pages(text);
        if (read_file(dirfd(d), de->d_name, "stat", text, sizeof(text)) >= 0 &&
            procs_parse_stat(text, &st) >= 0) {
            ret->processes++;
            ret->threads += st.threads;
        }
    }
    if (d)
        closedir(d);
    ret->memory_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

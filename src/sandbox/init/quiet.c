/* quiet.c - waiting for processes to come to rest.
 *
 * Called from init's loop when the main process of a program or a command has ended. What that has
 * written may still be on its way through processes that it has started:
 *
 *   exec > >(tee log) 2>&1; echo done
 *
 * Such a process is told of the end of its input in the same moment, so it is running or about to
 * run; and what it writes wakes the next one before it goes to sleep itself. A job in the background
 * (`sleep 1000 &`, a server) sleeps, and nothing wakes it. So the rule is: wait as long as anybody
 * is at work. That nobody is, is proven by two looks that find everybody asleep and nobody who has
 * run between them: all are asleep at the moment between the looks.
 *
 * Who works on and on (a spinning loop) is bounded: by processor time, which a busy machine does not
 * make shorter, and by the clock. The processes are untrusted; all they can do is use up these
 * bounds. */
#include "sandbox/init/quiet.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"

#define STEP_MIN_NS  (NS_PER_MS / 2) /* between looks; grows while there is work */
#define STEP_MAX_NS  (16 * NS_PER_MS)
#define STATUS_BYTES 8192 /* with the lists of processors of a large machine */

struct quiet_process {
    struct proc_id id;
    uint64_t turns; /* how often its threads were given a processor and have left it */
    int64_t cpu_ns;
    bool busy;
};

void quiet_done(struct quiet *q)
{
    free(q->seen);
    *q = (struct quiet){.on = false};
}

void quiet_begin(struct quiet *q, const struct quiet_scope *scope)
{
    quiet_done(q);
    q->on = true;
    q->scope = *scope;
    q->until_ns = time_mono_ns() + scope->wall_ms * NS_PER_MS;
    q->step_ns = STEP_MIN_NS;
}

/* The number behind `key` in the text of a status file. */
static uint64_t number_at(const char *text, const char *key)
{
    uint64_t n = 0;
    const char *p = strstr(text, key);
    if (p) {
        p += strlen(key);
        (void)!str_to_u64(p, strcspn(p, "\n"), UINT64_MAX, &n);
    }
    return n;
}

static void add_thread(int tasks, const char *tid, char *text, struct quiet_process *ret)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/status", tid);
    AUTO_CLOSE int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, STATUS_BYTES - 1);
    if (n <= 0)
        return; /* gone */
    text[n] = '\0';
    const char *state = strstr(text, "\nState:\t");
    const char c = state ? state[strlen("\nState:\t")] : 'S';
    ret->busy = ret->busy || c == 'R' || c == 'D';
    ret->turns += number_at(text, "\nvoluntary_ctxt_switches:\t") +
                  number_at(text, "\nnonvoluntary_ctxt_switches:\t");
}

static int64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    /* lint-allow: banned the processor time of another process */
    return clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0
               ? t.tv_sec * NS_PER_S + t.tv_nsec
               : 0;
}

static struct quiet_process look_at(struct proc_id id, char *text)
{
    struct quiet_process p = {.id = id, .cpu_ns = cpu_ns(id.pid)};
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)id.pid);
    DIR *d = opendir(path);
    for (struct dirent *de; d && (de = readdir(d));)
        if (de->d_name[0] != '.')
            add_thread(dirfd(d), de->d_name, text, &p);
    if (d)
        closedir(d);
    return p;
}

/* Who does not let itself be looked at may hold anything. */
static bool holds(const struct quiet_scope *s, pid_t pid)
{
    char path[32], link[64];
    if (!s->held[0] && !s->held[1])
        return true;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    bool found = !d;
    for (struct dirent *de; !found && d && (de = readdir(d));) {
        ssize_t n = readlinkat(dirfd(d), de->d_name, link, sizeof(link) - 1);
        link[n < 0 ? 0 : n] = '\0';
        for (int i = 0; n > 0 && i < 2; i++)
            found = found || (s->held[i] && str_eq(link, s->held[i]));
    }
    if (d)
        closedir(d);
    return found;
}

static bool counts(const struct quiet_scope *s, struct proc_id id)
{
    return id.pid != s->also_except && !(s->except && procs_has(s->except, id)) && holds(s, id.pid);
}

static const struct quiet_process *seen_before(const struct quiet *q, struct proc_id id)
{
    for (size_t i = 0; i < q->n; i++)
        if (q->seen[i].id.pid == id.pid && q->seen[i].id.start == id.start)
            return &q->seen[i];
    return NULL;
}

/* True when it finds everybody asleep who was asleep, and nobody who has run since. */
static bool look(struct quiet *q)
{
    AUTO(procs) now = {.ids = NULL};
    if (procs_list(&now) < 0)
        return true;
    struct quiet_process *list = mem_array(now.n + 1, sizeof(*list));
    AUTO_FREE char *text = mem_array(STATUS_BYTES, 1);
    size_t n = 0;
    bool rest = true;
    for (size_t i = 0; i < now.n; i++) {
        if (!counts(&q->scope, now.ids[i]))
            continue;
        struct quiet_process p = look_at(now.ids[i], text);
        const struct quiet_process *before = seen_before(q, p.id);
        rest = rest && !p.busy && before && !before->busy && before->turns == p.turns;
        q->used_ns += before && p.cpu_ns > before->cpu_ns ? p.cpu_ns - before->cpu_ns : 0;
        list[n++] = p;
    }
    rest = rest && (n == 0 || n == q->n);
    free(q->seen);
    q->seen = list;
    q->n = n;
    return rest;
}

/* No process is left but init, which has no child then: asked without a look into /proc. */
static bool is_alone(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

bool quiet_over(struct quiet *q)
{
    if (!q->on)
        return true;
    const int64_t now = time_mono_ns();
    if (now < q->next_ns)
        return false;
    if (is_alone() || look(q) || q->used_ns >= q->scope.cpu_ms * NS_PER_MS || now >= q->until_ns) {
        quiet_done(q);
        return true;
    }
    q->next_ns = time_mono_ns() + q->step_ns;
    q->step_ns = 2 * q->step_ns < STEP_MAX_NS ? 2 * q->step_ns : STEP_MAX_NS;
    return false;
}

/* limits.c - time, memory and processes of a sandbox, as init sees them.
 *
 * Called from init's loop. Usage is added up (memory from the cgroup's own count where there is
 * one, else from /proc) every 100 ms while a command or a program runs and every 500 ms while only
 * background jobs do, never when idle. Two clocks run: that of what is at work (bash_call.c,
 * file_call.c and program.c set it) and that of the session, which starts with the first call. When
 * the session's is over, everything is ended and every later call is told so. Going over a limit
 * ends calls and programs, never init. Nothing is ended here: a verdict says what was found, and
 * init.c acts on it. */
#include "sandbox/init/internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "sandbox/cgroup/cgroup.h"
#include "sandbox/init/ipc.h"
#include "sandbox/init/shares.h"
#include "sandbox/init/sockets.h"
#include "sandbox/paths.h"

/* Of the open files that this machine can have, for all in a sandbox together. */
#define FILES_PART 4
/* The machine resets what goes over its tcp_max_orphans, 8,192 or more, and not only ours. */
#define ORPHANS_MAX 4096
/* Sockets that could not hold this part of the memory are not looked at. */
#define SOCKETS_PART 8

#define LOOK_MS      100 /* how often usage is added up while a command runs */
#define IDLE_LOOK_MS 500 /* and while only background jobs do */

static bool is_crowded(const struct init *in, const struct procs_usage *u)
{
    /* As many threads as there may be, less the two that something may just be giving back. */
    return u->threads + 2 >= in->spec->limits.processes;
}

/* Bytes in file systems of ours that lie in memory. /tmp, /dev/shm and the root's upper layer are
 * one of them (root.c). */
static uint64_t files_bytes(const struct init *in)
{
    const char *const dirs[] = {"/tmp", paths()->home};
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        struct statfs f;
        if ((i == 1 && in->spec->workspace_dir) || statfs(dirs[i], &f) < 0 ||
            f.f_type != TMPFS_MAGIC)
            continue;
        sum += (uint64_t)(f.f_blocks - f.f_bfree) * (uint64_t)f.f_bsize;
    }
    return sum;
}

static void programs_usage(const struct init *in, struct procs_usage *ret)
{
    procs_usage(ret);
    struct cgroup_memory m;
    if (!cgroup_read_memory(in->stat_fd, &m)) {
        /* What memfds hold is not seen this way. */
        ret->memory_bytes += ipc_shm_bytes();
        return;
    }
    uint64_t files = files_bytes(in);
    ret->memory_bytes = m.anonymous_bytes + (m.shared_bytes > files ? m.shared_bytes - files : 0);
}

void limits_usage(const struct init *in, struct procs_usage *ret, uint64_t *ret_orphans)
{
    programs_usage(in, ret);
    *ret_orphans = 0;
    if (paths()->shared) /* the machine's sockets */
        return;
    struct sockets_usage s;
    sockets_usage(in->spec->limits.memory_bytes / SOCKETS_PART, &s);
    ret->memory_bytes += s.bytes;
    *ret_orphans = s.orphans;
}

static bool read_file(const char *path, char *text, size_t cap)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, cap - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return true;
}

/* What does not change while init lives. */
static void learn_shares(struct init *in)
{
    char text[256];
    uint64_t most = UINT64_MAX;
    if (in->files_most)
        return;
    if (read_file("/proc/sys/fs/file-max", text, sizeof(text)) &&
        str_to_u64(text, strcspn(text, "\n"), UINT64_MAX, &most) == 0)
        most /= FILES_PART;
    in->files_most = most ? most : 1;
    in->one_id = !paths()->shared && read_file("/proc/self/uid_map", text, sizeof(text)) &&
                 shares_one_id(text);
}

void limits_begin_call(struct init *in)
{
    in->oom_before = cgroup_oom_kills(in->oom_fd);
}

char *limits_oom_sentence(struct init *in)
{
    uint64_t now = cgroup_oom_kills(in->oom_fd);
    if (now <= in->oom_before)
        return NULL;
    in->oom_before = now;
    /* Whose limit it was, ours or that of a group above (or the whole machine), is not told. */
    return mem_printf("the sandbox ran out of memory and the kernel ended a program; it may have "
                      "%llu MiB, if the machine has them",
                      (unsigned long long)in->spec->limits.memory_bytes >> 20);
}

void limits_begin_session(struct init *in)
{
    const int64_t ms = (int64_t)in->spec->limits.session_ms;
    if (ms > 0 && in->session_ns == 0)
        in->session_ns = time_mono_ns() + ms * NS_PER_MS;
}

static char *session_sentence(const struct init *in)
{
    return mem_printf("the session's time of %llu ms is over",
                      (unsigned long long)in->spec->limits.session_ms);
}

char *limits_over_sentence(const struct init *in)
{
    AUTO_FREE char *over = session_sentence(in);
    return mem_printf("%s; nothing runs in this sandbox any more", over);
}

void limits_set_deadline(struct init *in, int64_t ms)
{
    struct call *c = in->now;
    const int64_t ceiling = (int64_t)in->spec->limits.call_ms;
    if (c->timeout_ms > 0 && c->timeout_ms < ms)
        ms = c->timeout_ms;
    if (ceiling > 0 && ceiling < ms) {
        ms = ceiling;
        c->time_limit = "what one call may take in this sandbox";
    }
    c->timeout_ms = ms < INT32_MAX ? ms : INT32_MAX;
    in->deadline_ns = in->began_ns + c->timeout_ms * NS_PER_MS;
}

/* ---- verdicts ---- */

/* What the whole machine has one of, and no limit of a process bounds for all together. */
static bool share_exceeded(struct init *in, const struct procs_usage *u, uint64_t orphans,
                           struct verdict *ret)
{
    learn_shares(in);
    const char *used_up = in->one_id ? shares_used_up() : NULL;
    if (u->files > in->files_most)
        *ret = (struct verdict){
            LIMIT_FILES, "files",
            mem_printf("the programs had %llu files open together and may have %llu, a part of "
                       "what this machine can have",
                       (unsigned long long)u->files, (unsigned long long)in->files_most)};
    else if (orphans > ORPHANS_MAX)
        *ret = (struct verdict){
            LIMIT_CONNECTIONS, "connections",
            mem_printf("the programs left %llu connections with data in them behind and may leave "
                       "%u, a part of what this machine can have",
                       (unsigned long long)orphans, ORPHANS_MAX)};
    else if (used_up)
        *ret = (struct verdict){
            LIMIT_SHARED, "shared",
            mem_printf("the programs used up the %s that the kernel gives the user of this machine "
                       "whose they are",
                       used_up)};
    return ret->limit != LIMIT_NONE;
}

static void look(struct init *in, int64_t now, struct verdict *ret)
{
    const struct sandbox_limits *l = &in->spec->limits;
    const bool idle = !in->at_work;
    struct procs_usage u;
    uint64_t orphans;
    limits_usage(in, &u, &orphans);
    in->look_ns = now + (idle ? IDLE_LOOK_MS : LOOK_MS) * NS_PER_MS;
    if (in->at_work && in->at_work->usage)
        in->at_work->usage(in, &u);
    if (u.memory_bytes > l->memory_bytes) {
        in->crowded = false;
        *ret = (struct verdict){
            LIMIT_MEMORY, "memory",
            mem_printf("the programs used more than the %llu MiB of memory they may have",
                       (unsigned long long)l->memory_bytes >> 20)};
        return;
    }
    if (share_exceeded(in, &u, orphans, ret))
        return;
    /* At the ceiling twice in a row: a build that touches it for a moment may go on. */
    bool was = in->crowded;
    in->crowded = is_crowded(in, &u);
    if (was && in->crowded) {
        in->crowded = false;
        *ret = (struct verdict){LIMIT_PROCESSES, "processes",
                                mem_printf("the programs used all %llu processes they may have",
                                           (unsigned long long)l->processes)};
    } else if (idle && u.processes <= 1) {
        in->look_ns = 0;
    }
}

bool limits_exceeded(const struct init *in)
{
    struct procs_usage u;
    uint64_t orphans;
    limits_usage(in, &u, &orphans);
    return u.memory_bytes > in->spec->limits.memory_bytes || is_crowded(in, &u) ||
           (in->files_most && u.files > in->files_most) || orphans > ORPHANS_MAX;
}

/* The caller's. */
static char *time_sentence(const struct init *in)
{
    const struct call *c = in->now;
    if (!c)
        return mem_strdup("the program's time was over");
    return c->time_limit
               ? mem_printf("timed out after %lld ms, %s", (long long)c->timeout_ms, c->time_limit)
               : mem_printf("timed out after %lld ms", (long long)c->timeout_ms);
}

bool limits_check(struct init *in, int64_t now, struct verdict *ret)
{
    if (!in->over && in->session_ns != 0 && now >= in->session_ns) {
        in->over = true;
        *ret = (struct verdict){LIMIT_SESSION, "session_ms", session_sentence(in)};
    } else if (in->at_work && now >= in->deadline_ns) {
        *ret = (struct verdict){LIMIT_TIME, in->at_work->time_limit, time_sentence(in)};
    } else if (in->look_ns && now >= in->look_ns && !(in->at_work && in->at_work->unmeasured)) {
        look(in, now, ret);
    }
    return ret->limit != LIMIT_NONE;
}

int limits_poll_ms(const struct init *in)
{
    int64_t until = in->at_work ? in->deadline_ns : INT64_MAX;
    if (in->look_ns && in->look_ns < until && !(in->at_work && in->at_work->unmeasured))
        until = in->look_ns;
    if (in->session_ns && !in->over && in->session_ns < until)
        until = in->session_ns;
    if (in->quiet.on && in->quiet.next_ns < until)
        until = in->quiet.next_ns;
    if (until == INT64_MAX)
        return -1;
    int64_t ms = (until - time_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
    return ms < 0 ? 0 : ms > 1000 ? 1000 : (int)ms;
}

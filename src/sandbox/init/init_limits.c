/* init_limits.c - time, memory and processes of a sandbox, as init sees them.
 *
 * Called from init's loop. Usage is added up (memory from the cgroup's own count where there is
 * one, else from /proc) every 100 ms while a command or a program runs and every 500 ms while only
 * background jobs do, never when idle. Two clocks run: that of the call (bash_call.c, file_call.c
 * and job.c set it) and that of the session, which starts with the first call. When the session's
 * is over, everything is ended and every later call is told so. Going over a limit ends calls and
 * programs, never init. */
#include "sandbox/init/init_internal.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "sandbox/cgroup/cgroup.h"
#include "sandbox/init/ipc.h"
#include "sandbox/place.h"

#define LOOK_MS      100 /* how often usage is added up while a command runs */
#define IDLE_LOOK_MS 500 /* and while only background jobs do */

bool limits_crowded(const struct init *in, const struct procs_usage *u)
{
    /* As many threads as there may be, less the two that something may just be giving back. */
    return u->threads + 2 >= in->spec->limits.processes;
}

/* Bytes in file systems of ours that lie in memory. /tmp, /dev/shm and the root's upper layer are
 * one of them (root.c). */
static uint64_t files_bytes(const struct init *in)
{
    const char *const dirs[] = {"/tmp", place()->home};
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

void limits_usage(const struct init *in, struct procs_usage *ret)
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

/* Background jobs go over a limit while no call runs: all of them end,
 * and the next result says so. */
static void end_background(struct init *in, const char *why)
{
    procs_kill_all(init_reap, in);
    bash_forget_shell(in);
    free(in->notice);
    in->notice =
        mem_printf("%s; everything running in the sandbox was ended, and this is a new shell", why);
    in->look_ns = 0;
}

/* Ends whatever runs. `limit` is its name for reports. */
static void end_running(struct init *in, const char *limit, const char *why)
{
    if (in->kind == CALL_BASH) {
        bash_abort(in, why);
    } else if (in->kind == CALL_FILE) {
        file_stop(in);
        AUTO_FREE char *text = mem_printf(": %s", why);
        init_fail(in, in->now->tool, text);
    } else if (in->job) {
        job_abort(in, limit, why);
    } else {
        end_background(in, why);
    }
}

static void look(struct init *in, int64_t now)
{
    const struct sandbox_limits *l = &in->spec->limits;
    const bool idle = in->kind == CALL_NONE && !in->job;
    struct procs_usage u;
    limits_usage(in, &u);
    in->look_ns = now + (idle ? IDLE_LOOK_MS : LOOK_MS) * NS_PER_MS;
    job_usage(in, u.memory_bytes, u.processes);
    if (u.memory_bytes > l->memory_bytes) {
        AUTO_FREE char *why =
            mem_printf("the programs used more than the %llu MiB of memory they may have",
                       (unsigned long long)l->memory_bytes >> 20);
        in->crowded = false;
        end_running(in, "memory", why);
        /* What the ended have left of it belongs to nobody, and would end the next one as well. */
        ipc_remove_orphans();
        return;
    }
    /* At the ceiling twice in a row: a build that touches it for a moment may go on. */
    bool was = in->crowded;
    in->crowded = limits_crowded(in, &u);
    if (was && in->crowded) {
        AUTO_FREE char *why = mem_printf("the programs filled the %llu processes they may have",
                                         (unsigned long long)l->processes);
        in->crowded = false;
        end_running(in, "processes", why);
    } else if (idle && u.processes <= 1) {
        in->look_ns = 0;
    }
}

static void check_session(struct init *in, int64_t now)
{
    if (in->over || in->session_ns == 0 || now < in->session_ns)
        return;
    in->over = true;
    AUTO_FREE char *why = session_sentence(in);
    end_running(in, "session_ms", why);
    procs_kill_all(init_reap, in);
    bash_forget_shell(in);
    in->look_ns = 0;
}

static void check_call(struct init *in, int64_t now)
{
    if (in->kind == CALL_NONE || now < in->deadline_ns)
        return;
    const struct call *c = in->now;
    AUTO_FREE char *why =
        c->time_limit
            ? mem_printf("timed out after %lld ms, %s", (long long)c->timeout_ms, c->time_limit)
            : mem_printf("timed out after %lld ms", (long long)c->timeout_ms);
    end_running(in, "call_ms", why);
}

void limits_check(struct init *in)
{
    int64_t now = time_mono_ns();
    check_session(in, now);
    check_call(in, now);
    if (in->job && now >= job_deadline_ns(in))
        job_abort(in, "timeout", "the program's time was over");
    if (in->look_ns && now >= in->look_ns && in->kind != CALL_FILE)
        look(in, now);
}

int limits_poll_ms(const struct init *in)
{
    int64_t until = in->kind == CALL_NONE ? INT64_MAX : in->deadline_ns;
    if (in->look_ns && in->look_ns < until && in->kind != CALL_FILE)
        until = in->look_ns;
    if (in->session_ns && !in->over && in->session_ns < until)
        until = in->session_ns;
    if (in->job && job_deadline_ns(in) < until)
        until = job_deadline_ns(in);
    if (until == INT64_MAX)
        return -1;
    int64_t ms = (until - time_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
    return ms < 0 ? 0 : ms > 1000 ? 1000 : (int)ms;
}

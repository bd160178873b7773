/* init_limits.c - time, memory and processes of a sandbox, as init sees them.
 *
 * Called from init's loop. Usage is added up from /proc every 100 ms while a command or a program
 * runs and every 500 ms while only background jobs do, never when idle. Two clocks run: that of the
 * call (bash_call.c, file_call.c and job.c set it) and that of the session, which starts with the
 * first call. When the session's is over, everything is ended and every later call is told so.
 * Going over a limit ends calls and programs, never init. */
#include "sandbox/init_internal.h"

#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"

#define LOOK_MS      100 /* how often usage is added up while a command runs */
#define IDLE_LOOK_MS 500 /* and while only background jobs do */

bool limits_crowded(const struct init *in, const struct procs_usage *u)
{
    /* As many threads as there may be, less the two that something may just be giving back. */
    return u->threads + 2 >= in->spec->limits.processes;
}

/* The number behind "oom_kill" in memory.events (version 2) or memory.oom_control (1); 0 when there
 * is none. */
static uint64_t oom_kills(int fd)
{
    char text[1024];
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    static const char key[] = "oom_kill ";
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        uint64_t v;
        if (!str_starts(line, key))
            continue;
        const char *digits = line + sizeof(key) - 1;
        return str_to_u64(digits, strcspn(digits, "\n"), UINT64_MAX, &v) < 0 ? 0 : v;
    }
    return 0;
}

void limits_begin_call(struct init *in)
{
    in->oom_before = oom_kills(in->oom_fd);
}

char *limits_oom_sentence(struct init *in)
{
    uint64_t now = oom_kills(in->oom_fd);
    if (now <= in->oom_before)
        return NULL;
    in->oom_before = now;
    return mem_printf("the sandbox ran out of memory (%llu MiB) and the kernel ended a program",
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

/* Background jobs go over a limit while no call runs: all of them end, and the next result says so.
 */
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
    procs_usage(&u);
    in->look_ns = now + (idle ? IDLE_LOOK_MS : LOOK_MS) * NS_PER_MS;
    job_usage(in, u.memory_bytes, u.processes);
    if (u.memory_bytes > l->memory_bytes) {
        AUTO_FREE char *why =
            mem_printf("the programs used more than the %llu MiB of memory they may have",
                       (unsigned long long)l->memory_bytes >> 20);
        in->crowded = false;
        end_running(in, "memory", why);
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

/* programs.c - the processes of stdio servers, which only a keeper may start.
 *
 * Called when the gateway asks for one, or the doctor does; each process has a fiber that waits for its end, one for
 * its standard error and one for its leash. The gateway proper may have been taken over: it can ask for the programs of the configuration as often as it likes, so there is
 * a ceiling, and it can let them go. It cannot choose arguments. The programs themselves are not trusted: what is started is
 * `sallyport exec`, which builds their sandbox and is told by the end of this process to take it down. Of what they write we
 * read their standard error alone: lines are cut, escaped and counted, and too many are dropped.
 *
 * The end is the one that MCP asks for (basic/lifecycle, stdio): input is closed, then SIGTERM, then SIGKILL. */
#include "tunnel/keeper/programs.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "io/proc.h"
#include "io/sock.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define INPUT_MS    5000 /* after the end of its input */
#define TERM_MS     7000 /* `sallyport exec` kills the program after PROGRAMS_GRACE of them */
#define DRAIN_MS    500  /* for the last lines of one that has ended */
#define CLOSE_MS    (INPUT_MS + TERM_MS + 3000)
#define LINE_MAX_   1000
#define LINES_MOST  50 /* in a second, of one program */
#define CHUNK_BYTES 4096

struct programs {
    struct programs_options o;
    struct scope scope;
    struct list running;
    size_t n;
};

struct program {
    struct list node;
    struct programs *all;
    char *route;
    size_t slot; /* the lowest that no other one of the route has */
    struct proc proc;
    struct io_fd errors, leash;
    bool let_go;
    struct buf line;
    bool cut; /* the rest of the line is dropped */
    int64_t second_ns;
    size_t lines, dropped;
};

/* ---- what it says ---- */

static void say_dropped(struct program *p)
{
    if (p->dropped)
        log_warn("a stdio server says too much", "route=%s lines_dropped=%zu", p->route,
                 p->dropped);
    p->dropped = 0;
}

static void say_line(struct program *p)
{
    const int64_t now_ns = time_mono_ns();
    if (now_ns - p->second_ns >= NS_PER_S) {
        say_dropped(p);
        p->second_ns = now_ns;
        p->lines = 0;
    }
    if (p->line.len > 0 && p->lines++ < LINES_MOST) {
        AUTO(buf) text = BUF_INIT(4 * LINE_MAX_ + 16);
        for (size_t i = 0; i < p->line.len; i++) /* what is quoted has one end */
            if (p->line.data[i] == '"')
                (void)buf_adds(&text, "\\\"");
            else
                str_escape(&text, p->line.data + i, 1, 1);
        if (p->all->o.said)
            p->all->o.said(p->all->o.arg, p->route, buf_str(&text));
        else
            log_info("a stdio server says", "route=%s line=\"%s\"%s", p->route, buf_str(&text),
                     p->cut ? " cut=true" : "");
    } else if (p->line.len > 0) {
        p->dropped++;
    }
    buf_reset(&p->line);
    p->cut = false;
}

static void take_errors(struct program *p, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n')
            say_line(p);
        else if (p->line.len < LINE_MAX_ && text[i] != '\r')
            (void)buf_addc(&p->line, text[i]);
        else
            p->cut = p->cut || text[i] != '\r';
    }
}

static int read_errors(void *arg)
{
    struct program *p = arg;
    AUTO_FREE char *chunk = mem_array(CHUNK_BYTES, 1);
    ssize_t n;
    fiber_deadline_clear();
    while ((n = io_read(&p->errors, chunk, CHUNK_BYTES)) > 0)
        take_errors(p, chunk, (size_t)n);
    say_line(p);
    say_dropped(p);
    return 0;
}

/* ---- its end ---- */

static int end_with_leash(void *arg)
{
    struct program *p = arg;
    char nothing[16];
    ssize_t n;
    fiber_deadline_clear();
    while ((n = io_read(&p->leash, nothing, sizeof(nothing))) > 0)
        ;
    if (n == -ECANCELED)
        return 0;
    p->let_go = true;
    if (fiber_sleep_ms(INPUT_MS) < 0)
        return 0;
    log_info("a stdio server goes on without input, and is told to end", "route=%s", p->route);
    (void)proc_kill(&p->proc, SIGTERM);
    if (fiber_sleep_ms(TERM_MS) < 0)
        return 0;
    log_warn("a stdio server does not end, and is killed", "route=%s", p->route);
    (void)proc_kill(&p->proc, SIGKILL);
    return 0;
}

static void tell_end(const struct program *p, int status)
{
    if (p->let_go)
        log_debug("a stdio server has ended", "route=%s", p->route);
    else if (WIFEXITED(status))
        log_warn("a stdio server has ended by itself", "route=%s code=%d", p->route,
                 WEXITSTATUS(status));
    else
        log_warn("a signal has ended a stdio server", "route=%s signal=%d", p->route,
                 WTERMSIG(status));
}

static void watch(struct program *p)
{
    AUTO(scope) s;
    scope_init(&s);
    int status = 0;
    int r = fiber_spawn(&s, "stdio errors", read_errors, p, NULL);
    if (r == 0)
        r = fiber_spawn(&s, "stdio leash", end_with_leash, p, NULL);
    if (r == 0)
        r = proc_wait(&p->proc, &status);
    if (r < 0)
        return;
    io_fd_close(&p->leash);
    struct fiber_deadline d = fiber_deadline_push_ms(DRAIN_MS);
    (void)!scope_join(&s);
    fiber_deadline_pop(&d);
    tell_end(p, status);
}

static void program_free(struct program *p)
{
    list_remove(&p->node);
    proc_done(&p->proc);
    io_fd_close(&p->errors);
    io_fd_close(&p->leash);
    buf_done(&p->line);
    free(p->route);
    free(p);
}

static int live(void *arg)
{
    struct program *p = arg;
    struct programs *all = p->all;
    fiber_deadline_clear();
    watch(p);
    program_free(p);
    all->n--;
    return 0;
}

/* ---- its beginning ---- */

static size_t free_slot(const struct programs *all, const char *route)
{
    size_t slot = 0;
    for (bool taken = true; taken; slot += taken) {
        taken = false;
        LIST_FOREACH (p, &all->running, struct program, node)
            taken = taken || (p->slot == slot && str_eq(p->route, route));
    }
    return slot;
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static int start_process(struct program *p, const struct gateway_stdio *s, int fd, int errors,
                         struct err *e)
{
    char **list = p->all->o.arguments(p->all->o.arg, s, p->slot);
    const struct proc_spec spec = {.path = "/proc/self/exe",
                                   .argv = (const char *const *)list,
                                   .envp = p->all->o.environment,
                                   .stdin_fd = fd,
                                   .stdout_fd = fd,
                                   .stderr_fd = errors,
                                   .own_session = true,
                                   .die_with_parent = true};
    int r = proc_start(&p->proc, &spec, e);
    free_list(list);
    return r;
}

static int pipe_of(int ret[2])
{
    return pipe2(ret, O_CLOEXEC) < 0 ? -errno : 0;
}

int programs_start(struct programs *all, const struct gateway_stdio *s, int *ret_fd, int *ret_leash,
                   struct err *e)
{
    int talk[2] = {-1, -1}, leash[2] = {-1, -1}, errors[2] = {-1, -1};
    if (all->n >= PROGRAMS_MAX)
        return err_set(e, -EBUSY, "%d stdio servers run already, and no more are started",
                       PROGRAMS_MAX);
    struct program *p = mem_new(struct program);
    *p = (struct program){.all = all,
                          .route = mem_strdup(s->route),
                          .slot = free_slot(all, s->route),
                          .proc = {.pidfd = IO_FD_NONE},
                          .errors = IO_FD_NONE,
                          .leash = IO_FD_NONE,
                          .line = BUF_INIT(LINE_MAX_ + 1)};
    list_push_back(&all->running, &p->node);
    int r = sock_pair(SOCK_STREAM, talk);
    if (r == 0)
        r = sock_pair(SOCK_STREAM, leash);
    if (r == 0)
        r = pipe_of(errors);
    AUTO_CLOSE int ours = talk[0], theirs = talk[1], held = leash[0], given = leash[1];
    AUTO_CLOSE int from = errors[0], to = errors[1];
    if (r < 0)
        (void)err_set(e, r, "no descriptors for a stdio server: %s", err_text(r));
    /* A program takes its standard streams for blocking ones. */
    if (r == 0 && fcntl(theirs, F_SETFL, 0) < 0)
        r = err_set(e, -errno, "a socket cannot be prepared: %s", err_text(-errno));
    if (r == 0)
        r = start_process(p, s, theirs, to, e);
    if (r == 0 && (r = io_fd_add(&p->errors, from)) == 0) {
        from = -1;
        r = io_fd_add(&p->leash, held);
        if (r == 0)
            held = -1;
    }
    if (r == 0)
        r = fiber_spawn(&all->scope, "stdio program", live, p, NULL);
    if (r < 0) {
        program_free(p);
        return e->msg[0] ? r : err_set(e, r, "a stdio server cannot be watched: %s", err_text(r));
    }
    all->n++;
    *ret_fd = TAKE_FD(ours);
    *ret_leash = TAKE_FD(given);
    return 0;
}

/* ---- all of them ---- */

struct programs *programs_new(const struct programs_options *o)
{
    struct programs *p = mem_new(struct programs);
    p->o = *o;
    scope_init(&p->scope);
    list_init(&p->running);
    return p;
}

size_t programs_count(const struct programs *p)
{
    return p->n;
}

void programs_close(struct programs *p)
{
    if (!p)
        return;
    struct fiber_deadline d = fiber_deadline_push_ms(CLOSE_MS);
    (void)!scope_join(&p->scope);
    fiber_deadline_pop(&d);
    scope_done(&p->scope);
    free(p);
}

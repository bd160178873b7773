/* browser.c - the way by a browser and back.
 *
 * Called by oauth.c on its fiber. The listener is on 127.0.0.1, and anybody on this machine, and any page in a
 * browser here, can send to it. So a request counts only when it is GET /callback with the state that was sent
 * out (43 random letters) and names the address itself as its host; all else gets 404, and the wait goes on:
 * nobody but the one who was asked can end it. What the answer says is judged in mcp/auth/grant.c. Eight
 * callers at once are heard, each for half a second to its first byte, two seconds and 16 KiB in all. The page
 * that is shown holds nothing of the query. The command that opens the address is the caller's own words, run
 * by the shell, with the address as an argument and never as a part of them. */
#include "cmd/mcp/browser.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/line/term.h"
#include "io/proc.h"
#include "io/sock.h"
#include "oauth/form.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_MAX 16384
#define REQUEST_MS  2000
#define FIRST_MS    500 /* to its first byte: browsers open connections that they do not use */
#define AT_ONCE     8
#define STEP_MS     100
#define PATH        "/callback"

int browser_open(struct browser *b, const char *preferred, char **ret_redirect, struct err *e)
{
    static const char first[] = "http://127.0.0.1:";
    char where[SOCK_ADDR_MAX];
    uint64_t port = (uint64_t)b->port;
    const char *digits = preferred && str_starts(preferred, first) ? preferred + strlen(first) : "";
    bool may_differ = port == 0;
    if (may_differ && str_to_u64(digits, strcspn(digits, "/"), 65535, &port) < 0)
        port = 0;
    browser_done(b);
    snprintf(where, sizeof(where), "127.0.0.1:%u", (unsigned)port);
    b->listener = sock_listen(where, 2 * AT_ONCE, b->at, e);
    if (b->listener < 0 && may_differ && port != 0)
        b->listener = sock_listen("127.0.0.1:0", 2 * AT_ONCE, b->at, e);
    if (b->listener < 0)
        return b->listener;
    *ret_redirect = mem_printf("http://%s" PATH, b->at);
    return 0;
}

void browser_done(struct browser *b)
{
    if (b->listener >= 0)
        close(b->listener);
    b->listener = -1;
}

/* ---- one request ---- */

static void answer(struct io_fd *io, const char *status, const char *words)
{
    AUTO(buf) out = BUF_INIT(2048);
    buf_addf(&out,
             "HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\n"
             "Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\n"
             "Cache-Control: no-store\r\nConnection: close\r\n\r\n%s",
             status, strlen(words), words);
    int r = io_write_all(io, out.data, out.len);
    (void)r; /* the browser may be gone: what it brought is here */
}

/* What is waited for, and what has come. On the stack of browser_go, which outlives its callers. */
struct waiting {
    const char *host, *state;
    struct scope callers;
    size_t n_callers;
    char *query; /* NULL: not yet */
};

struct caller {
    struct waiting *w;
    int fd;
};

/* Whether the one Host is our own address: a page of another name that leads here says that name. */
static bool is_for(const char *head, const char *host)
{
    bool found = false;
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, "host:", 5) != 0)
            continue;
        const char *value = line + 5 + strspn(line + 5, " \t");
        size_t n = strcspn(value, " \t\r\n");
        bool ours = strncmp(value, host, n) == 0 && (!host[n] || str_eq(host + n, ":80"));
        if (found || n == 0 || !ours || value[n + strspn(value + n, " \t")] != '\r')
            return false; /* a browser leaves out the port 80 */
        found = true;
    }
    return found;
}

/* The query of a GET of our path that answers our question, malloc'ed; NULL: something else was wanted. */
static char *query_of(const char *head, const struct waiting *w)
{
    static const char start[] = "GET " PATH "?";
    if (!str_starts(head, start) || !is_for(head, w->host))
        return NULL;
    const char *query = head + strlen(start);
    size_t n = strcspn(query, " \r\n"), len = strlen(w->state);
    AUTO_FREE char *state = NULL;
    bool ours = query[n] == ' ' && str_starts(query + n, " HTTP/1.") &&
                auth_query_get(query, n, "state", &state) == 1 && strlen(state) == len &&
                secret_bytes_eq(state, w->state, len);
    return ours ? mem_strndup(query, n) : NULL;
}

/* 0 with a whole head, or a negative code. */
static int read_head(struct io_fd *io, struct buf *head)
{
    while (!strstr(buf_str(head), "\r\n\r\n")) {
        struct fiber_deadline d = fiber_deadline_push_ms(head->len ? REQUEST_MS : FIRST_MS);
        char *room = buf_room(head, 1024);
        ssize_t n = room ? io_read(io, room, 1024) : -EMSGSIZE;
        fiber_deadline_pop(&d);
        if (n <= 0)
            return n < 0 ? (int)n : -E_CLOSED;
        buf_commit(head, (size_t)n);
    }
    return 0;
}

static void serve(struct waiting *w, struct io_fd *io)
{
    struct fiber_deadline d = fiber_deadline_push_ms(REQUEST_MS);
    struct buf head = BUF_INIT(REQUEST_MAX);
    if (buf_room(&head, REQUEST_MAX - 1) && read_head(io, &head) == 0) {
        AUTO_FREE char *query = query_of(buf_str(&head), w);
        if (query)
            answer(io, "200 OK", "<p>Sallyport has the answer. You can close this window.</p>\n");
        else
            answer(io, "404 Not Found", "<p>There is nothing here.</p>\n");
        if (query && !w->query)
            w->query = TAKE(query);
    }
    if (head.data)
        secret_wipe(head.data, head.cap);
    buf_done(&head);
    fiber_deadline_pop(&d);
}

static int caller_main(void *arg)
{
    struct caller *c = arg;
    AUTO(io_fd) io = IO_FD_NONE;
    if (io_fd_add(&io, c->fd) == 0)
        serve(c->w, &io);
    else
        close(c->fd);
    c->w->n_callers--;
    free(c);
    return 0;
}

static void hear(struct waiting *w, int fd)
{
    struct caller *c = mem_new(struct caller);
    *c = (struct caller){.w = w, .fd = fd};
    w->n_callers++;
    if (fiber_spawn(&w->callers, "browser", caller_main, c, NULL) == 0)
        return;
    w->n_callers--;
    close(fd);
    free(c);
}

/* ---- waiting ---- */

/* Whether the command has ended and says that it could not. */
static bool has_failed(const struct proc *p)
{
    siginfo_t info = {0};
    if (p->pid <= 0 || waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
        info.si_pid == 0)
        return false;
    return info.si_code != CLD_EXITED || info.si_status != 0;
}

/* Takes one more caller (1), or waits for a moment (0). Or a negative code. */
static int take_caller(struct waiting *w, struct io_fd *listener)
{
    if (w->n_callers >= AT_ONCE)
        return fiber_sleep_ms(STEP_MS / 10);
    struct fiber_deadline d = fiber_deadline_push_ms(STEP_MS);
    int fd = sock_accept(listener, NULL);
    fiber_deadline_pop(&d);
    if (fd >= 0)
        hear(w, fd);
    return fd >= 0 ? 1 : fd == -ETIMEDOUT ? 0 : fd;
}

static int wait_for_answer(const struct browser *b, struct io_fd *listener, const struct proc *p,
                           struct waiting *w, struct err *e)
{
    struct term_spinner spinner = {.text = "waiting for your browser"};
    int64_t until = time_mono_ns() + b->wait_ms * NS_PER_MS;
    int r = 0;
    while (r == 0 && !w->query) {
        term_spinner_step(&spinner);
        if (time_mono_ns() >= until || fiber_deadline_ns() <= time_mono_ns()) {
            r = err_set(e, -ETIMEDOUT, "nobody came back from the browser in time");
            break;
        }
        int taken = take_caller(w, listener);
        if (taken == -ECANCELED)
            r = err_set(e, taken, "%s", err_text(taken));
        else if (taken < 0 && taken != -ETIMEDOUT)
            r = err_set(e, taken, "cannot listen for the browser: %s", err_text(taken));
        else if (taken == 0 && w->n_callers == 0 && !w->query && has_failed(p))
            r = err_set(e, -EACCES, "the command of --authorize-with failed");
    }
    term_spinner_clear(&spinner);
    return r;
}

static int start(const struct browser *b, const char *url, struct proc *p, struct err *e)
{
    if (!b->command)
        return 0;
    AUTO_FREE char *script = mem_printf("%s \"$@\"", b->command);
    const char *const argv[] = {"/bin/sh", "-c", script, "sallyport", url, NULL};
    const struct proc_spec spec = {.path = argv[0],
                                   .argv = argv,
                                   .envp = (const char *const *)environ,
                                   .stdin_fd = -1,
                                   .stdout_fd = 2,
                                   .stderr_fd = 2};
    return proc_start(p, &spec, e);
}

static int go(const struct browser *b, struct io_fd *listener, const char *url, struct waiting *w,
              struct err *e)
{
    struct proc p = {.pidfd = IO_FD_NONE};
    int r = start(b, url, &p, e);
    scope_init(&w->callers);
    if (r == 0)
        r = wait_for_answer(b, listener, &p, w, e);
    scope_done(&w->callers);
    if (p.pid > 0)
        proc_leave(&p);
    return r;
}

int browser_go(struct browser *b, const char *url, const char *state, char **ret_query,
               struct err *e)
{
    AUTO(io_fd) listener = IO_FD_NONE;
    int r = io_fd_add(&listener, b->listener);
    if (r < 0)
        return err_set(e, r, "cannot listen for the browser: %s", err_text(r));
    b->listener = -1;
    if (!b->command) {
        fputs("open this address to let the server's tools be used:\n\n  ", stderr);
        term_print_word(stderr, url);
        fputs("\n\n", stderr);
    }
    struct waiting w = {.host = b->at, .state = state};
    r = go(b, &listener, url, &w, e);
    if (r == 0)
        *ret_query = TAKE(w.query);
    free(w.query);
    return r;
}

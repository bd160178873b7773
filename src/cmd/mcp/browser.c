/* browser.c - the way by a browser and back.
 *
 * Called by oauth.c on its fiber. The listener is on 127.0.0.1 and takes one request at a time, each for a
 * few seconds and 16 KiB at most: anybody on this machine, and any page in a browser here, can send one. So
 * only GET /callback is looked at, its query is handed on as it is, and state and issuer are checked there
 * (mcp/auth/grant.c). The page that is shown holds nothing of the query. The command that opens the address is
 * the caller's own words, run by the shell, with the address as an argument and never as a part of them. */
#include "cmd/mcp/browser.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/line/term.h"
#include "io/proc.h"
#include "io/sock.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_MAX 16384
#define REQUEST_MS  5000
#define STEP_MS     100
#define PATH        "/callback"

int browser_open(struct browser *b, const char *preferred, char **ret_redirect, struct err *e)
{
    static const char first[] = "http://127.0.0.1:";
    char at[SOCK_ADDR_MAX], where[SOCK_ADDR_MAX];
    uint64_t port = (uint64_t)b->port;
    const char *digits = preferred && str_starts(preferred, first) ? preferred + strlen(first) : "";
    bool may_differ = port == 0;
    if (may_differ && str_to_u64(digits, strcspn(digits, "/"), 65535, &port) < 0)
        port = 0;
    browser_done(b);
    snprintf(where, sizeof(where), "127.0.0.1:%u", (unsigned)port);
    b->listener = sock_listen(where, 8, at, e);
    if (b->listener < 0 && may_differ && port != 0)
        b->listener = sock_listen("127.0.0.1:0", 8, at, e);
    if (b->listener < 0)
        return b->listener;
    *ret_redirect = mem_printf("http://%s" PATH, at);
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

/* The query of a GET of our path: 1 with it; 0: something else was wanted. */
static int query_of(const char *head, char **ret)
{
    static const char start[] = "GET " PATH "?";
    if (!str_starts(head, start))
        return 0;
    const char *query = head + strlen(start);
    size_t n = strcspn(query, " \r\n");
    if (query[n] != ' ' || !str_starts(query + n, " HTTP/1."))
        return 0;
    *ret = mem_strndup(query, n);
    return 1;
}

static int serve_one(int fd, char **ret)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) head = BUF_INIT(REQUEST_MAX);
    int r = io_fd_add(&io, fd);
    if (r < 0) {
        close(fd);
        return 0;
    }
    ssize_t n = 1;
    char *room;
    while (n > 0 && !strstr(buf_str(&head), "\r\n\r\n") && (room = buf_room(&head, 1024))) {
        n = io_read(&io, room, 1024);
        if (n > 0)
            buf_commit(&head, (size_t)n);
    }
    if (n == -ECANCELED)
        return -ECANCELED;
    bool whole = strstr(buf_str(&head), "\r\n\r\n") != NULL;
    r = whole ? query_of(buf_str(&head), ret) : 0;
    if (r == 1)
        answer(&io, "200 OK", "<p>Sallyport has the answer. You can close this window.</p>\n");
    else if (whole)
        answer(&io, "404 Not Found", "<p>There is nothing here.</p>\n");
    return r;
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

static int wait_for_answer(struct browser *b, struct io_fd *listener, const struct proc *p,
                           char **ret, struct err *e)
{
    struct term_spinner spinner = {.text = "waiting for your browser"};
    int64_t until = time_mono_ns() + b->wait_ms * NS_PER_MS;
    int r = 0;
    while (r == 0) {
        struct fiber_deadline d = fiber_deadline_push_ms(STEP_MS);
        int fd = sock_accept(listener, NULL);
        fiber_deadline_pop(&d);
        if (fd >= 0) {
            d = fiber_deadline_push_ms(REQUEST_MS);
            r = serve_one(fd, ret);
            fiber_deadline_pop(&d);
            continue;
        }
        term_spinner_step(&spinner);
        if (fd != -ETIMEDOUT)
            r = err_set(e, fd, "cannot listen for the browser: %s", err_text(fd));
        else if (has_failed(p))
            r = err_set(e, -EACCES, "the command of --authorize-with failed");
        else if (time_mono_ns() >= until || fiber_deadline_ns() <= time_mono_ns())
            r = err_set(e, -ETIMEDOUT, "nobody came back from the browser in time");
    }
    term_spinner_clear(&spinner);
    return r == 1 ? 0 : r == -ECANCELED ? err_set(e, r, "%s", err_text(r)) : r;
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

int browser_go(struct browser *b, const char *url, char **ret_query, struct err *e)
{
    struct proc p = {.pidfd = IO_FD_NONE};
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
    r = start(b, url, &p, e);
    if (r == 0)
        r = wait_for_answer(b, &listener, &p, ret_query, e);
    if (p.pid > 0)
        proc_leave(&p);
    return r;
}

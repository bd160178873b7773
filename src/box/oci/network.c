/* network.c - a network namespace that is there before its container, with its doors open.
 *
 * A runtime makes namespaces and starts the container in one go, and opens no sockets in them; so the
 * network is made first, and config.json names it by path. A process must sit in it until the runtime
 * has joined: the helper, this program once more (launch.c), which makes the namespace, opens the
 * doors, hands them over and waits until the engine closes its socket.
 *
 *   engine --{"doors":[...]}--> helper          one datagram each way
 *   engine <--{"ok":true}+fds-- helper          it ends when the engine's socket is closed
 *
 * As root the namespace belongs to the machine's user namespace, in which nothing in a container has
 * rights. An ordinary user can have a network only in a user namespace of its own, and a runtime can
 * join it only from inside of that, so both are made here and named by path; the runtime, started by the
 * same user, owns it and may enter. Nothing untrusted runs in the helper or talks to it. */
#include "box/oci/network.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "io/sock.h"
#include "sandbox/net/capture.h"
#include "sandbox/spec.h"

#define MAKE_MS     10000
#define MESSAGE_MAX 16384 /* 64 doors, or a sentence */

/* ---- the helper ---- */

static int write_file(const char *path, const char *text, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return err_set(e, -errno, "could not write %s: %m", path);
    return 0;
}

/* A user namespace whose root is this user, as the container's is (config.c). */
static int own_user_namespace(struct err *e)
{
    AUTO_FREE char *uids = mem_printf("0 %u 1\n", geteuid());
    AUTO_FREE char *gids = mem_printf("0 %u 1\n", getegid());
    if (unshare(CLONE_NEWUSER) < 0)
        return err_set(e, -errno,
                       "this kernel does not let an ordinary user make user "
                       "namespaces: %m");
    int r = write_file("/proc/self/setgroups", "deny", e);
    if (r >= 0)
        r = write_file("/proc/self/uid_map", uids, e);
    return r < 0 ? r : write_file("/proc/self/gid_map", gids, e);
}

static int make_network(const json_t *request, struct capture_doors *ret, struct err *e)
{
    AUTO_FREE struct sandbox_door *doors = NULL;
    size_t n = 0;
    int r = sandbox_doors_parse(json_object_get(request, "doors"), &doors, &n, e);
    if (r >= 0 && geteuid() != 0)
        r = own_user_namespace(e);
    if (r < 0)
        return r;
    if (unshare(CLONE_NEWNET) < 0)
        return err_set(e, -errno, "could not make a network namespace: %m");
    r = capture_network_up();
    if (r != 0)
        return err_set(e, r < 0 ? r : -ENOTSUP, "could not set up the sandbox's network: %s",
                       err_text(r < 0 ? r : -ENOTSUP));
    return capture_open(doors, n, ret, e);
}

static void answer(int s, const json_t *o, const int *fds, size_t n_fds)
{
    size_t n;
    AUTO_FREE char *text = json_text(o, &n);
    (void)!fd_send(s, text, n, fds, n_fds, 0);
}

int oci_network_main(void)
{
    AUTO_FREE char *text = mem_array(MESSAGE_MAX, 1);
    AUTO_JSON json_t *request = NULL;
    int type = 0;
    socklen_t len = sizeof(type);
    if (getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
        fprintf(stderr, "sallyport: launch is started by sallyport worker, not by hand\n");
        return 2;
    }
    (void)fcntl(0, F_SETFL, O_RDWR); /* this end may wait */
    ssize_t n = recv(0, text, MESSAGE_MAX, MSG_TRUNC);
    if (n <= 0 || n > MESSAGE_MAX)
        return 1;
    struct err e = {.code = 0};
    struct capture_doors doors = {.n = 0};
    int r = json_parse(text, (size_t)n, &request, &e);
    if (r >= 0)
        r = make_network(request, &doors, &e);
    AUTO_JSON json_t *o = json_object();
    json_put_bool(o, "ok", r >= 0);
    if (r < 0) {
        json_put_str(o, "error", e.msg);
        json_put_int(o, "code", -e.code);
    }
    answer(0, o, doors.fd, doors.n);
    capture_doors_close(&doors);
    while (r >= 0 && recv(0, text, MESSAGE_MAX, 0) > 0)
        ;
    return 0;
}

/* ---- the engine's side ---- */

static int start_helper(struct oci_network *n, int theirs, struct err *e)
{
    static const char *const argv[] = {"sallyport", "launch", "network", NULL};
    static const char *const envp[] = {NULL};
    const struct proc_spec spec = {.path = "/proc/self/exe",
                                   .argv = argv,
                                   .envp = envp,
                                   .stdin_fd = theirs,
                                   .stdout_fd = -1,
                                   .stderr_fd = -1,
                                   .own_session = true,
                                   .die_with_parent = true};
    return proc_start(&n->helper, &spec, e);
}

static int ask(struct oci_network *n, const struct sandbox_spec *spec, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(MAKE_MS);
    AUTO_JSON json_t *o = json_object(), *reply = NULL;
    json_put(o, "doors", sandbox_doors_json(spec->doors, spec->n_doors));
    size_t len;
    AUTO_FREE char *text = json_text(o, &len);
    AUTO_FREE char *answered = mem_array(MESSAGE_MAX, 1);
    ssize_t k = io_send_fds(&n->ctl, text, len, NULL, 0);
    if (k >= 0)
        k = io_recv_fds(&n->ctl, answered, MESSAGE_MAX, n->fds, ARRAY_LEN(n->fds), &n->n_fds);
    if (k <= 0)
        return err_set(e, k < 0 ? (int)k : -E_CLOSED, "the network's helper gave no answer: %s",
                       err_text(k < 0 ? (int)k : -E_CLOSED));
    int r = json_parse(answered, (size_t)k, &reply, e);
    if (r < 0 || json_get_bool(reply, "ok", false))
        return r;
    const char *words = json_get_str(reply, "error");
    return err_set(e, box_reported_code(reply), "%s", words ? words : "no reason given");
}

int oci_network_make(struct oci_network *n, const struct sandbox_spec *spec, struct err *e)
{
    int pair[2];
    int r = sock_pair(SOCK_SEQPACKET, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1];
    r = start_helper(n, theirs, e);
    close(TAKE_FD(theirs));
    if (r < 0)
        return r;
    r = io_fd_add(&n->ctl, ours);
    if (r < 0)
        return err_set(e, r, "could not watch the network's helper: %s", err_text(r));
    ours = -1;
    return ask(n, spec, e);
}

void oci_network_done(struct oci_network *n)
{
    io_fd_close(&n->ctl);
    proc_done(&n->helper);
    for (size_t i = 0; i < n->n_fds; i++)
        fd_cleanup_close(&n->fds[i]);
    n->n_fds = 0;
}

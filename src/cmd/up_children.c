/* up_children.c - what the children of `sallyport up` get: command line, environment, descriptors.
 *
 * Called by up.c and up_routes.c on their fibers. All children are this very program. They inherit nothing by
 * accident: the environment is a list of names, so no key of a model provider can be in it, and
 * keys go through a pipe, never in argv or environment, which every process of the user can read.
 * The worker's command line is what is so by nature of `up` (where the server is, which
 * environment, where things are kept) and then every flag that `up` was given for it; that of the
 * gateway is its configuration's path. All die with us. */
#include "cmd/up_children.h"

#include "base/err.h"
#include "base/str.h"
#include "cmd/line/flags.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_ENV_MAX 14
#define WORDS_MAX     12

/* The environment a child needs, and nothing else of ours. */
static void child_env(const char *ret[CHILD_ENV_MAX])
{
    static const char *const keep[] = {"PATH=",         "HOME=",          "XDG_DATA_HOME=",
                                       "TMPDIR=",       "LANG=",          "TERM=",
                                       "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=",
                                       "TSAN_OPTIONS=", "SSL_CERT_FILE="};
    size_t n = 0;
    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < ARRAY_LEN(keep); i++)
            if (str_starts(*e, keep[i]) && n + 1 < CHILD_ENV_MAX)
                ret[n++] = *e;
    ret[n] = NULL;
}

/* A pipe that holds `text` and is closed for writing. Returns the reading end. */
static int pipe_with(const char *text, size_t n)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    ssize_t k = write(fds[1], text, n); /* far below a pipe's 64 KiB */
    close(fds[1]);
    if (k != (ssize_t)n) {
        close(fds[0]);
        return -EIO;
    }
    return fds[0];
}

/* Ourselves with these words, from its start to its end. */
static int run_to_end(const char *const *argv, int stdin_fd, struct err *e)
{
    const char *envp[CHILD_ENV_MAX];
    child_env(envp);
    struct proc_spec spec = {.path = UP_SELF,
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = stdin_fd,
                             .stdout_fd = -1,
                             .stderr_fd = STDERR_FILENO,
                             .die_with_parent = true};
    struct proc p;
    int r = proc_start(&p, &spec, e);
    if (r < 0)
        return r;
    int status = 0;
    r = proc_wait(&p, &status);
    proc_done(&p);
    if (r < 0)
        return r;
    return WIFEXITED(status) ? WEXITSTATUS(status)
                             : err_set(e, -EIO, "%s ended by signal %d", argv[1], WTERMSIG(status));
}

int up_run_setup(const char *url, const char *data_dir, const char *api_key, struct err *e)
{
    AUTO_CLOSE int key_fd = pipe_with(api_key, strlen(api_key));
    if (key_fd < 0)
        return err_set(e, key_fd, "no pipe for setup: %s", err_text(key_fd));
    const char *argv[] = {"sallyport", "setup", url, data_dir, NULL};
    return run_to_end(argv, key_fd, e);
}

int up_run(const char *const *words, struct err *e)
{
    const char *argv[WORDS_MAX + 2] = {"sallyport"};
    size_t n = 0;
    for (; words[n]; n++) {
        MUST(n < WORDS_MAX);
        argv[n + 1] = words[n];
    }
    return run_to_end(argv, -1, e);
}

/* One that goes on: in a process group of its own, with the reading end of its standard output. */
static int start_child(const char *const *argv, const int *extra_fds, size_t n_extra_fds,
                       struct proc *ret, int *ret_out, struct err *e)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return -errno;
    AUTO_CLOSE int reading = out[0], writing = out[1];
    const char *envp[CHILD_ENV_MAX];
    child_env(envp);
    struct proc_spec spec = {.path = UP_SELF,
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = -1,
                             .stdout_fd = writing,
                             .stderr_fd = STDERR_FILENO,
                             .extra_fds = extra_fds,
                             .n_extra_fds = n_extra_fds,
                             .own_process_group = true,
                             .die_with_parent = true};
    int r = proc_start(ret, &spec, e);
    if (r == 0)
        *ret_out = TAKE_FD(reading);
    return r;
}

int up_start_worker(const struct up_worker *w, const struct devenv *d, struct proc *ret,
                    int *ret_out, struct err *e)
{
    AUTO_CLOSE int key_fd = pipe_with(secret_borrow(&d->environment_key), d->environment_key.len);
    if (key_fd < 0)
        return key_fd;
    AUTO_FREE char *state_dir = mem_printf("%s/sandboxes", w->data_dir);
    const char *by_nature[] = {
        "sallyport",
        "worker",
        "--base-url",
        w->url,
        "--environment-id",
        d->environment_id,
        "--environment-key-file",
        "/proc/self/fd/3",
        "--state-dir",
        state_dir,
        "--data",
        w->data_dir,
        "--log-level",
        w->log_level,
    };
    size_t n = ARRAY_LEN(by_nature);
    AUTO_FREE const char **argv = mem_array(n + w->n_handed_on + 3, sizeof(*argv));
    memcpy(argv, by_nature, sizeof(by_nature));
    if (w->metrics) {
        argv[n++] = "--metrics";
        argv[n++] = w->metrics;
    }
    for (size_t i = 0; i < w->n_handed_on; i++)
        argv[n++] = w->handed_on[i];
    argv[n] = NULL;
    return start_child(argv, &key_fd, 1, ret, ret_out, e);
}

int up_start_gateway(const char *config, const char *log_level, const char *metrics,
                     struct proc *ret, int *ret_out, struct err *e)
{
    const char *argv[] = {"sallyport", "gateway", "--config", config, "--log-level",
                          log_level,   NULL,      NULL,       NULL};
    if (metrics) {
        argv[6] = "--metrics";
        argv[7] = metrics;
    }
    return start_child(argv, NULL, 0, ret, ret_out, e);
}

/* hook.c - running the operator's commands.
 *
 * Called on a fiber of a session (runner.c), beside its heartbeat. The command is the operator's,
 * from the command line or the configuration file; the ids were checked (remote_id_ok) and the
 * metadata, which users of the platform write, is given as data on standard input, never as part of
 * the command line or of a variable. The environment is made from nothing: what this process holds
 * (keys, addresses with passwords) is not inherited. Standard output goes to standard error,
 * because the worker's own is read by `sallyport up`. */
#include "worker/hook.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "io/proc.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const kept[] = {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"};

#define N_IDS 3

/* A descriptor from which `text` can be read: a file in memory, so
 * that nobody has to feed a pipe. */
static int file_with(const char *text)
{
    AUTO_CLOSE int fd = memfd_create("metadata", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, text, strlen(text));
    if (r < 0)
        return r;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int start(const struct hook *h, int input, struct proc *p, struct err *e)
{
    char *made[ARRAY_LEN(kept) + N_IDS];
    const char *envp[ARRAY_LEN(made) + 1];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        const char *value = getenv(kept[i]); /* lint-allow: banned the few names a hook may see */
        if (value)
            made[n++] = mem_printf("%s=%s", kept[i], value);
    }
    made[n++] = mem_printf("SALLYPORT_SESSION_ID=%s", h->session_id);
    made[n++] = mem_printf("SALLYPORT_WORK_ID=%s", h->work_id);
    made[n++] = mem_printf("SALLYPORT_ENVIRONMENT_ID=%s", h->environment_id);
    for (size_t i = 0; i < n; i++)
        envp[i] = made[i];
    envp[n] = NULL;

    const char *argv[] = {"sh", "-c", h->command, NULL};
    struct proc_spec spec = {.path = "/bin/sh",
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = input,
                             .stdout_fd = STDERR_FILENO,
                             .stderr_fd = STDERR_FILENO,
                             .own_process_group = true,
                             .die_with_parent = true};
    int r = proc_start(p, &spec, e);
    while (n > 0)
        free(made[--n]);
    return r;
}

int hook_run(const struct hook *h, struct err *e)
{
    AUTO_CLOSE int input = file_with(h->metadata);
    if (input < 0)
        return err_set(e, input, "%s: no file for its input: %s", h->name, err_text(input));
    struct proc p;
    int status = 0;
    int r = start(h, input, &p, e);
    if (r < 0)
        return err_wrap(e, r, "%s", h->name);
    struct fiber_deadline d = fiber_deadline_push_ms(HOOK_MAX_MS);
    r = proc_wait(&p, &status);
    fiber_deadline_pop(&d);
    if (p.pid > 0) /* not reaped yet, so the group's number is still its own */
        (void)kill(-p.pid, SIGKILL);
    proc_done(&p);
    if (r < 0)
        return err_set(e, r, "%s was ended before it was done: %s", h->name,
                       r == -ETIMEDOUT ? "it took too long" : err_text(r));
    if (WIFSIGNALED(status))
        return err_set(e, -EIO, "%s ended by signal %d", h->name, WTERMSIG(status));
    return WEXITSTATUS(status) == 0
               ? 0
               : err_set(e, -EIO, "%s ended with status %d", h->name, WEXITSTATUS(status));
}

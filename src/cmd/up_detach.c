/* up_detach.c - `sallyport up --detach`: the program again, in a session of its own.
 *
 * Called by up.c on the main thread, before there is a loop. The child is this very program without
 * --detach, its output in DIR/up.log; it is not ours any more once it is ready. Until then its log is
 * read as it grows: it is shown with the ready line, or with the reason why there is none, and in the
 * last line we say what became of the child. A log that a failed child alone has written to goes. */
#include "cmd/up_detach.h"

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/line/term.h"
#include "cmd/up_children.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DETACH_WAIT_MS 60000

enum outcome { READY, ENDED, SLOW };

/* Why there is no "ready", below what the child has said itself. */
static void tell_outcome(enum outcome what, pid_t pid, int status, const char *log, size_t len)
{
    const char *said = len > 0 ? "; the log above shows the reason" : ", and has said nothing";
    if (what == SLOW)
        fprintf(stderr,
                "sallyport up: the server (pid %d) is not ready after %d s and goes on; see %s\n",
                (int)pid, DETACH_WAIT_MS / 1000, log);
    else if (WIFSIGNALED(status))
        fprintf(stderr, "sallyport up: the server was ended by signal %d before it was ready%s\n",
                WTERMSIG(status), len > 0 ? "; its log is above" : "");
    else
        fprintf(stderr, "sallyport up: the server ended before it was ready%s\n", said);
}

/* Copies the log's new bytes to our stdout until a "ready" line has been shown whole; returns what
 * came of it. */
static enum outcome wait_until_ready(pid_t pid, int log_fd, const char *log)
{
    struct term_spinner spin = {.text = "starting"};
    size_t len = 0;
    char *seen = mem_zalloc(65536);
    enum outcome what = SLOW;
    int status = 0;
    for (int64_t until = time_mono_ns() + DETACH_WAIT_MS * NS_PER_MS; time_mono_ns() < until;) {
        ssize_t n = read(log_fd, seen + len, 65535 - len);
        len += n > 0 ? (size_t)n : 0;
        const char *ready = memmem(seen, len, "\nready ", 7);
        if (!ready && len >= 6 && !memcmp(seen, "ready ", 6))
            ready = seen;
        if (ready && strstr(ready, "\n  next ")) {
            what = READY;
            break;
        }
        if (waitpid(pid, &status, WNOHANG) == pid) {
            n = read(log_fd, seen + len, 65535 - len);
            len += n > 0 ? (size_t)n : 0;
            what = ENDED;
            break;
        }
        term_spinner_step(&spin);
        poll(NULL, 0, 50);
    }
    term_spinner_clear(&spin);
    fwrite(seen, 1, len, what == READY ? stdout : stderr);
    if (what == READY)
        printf("  pid          %d (stop it with kill)\n", (int)pid);
    else
        tell_outcome(what, pid, status, log, len);
    free(seen);
    return what;
}

int up_detach(const char *data_dir, char *const *args)
{
    AUTO_FREE char *path = mem_printf("%s/up.log", data_dir);
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
    AUTO_CLOSE int out = open(path, flags | O_EXCL, 0600);
    const bool made = out >= 0;
    if (!made && errno == EEXIST)
        out = open(path, flags, 0600);
    AUTO_CLOSE int in = out < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0 || null < 0) {
        fprintf(stderr, "sallyport up: %s cannot be written: %s\n", path, err_text(-errno));
        return 1;
    }
    /* What is there may belong to one that still runs: it stays, and is not shown again. */
    (void)lseek(in, 0, SEEK_END);
    size_t n = 0, k = 0;
    while (args[n])
        n++;
    char **argv = mem_array(n + 3, sizeof(char *));
    char name[] = "sallyport";
    argv[k++] = name;
    for (size_t i = 0; i < n; i++)
        if (!str_starts(args[i], "--detach"))
            argv[k++] = args[i];

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&actions, null, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, out, 2);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
    pid_t pid = -1;
    int r = posix_spawn(&pid, UP_SELF, &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    free(argv);
    if (r != 0) {
        fprintf(stderr, "sallyport up: the background process could not be started: %s\n",
                err_text(-r));
        if (made)
            (void)unlink(path);
        return 1;
    }
    enum outcome what = wait_until_ready(pid, in, path);
    if (what == ENDED && made)
        (void)unlink(path); /* it has been shown */
    return what != READY;
}

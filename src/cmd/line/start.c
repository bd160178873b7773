/* start.c - what several subcommands need before they run: where data lives, and taking secrets out
 * of the environment.
 *
 * Called on the main thread at start, before fibers. The environment is the operator's; a key found
 * there is copied to locked memory and its bytes in the process's initial stack are overwritten,
 * because /proc/PID/environ shows exactly those bytes and children would inherit them. */
#include "cmd/line/start.h"

#include "base/secret.h"
#include "base/str.h"
#include "store/directory.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

char *cmd_default_data_dir(void)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (geteuid() == 0 && !(xdg && xdg[0] == '/'))
        return mem_strdup("/var/lib/sallyport");
    if (xdg && xdg[0] == '/')
        return mem_printf("%s/sallyport", xdg);
    if (home && home[0] == '/')
        return mem_printf("%s/.local/share/sallyport", home);
    return mem_strdup("sallyport-data");
}

char *cmd_data_dir(const char *data)
{
    return data ? mem_strdup(data) : cmd_default_data_dir();
}

static const char *who_waits;

static void tell_wait(const char *pid, int64_t at_most_s)
{
    fprintf(stderr,
            "sallyport %s: the server before this one (pid %s) is stopping, which takes %lld s at "
            "most; waiting for its end\n",
            who_waits, pid, (long long)at_most_s);
}

void cmd_await_server(const char *command, const char *data_dir)
{
    who_waits = command;
    directory_await(data_dir, tell_wait);
}

int cmd_take_env_secret(const char *name, struct secret *ret)
{
    char *value = getenv(name);
    if (!value)
        return 0;
    size_t n = strlen(value);
    int r = n ? secret_set(ret, value, n) : 0;
    secret_wipe(value, n);
    unsetenv(name);
    if (r < 0)
        return r;
    return n > 0;
}

enum log_level cmd_log_level(const char *name)
{
    return str_eq(name, "debug")   ? LOG_DEBUG
           : str_eq(name, "warn")  ? LOG_WARN
           : str_eq(name, "error") ? LOG_ERROR
                                   : LOG_INFO;
}

void cmd_forbid_dumps(void)
{
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    (void)prctl(PR_SET_DUMPABLE, 0); /* the sanitizers' leak check traces its own process */
#endif
}

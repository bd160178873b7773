/* doctor.c - `sallyport doctor`: what this machine has, what is missing, what to do about it.
 *
 * Each check looks at the thing itself rather than at a version number where that is possible: the
 * sandbox check starts a real sandbox and runs a command in it. Findings are "ok", "note"
 * (something optional is missing) or "fail"; a failing one tells the fix. Exit code 1 when anything
 * fails. Changes nothing on the machine but a sandbox's short-lived directory. */
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/api_client.h"
#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "cmd/term.h"
#include "http/curl.h"
#include "worker/box.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum verdict { V_OK, V_NOTE, V_FAIL };

struct doctor {
    const char *data;
    bool json;
    json_t *findings;
    int failed;
};

static void found(struct doctor *d, enum verdict v, const char *what, const char *text,
                  const char *fix)
{
    static const char *const words[] = {"ok", "note", "fail"};
    static const enum term_style styles[] = {TERM_GREEN, TERM_YELLOW, TERM_RED};
    d->failed += v == V_FAIL;
    if (d->json) {
        json_t *o = json_pack("{s:s,s:s,s:s}", "check", what, "verdict", words[v], "text", text);
        if (fix)
            json_put_str(o, "fix", fix);
        json_array_append_new(d->findings, o);
        return;
    }
    printf("%s%-4s%s  %-18s ", term_on(stdout, styles[v]), words[v], term_off(stdout), what);
    term_print_text(stdout, text, strlen(text), "");
    if (fix)
        printf("      %-18s do: %s\n", "", fix);
}

/* First line of a small file, or "" when it can not be read. */
static void read_line(const char *path, char *ret, size_t cap)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, ret, cap - 1);
    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

static void check_kernel(struct doctor *d)
{
    struct utsname u;
    uint64_t major = 0, minor = 0;
    if (uname(&u) < 0)
        return;
    size_t a = strspn(u.release, "0123456789");
    size_t b = u.release[a] == '.' ? strspn(u.release + a + 1, "0123456789") : 0;
    if (str_to_u64(u.release, a, 10000, &major) < 0 ||
        str_to_u64(u.release + a + 1, b, 10000, &minor) < 0)
        minor = 0;
    bool enough = major > 5 || (major == 5 && minor >= 12);
    found(d, enough ? V_OK : V_FAIL, "kernel", u.release,
          enough ? NULL : "run Linux 5.12 or newer: mount_setattr(2) and openat2(2) are needed");
}

/* Why a sandbox may be refused, in the order in which distributions forbid it. */
static const char *userns_fix(void)
{
    char v[64];
    read_line("/proc/sys/kernel/unprivileged_userns_clone", v, sizeof(v));
    if (str_eq(v, "0"))
        return "sysctl -w kernel.unprivileged_userns_clone=1 (or run as root)";
    read_line("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", v, sizeof(v));
    if (str_eq(v, "1"))
        return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile "
               "with \"userns,\" for this program";
    read_line("/proc/sys/user/max_user_namespaces", v, sizeof(v));
    if (str_eq(v, "0"))
        return "sysctl -w user.max_user_namespaces=15000";
    return "in a container: allow user namespaces and mounts (seccomp profile, --security-opt), or "
           "run on the host";
}

static void check_sandbox(struct doctor *d)
{
    AUTO_FREE char *dir = mem_printf("/tmp/sallyport-doctor-%d", (int)getpid());
    struct box_host *host = NULL;
    struct box *box = NULL;
    struct err e = {0};
    struct box_spec spec = {.session_id = "doctor"};
    int64_t began = time_mono_ns();
    struct box_host_config cfg = {.state_dir = dir};
    int r = box_host_start(&cfg, &host, &e);
    if (r == 0)
        r = box_open(host, &spec, &box, &e);
    if (r == 0) {
        AUTO_JSON json_t *input = json_pack("{s:s}", "command", "echo works");
        struct box_result result = {0};
        r = box_call(box, "bash", input, 10000, &result, &e);
        const char *text = json_get_str(json_array_get(result.content, 0), "text");
        if (r == 0 && !(text && str_starts(text, "works")))
            r = err_set(&e, -EIO, "a command in it printed something else than it should");
        box_result_done(&result);
    }
    AUTO_FREE char *text =
        r == 0 ? mem_printf("starts and runs a command (%.1f ms with the engine's own start)",
                            (double)(time_mono_ns() - began) / (double)NS_PER_MS)
               : mem_printf("can not be started: %s", e.msg[0] ? e.msg : err_text(r));
    found(d, r == 0 ? V_OK : V_FAIL, "sandbox", text, r == 0 ? NULL : userns_fix());
    box_close(box);
    box_host_stop(host);
    rmdir(dir);
}

static void check_landlock(struct doctor *d)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    AUTO_FREE char *text = abi > 0 ? mem_printf("ABI %ld (not used yet)", abi)
                                   : mem_strdup("not available (not used yet)");
    found(d, abi > 0 ? V_OK : V_NOTE, "landlock", text, NULL);
}

static void check_cgroups(struct doctor *d)
{
    char v2[256];
    read_line("/sys/fs/cgroup/cgroup.controllers", v2, sizeof(v2));
    bool v1 = access("/sys/fs/cgroup/memory/tasks", F_OK) ==
              0; /* a note for a person, no decision hangs on it */
    found(d, V_OK, "cgroups",
          v2[0] ? "version 2 (limits are rlimits for now)"
          : v1  ? "version 1 (limits are rlimits for now)"
                : "none (limits are rlimits)",
          NULL);
}

static void check_memlock(struct doctor *d)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_MEMLOCK, &l) < 0)
        return;
    bool enough = l.rlim_cur == RLIM_INFINITY || l.rlim_cur >= (1u << 20);
    found(d, enough ? V_OK : V_NOTE, "locked memory",
          enough ? "enough for secrets" : "little: secrets may be swapped out",
          enough ? NULL : "raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=) to 1 MiB or more");
}

static void check_libcurl(struct doctor *d)
{
    struct err e = {0};
    bool there = curl_api_get(&e) != NULL;
    found(d, there ? V_OK : V_FAIL, "libcurl", there ? "found" : e.msg,
          there ? NULL : "apt-get install libcurl4");
}

static void check_data(struct doctor *d, const char *dir)
{
    struct statvfs v;
    if (statvfs(dir, &v) < 0) {
        AUTO_FREE char *text = mem_printf("%s does not exist yet; sallyport up makes it", dir);
        found(d, V_NOTE, "data directory", text, NULL);
        return;
    }
    double free_mb = (double)v.f_bavail * (double)v.f_frsize / 1048576.0;
    bool writable = access(dir, W_OK) == 0;
    AUTO_FREE char *text =
        mem_printf("%s, %.0f MB free%s", dir, free_mb, writable ? "" : ", not writable");
    bool bad = !writable || free_mb < 16;
    found(d, bad ? V_FAIL : V_OK, "data directory", text,
          !bad       ? NULL
          : writable ? "make room: nothing is acknowledged that can not be stored"
                     : "run as its owner, or give --data DIR");
}

static void check_server(struct doctor *d, const char *dir)
{
    struct api_client c;
    struct err e = {0};
    AUTO_JSON json_t *j = NULL;
    int r = api_client_open(&c, NULL, dir, &e);
    if (r < 0) {
        found(d, V_NOTE, "server", e.msg, NULL);
        return;
    }
    r = api_client_call(&c, "GET", "/v1/environments?limit=1", NULL, &j, &e);
    AUTO_FREE char *text =
        r == 0 ? mem_printf("%s answers and takes the key", c.base_url) : mem_strdup(e.msg);
    found(d, r == 0 ? V_OK : V_FAIL, "server", text,
          r == 0         ? NULL
          : r == -EACCES ? "source the dev.env of this server, or make a new key"
                         : "start it: sallyport up --detach");
    api_client_close(&c);
}

static void check_model(struct doctor *d)
{
    const char *key = getenv("ANTHROPIC_API_KEY");
    bool ours = key && str_starts(key, "sk-sp-");
    found(d, key && *key && !ours ? V_OK : V_NOTE, "model key",
          ours ? "ANTHROPIC_API_KEY is a key of Sallyport, for clients; the model provider needs "
                 "its own where the server starts"
          : key && *key
              ? "ANTHROPIC_API_KEY is set here"
              : "ANTHROPIC_API_KEY is not set here; a server started here needs it, or --script",
          NULL);
}

static int run(void *arg)
{
    struct doctor *d = arg;
    AUTO_FREE char *dir = d->data ? mem_strdup(d->data) : cmd_default_data_dir();
    d->findings = json_array();
    check_kernel(d);
    check_sandbox(d);
    check_landlock(d);
    check_cgroups(d);
    check_memlock(d);
    check_libcurl(d);
    check_data(d, dir);
    check_model(d);
    check_server(d, dir);
    if (d->json) {
        AUTO_FREE char *text = json_text(d->findings, NULL);
        printf("%s\n", text);
    }
    json_decref(d->findings);
    return d->failed > 0;
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor d = {0};
    struct flag flags[] = {
        {"json", NULL, "print the findings as JSON", FLAG_BOOL, .ptr = &d.json, .line_only = true},
        {"data", "DIR", "the data directory to look at", FLAG_DIR, .ptr = &d.data,
         .line_only = true},
    };
    struct flag_set set = {
        .command = "doctor",
        .summary = "Tells what this machine has, what is missing, and what to do about it.",
        .flags = flags,
        .n_flags = ARRAY_LEN(flags)};
    int code = flags_main(&set, argc, argv, NULL, NULL);
    return code >= 0 ? code : api_client_run(run, &d);
}

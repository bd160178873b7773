/* doctor.c - `sallyport doctor`: what this machine has, what is missing, what to do about it.
 *
 * The kernel's features are tried first, in children, while this process has one thread and no loop
 * (doctor_probe says why). Then a loop is made for the checks that need one: control groups and
 * limits, runtimes of containers, the server, and last the real test: a sandbox is started
 * and runs a command. When that works, missing features that the engine turns out to do without are
 * notes; when it does not, the engine's own sentence is shown. Exit code 1 when no sandbox could be
 * started or something required is missing. Changes nothing on the machine: the empty control group
 * made for trying is gone when it ends. */
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_client.h"
#include "cmd/cmd.h"
#include "cmd/doctor/egress.h"
#include "cmd/doctor/report.h"
#include "cmd/doctor/host.h"
#include "cmd/doctor/limits.h"
#include "cmd/doctor/probe.h"
#include "cmd/doctor/sandbox.h"
#include "cmd/line/flags.h"
#include "cmd/line/start.h"
#include "cmd/up_routes.h"
#include "http/client/curl.h"
#include "io/proc.h"
#include "box/box.h"
#include "tunnel/gateway/setup.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define GENERAL  "Program and server"
#define RUNTIMES "Other engines"
#define SANDBOX  "A sandbox"

struct doctor {
    const char *data; /* --data, or NULL */
    bool json;
    char *dir; /* the data directory looked at */
    struct doctor_host host;
    struct probe probes[PROBE_COUNT];
    struct doctor_report report;
    bool works; /* a sandbox was started and did what it was told */
};

static void add(struct doctor *d, const char *group, const char *id, const char *title,
                enum doctor_verdict v, const char *text, const char *lost, const char *fix)
{
    doctor_add(&d->report, group, id, title, v, mem_strdup(text), lost ? mem_strdup(lost) : NULL,
               fix ? mem_strdup(fix) : NULL);
}

/* ---- a real sandbox ---- */

/* Starts one and lets it run a command. 0, or a negative code with the engine's words. */
static int try_sandbox(int64_t *ret_ns, struct err *e)
{
    struct box_host *host = NULL;
    struct box *box = NULL;
    struct box_spec spec = {.session_id = "doctor"};
    int64_t began = time_mono_ns();
    const struct box_host_config cfg = {.state_dir = NULL};
    int r = box_host_start(&cfg, &host, e);
    if (r == 0)
        r = box_open(host, &spec, &box, e);
    if (r == 0) {
        AUTO_JSON json_t *input = json_pack("{s:s}", "command", "echo works");
        struct box_result result = {0};
        r = box_call(box, "bash", input, 10000, &result, e);
        const char *text = json_get_str(json_array_get(result.content, 0), "text");
        if (r == 0 && !(text && str_starts(text, "works")))
            r = err_set(e, -EIO, "a command in the sandbox printed the wrong text");
        box_result_done(&result);
    }
    *ret_ns = time_mono_ns() - began;
    box_close(box);
    box_host_stop(host);
    return r;
}

/* The first failure found of what the engine needs, for pointing at. */
static const struct doctor_finding *first_cause(const struct doctor_report *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->item[i].engine && r->item[i].verdict == DOCTOR_FAIL)
            return &r->item[i];
    return NULL;
}

static void check_sandbox(struct doctor *d)
{
    struct err e = {0};
    int64_t ns = 0;
    int r = try_sandbox(&ns, &e);
    d->works = r == 0;
    if (r == 0) {
        doctor_sandbox_works(&d->report);
        doctor_add(&d->report, SANDBOX, "sandbox", "real start", DOCTOR_OK,
                   mem_printf("started one and ran a command (%.1f ms with the engine's own start)",
                              (double)ns / (double)NS_PER_MS),
                   NULL, NULL);
        return;
    }
    const struct doctor_finding *cause = first_cause(&d->report);
    char *fix =
        cause ? mem_printf("see \"%s\" above", cause->title)
              : mem_strdup("sallyport worker --log-level debug ...   (the zygote's own lines)\n"
                           "dmesg | tail   (a security module's)\n"
                           "report it with the output of: sallyport doctor --json");
    doctor_add(&d->report, SANDBOX, "sandbox", "real start", DOCTOR_FAIL,
               mem_printf("%s%s", e.msg[0] ? e.msg : err_text(r),
                          cause ? "" : "; everything tried above works, so this is unexpected"),
               mem_strdup("Tools of agents cannot run on this machine."), fix);
}

/* ---- runtimes of containers, as information ---- */

#define VERSION_MS 3000

/* The first line a program prints when asked for its version; malloc'ed, NULL when it prints none
 * in time. Blocks this fiber's loop, on which nothing else runs. */
static char *program_version(const char *path)
{
    int fd[2];
    const char *const argv[] = {path, "--version", NULL};
    const char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", NULL};
    struct proc p;
    struct err e = {0};
    if (pipe2(fd, O_CLOEXEC) < 0)
        return NULL;
    AUTO_CLOSE int in = fd[0];
    struct proc_spec spec = {.path = path,
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = -1,
                             .stdout_fd = fd[1],
                             .stderr_fd = -1,
                             .own_process_group = true,
                             .die_with_parent = true};
    int r = proc_start(&p, &spec, &e);
    close(fd[1]);
    if (r < 0)
        return NULL;
    char line[120];
    struct pollfd pfd = {.fd = in, .events = POLLIN};
    ssize_t n = poll(&pfd, 1, VERSION_MS) > 0 ? read(in, line, sizeof(line) - 1) : 0;
    proc_done(&p);
    if (n <= 0)
        return NULL;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return mem_strdup(line);
}

static void check_runtimes(struct doctor *d)
{
    static const char *const names[] = {"crun", "runc", "runsc", "kata-runtime"};
    static const char *const dirs[] = {"/usr/local/bin",  "/usr/bin",  "/bin",
                                       "/usr/local/sbin", "/usr/sbin", "/sbin",
                                       "/opt/kata/bin"};
    size_t found = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        bool have = false;
        for (size_t k = 0; k < ARRAY_LEN(dirs) && !have; k++) {
            AUTO_FREE char *path = mem_printf("%s/%s", dirs[k], names[i]);
            have = access(path, X_OK) == 0;
            if (!have)
                continue;
            AUTO_FREE char *version = program_version(path);
            doctor_add(&d->report, RUNTIMES, names[i], names[i], DOCTOR_OK,
                       mem_printf("%s, %s", path, version ? version : "tells no version"), NULL,
                       NULL);
            found++;
        }
    }
    if (!found)
        doctor_add_plain(&d->report, RUNTIMES, "oci",
                         "no OCI runtime is installed, and none needed",
                         "looked for crun, runc, runsc and kata-runtime");
}

/* ---- program and server ---- */

static void check_kernel(struct doctor *d)
{
    struct utsname u;
    if (uname(&u) == 0)
        doctor_add(&d->report, GENERAL, "kernel", "kernel", DOCTOR_OK,
                   mem_printf("%s %s, %s", u.sysname, u.release, u.machine), NULL, NULL);
}

static void check_libcurl(struct doctor *d)
{
    static const char *const fixes[] = {
        [DISTRO_OTHER] = "install libcurl (libcurl.so.4)",
        [DISTRO_DEBIAN] = "apt-get install libcurl4",
        [DISTRO_UBUNTU] = "apt-get install libcurl4",
        [DISTRO_FEDORA] = "dnf install libcurl",
        [DISTRO_ARCH] = "pacman -S curl",
        [DISTRO_SUSE] = "zypper install libcurl4",
        [DISTRO_ALPINE] = "apk add libcurl",
    };
    struct err e = {0};
    if (curl_api_get(&e))
        doctor_add_plain(&d->report, GENERAL, "libcurl", "libcurl", "opened");
    else
        add(d, GENERAL, "libcurl", "libcurl", DOCTOR_FAIL, e.msg,
            "Neither server nor worker can make a request.", fixes[d->host.distro]);
}

static void check_data(struct doctor *d)
{
    static const char lost[] =
        "A server with this data directory refuses every write, because it cannot store anything.";
    struct statvfs v;
    int r = statvfs(d->dir, &v) < 0 ? errno : 0;
    double free_mb = r ? 0 : (double)v.f_bavail * (double)v.f_frsize / 1048576.0;
    bool writable = r == 0 && access(d->dir, W_OK) == 0;
    AUTO_FREE char *text =
        r == ENOENT ? mem_printf("%s does not exist yet; sallyport up makes it", d->dir)
        : r         ? mem_printf("%s: %s", d->dir, err_text(-r))
            : mem_printf("%s, %.0f MB free%s", d->dir, free_mb, writable ? "" : ", not writable");
    if (r == ENOENT || (writable && free_mb >= 16))
        add(d, GENERAL, "data", "data directory", DOCTOR_OK, text, NULL, NULL);
    else
        add(d, GENERAL, "data", "data directory", DOCTOR_FAIL, text, lost,
            writable ? "make room" : "run as its owner, or give --data DIR");
}

static void check_model(struct doctor *d)
{
    const char *key = getenv("ANTHROPIC_API_KEY");
    bool set = key && *key, ours = set && str_starts(key, "sk-sp-");
    if (set && !ours)
        add(d, GENERAL, "model_key", "model key", DOCTOR_OK,
            "ANTHROPIC_API_KEY is set in this shell", NULL, NULL);
    else
        add(d, GENERAL, "model_key", "model key", DOCTOR_NOTE,
            ours ? "ANTHROPIC_API_KEY holds a key of Sallyport, which is for clients"
                 : "ANTHROPIC_API_KEY is not set in this shell",
            "A server started in this shell has no model.",
            ours ? "set the provider's key where the server starts"
                 : "export ANTHROPIC_API_KEY=...   (or sallyport up --script FILE)");
}

static void check_server(struct doctor *d)
{
    struct api_client c;
    struct err e = {0};
    AUTO_JSON json_t *j = NULL;
    int r = api_client_open(&c, NULL, d->dir, &e);
    if (r < 0) {
        add(d, GENERAL, "server", "server", DOCTOR_NOTE, e.msg,
            "sallyport session and sallyport env have no server to talk to.",
            "sallyport up --detach");
        return;
    }
    r = api_client_call(&c, "GET", "/v1/environments?limit=1", NULL, &j, &e);
    AUTO_FREE char *text =
        r == 0 ? mem_printf("%s answers and takes the key", c.base_url) : mem_strdup(e.msg);
    add(d, GENERAL, "server", "server", r == 0 ? DOCTOR_OK : DOCTOR_FAIL, text,
        r == 0 ? NULL : "The settings of this shell cannot create sessions.",
        r == 0         ? NULL
        : r == -EACCES ? "source the dev.env of this server, or make a new key"
                       : "sallyport up --detach");
    api_client_close(&c);
}

/* Of `sallyport up` with routes. What is in its way another command finds out. */
static void check_gateway(struct doctor *d)
{
    AUTO_FREE char *config = mem_printf("%s/" UP_ROUTES_DIR "/" SETUP_CONFIG, d->dir);
    if (!setup_is_there(config))
        return;
    AUTO_FREE char *text = mem_printf(
        "sallyport up has had routes; sallyport gateway doctor --config %s looks into them",
        config);
    add(d, GENERAL, "gateway", "gateway", DOCTOR_OK, text, NULL, NULL);
}

/* ---- the command ---- */

/* The nearest directory above (or at) `dir` that exists: where it would be made. malloc'ed. */
static char *existing_above(const char *dir)
{
    char *path = mem_strdup(dir);
    struct stat st;
    while (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        char *slash = strrchr(path, '/');
        if (!slash || slash == path) {
            free(path);
            return mem_strdup("/");
        }
        *slash = '\0';
    }
    return path;
}

static int run(void *arg)
{
    struct doctor *d = arg;
    AUTO_FREE char *place = existing_above(d->dir);
    doctor_kernel(&d->report, &d->host, d->probes);
    doctor_limits(&d->report, &d->host, place);
    check_runtimes(d);
    check_kernel(d);
    check_libcurl(d);
    check_data(d);
    check_model(d);
    check_server(d);
    check_gateway(d);
    doctor_check_egress(&d->report);
    check_sandbox(d);
    if (d->json)
        doctor_print_json(stdout, &d->report, d->works);
    else
        doctor_print(stdout, &d->report, d->works);
    return !d->works || doctor_count(&d->report, DOCTOR_FAIL) > 0;
}

int cmd_doctor(int argc, char **argv)
{
    AUTO_FREE struct doctor *d = mem_new(struct doctor); /* too large for a frame */
    struct flag flags[] = {
        {"json", NULL, "print the findings as JSON", FLAG_BOOL, .ptr = &d->json, .line_only = true},
        {"data", "DIR", "the data directory to look at", FLAG_DIR, .ptr = &d->data,
         .line_only = true},
    };
    struct flag_set set = {
        .command = "doctor",
        .summary = "Tells what this machine has, what is missing, and what to do about it.",
        .details =
            "Tries each kernel feature that sandboxes use, in children that are thrown "
            "away, and then\n"
            "starts a sandbox. Run it as the user who will run the worker: root and "
            "ordinary users\n"
            "are given different things. Nothing on the machine is changed.\n\n"
            "Each finding is ok, a note (something optional is missing), a failure, or -- "
            "(not tried,\n"
            "because what it takes is missing); with what is lost and the commands that "
            "mend it.\n"
            "--json prints the same with an id for each check; docs/doctor.md lists them.\n\n"
            "Exit status: 0 a sandbox works; 1 none could be started, or something required "
            "is missing;\n2 wrong usage.",
        .flags = flags,
        .n_flags = ARRAY_LEN(flags)};
    int code = flags_main(&set, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    AUTO_FREE char *exe = mem_array(PATH_MAX, 1);
    ssize_t n = readlink("/proc/self/exe", exe, PATH_MAX - 1);
    exe[n > 0 ? n : 0] = '\0';
    doctor_host_read(&d->host, "", exe, geteuid() == 0);
    d->dir = cmd_data_dir(d->data);
    AUTO_FREE char *place = existing_above(d->dir);
    probe_all(&(struct probe_input){.root = d->host.root,
                                    .uid_last = d->host.uid_last,
                                    .idmap_dir = place},
              d->probes);
    d->host.chrooted = d->probes[PROBE_CHROOT].error != 0;
    code = api_client_run(run, d);
    doctor_report_done(&d->report);
    free(d->dir);
    return code;
}

/* sandbox_density - what many idle sandboxes take, and what a start costs beside them.
 *
 * Three kinds: ours (each has answered one echo and waits), a peer's command, and plain shells
 * without a sandbox, which are what "beyond its shell" is measured against. Every one holds an idle
 * bash that reads commands from a pipe. At each level the program lets things settle, then reads
 * how far MemAvailable fell and slab grew since nothing ran, and the PSS of the processes by name;
 * for ours it also times 100 starts beside the idle ones. MemAvailable counts everything, page
 * tables and namespaces of the kernel included, but other programs on the machine move it, too.
 *
 * Prints one line of JSON per level. Usage:
 *   sandbox_density --levels N,N,... [--settle MS] (--zygote PROGRAM | COMMAND...)
 * COMMAND gets a pipe that stays open as standard input; "{}" becomes the number of the sandbox. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/frame.h"
#include "stats.h"
#include "zygote_client.h"

#define N_MAX      2000
#define LEVELS_MAX 8
#define STARTS     100

struct idle {
    pid_t pid; /* ours: init; a peer: the command */
    int in, out;
    struct box box;
};

static struct idle idle[N_MAX];
static size_t n_idle;
static struct zygote zygote;
static char *request;
static size_t request_len;

/* Reads a small file of /proc; empty when it is gone. */
static void slurp(const char *path, char *buf, size_t size)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    for (ssize_t k; fd >= 0 && n + 1 < size && (k = read(fd, buf + n, size - 1 - n)) > 0;)
        n += (size_t)k;
    buf[n] = '\0';
}

/* The number after `key` at the start of a line, kB. */
static int64_t kb_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    if (!at)
        return 0;
    at += strlen(key);
    at += strspn(at, " \t");
    uint64_t v;
    return str_to_u64(at, strspn(at, "0123456789"), INT64_MAX, &v) < 0 ? 0 : (int64_t)v;
}

static int64_t meminfo(const char *key)
{
    static char text[8192];
    slurp("/proc/meminfo", text, sizeof(text));
    return kb_after(text, key);
}

/* The best of two seconds: what other programs take for a moment must not count. */
static int64_t available_kb(void)
{
    int64_t most = 0;
    for (int i = 0; i < 20; i++) {
        int64_t now = meminfo("MemAvailable:");
        most = now > most ? now : most;
        (void)poll(NULL, 0, 100);
    }
    return most;
}

static int64_t pss_kb(pid_t pid)
{
    char path[64], text[1536];
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    slurp(path, text, sizeof(text));
    return kb_after(text, "\nPss:");
}

/* PSS of `pid` and all below it, shells and the rest apart. */
__attribute__((noinline)) static void family(pid_t pid, int depth, int64_t *shells, int64_t *rest,
                                             int *processes)
{
    char path[64], text[1536];
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    slurp(path, text, sizeof(text));
    *(str_eq(text, "bash\n") ? shells : rest) += pss_kb(pid);
    ++*processes;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    slurp(path, text, sizeof(text));
    for (const char *c = text; *c && depth < 8;) {
        size_t len = strcspn(c, " \n");
        uint64_t child;
        if (len && str_to_u64(c, len, INT32_MAX, &child) == 0)
            family((pid_t)child, depth + 1, shells, rest, processes);
        c += len + (c[len] != '\0');
    }
}

static void add_ours(struct idle *i, const json_t *call)
{
    if (!box_create(&zygote, request, request_len, &i->box) ||
        frame_send_blocking(i->box.channel, call) < 0)
        stats_die("could not start a sandbox");
    AUTO_JSON json_t *hello = box_next(&i->box);
    AUTO_JSON json_t *result = box_next(&i->box);
    if (!hello || !result || json_get_bool(result, "is_error", true)) {
        fprintf(stderr, "sandbox %zu did not answer: %s\n", n_idle, json_get_str(hello, "error"));
        exit(1);
    }
    i->pid = i->box.pid;
}

/* The command's shell answers one echo, so that all of them have started as far as ours. */
static void add_peer(struct idle *i, char **argv)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        stats_die("pipe");
    i->pid = fork();
    if (i->pid == 0) {
        for (size_t k = 0; argv[k]; k++)
            if (str_eq(argv[k], "{}"))
                argv[k] = mem_printf("density-%d", (int)getpid());
        if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0)
            _exit(127);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    i->in = in[1];
    i->out = out[0];
    char c;
    if (write(i->in, "echo\n", 5) != 5 || read(i->out, &c, 1) != 1)
        stats_die("a peer did not answer");
}

static double start_ms(const json_t *call)
{
    struct idle one;
    int64_t began = time_mono_ns();
    add_ours(&one, call);
    int64_t took = time_mono_ns() - began;
    box_end(&one.box, true);
    return (double)took;
}

static void report(const json_t *call, int64_t available, int64_t slab)
{
    int64_t shells = 0, rest = 0;
    int processes = 0;
    int64_t fell = available - available_kb(), grew = meminfo("\nSlab:") - slab;
    for (size_t i = 0; i < n_idle; i++)
        family(idle[i].pid, 0, &shells, &rest, &processes);
    AUTO(stats) starts;
    stats_init(&starts, STARTS);
    for (int i = 0; call && i < STARTS; i++)
        stats_add(&starts, (int64_t)start_ms(call));
    double n = n_idle ? (double)n_idle : 1;
    AUTO_JSON json_t *o = json_object();
    json_put_int(o, "n", (int64_t)n_idle);
    json_put_int(o, "processes", processes);
    json_put(o, "available_kb", json_real((double)fell / n));
    json_put(o, "slab_kb", json_real((double)grew / n));
    json_put(o, "pss_shell_kb", json_real((double)shells / n));
    json_put(o, "pss_rest_kb", json_real((double)rest / n));
    json_put(o, "start_ms", stats_json(&starts));
    AUTO_FREE char *text = json_text(o, NULL);
    printf("%s\n", text);
    fflush(stdout);
}

static void end_all(bool ours)
{
    for (size_t i = 0; i < n_idle; i++) {
        if (ours) {
            box_end(&idle[i].box, true);
            zygote_drain(&zygote);
            continue;
        }
        close(idle[i].in); /* the shell reads the end of its input and leaves */
        close(idle[i].out);
    }
    for (size_t i = 0; i < n_idle && !ours; i++) {
        int status;
        (void)waitpid(idle[i].pid, &status, 0);
    }
}

static size_t parse_levels(const char *text, uint64_t levels[LEVELS_MAX])
{
    size_t n = 0;
    for (const char *c = text; *c && n < LEVELS_MAX;) {
        size_t len = strcspn(c, ",");
        if (str_to_u64(c, len, N_MAX, &levels[n++]) < 0)
            return 0;
        c += len + (c[len] == ',');
    }
    return n;
}

int main(int argc, char **argv)
{
    uint64_t levels[LEVELS_MAX], settle = 5000;
    size_t n_levels = 0;
    const char *program = NULL;
    int i = 1;
    for (; i + 1 < argc && str_starts(argv[i], "--"); i += 2) {
        if (str_eq(argv[i], "--levels"))
            n_levels = parse_levels(argv[i + 1], levels);
        else if (str_eq(argv[i], "--zygote"))
            program = argv[i + 1];
        else if (!str_eq(argv[i], "--settle") ||
                 str_to_u64(argv[i + 1], strlen(argv[i + 1]), 60000, &settle) < 0)
            n_levels = 0, i = argc;
    }
    if (n_levels == 0 || (program != NULL) == (i < argc)) {
        fprintf(stderr, "usage: sandbox_density --levels N,N,... [--settle MS] (--zygote PROGRAM | "
                        "COMMAND...)\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files = {.rlim_cur = 16384, .rlim_max = 16384};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        stats_die("could not raise the limit of open files");
    AUTO_JSON json_t *call = box_bash("echo hi");
    if (program) {
        zygote_start(&zygote, program);
        request = zygote_request(NULL, &request_len);
        for (int k = 0; k < STARTS; k++) /* warm, before memory is looked at */
            (void)start_ms(call);
        (void)poll(NULL, 0, (int)settle);
    }
    int64_t available = available_kb(), slab = meminfo("\nSlab:");
    for (size_t l = 0; l < n_levels; l++) {
        for (; n_idle < levels[l]; n_idle++) {
            if (program)
                add_ours(&idle[n_idle], call);
            else
                add_peer(&idle[n_idle], &argv[i]);
        }
        (void)poll(NULL, 0, (int)settle); /* the figure is about what settled */
        report(program ? call : NULL, available, slab);
    }
    end_all(program != NULL);
    if (program) {
        struct rusage ru;
        zygote_stop(&zygote, &ru);
        free(request);
    }
    return 0;
}

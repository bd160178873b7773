/* sandbox_start - starting sandboxes: ours beside other engines' commands, in turns or many at
 * once.
 *
 * One at a time (--in-flight 1): every round starts each launcher once, in a shuffled order, after
 * warm-up rounds that are not counted; launchers with fewer runs take part in some rounds only.
 * After each start there is a pause of 25 ms for what goes on behind it. Many at once: the runs are
 * split into four blocks, launchers in turn, and each block's wall clock gives starts per second.
 * Ours has no process of its own to wait for: its CPU time is that of the zygote and all the
 * sandboxes it reaped, less that of a zygote that did nothing.
 *
 * Prints JSON; judges nothing. Peers come from the command line (bench/peers.mjs knows them).
 * Usage: sandbox_start --zygote PROGRAM [--spec JSON] [--command TEXT] [--runs N] [--warm-ups N]
 *                      [--in-flight N] [--peer NAME RUNS COMMAND... ;]... */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "launch.h"

#define LAUNCHERS_MAX 16
#define RUNS_MAX      100000
#define BLOCKS        4

struct options {
    const char *zygote, *spec, *command;
    uint64_t runs, warm_ups, in_flight;
    struct launcher launchers[LAUNCHERS_MAX];
    size_t n;
};

static int usage(void)
{
    fprintf(stderr,
            "usage: sandbox_start --zygote PROGRAM [--spec JSON] [--command TEXT] "
            "[--runs N] [--warm-ups N] [--in-flight N] [--peer NAME RUNS COMMAND... ;]...\n");
    return 2;
}

/* NAME RUNS COMMAND... ; from argv[i] on; returns where it goes on, or 0. */
static int parse_peer(struct options *o, int argc, char **argv, int i)
{
    struct launcher l = {.name = NULL};
    if (i + 3 >= argc || o->n == LAUNCHERS_MAX ||
        str_to_u64(argv[i + 1], strlen(argv[i + 1]), RUNS_MAX, &l.runs) < 0)
        return 0;
    l.name = argv[i];
    l.argv = &argv[i + 2];
    for (i += 2; i < argc && !str_eq(argv[i], ";"); i++)
        ;
    if (i >= argc)
        return 0;
    argv[i] = NULL;
    o->launchers[o->n++] = l;
    return i;
}

static bool parse(struct options *o, int argc, char **argv)
{
    const struct {
        const char *flag;
        const char **text;
        uint64_t *number;
    } flags[] = {{"--zygote", &o->zygote, NULL},     {"--spec", &o->spec, NULL},
                 {"--command", &o->command, NULL},   {"--runs", NULL, &o->runs},
                 {"--warm-ups", NULL, &o->warm_ups}, {"--in-flight", NULL, &o->in_flight}};
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--peer")) {
            i = parse_peer(o, argc, argv, i + 1);
            if (i == 0)
                return false;
            continue;
        }
        bool known = false;
        for (size_t k = 0; k < ARRAY_LEN(flags) && i + 1 < argc; k++) {
            if (!str_eq(argv[i], flags[k].flag))
                continue;
            const char *v = argv[++i];
            known = true;
            if (flags[k].text)
                *flags[k].text = v;
            else if (str_to_u64(v, strlen(v), RUNS_MAX, flags[k].number) < 0)
                return false;
            break;
        }
        if (!known)
            return false;
    }
    return o->zygote && o->in_flight >= 1 && o->in_flight <= 256;
}

/* One round: who takes part, in an order drawn anew. */
static void one_round(struct launch_context *c, struct options *o, uint64_t round)
{
    size_t order[LAUNCHERS_MAX], n = 0;
    for (size_t i = 0; i < o->n; i++) {
        uint64_t runs = o->launchers[i].runs;
        if (round * runs / o->runs != (round + 1) * runs / o->runs)
            order[n++] = i;
    }
    for (size_t i = n; i > 1; i--) {
        size_t k = rng_below(i), t = order[i - 1];
        order[i - 1] = order[k];
        order[k] = t;
    }
    for (size_t i = 0; i < n; i++) {
        launch_batch(c, &o->launchers[order[i]], 1, 1, true);
        /* What our zygote makes ahead for its next sandbox is made, and not during somebody's
         * start; what a peer left behind for the kernel is cleaned up. */
        (void)poll(NULL, 0, 25);
    }
}

static double cpu_us(const struct rusage *ru)
{
    return (double)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1e6 +
           (double)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec);
}

static json_t *report(struct launcher *l, double cpu_ms, int64_t wall_ns)
{
    json_t *j = json_object();
    json_put_str(j, "name", l->name);
    json_put_int(j, "started", (int64_t)l->started);
    json_put_int(j, "failures", (int64_t)l->failures);
    json_put(j, "first_ms", stats_json(&l->first));
    json_put(j, "gone_ms", stats_json(&l->gone));
    json_put(j, "cpu_ms", json_real(cpu_ms));
    if (wall_ns)
        json_put(j, "per_second",
                 json_real((double)(l->started - l->failures) * 1e9 / (double)wall_ns));
    return j;
}

int main(int argc, char **argv)
{
    struct options o = {.command = "echo hi", .runs = 300, .warm_ups = 50, .in_flight = 1, .n = 1};
    if (!parse(&o, argc, argv) || o.runs == 0)
        return usage();
    o.launchers[0] = (struct launcher){.name = "ours", .runs = o.runs};
    signal(SIGPIPE, SIG_IGN);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) /* see reap_orphans in launch.c */
        stats_die("prctl");
    struct launch_context c = {.call = box_bash(o.command)};
    c.request = zygote_request(o.spec, &c.request_len);

    struct rusage nothing, all;
    zygote_start(&c.zygote, o.zygote);
    zygote_stop(&c.zygote, &nothing);
    zygote_start(&c.zygote, o.zygote);

    int64_t wall[LAUNCHERS_MAX] = {0};
    for (size_t i = 0; i < o.n; i++) {
        stats_init(&o.launchers[i].first, o.launchers[i].runs);
        stats_init(&o.launchers[i].gone, o.launchers[i].runs);
        uint64_t warm = o.launchers[i].runs * o.warm_ups / o.runs;
        launch_batch(&c, &o.launchers[i], warm ? warm : 1, (unsigned)o.in_flight, false);
    }
    if (o.in_flight == 1) {
        for (uint64_t r = 0; r < o.runs; r++)
            one_round(&c, &o, r);
    } else {
        for (uint64_t b = 0; b < BLOCKS; b++)
            for (size_t i = 0; i < o.n; i++) {
                struct launcher *l = &o.launchers[i];
                int64_t began = time_mono_ns();
                launch_batch(&c, l, l->runs * (b + 1) / BLOCKS - l->runs * b / BLOCKS,
                             (unsigned)o.in_flight, true);
                wall[i] += time_mono_ns() - began;
            }
    }
    zygote_stop(&c.zygote, &all);

    AUTO_JSON json_t *out = json_array();
    for (size_t i = 0; i < o.n; i++) {
        struct launcher *l = &o.launchers[i];
        uint64_t warm = i == 0 ? o.warm_ups : 0; /* the zygote's time holds the warm-ups, too */
        double us = i == 0 ? cpu_us(&all) - cpu_us(&nothing) : (double)l->cpu_us;
        json_array_append_new(
            out,
            report(l, us / 1e3 / (double)(l->started + warm ? l->started + warm : 1), wall[i]));
        stats_done(&l->first);
        stats_done(&l->gone);
    }
    AUTO_FREE char *text = json_text(out, NULL);
    printf("%s\n", text);
    free(c.request);
    json_decref((json_t *)(uintptr_t)c.call);
    return 0;
}

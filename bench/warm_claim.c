/* warm_claim - a claim from the worker's pool of ready sandboxes to the first output of a command.
 *
 * The worker's own code: a box host with sandboxes kept ready (worker --warm), box_open and one
 * `echo` by box_call. Before each claim the pool is full and nothing is being made. Prints JSON;
 * judges nothing. Usage: warm_claim [--claims N]. Run as "zygote" it is the host's zygote. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "io/loop.h"
#include "sandbox/sandbox.h"
#include "stats.h"
#include "box/box.h"

#define POOL      2
#define PAUSE_MS  20 /* for the shell of the last one made to wait for input */
#define CLAIM_MAX 100000

static uint64_t claims = 200;

static int one(struct box_host *h, const json_t *input, struct stats *s)
{
    while (box_host_warm(h) < POOL)
        if (fiber_sleep_ms(1) < 0)
            return -1;
    if (fiber_sleep_ms(PAUSE_MS) < 0)
        return -1;
    struct box *b = NULL;
    struct err e = {.code = 0};
    struct box_result r = {.content = NULL};
    struct box_spec spec = {.session_id = "bench"};
    int64_t began = time_mono_ns();
    int code = box_open(h, &spec, &b, &e);
    if (code == 0)
        code = box_call(b, "bash", input, 10000, &r, &e);
    stats_add(s, time_mono_ns() - began);
    if (code < 0 || r.is_error)
        fprintf(stderr, "warm_claim: %s\n", e.msg);
    code = code < 0 || r.is_error ? -1 : 0;
    box_result_done(&r);
    box_close(b);
    return code;
}

static int run(void *arg)
{
    struct stats *s = arg;
    struct box_host *h = NULL;
    struct err e = {.code = 0};
    const struct box_host_config cfg = {.warm = POOL};
    if (box_host_start(&cfg, &h, &e) < 0) {
        fprintf(stderr, "warm_claim: %s\n", e.msg);
        return 1;
    }
    AUTO_JSON json_t *input = json_pack("{s:s}", "command", "echo hi");
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < claims; i++)
        r = one(h, input, s);
    box_host_stop(h);
    return r < 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && str_eq(argv[1], "zygote"))
        return zygote_main(3, false);
    if (argc == 3 && (!str_eq(argv[1], "--claims") ||
                      str_to_u64(argv[2], strlen(argv[2]), CLAIM_MAX, &claims) < 0))
        argc = 0;
    if (argc != 1 && argc != 3)
        return fprintf(stderr, "usage: warm_claim [--claims N]\n"), 2;
    AUTO(stats) s = {0};
    stats_init(&s, claims);
    if (loop_init() < 0)
        return 1;
    int code = loop_run(run, &s);
    loop_done();
    if (code == 0) {
        AUTO_JSON json_t *o = stats_json(&s);
        AUTO_FREE char *text = json_text(o, NULL);
        printf("%s\n", text);
    }
    return code != 0;
}

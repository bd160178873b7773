/* sandbox_call - tool calls in sandboxes that are there already.
 *
 * --claims N: N sandboxes, one after the other, each made, left idle until its shell waits for
 * input, and then given its first call: what a claim from a warm pool costs at the level of the
 * engine. --calls N: N calls in one sandbox. Both measure from sending the call to its result.
 * Prints JSON. Usage: sandbox_call --zygote PROGRAM [--claims N] [--calls N] */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "sandbox/frame.h"
#include "stats.h"
#include "zygote_client.h"

#define IDLE_MS 30 /* bash is at its first read after about 2 ms */

static struct box ready_box(struct zygote *z, const char *request, size_t n)
{
    struct box b;
    if (!box_create(z, request, n, &b))
        exit(1);
    AUTO_JSON json_t *hello = box_next(&b);
    if (!hello || !json_get_bool(hello, "ready", false)) {
        fprintf(stderr, "the sandbox is not ready: %s\n", json_get_str(hello, "error"));
        exit(1);
    }
    (void)poll(NULL, 0, IDLE_MS); /* not synchronisation: the figure is about an idle sandbox */
    return b;
}

static int64_t timed_call(struct box *b, const json_t *call)
{
    int64_t began = time_mono_ns();
    if (frame_send_blocking(b->channel, call) < 0)
        stats_die("call");
    AUTO_JSON json_t *result = box_next(b);
    int64_t took = time_mono_ns() - began;
    if (!result || json_get_bool(result, "is_error", true)) {
        fprintf(stderr, "sandbox_call: the call failed\n");
        exit(1);
    }
    return took;
}

int main(int argc, char **argv)
{
    const char *program = NULL;
    uint64_t claims = 200, calls = 2000;
    for (int i = 1; i < argc; i++) {
        const char *v = i + 1 < argc ? argv[i + 1] : "";
        if (str_eq(argv[i], "--zygote") && *v)
            program = v;
        else if (!(str_eq(argv[i], "--claims") && str_to_u64(v, strlen(v), 100000, &claims) == 0) &&
                 !(str_eq(argv[i], "--calls") && str_to_u64(v, strlen(v), 1000000, &calls) == 0))
            program = NULL, i = argc;
        i++;
    }
    if (!program)
        return fprintf(stderr, "usage: sandbox_call --zygote PROGRAM [--claims N] [--calls N]\n"),
               2;
    struct zygote z;
    zygote_start(&z, program);
    size_t n;
    AUTO_FREE char *request = zygote_request(NULL, &n);
    AUTO_JSON json_t *call = box_bash("echo hi");
    AUTO(stats) claim;
    AUTO(stats) trip;
    stats_init(&claim, claims);
    stats_init(&trip, calls);
    for (uint64_t i = 0; i < claims + 5; i++) { /* five that are not counted */
        struct box b = ready_box(&z, request, n);
        int64_t took = timed_call(&b, call);
        if (i >= 5)
            stats_add(&claim, took);
        box_end(&b, true);
    }
    struct box b = ready_box(&z, request, n);
    for (uint64_t i = 0; i < calls + 50; i++) {
        int64_t took = timed_call(&b, call);
        if (i >= 50)
            stats_add(&trip, took);
    }
    box_end(&b, true);
    struct rusage ru;
    zygote_stop(&z, &ru);
    AUTO_JSON json_t *out = json_object();
    json_put(out, "claim_ms", stats_json(&claim));
    json_put(out, "call_ms", stats_json(&trip));
    AUTO_FREE char *text = json_text(out, NULL);
    printf("%s\n", text);
    return 0;
}

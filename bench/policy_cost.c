/* policy_cost.c - what a decision of the egress policy costs, by the number of its rules.
 *
 * Usage: policy_cost [RULES...]. For each number a policy is made of exact hosts (nine of ten) and
 * wildcards, two credentials on top, and asked a million questions in random order over all of
 * them: hits, names under wildcards, misses, a request with method and path. One JSON line each:
 * nanoseconds of CPU a decision (the best of 16 rounds), and what loading took. */
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/policy/policy.h"
#include "stats.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define QUESTIONS 65536
#define ROUNDS    16

static uint64_t state = 88172645463325252u;

static uint64_t random_next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static struct policy *make(size_t rules, int64_t *ret_load_ns)
{
    AUTO(buf) b = BUF_INIT(64u << 20);
    (void)buf_adds(&b, "{\"allow\":[{\"host\":\"api.github.com\",\"methods\":[\"GET\",\"POST\"],"
                       "\"paths\":[\"/repos/acme/**\"]}");
    for (size_t i = 1; i < rules; i++)
        (void)buf_addf(&b,
                       i % 10 ? ",{\"host\":\"host%zu.service.example.com\",\"port\":443}"
                              : ",{\"host\":\"*.zone%zu.example.net\"}",
                       i);
    (void)buf_adds(
        &b, "],\"deny\":[\"never.example.com\"],\"credentials\":[{\"name\":\"A\",\"source\":{"
            "\"env\":\"A\"},\"hosts\":[\"api.github.com\"]},"
            "{\"name\":\"B\",\"source\":{\"env\":\"B\"},\"hosts\":[\"*.zone10.example.net\"]}]}");
    struct policy *p = NULL;
    struct err e = {0};
    int64_t from = time_mono_ns();
    if (buf_err(&b) < 0 || policy_parse(buf_str(&b), b.len, &p, &e) < 0) {
        (void)fprintf(stderr, "policy_cost: %s\n", e.msg);
        exit(1);
    }
    *ret_load_ns = time_mono_ns() - from;
    return p;
}

static void question(struct host *h, size_t rules, unsigned kind)
{
    char text[128];
    size_t i = 1 + random_next() % (rules > 1 ? rules - 1 : 1);
    if (kind == 0)
        (void)snprintf(text, sizeof(text), "host%zu.service.example.com", i % 10 ? i : i + 1);
    else if (kind == 1)
        (void)snprintf(text, sizeof(text), "a.b.zone%zu.example.net", i - i % 10 + 10);
    else if (kind == 2)
        (void)snprintf(text, sizeof(text), "no%zu.where.at.all.test", i);
    else
        (void)snprintf(text, sizeof(text), "api.github.com");
    if (host_parse(text, strlen(text), 0, h, NULL) < 0)
        stats_die(text);
}

/* Of this thread: others on the machine count as little as they can. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) < 0)
        stats_die("clock_gettime");
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double measure(const struct policy *p, const struct host *hosts, bool request, uint64_t *sum)
{
    struct policy_decision d;
    int64_t best = INT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int64_t from = cpu_ns();
        for (size_t i = 0; i < QUESTIONS; i++) {
            struct policy_query q = {.host = &hosts[i], .port = 443, .transport = POLICY_TLS};
            if (request) {
                q.method = "GET";
                q.path = "/repos/acme/web/issues/17/comments";
                q.path_n = 34;
            }
            policy_decide(p, &q, &d);
            *sum += d.verdict + d.n_candidates;
        }
        int64_t ns = cpu_ns() - from;
        best = ns < best ? ns : best;
    }
    return (double)best / QUESTIONS;
}

static void run(size_t rules)
{
    static const char *const kinds[] = {"exact", "wildcard", "miss", "request"};
    int64_t load_ns;
    uint64_t sum = 0;
    struct policy *p = make(rules, &load_ns);
    struct host *hosts = mem_array(QUESTIONS, sizeof(*hosts));
    (void)printf("{\"rules\":%zu,\"load_ms\":%.1f", rules, (double)load_ns / 1e6);
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        for (size_t i = 0; i < QUESTIONS; i++)
            question(&hosts[i], rules, k);
        (void)printf(",\"%s_ns\":%.0f", kinds[k], measure(p, hosts, k == 3, &sum));
    }
    (void)printf(",\"sum\":%llu}\n", (unsigned long long)sum);
    free(hosts);
    policy_unref(p);
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"10", "1000", "100000"};
    for (int i = 0; i < (argc > 1 ? argc - 1 : 3); i++) {
        const char *text = argc > 1 ? argv[i + 1] : usual[i];
        uint64_t n;
        if (str_to_u64(text, strlen(text), POLICY_RULES_MAX, &n) < 0 || n == 0) {
            (void)fprintf(stderr, "usage: policy_cost [RULES...], at most %d\n", POLICY_RULES_MAX);
            return 2;
        }
        run(n);
    }
    return 0;
}

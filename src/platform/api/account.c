/* account.c - who holds how much, so that nobody holds everything.
 *
 * Entered by serve.c once a call's credential is known, left when the call is over; streams stay in
 * theirs for as long as they are read. The caller decides how much it sends, how fast it reads, and
 * how many calls it makes at once; the ceilings (limits.h) are of one credential and of all
 * together, and weaker credentials have lower ones. An account exists while it is used, so their
 * number is bounded by that of the connections. All on the loop thread. */
#include "platform/api/account.h"

#include "base/limits.h"
#include "base/map.h"
#include "http/server/server.h"

#include <stdio.h>

#define ANSWER_WAIT_MS 10000

struct accounts {
    struct map all; /* "k:KEY", "e:ENVIRONMENT" or "t:TUNNEL" -> struct account * */
    struct budget bodies, answers, held;
    size_t streams;
    struct waitq answered;
};

static struct accounts *accounts(struct platform *p)
{
    struct platform_state *st = platform_state(p);
    if (!st->accounts) {
        struct accounts *a = st->accounts = mem_new(struct accounts);
        map_init(&a->all);
        waitq_init(&a->answered);
        a->bodies.max = LIMIT_BODIES_BYTES;
        a->answers.max = LIMIT_ANSWERS_BYTES;
        a->held.max = LIMIT_STREAMS_BYTES;
    }
    return st->accounts;
}

static const char *name_of(const struct caller *who, char ret[80])
{
    if (who->kind == CALLER_API_KEY)
        snprintf(ret, 80, "k:%s", who->key_id);
    else if (who->kind == CALLER_TUNNEL)
        snprintf(ret, 80, "t:%s", who->tunnel_id);
    else
        snprintf(ret, 80, "e:%s", who->environment_id);
    return ret;
}

struct account *account_enter(struct platform *p, const struct caller *who)
{
    struct accounts *all = accounts(p);
    char name[80];
    struct account *a = map_get(&all->all, name_of(who, name));
    if (!a) {
        a = mem_new(struct account);
        a->bodies = (struct budget){.max = who->kind == CALLER_API_KEY ? LIMIT_BODIES_KEY_BYTES
                                                                       : LIMIT_BODIES_WORKER_BYTES,
                                    .outer = &all->bodies};
        a->answers = (struct budget){.max = LIMIT_ANSWERS_OWNER_BYTES, .outer = &all->answers};
        a->held = (struct budget){.max = LIMIT_STREAMS_OWNER_BYTES, .outer = &all->held};
        map_put(&all->all, name, a);
    }
    a->users++;
    return a;
}

void account_leave(struct platform *p, const struct caller *who)
{
    struct accounts *all = accounts(p);
    char name[80];
    struct account *a = map_get(&all->all, name_of(who, name));
    MUST(a && a->users > 0);
    if (--a->users > 0)
        return;
    MUST(a->streams == 0 && a->bodies.used == 0 && a->answers.used == 0 && a->held.used == 0);
    free(map_remove(&all->all, name));
}

bool account_stream_begin(struct platform *p, struct account *a, size_t most)
{
    struct accounts *all = accounts(p);
    /* Of all connections an eighth stays for calls, and another for the streams of others. */
    if (all->streams >= most - most / 8 || a->streams >= most - most / 4)
        return false;
    all->streams++;
    a->streams++;
    return true;
}

void account_stream_end(struct platform *p, struct account *a)
{
    struct accounts *all = accounts(p);
    MUST(all->streams > 0 && a->streams > 0);
    all->streams--;
    a->streams--;
}

int account_answer_begin(struct platform *p, struct account *a, struct http_exchange *x, size_t n,
                         struct budget_share *s)
{
    int r = 0;
    s->of = &a->answers;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(ANSWER_WAIT_MS);
    while (r == 0 && !budget_set(s, n))
        r = http_wait(x, &accounts(p)->answered);
    return r == -ETIMEDOUT ? -EBUSY : r;
}

void account_answer_end(struct platform *p, struct budget_share *s)
{
    if (s->n == 0)
        return;
    budget_end(s);
    waitq_wake_all(&accounts(p)->answered);
}

void accounts_free(struct accounts *a)
{
    if (!a)
        return;
    MUST(a->all.n == 0);
    map_done(&a->all);
    free(a);
}

/* caller_keys.c - keeps the issuer's keys, and asks for them when it is time.
 *
 * Called on the fibers of requests, before their caller is known: a stranger can bring a key's name that nobody
 * has, as often as it likes. So a question for such a name goes out once a minute at most, one question goes out
 * at a time, and it is not ended by the caller who had to ask leaving: else one who comes and goes could keep
 * a new key from ever being found. Who asks is the keeper; the gateway dials nobody it was not told to. How long an
 * answer is good for the issuer says, within bounds. While it cannot be asked its keys of before count for another
 * hour, so that its restart is nobody's outage; then nobody is let in. The text is read strictly (oauth/jwks.c), and
 * one that is no set changes nothing. */
#include "tunnel/gateway/caller_keys.h"

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "oauth/jwks.h"

#define ASK_MS 10000

struct caller_keys {
    unsigned refs;
    char *url; /* NULL: of a file */
    caller_keys_ask *ask;
    void *arg;
    struct jwks *set;       /* NULL: not there yet */
    int64_t fresh_until_ns; /* monotonic, as all of these */
    int64_t good_until_ns;
    int64_t again_ns; /* from when on a key that is not known is asked for */
    int64_t retry_ns; /* from when on it is asked after a failure */
    struct err why;   /* of the last failure */
    struct fmutex one;
    size_t waiting; /* that ask, or wait for who asks */
    uint64_t asked;
};

static struct caller_keys *make(void)
{
    struct caller_keys *k = mem_new(struct caller_keys);
    k->refs = 1;
    fmutex_init(&k->one);
    return k;
}

struct caller_keys *caller_keys_of_set(struct jwks *set)
{
    struct caller_keys *k = make();
    k->set = set;
    return k;
}

struct caller_keys *caller_keys_of_url(const char *url, caller_keys_ask *ask, void *arg)
{
    struct caller_keys *k = make();
    k->url = mem_strdup(url);
    k->ask = ask;
    k->arg = arg;
    return k;
}

struct caller_keys *caller_keys_ref(struct caller_keys *k)
{
    k->refs++;
    return k;
}

void caller_keys_unref(struct caller_keys *k)
{
    if (!k || --k->refs > 0)
        return;
    MUST(k->waiting == 0);
    jwks_unref(k->set);
    free(k->url);
    free(k);
}

bool caller_keys_are_of(const struct caller_keys *k, const char *url)
{
    return k->url && str_eq(k->url, url);
}

/* ---- asking ---- */

static int64_t fresh_ms(int64_t max_age_s)
{
    if (max_age_s < 0)
        return CALLER_KEYS_FRESH_MS;
    if (max_age_s < CALLER_KEYS_FRESH_LEAST_MS / 1000)
        return CALLER_KEYS_FRESH_LEAST_MS;
    return max_age_s < CALLER_KEYS_FRESH_MOST_MS / 1000 ? max_age_s * 1000
                                                        : CALLER_KEYS_FRESH_MOST_MS;
}

static int ask(struct caller_keys *k, struct jwks **ret, int64_t *ret_max_age_s, struct err *e)
{
    AUTO_FREE char *text = NULL;
    size_t n = 0;
    AUTO(fiber_shield) shield = fiber_shield_begin(ASK_MS);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(ASK_MS);
    int r = k->ask(k->arg, k->url, &text, &n, ret_max_age_s, e);
    return r < 0 ? r : jwks_parse(text, n, ret, e);
}

static void take(struct caller_keys *k, struct jwks *set, int64_t max_age_s)
{
    const int64_t now = time_mono_ns();
    jwks_unref(k->set);
    k->set = set;
    k->fresh_until_ns = now + fresh_ms(max_age_s) * NS_PER_MS;
    k->good_until_ns = k->fresh_until_ns + (int64_t)CALLER_KEYS_STALE_MS * NS_PER_MS;
    k->retry_ns = 0;
    log_info("keys of the callers' issuer were read", "url=%s keys=%zu", log_q(k->url),
             jwks_count(set));
}

/* With the turn. */
static void ask_now(struct caller_keys *k)
{
    struct jwks *set = NULL;
    struct err e = {0};
    int64_t max_age_s = -1;
    int r = ask(k, &set, &max_age_s, &e);
    k->asked++;
    if (r == 0) {
        take(k, set, max_age_s);
        return;
    }
    k->retry_ns = time_mono_ns() + (int64_t)CALLER_KEYS_RETRY_MS * NS_PER_MS;
    (void)err_set(&k->why, r, "%s", e.msg[0] ? e.msg : err_text(r));
    log_warn("keys of the callers' issuer cannot be read", "url=%s why=%s", log_q(k->url),
             log_q(k->why.msg));
}

/* What is asked for already is waited for. 0, -ECANCELED, -ETIMEDOUT. */
static int ask_once(struct caller_keys *k)
{
    const uint64_t before = k->asked;
    k->waiting++;
    int r = fmutex_lock(&k->one);
    if (r == 0 && k->asked == before)
        ask_now(k);
    if (r == 0)
        fmutex_unlock(&k->one);
    k->waiting--;
    return r;
}

/* ---- for a request ---- */

int caller_keys_get(struct caller_keys *k, struct jwks **ret, struct err *e)
{
    int64_t now = time_mono_ns();
    if (k->url && !(k->set && now < k->fresh_until_ns)) {
        const bool have = k->set && now < k->good_until_ns;
        int r = now < k->retry_ns || (have && k->waiting > 0) ? 0 : ask_once(k);
        if (r < 0)
            return err_set(e, r, "%s", err_text(r));
        now = time_mono_ns();
        if (!k->set)
            return err_set(e, k->why.code, "%s", k->why.msg);
        if (now >= k->good_until_ns)
            return err_set(e, k->why.code, "those of before are too old, and %s", k->why.msg);
    }
    *ret = jwks_ref(k->set);
    return 0;
}

int caller_keys_newer(struct caller_keys *k, const struct jwks *than, struct jwks **ret)
{
    const int64_t now = time_mono_ns();
    if (!k->url)
        return -ENOENT;
    if (k->set == than && (k->waiting > 0 || (now >= k->again_ns && now >= k->retry_ns))) {
        if (k->waiting == 0)
            k->again_ns = now + (int64_t)CALLER_KEYS_AGAIN_MS * NS_PER_MS;
        int r = ask_once(k);
        if (r < 0)
            return r;
    }
    if (k->set == than)
        return -ENOENT;
    *ret = jwks_ref(k->set);
    return 0;
}

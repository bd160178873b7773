/* Under which keys a link is used again, who waits for whose dial, and when links go. Links are stand-ins
 * (http_link_new comes through here), but for one case; dialling is a stream with nobody behind it. */
#include "unit/loop.h"
#include "base/err.h"
#include "http/pipe/link.h"
#include "http/pipe/origins.h"
#include "io/stream.h"
#include "unit/io/pair.h"

#include <stdio.h>
#include <string.h>

/* ---- links that are none ---- */

struct fake {
    struct http_link link; /* first */
    size_t room;
    bool ended;
    int id;
    struct stream s;
};

static int made, freed;
static size_t room_of_new = 100;
static bool real;

static struct fake *fake_of(struct http_link *l)
{
    return (struct fake *)l;
}
static int fake_ask(struct http_link *l, struct http_pipe **ret)
{
    (void)l;
    (void)ret;
    return -EBUSY;
}
static size_t fake_room(const struct http_link *l)
{
    return ((const struct fake *)(const void *)l)->room;
}
static bool fake_ended(struct http_link *l)
{
    return fake_of(l)->ended;
}
static void fake_free(struct http_link *l)
{
    /* As a real one may, when it has something left to say. */
    AUTO(fiber_shield) shield = fiber_shield_begin(1000);
    assert_int_equal(fiber_yield(), 0);
    freed++;
    stream_done(&fake_of(l)->s);
    free(l);
}
static const struct http_link_ops fake_ops = {
    .ask = fake_ask, .room = fake_room, .ended = fake_ended, .free = fake_free};

int __real_http_link_new(enum http_version v, struct stream *s, const struct http_link_options *o,
                         struct http_link **ret, struct err *e);
int __wrap_http_link_new(enum http_version v, struct stream *s, const struct http_link_options *o,
                         struct http_link **ret, struct err *e);
int __wrap_http_link_new(enum http_version v, struct stream *s, const struct http_link_options *o,
                         struct http_link **ret, struct err *e)
{
    if (real)
        return __real_http_link_new(v, s, o, ret, e);
    struct fake *f = mem_new(struct fake);
    *f = (struct fake){.link = {.ops = &fake_ops, .version = v}, .room = room_of_new, .id = ++made};
    stream_move(&f->s, s);
    *ret = &f->link;
    return 0;
}

/* ---- dialling ---- */

struct way {
    enum http_version version;
    int fails, dials, holds; /* holds: milliseconds */
};

static int dial(void *arg, struct stream *ret, enum http_version *ret_version,
                char ret_peer[ORIGIN_PEER_MAX], struct err *e)
{
    struct way *w = arg;
    w->dials++;
    if (w->holds) {
        int r = fiber_sleep_ms(w->holds);
        if (r < 0)
            return err_set(e, r, "stopped");
    }
    if (w->fails)
        return err_set(e, w->fails, "nobody there");
    int fd[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    assert_int_equal(stream_from_fd(ret, fd[0]), 0);
    (void)close(fd[1]);
    *ret_version = w->version;
    (void)snprintf(ret_peer, ORIGIN_PEER_MAX, "192.0.2.%d", w->dials);
    return 0;
}

static struct host host_of(const char *s)
{
    struct host h;
    assert_int_equal(host_parse(s, strlen(s), HOST_LITERALS, &h, NULL), 0);
    return h;
}

static struct host example;
static struct origin_key key_of(const char *binding)
{
    example = host_of("api.example.com");
    return (struct origin_key){.binding = binding,
                               .tls = true,
                               .host = &example,
                               .port = 443,
                               .verified = "api.example.com",
                               .policy_hash = "abc",
                               .credentials = "A,B"};
}

static struct origins *pool_of(struct origins_options o)
{
    struct origins *p;
    struct err e = {0};
    made = freed = 0;
    room_of_new = 100;
    real = false;
    if (origins_new(&o, &p, &e) < 0)
        fail_msg("%s", e.msg);
    return p;
}

static struct origin_lease get(struct origins *p, const struct origin_key *k, struct way *w)
{
    struct origin_lease l;
    struct err e = {0};
    if (origins_get(p, k, false, dial, w, &l, &e) < 0)
        fail_msg("%s", e.msg);
    return l;
}

static int id_of(const struct origin_lease *l)
{
    return fake_of(l->link)->id;
}

static void settle(const struct origins *p, size_t links)
{
    for (int i = 0; i < 2000 && origins_count(p) != links; i++)
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(origins_count(p), links);
    assert_int_equal((size_t)(made - freed), real ? 0 : links);
}

/* ---- keys ---- */

static int a_link_is_used_again_under_its_key(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct way w = {0};
    struct origin_key k = key_of("one");
    struct origin_lease a = get(p, &k, &w);
    assert_false(a.reused);
    assert_string_equal(a.peer, "192.0.2.1");
    struct origin_lease b = get(p, &k, &w); /* the first is in use */
    assert_int_equal(w.dials, 2);
    origins_put(p, &a, true);
    origins_put(p, &b, true);
    origins_put(p, &b, true); /* harmless */
    assert_null(b.link);
    a = get(p, &k, &w);
    assert_true(a.reused);
    assert_int_equal(id_of(&a), 2); /* the one that was used last */
    assert_string_equal(a.peer, "192.0.2.2");
    b = get(p, &k, &w);
    assert_int_equal(id_of(&b), 1);
    assert_int_equal(w.dials, 2);
    origins_put(p, &a, true);
    origins_put(p, &b, true);
    origins_free(p);
    assert_int_equal(freed, 2);
    return 0;
}

ON_LOOP(a_link_is_used_again_under_its_key)

static int any_other_part_of_the_key_makes_another_link(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){.idle_per_key = 99});
    struct way w = {0};
    struct host other = host_of("api.example.org"), literal = host_of("192.0.2.1");
    struct origin_key first = key_of("one"), keys[15];
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        keys[i] = first;
    keys[0].binding = "two";
    keys[1].tls = false;
    keys[2].host = &other;
    keys[3].host = &literal;
    keys[4].port = 4433;
    keys[5].port = 44;
    keys[6].verified = "other.example.com"; /* domain fronting, boundary-anchors A25 */
    keys[7].verified = NULL;
    keys[8].verified = "";
    keys[9].policy_hash = "abd";
    keys[10].credentials = "";
    keys[11].credentials = "A";
    keys[12].credentials = "B,A";
    keys[13].policy_hash = "abc,A"; /* what ends one part does not begin another */
    keys[13].credentials = "B";
    keys[14].offers_h2 = true;
    struct origin_lease l = get(p, &first, &w);
    origins_put(p, &l, true);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        l = get(p, &keys[i], &w);
        if (l.reused)
            fail_msg("key %zu", i);
        origins_put(p, &l, true);
    }
    assert_int_equal(w.dials, 1 + ARRAY_LEN(keys));
    /* Each has its own now. */
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        l = get(p, &keys[i], &w);
        assert_true(l.reused);
        assert_int_equal(id_of(&l), (int)i + 2);
        origins_put(p, &l, true);
    }
    origins_free(p);
    return 0;
}

ON_LOOP(any_other_part_of_the_key_makes_another_link)

static int a_key_that_is_too_long_is_refused(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct way w = {0};
    static char credentials[20000];
    memset(credentials, 'A', sizeof(credentials) - 1);
    struct origin_key k = key_of("one");
    struct origin_lease l;
    struct err e = {0};
    enum http_version v;
    k.credentials = credentials;
    assert_int_equal(origins_get(p, &k, false, dial, &w, &l, &e), -E_LIMIT);
    assert_false(origins_version(p, &k, &v));
    assert_int_equal(w.dials, 0);
    origins_free(p);
    return 0;
}

ON_LOOP(a_key_that_is_too_long_is_refused)

/* ---- which links go ---- */

static int what_has_ended_is_not_used_again(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct way w = {0};
    struct origin_key k = key_of("one");
    struct origin_lease a = get(p, &k, &w), b = get(p, &k, &w), c = get(p, &k, &w);
    fake_of(a.link)->ended = true; /* while it was used */
    struct fake *idle = fake_of(b.link);
    origins_put(p, &a, true);
    origins_put(p, &b, true);
    origins_put(p, &c, false); /* the caller has had enough of it */
    settle(p, 1);
    idle->ended = true; /* while it was idle */
    a = get(p, &k, &w);
    assert_false(a.reused);
    origins_put(p, &a, true);
    settle(p, 1);
    origins_free(p);
    return 0;
}

ON_LOOP(what_has_ended_is_not_used_again)

static int idle_links_have_ceilings(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){.idle_per_key = 2, .idle_max = 3});
    struct way w = {0};
    struct origin_key one = key_of("one"), two = key_of("two");
    struct origin_lease l[6];
    for (size_t i = 0; i < 3; i++)
        l[i] = get(p, &one, &w); /* 1 2 3 */
    for (size_t i = 3; i < 6; i++)
        l[i] = get(p, &two, &w); /* 4 5 6 */
    for (size_t i = 0; i < 6; i++)
        origins_put(p, &l[i], true);
    settle(p, 3); /* 1 (of its key the oldest), 4 (likewise) and 2 (of all) have gone */
    l[0] = get(p, &one, &w);
    assert_int_equal(id_of(&l[0]), 3);
    l[1] = get(p, &two, &w);
    assert_int_equal(id_of(&l[1]), 6);
    l[2] = get(p, &two, &w);
    assert_int_equal(id_of(&l[2]), 5);
    for (size_t i = 0; i < 3; i++)
        origins_put(p, &l[i], true);
    origins_free(p);
    return 0;
}

ON_LOOP(idle_links_have_ceilings)

static int idle_links_go_after_a_while(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){.idle_ms = 40});
    struct way w = {0};
    struct origin_key k = key_of("one");
    struct origin_lease a = get(p, &k, &w), b = get(p, &k, &w);
    origins_put(p, &a, true);
    settle(p, 1);
    assert_int_equal(fiber_sleep_ms(100), 0);
    assert_int_equal(origins_count(p), 1); /* what is in use stays */
    origins_put(p, &b, true);
    settle(p, 0);
    origins_free(p);
    return 0;
}

ON_LOOP(idle_links_go_after_a_while)

static int a_binding_takes_its_links_with_it(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct way w = {0};
    struct origin_key one = key_of("one"), two = key_of("two");
    enum http_version v;
    struct origin_lease a = get(p, &one, &w), b = get(p, &one, &w), c = get(p, &two, &w);
    origins_put(p, &b, true);
    origins_put(p, &c, true);
    origins_close_binding(p, "one");
    settle(p, 2); /* the idle one of "one" has gone */
    assert_false(origins_version(p, &one, &v));
    assert_true(origins_version(p, &two, &v));
    origins_put(p, &a, true);
    settle(p, 1);
    c = get(p, &two, &w);
    assert_true(c.reused);
    origins_put(p, &c, true);
    a = get(p, &one, &w); /* the name may be given again */
    assert_false(a.reused);
    origins_put(p, &a, true);
    settle(p, 2);
    origins_free(p);
    return 0;
}

ON_LOOP(a_binding_takes_its_links_with_it)

/* ---- many at once ---- */

struct caller {
    struct origins *p;
    const struct origin_key *k;
    struct way *w;
    bool fresh;
    int code;
    struct origin_lease l;
    struct err e;
};
static int call(void *arg)
{
    struct caller *c = arg;
    c->code = origins_get(c->p, c->k, c->fresh, dial, c->w, &c->l, &c->e);
    return 0;
}
static void call_all(struct caller *c, size_t n)
{
    AUTO(scope) s;
    scope_init(&s);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fiber_spawn(&s, "caller", call, &c[i], NULL), 0);
    assert_int_equal(scope_join(&s), 0);
}

static int a_link_closed_while_it_is_dialled_is_used_once(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct way w = {.holds = 20};
    struct origin_key k = key_of("one");
    struct caller c = {.p = p, .k = &k, .w = &w};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "caller", call, &c, NULL), 0);
    while (w.dials == 0)
        assert_int_equal(fiber_sleep_ms(1), 0);
    origins_close_binding(p, "one");
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(c.code, 0);
    origins_put(p, &c.l, true);
    settle(p, 0);
    origins_free(p);
    return 0;
}

ON_LOOP(a_link_closed_while_it_is_dialled_is_used_once)

static int http_2_is_shared_and_its_dial_waited_for(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct way w = {.version = HTTP_2, .holds = 10};
    struct origin_key k = key_of("one");
    struct caller c[5];
    enum http_version v;
    assert_false(origins_version(p, &k, &v));
    /* Not known yet: each dials for itself. */
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        c[i] = (struct caller){.p = p, .k = &k, .w = &w};
    call_all(c, 2);
    assert_int_equal(w.dials, 2);
    assert_true(origins_version(p, &k, &v));
    assert_int_equal(v, HTTP_2);
    for (size_t i = 0; i < 2; i++)
        origins_put(p, &c[i].l, false);
    settle(p, 0);
    /* Known: one dials, all share. */
    call_all(c, ARRAY_LEN(c));
    assert_int_equal(w.dials, 3);
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        assert_int_equal(c[i].code, 0);
        assert_int_equal(id_of(&c[i].l), 3);
    }
    /* A full one is not waited for. */
    fake_of(c[0].l.link)->room = 0;
    struct caller more = {.p = p, .k = &k, .w = &w};
    call_all(&more, 1);
    assert_int_equal(id_of(&more.l), 4);
    origins_put(p, &more.l, true);
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        origins_put(p, &c[i].l, true);
    settle(p, 2);
    origins_free(p);
    return 0;
}

ON_LOOP(http_2_is_shared_and_its_dial_waited_for)

static int who_waited_for_a_dial_that_failed_dials(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct way w = {.version = HTTP_2};
    struct origin_key k = key_of("one");
    struct caller c[4];
    struct origin_lease l = get(p, &k, &w);
    origins_put(p, &l, false);
    w = (struct way){.version = HTTP_2, .holds = 10, .fails = -ECONNREFUSED};
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        c[i] = (struct caller){.p = p, .k = &k, .w = &w};
    call_all(c, ARRAY_LEN(c));
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        assert_int_equal(c[i].code, -ECONNREFUSED);
        assert_string_equal(c[i].e.msg, "nobody there");
    }
    assert_int_equal(w.dials, 4);
    settle(p, 0);
    origins_free(p);
    return 0;
}

ON_LOOP(who_waited_for_a_dial_that_failed_dials)

static int a_caller_who_is_cancelled_leaves_nothing_behind(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct way w = {.version = HTTP_2};
    struct origin_key k = key_of("one");
    struct origin_lease l = get(p, &k, &w);
    origins_put(p, &l, false);
    w.holds = 10000;
    struct caller c[2] = {{.p = p, .k = &k, .w = &w}, {.p = p, .k = &k, .w = &w}};
    struct fiber *f[2];
    AUTO(scope) s;
    scope_init(&s);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(fiber_spawn(&s, "caller", call, &c[i], &f[i]), 0);
    assert_int_equal(fiber_sleep_ms(5), 0);
    assert_int_equal(w.dials, 2); /* with the first one; the second caller waits */
    fiber_cancel(f[1]);
    assert_int_equal(fiber_sleep_ms(5), 0);
    assert_int_equal(c[1].code, -ECANCELED);
    fiber_cancel(f[0]);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(c[0].code, -ECANCELED);
    settle(p, 0);
    origins_free(p);
    return 0;
}

ON_LOOP(a_caller_who_is_cancelled_leaves_nothing_behind)

static int a_fresh_link_is_none_that_was_there(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct way w = {.version = HTTP_2, .holds = 5};
    struct origin_key k = key_of("one");
    struct origin_lease old = get(p, &k, &w);
    struct caller c[3];
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        c[i] = (struct caller){.p = p, .k = &k, .w = &w, .fresh = true};
    call_all(c, ARRAY_LEN(c));
    assert_int_equal(w.dials, 2); /* one new one for all of them */
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        assert_int_equal(id_of(&c[i].l), 2);
        origins_put(p, &c[i].l, true);
    }
    origins_put(p, &old, true);
    origins_free(p);
    return 0;
}

ON_LOOP(a_fresh_link_is_none_that_was_there)

/* ---- memory ---- */

static int versions_are_remembered_within_a_ceiling(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){.keys_max = 2});
    struct way w = {.version = HTTP_2}, none = {.fails = -ENOENT};
    struct origin_key k = key_of("one");
    struct origin_lease l;
    enum http_version v;
    for (uint16_t port = 1; port <= 3; port++) {
        k.port = port;
        w.version = port == 2 ? HTTP_1_1 : HTTP_2;
        l = get(p, &k, &w);
        origins_put(p, &l, false);
    }
    k.port = 1;
    assert_false(origins_version(p, &k, &v));
    k.port = 2;
    assert_true(origins_version(p, &k, &v));
    assert_int_equal(v, HTTP_1_1);
    k.port = 3;
    assert_true(origins_version(p, &k, &v));
    assert_int_equal(v, HTTP_2);
    /* What could not be dialled is not remembered. */
    k.port = 4;
    assert_int_equal(origins_get(p, &k, false, dial, &none, &l, NULL), -ENOENT);
    assert_false(origins_version(p, &k, &v));
    k.port = 2;
    assert_true(origins_version(p, &k, &v));
    origins_free(p);
    return 0;
}

ON_LOOP(versions_are_remembered_within_a_ceiling)

/* ---- a real link ---- */

static int dial_pair(void *arg, struct stream *ret, enum http_version *ret_version,
                     char ret_peer[ORIGIN_PEER_MAX], struct err *e)
{
    struct io_fd *peer = arg, io;
    (void)e;
    (void)ret_peer;
    tcp_pair(&io, peer, 0);
    *ret_version = HTTP_1_1;
    return stream_from_fd(ret, io_fd_release(&io));
}

static int an_origin_that_closes_an_idle_link_is_noticed(void *arg)
{
    (void)arg;
    struct origins *p = pool_of((struct origins_options){0});
    struct origin_key k = key_of("one");
    struct origin_lease l;
    AUTO(io_fd) peer, next;
    real = true;
    assert_int_equal(origins_get(p, &k, false, dial_pair, &peer, &l, NULL), 0);
    origins_put(p, &l, true);
    assert_int_equal(origins_get(p, &k, false, dial_pair, &next, &l, NULL), 0);
    assert_true(l.reused);
    origins_put(p, &l, true);
    io_fd_close(&peer);
    assert_int_equal(fiber_sleep_ms(5), 0);
    assert_int_equal(origins_get(p, &k, false, dial_pair, &next, &l, NULL), 0);
    assert_false(l.reused);
    origins_put(p, &l, true);
    origins_free(p);
    return 0;
}

ON_LOOP(an_origin_that_closes_an_idle_link_is_noticed)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_link_is_used_again_under_its_key),
        CASE(any_other_part_of_the_key_makes_another_link),
        CASE(a_key_that_is_too_long_is_refused),
        CASE(what_has_ended_is_not_used_again),
        CASE(idle_links_have_ceilings),
        CASE(idle_links_go_after_a_while),
        CASE(a_binding_takes_its_links_with_it),
        CASE(a_link_closed_while_it_is_dialled_is_used_once),
        CASE(http_2_is_shared_and_its_dial_waited_for),
        CASE(who_waited_for_a_dial_that_failed_dials),
        CASE(a_caller_who_is_cancelled_leaves_nothing_behind),
        CASE(a_fresh_link_is_none_that_was_there),
        CASE(versions_are_remembered_within_a_ceiling),
        CASE(an_origin_that_closes_an_idle_link_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

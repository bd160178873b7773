/* hub: who gets which frame, in which order, and who has to read the log instead. Frames are looked
 * at in the writers' queues; nothing is written to a connection. */
#include "session/hub.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"

#include "unit/unit.h"

#include <stdio.h>
#include <string.h>

struct reader {
    struct sse_writer w;
    struct hub_subscriber s;
};

/* A reader that has everything before place `next`. */
static void reader_at(struct reader *r, int64_t next)
{
    sse_writer_init(&r->w, NULL, LIMIT_SSE_QUEUE_BYTES);
    hub_subscriber_init(&r->s, &r->w);
    assert_true(r->w.behind); /* until somebody says where it is */
    if (next)
        assert_false(hub_reached(&r->s, next));
}

static void reader_done(struct hub *h, struct reader *r)
{
    hub_unsubscribe(h, "sesn_1", &r->s);
    sse_writer_done(&r->w);
}

/* The number of frames that wait for the reader. */
static size_t waiting(const struct reader *r)
{
    size_t n = 0;
    for (const struct list *p = r->w.queue.next; p != &r->w.queue; p = p->next)
        n++;
    return n;
}

static void sized_event(struct hub *h, int64_t place, size_t bytes)
{
    AUTO_JSON json_t *j = json_object();
    char id[32];
    snprintf(id, sizeof(id), "sevt_%d", (int)place);
    json_put_str(j, "id", id);
    json_put_str(j, "type", "agent.message");
    json_put_str(j, "processed_at", "2026-01-01T00:00:00.000000Z");
    AUTO_FREE char *text = mem_zalloc(bytes + 1);
    memset(text, 'x', bytes);
    json_put_str(j, "text", text);
    hub_event(h, "sesn_1", place, j);
}

static void event(struct hub *h, int64_t place)
{
    sized_event(h, place, 0);
}

static void only_subscribers_of_the_session_get_an_event(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader a, b, other;
    reader_at(&a, 2);
    reader_at(&b, 3);
    reader_at(&other, 2);
    event(h, 1); /* nobody listens */
    hub_subscribe(h, "sesn_1", &a.s);
    hub_subscribe(h, "sesn_2", &other.s);
    event(h, 2);
    hub_subscribe(h, "sesn_1", &b.s);
    event(h, 3);
    assert_int_equal(waiting(&a), 2);
    assert_int_equal(waiting(&b), 1);
    assert_int_equal(waiting(&other), 0);
    reader_done(h, &a);
    event(h, 4);
    assert_int_equal(waiting(&b), 2);
    reader_done(h, &b);
    hub_unsubscribe(h, "sesn_2", &other.s);
    sse_writer_done(&other.w);
    hub_free(h);
}

static void a_resuming_reader_gets_nothing_twice(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader r;
    reader_at(&r, 0);
    hub_subscribe(h, "sesn_1", &r.s);
    event(h, 1);
    event(h, 2);
    event(h, 3); /* committed after the log was read up to 2 */
    assert_int_equal(waiting(&r), 0);
    assert_true(hub_reached(&r.s, 3)); /* so it reads on */
    assert_false(hub_reached(&r.s, 4));
    event(h, 3); /* published late: it has that one */
    assert_int_equal(waiting(&r), 0);
    event(h, 4);
    assert_int_equal(waiting(&r), 1);
    event(h, 6); /* 5 is not published yet: the log has both, in order */
    event(h, 5);
    assert_true(r.w.behind);
    assert_int_equal(waiting(&r), 1);
    assert_false(hub_reached(&r.s, 7));
    event(h, 7);
    assert_int_equal(waiting(&r), 2);
    reader_done(h, &r);
    hub_free(h);
}

/* Whatever does not fit is left out and read from the log; nobody is cut off. */
static void who_has_no_room_falls_behind_and_comes_back(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader slow, quick;
    reader_at(&slow, 1);
    reader_at(&quick, 1);
    slow.w.max_bytes = 2000;
    hub_subscribe(h, "sesn_1", &slow.s);
    hub_subscribe(h, "sesn_1", &quick.s);
    for (int i = 1; i <= 5; i++)
        sized_event(h, i, 800);
    assert_int_equal(waiting(&slow), 2);
    assert_true(slow.w.behind && !slow.w.ended);
    assert_int_equal(slow.s.next, 3); /* where its own reading begins */
    assert_int_equal(waiting(&quick), 5);
    assert_false(quick.w.behind);
    event(h, 6);
    assert_true(hub_reached(&slow.s, 6));
    assert_false(hub_reached(&slow.s, 7));
    slow.w.max_bytes = LIMIT_SSE_QUEUE_BYTES;
    event(h, 7);
    assert_int_equal(waiting(&slow), 3);
    reader_done(h, &slow);
    reader_done(h, &quick);
    hub_free(h);
}

static void a_budget_that_is_used_up_leaves_readers_behind(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct budget all = {.max = 3000};
    struct reader r[3];
    for (int i = 0; i < 3; i++) {
        reader_at(&r[i], 1);
        r[i].w.share.of = &all;
        hub_subscribe(h, "sesn_1", &r[i].s);
    }
    sized_event(h, 1, 1000); /* two of the three have room for it */
    assert_false(r[0].w.behind || r[1].w.behind);
    assert_true(r[2].w.behind);
    assert_true(all.used > 2000 && all.used <= all.max);
    for (int i = 0; i < 3; i++)
        reader_done(h, &r[i]);
    assert_int_equal(all.used, 0);
    hub_free(h);
}

static void large_events_and_large_commits_are_read_from_the_log(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader r;
    reader_at(&r, 1);
    hub_subscribe(h, "sesn_1", &r.s);
    AUTO_JSON json_t *name = json_object();
    json_put_str(name, "id", "sevt_1");
    json_put_str(name, "type", "user.message");
    hub_event(h, "sesn_1", 1, name);
    assert_true(r.w.behind);
    assert_int_equal(waiting(&r), 0);
    assert_false(hub_reached(&r.s, 2));
    hub_skip(h, "sesn_1", 500);
    assert_true(r.w.behind);
    assert_true(hub_reached(&r.s, 500));
    assert_false(hub_reached(&r.s, 501));
    reader_done(h, &r);
    hub_free(h);
}

static void an_end_waits_for_who_is_behind(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader r;
    reader_at(&r, 0);
    hub_subscribe(h, "sesn_1", &r.s);
    event(h, 1);
    AUTO_JSON json_t *deleted = json_object();
    json_put_str(deleted, "id", "sevt_2");
    json_put_str(deleted, "type", "session.deleted");
    json_put_str(deleted, "processed_at", "2026-01-01T00:00:00.000000Z");
    hub_event(h, "sesn_1", 0, deleted);
    hub_end(h, "sesn_1");
    assert_true(r.w.ended && r.w.behind);
    assert_int_equal(waiting(&r), 1); /* the last word reaches everybody */
    reader_done(h, &r);
    hub_free(h);
}

static void deltas_go_only_to_who_asked(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader all, none, late;
    reader_at(&all, 1);
    reader_at(&none, 1);
    reader_at(&late, 1);
    all.s.delta_message = late.s.delta_message = true;
    hub_subscribe(h, "sesn_1", &all.s);
    hub_subscribe(h, "sesn_1", &none.s);
    hub_event_start(h, "sesn_1", "sevt_1", "agent.message");
    hub_event_start(h, "sesn_1", "sevt_1", "agent.message"); /* one per id */
    assert_int_equal(waiting(&all), 1);
    hub_event_start(h, "sesn_1", "sevt_0", "agent.thinking"); /* not asked for */
    assert_int_equal(waiting(&all), 1);
    hub_subscribe(h, "sesn_1", &late.s);
    hub_event_delta(h, "sesn_1", "sevt_1", 0, "he", 2);
    hub_event_delta(h, "sesn_1", "sevt_0", 0, "no", 2);
    hub_event_delta(h, "sesn_1", "sevt_1", 0, "", 0);
    assert_int_equal(waiting(&all), 2);
    assert_int_equal(waiting(&none), 0);
    assert_int_equal(waiting(&late), 0); /* came in the middle */
    event(h, 1);
    hub_event_delta(h, "sesn_1", "sevt_1", 0, "late", 4); /* the event is out: no more of it */
    assert_int_equal(waiting(&all), 3);
    assert_int_equal(waiting(&late), 1);
    reader_done(h, &all);
    reader_done(h, &none);
    reader_done(h, &late);
    hub_free(h);
}

static void deltas_have_no_holes(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader r;
    reader_at(&r, 1);
    r.s.delta_message = true;
    r.w.max_bytes = 400;
    hub_subscribe(h, "sesn_1", &r.s);
    hub_event_start(h, "sesn_1", "sevt_1", "agent.message");
    AUTO_FREE char *text = mem_zalloc(401);
    memset(text, 'x', 400);
    hub_event_delta(h, "sesn_1", "sevt_1", 0, "he", 2);
    hub_event_delta(h, "sesn_1", "sevt_1", 0, text, 400); /* no room */
    hub_event_delta(h, "sesn_1", "sevt_1", 0, "y", 1);
    assert_int_equal(waiting(&r), 2);
    assert_false(r.w.behind); /* deltas are in no log */
    event(h, 1);
    assert_int_equal(waiting(&r), r.w.behind ? 2 : 3);
    /* Who is behind is shown no beginnings. */
    hub_skip(h, "sesn_1", 2);
    hub_event_start(h, "sesn_1", "sevt_3", "agent.message");
    hub_event_delta(h, "sesn_1", "sevt_3", 0, "z", 1);
    assert_true(r.s.started.n == 0);
    reader_done(h, &r);
    hub_free(h);
}

static void ending_all_includes_who_comes_later(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader a, b, behind;
    reader_at(&a, 1);
    reader_at(&b, 1);
    reader_at(&behind, 0);
    hub_subscribe(h, "sesn_1", &a.s);
    hub_subscribe(h, "sesn_1", &behind.s);
    hub_end_all(h);
    assert_true(a.w.ended);
    assert_true(behind.w.ended && !behind.w.behind); /* it can resume */
    hub_subscribe(h, "sesn_1", &b.s);                /* opened while the server stops */
    assert_true(b.w.ended);
    event(h, 1);
    assert_false(a.w.behind);
    reader_done(h, &a);
    reader_done(h, &b);
    reader_done(h, &behind);
    hub_free(h);
}

static void bells_nobody_waits_for_are_swept(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    for (int i = 0; i < 2000; i++) {
        char id[32];
        snprintf(id, sizeof(id), "env_%d", i);
        assert_true(waitq_empty(hub_work_queue(h, id)));
        hub_work_ready(h, id);
    }
    assert_ptr_equal(hub_work_queue(h, "env_1999"), hub_work_queue(h, "env_1999"));
    hub_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_subscribers_of_the_session_get_an_event),
        cmocka_unit_test(a_resuming_reader_gets_nothing_twice),
        cmocka_unit_test(who_has_no_room_falls_behind_and_comes_back),
        cmocka_unit_test(a_budget_that_is_used_up_leaves_readers_behind),
        cmocka_unit_test(large_events_and_large_commits_are_read_from_the_log),
        cmocka_unit_test(an_end_waits_for_who_is_behind),
        cmocka_unit_test(deltas_have_no_holes),
        cmocka_unit_test(deltas_go_only_to_who_asked),
        cmocka_unit_test(ending_all_includes_who_comes_later),
        cmocka_unit_test(bells_nobody_waits_for_are_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

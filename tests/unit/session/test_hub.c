/* hub: who gets which frame, in which order, and what a resuming reader is spared. Frames are
 * looked at in the writers' queues; nothing is written to a connection. */
#include "session/hub.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"

#include "unit/unit.h"

#include <string.h>

struct reader {
    struct sse_writer w;
    struct hub_subscriber s;
};

static void reader_init(struct reader *r)
{
    sse_writer_init(&r->w, NULL, LIMIT_SSE_QUEUE_BYTES);
    hub_subscriber_init(&r->s, &r->w);
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

static void event(struct hub *h, const char *id, const char *stamp)
{
    AUTO_JSON json_t *j = json_object();
    json_put_str(j, "id", id);
    json_put_str(j, "type", "agent.message");
    json_put_str(j, "processed_at", stamp);
    hub_event(h, "sesn_1", j);
}

static void only_subscribers_of_the_session_get_an_event(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader a, b, other;
    reader_init(&a);
    reader_init(&b);
    reader_init(&other);
    event(h, "sevt_0", "2026-01-01T00:00:00.000000Z"); /* nobody listens */
    hub_subscribe(h, "sesn_1", &a.s);
    hub_subscribe(h, "sesn_2", &other.s);
    event(h, "sevt_1", "2026-01-01T00:00:00.000001Z");
    hub_subscribe(h, "sesn_1", &b.s);
    event(h, "sevt_2", "2026-01-01T00:00:00.000002Z");
    assert_int_equal(waiting(&a), 2);
    assert_int_equal(waiting(&b), 1);
    assert_int_equal(waiting(&other), 0);
    reader_done(h, &a);
    event(h, "sevt_3", "2026-01-01T00:00:00.000003Z");
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
    reader_init(&r);
    r.s.held = true;
    hub_subscribe(h, "sesn_1", &r.s);
    event(h, "sevt_1", "2026-01-01T00:00:00.000001Z"); /* also in the log that was read */
    event(h, "sevt_2", "2026-01-01T00:00:00.000002Z"); /* likewise, the last */
    event(h, "sevt_4", "2026-01-01T00:00:00.000004Z"); /* committed after the read */
    assert_int_equal(waiting(&r), 0);
    hub_release(&r.s, "2026-01-01T00:00:00.000002Z");
    assert_int_equal(waiting(&r), 1);
    event(h, "sevt_2", "2026-01-01T00:00:00.000002Z"); /* published late: it has that one */
    assert_int_equal(waiting(&r), 1);
    event(h, "sevt_5", "2026-01-01T00:00:00.000005Z");
    assert_int_equal(waiting(&r), 2);
    reader_done(h, &r);
    hub_free(h);
}

static void an_end_waits_for_a_held_reader(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader r;
    reader_init(&r);
    r.s.held = true;
    hub_subscribe(h, "sesn_1", &r.s);
    event(h, "sevt_1", "2026-01-01T00:00:00.000001Z");
    hub_end(h, "sesn_1");
    assert_false(r.w.ended);
    hub_release(&r.s, "");
    assert_int_equal(waiting(&r), 1); /* what came before the end is given */
    assert_true(r.w.ended);
    reader_done(h, &r);
    hub_free(h);
}

static void what_is_held_has_a_ceiling(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader r;
    reader_init(&r);
    r.s.held = true;
    hub_subscribe(h, "sesn_1", &r.s);
    AUTO_JSON json_t *j = json_object();
    AUTO_FREE char *big = mem_zalloc(LIMIT_SSE_QUEUE_BYTES / 2);
    memset(big, 'x', LIMIT_SSE_QUEUE_BYTES / 2 - 1);
    json_put_str(j, "id", "sevt_1");
    json_put_str(j, "type", "agent.message");
    json_put_str(j, "processed_at", "2026-01-01T00:00:00.000001Z");
    json_put_str(j, "text", big);
    hub_event(h, "sesn_1", j);
    assert_false(r.s.end_held);
    hub_event(h, "sesn_1", j);
    assert_true(r.s.end_held);
    assert_int_equal(r.s.held_bytes, 0);
    hub_release(&r.s, "");
    assert_true(r.w.ended);
    assert_int_equal(waiting(&r), 0);
    reader_done(h, &r);
    hub_free(h);
}

static void deltas_go_only_to_who_asked(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader all, none, late;
    reader_init(&all);
    reader_init(&none);
    reader_init(&late);
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
    event(h, "sevt_1", "2026-01-01T00:00:00.000001Z");
    hub_event_delta(h, "sesn_1", "sevt_1", 0, "late", 4); /* the event is out: no more of it */
    assert_int_equal(waiting(&all), 3);
    assert_int_equal(waiting(&late), 1);
    reader_done(h, &all);
    reader_done(h, &none);
    reader_done(h, &late);
    hub_free(h);
}

static void ending_all_includes_who_comes_later(void **state)
{
    (void)state;
    struct hub *h = hub_new();
    struct reader a, b;
    reader_init(&a);
    reader_init(&b);
    hub_subscribe(h, "sesn_1", &a.s);
    hub_end_all(h);
    assert_true(a.w.ended);
    hub_subscribe(h, "sesn_1", &b.s); /* opened while the server stops */
    assert_true(b.w.ended);
    reader_done(h, &a);
    reader_done(h, &b);
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
        cmocka_unit_test(an_end_waits_for_a_held_reader),
        cmocka_unit_test(what_is_held_has_a_ceiling),
        cmocka_unit_test(deltas_go_only_to_who_asked),
        cmocka_unit_test(ending_all_includes_who_comes_later),
        cmocka_unit_test(bells_nobody_waits_for_are_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

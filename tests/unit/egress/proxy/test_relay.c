/* A connection that is passed through, while its policy changes and its sandbox goes on. Dialling
 * (upstream_dial comes through here) gives one end of a pair. */
#include "unit/egress/proxy/harness.h"

#include <unistd.h>

#include "base/str.h"
#include "egress/proxy/world.h"
#include "io/sock.h"
#include "io/stream.h"

static struct {
    struct harness h; /* its audit log, and its loop */
    struct world w;
    struct sandbox sb;
    struct policy *policy;
    struct stream inside;
    int client, origin; /* the far ends */
    bool over;
    void (*while_dialling)(void);
} t;

int __wrap_upstream_dial(struct world *w, const struct policy *p, const struct policy_decision *d,
                         const struct host *h, uint16_t port, int *ret_fd, struct dial_info *info,
                         struct err *e);
int __wrap_upstream_dial(struct world *w, const struct policy *p, const struct policy_decision *d,
                         const struct host *h, uint16_t port, int *ret_fd, struct dial_info *info,
                         struct err *e)
{
    (void)w;
    (void)p;
    (void)d;
    (void)h;
    (void)port;
    (void)e;
    if (t.while_dialling)
        t.while_dialling();
    int fds[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fds), 0);
    t.origin = fds[0];
    *ret_fd = fds[1];
    *info = (struct dial_info){.has_address = true};
    assert_int_equal(address_parse("10.1.2.3", 8, &info->address, NULL), 0);
    return 0;
}

static void set_policy(const char *yaml)
{
    struct policy *p = load(yaml);
    (void)exchange_set_policy(&t.sb.x, p);
    relays_check(&t.sb, p);
    policy_unref(p);
}

static int relay(void *arg)
{
    (void)arg;
    const struct front_claim c = {.host = &t.h.host, .port = 5432, .transport = POLICY_PLAIN};
    const struct policy_query q = {.host = c.host, .port = c.port, .transport = c.transport};
    struct policy_decision d;
    policy_decide(t.policy, &q, &d);
    assert_int_equal(d.verdict, POLICY_ALLOW);
    relay_run(&t.sb, &c, &d, t.policy, &t.inside);
    stream_done(&t.inside);
    t.over = true;
    waitq_wake_all(&t.h.logged);
    return 0;
}

#define OPEN   "allow:\n  - {host: api.example, port: 5432, addresses: [10.0.0.0/8]}\n"
#define CLOSED "allow:\n  - {host: api.example, port: 5432}\n"

static void start(void)
{
    harness_start(&t.h, OPEN, HTTP_1_1);
    t.over = false;
    t.w = (struct world){.audit = t.h.audit,
                         .splices = splice_pool_new(NULL),
                         .values = values_new(NULL, VALUES_USED)};
    t.w.redact =
        redact_new(NULL, t.w.values); /* its policies have no secrets that would be asked for */
    t.sb = (struct sandbox){.w = &t.w, .id = "sbx_1", .session = "sesn_test", .call = "toolu_1"};
    t.policy = load(OPEN);
    list_init(&t.sb.relays);
    exchange_sandbox_init(&t.sb.x, t.sb.id, t.policy);
    int fds[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fds), 0);
    t.client = fds[0];
    assert_int_equal(stream_from_fd(&t.inside, fds[1]), 0);
    assert_int_equal(fiber_spawn(&t.h.scope, "relay", relay, NULL, NULL), 0);
}

static void join(void)
{
    struct fiber_deadline d = fiber_deadline_push_ms(10000);
    while (!t.over)
        assert_int_equal(waitq_wait(&t.h.logged), 0);
    fiber_deadline_pop(&d);
}

static void end(void)
{
    close(t.client);
    close(t.origin);
    splice_pool_free(t.w.splices);
    redact_free(t.w.redact);
    values_free(t.w.values);
    exchange_sandbox_done(&t.sb.x);
    policy_unref(t.policy);
    harness_ask(&t.h, "GET / other.example"); /* the harness ends with an exchange */
    harness_end(&t.h);
}

static void narrow(void)
{
    set_policy(CLOSED);
}

static void widen(void)
{
    set_policy(OPEN "  - {host: plain.example}\n");
}

static int a_narrower_policy_cuts_it_off_open_or_dialled(void *arg)
{
    (void)arg;
    for (int dialled = 0; dialled < 2; dialled++) {
        t.while_dialling = dialled ? narrow : widen;
        start();
        if (!dialled) {
            assert_int_equal(fiber_sleep_ms(10), 0);
            assert_false(t.over);
            narrow();
        }
        join();
        harness_await_log(&t.h, "verdict=deny reason=policy_changed");
        assert_true(harness_logged(&t.h, "peer=10.1.2.3"));
        end();
    }
    return 0;
}
ON_LOOP(a_narrower_policy_cuts_it_off_open_or_dialled)

static void give_and_take(void)
{
    struct policy *p =
        load(OPEN "credentials:\n- {name: A, source: {file: /a}, hosts: [api.example], "
                  "inject: {header: [authorization]}}\n");
    former_add(&t.w.former, p); /* as process.c does when the next one comes */
    policy_unref(p);
    set_policy(OPEN "  - {host: plain.example}\n");
}

static int a_policy_with_a_credential_that_came_and_went_cuts_it_off(void *arg)
{
    (void)arg;
    t.while_dialling = give_and_take;
    start();
    assert_int_equal(fiber_sleep_ms(10), 0);
    assert_int_equal(shutdown(t.client, SHUT_WR), 0);
    assert_int_equal(shutdown(t.origin, SHUT_WR), 0);
    join();
    harness_await_log(&t.h, "peer=10.1.2.3");
    assert_true(harness_logged(&t.h, "verdict=deny reason=policy_changed"));
    former_done(&t.w.former);
    end();
    return 0;
}
ON_LOOP(a_policy_with_a_credential_that_came_and_went_cuts_it_off)

static int the_record_names_the_call_in_which_it_began(void *arg)
{
    (void)arg;
    t.while_dialling = NULL;
    start();
    assert_int_equal(fiber_sleep_ms(10), 0);
    str_copy(t.sb.call, sizeof(t.sb.call), "toolu_2");
    assert_int_equal(shutdown(t.client, SHUT_WR), 0);
    assert_int_equal(shutdown(t.origin, SHUT_WR), 0);
    join();
    harness_await_log(&t.h, "peer=10.1.2.3");
    assert_true(harness_logged(&t.h, "toolu_1"));
    assert_false(harness_logged(&t.h, "toolu_2"));
    end();
    return 0;
}
ON_LOOP(the_record_names_the_call_in_which_it_began)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(a_narrower_policy_cuts_it_off_open_or_dialled),
        CASE(a_policy_with_a_credential_that_came_and_went_cuts_it_off),
        CASE(the_record_names_the_call_in_which_it_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

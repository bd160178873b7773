/* The state machine of a work item: every transition of api.md section 4, and every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "platform/work/work_rules.h"
#include "session/refusal.h"

#define WALL  1800000000000000LL
#define LEASE 1700000000000000LL

static const struct work_time now = {.wall_us = WALL, .lease_us = LEASE};

/* An item in `state`, as it would be after the calls that lead there. */
static struct work_item item(const char *state)
{
    struct work_item w = {.id = "work_1",
                          .environment_id = "env_1",
                          .session_id = "sesn_1",
                          .ttl_seconds = 90,
                          .created_at = WALL - 5000000,
                          .queued_at = WALL - 5000000};
    snprintf(w.state, sizeof(w.state), "%s", state);
    bool claimed = strcmp(state, "queued") != 0;
    if (!strcmp(state, "claimed")) {
        strcpy(w.state, "queued");
    }
    if (claimed)
        w.claimed_at = LEASE - 4000000;
    if (claimed && strcmp(state, "claimed") != 0) {
        w.acknowledged_at = WALL - 3000000;
        w.lease_expires_at = LEASE + 1000000;
    }
    if (!strcmp(state, "active") || !strcmp(state, "stopping") || !strcmp(state, "stopped")) {
        w.started_at = w.heartbeat_at = WALL - 2000000;
        strcpy(w.last_heartbeat, "2027-01-15T07:59:58.000000Z");
    }
    if (!strcmp(state, "stopping") || !strcmp(state, "stopped"))
        w.stop_requested_at = WALL - 1000000;
    if (!strcmp(state, "stopped")) {
        w.stopped_at = WALL - 500000;
        w.lease_expires_at = 0;
    }
    return w;
}

/* A beat with the environment key, for the first time. */
static int beat(struct work_item *w, const struct work_time *t, const char *expected,
                int64_t ttl_seconds, bool *ret_extended, struct refusal *r)
{
    struct work_beat b = {.expected = expected, .ttl_seconds = ttl_seconds};
    return work_rule_heartbeat(w, t, &b, ret_extended, r);
}

static void only_claimed_work_is_acknowledged(void **state)
{
    (void)state;
    const struct {
        const char *from, *to;
        int status;
    } t[] = {{"queued", "queued", 409}, {"claimed", "starting", 0},    {"starting", "starting", 0},
             {"active", "active", 409}, {"stopping", "stopping", 409}, {"stopped", "stopped", 409}};
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct work_item w = item(t[i].from), before = w;
        struct refusal r = {0};
        assert_int_equal(work_rule_ack(&w, &now, &r), t[i].status ? -E_DENIED : 0);
        assert_int_equal(r.status, t[i].status);
        assert_string_equal(w.state, t[i].to);
        if (t[i].status || !strcmp(t[i].from, "starting"))
            assert_memory_equal(&w, &before, sizeof(w));
    }
    struct work_item w = item("claimed");
    struct refusal r = {0};
    assert_int_equal(work_rule_ack(&w, &now, &r), 0);
    assert_true(w.acknowledged_at == WALL);
    /* Runs from the ack: the worker may die before it beats. */
    assert_true(w.lease_expires_at == LEASE + 90 * 1000000LL);
}

static void a_heartbeat_needs_the_last_stamp(void **state)
{
    (void)state;
    const char *stored = "2027-01-15T07:59:58.000000Z";
    const struct {
        const char *from, *expected;
        int status;
        bool extended;
        const char *to;
    } t[] = {
        {"starting", "NO_HEARTBEAT", 0, true, "active"},
        {"starting", NULL, 0, true, "active"},
        {"starting", stored, 412, false, "starting"},
        {"active", stored, 0, true, "active"},
        {"active", NULL, 0, true, "active"},
        {"active", "NO_HEARTBEAT", 412, false, "active"},
        /* the same instant, other bytes */
        {"active", "2027-01-15T07:59:58Z", 412, false, "active"},
        {"active", "", 412, false, "active"},
        {"stopping", "anything", 0, false, "stopping"},
        {"stopped", "anything", 0, false, "stopped"},
        {"queued", "NO_HEARTBEAT", 400, false, "queued"},
        {"claimed", NULL, 400, false, "queued"},
        /* lost its lease: it must hear that, not "acknowledge first" */
        {"queued", stored, 412, false, "queued"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct work_item w = item(t[i].from), before = w;
        struct refusal r = {0};
        bool extended = true;
        assert_int_equal(beat(&w, &now, t[i].expected, 0, &extended, &r),
                         t[i].status ? -E_DENIED : 0);
        assert_int_equal(r.status, t[i].status);
        assert_int_equal(extended, t[i].extended);
        assert_string_equal(w.state, t[i].to);
        if (!t[i].extended)
            assert_memory_equal(&w, &before, sizeof(w));
        else
            assert_true(w.lease_expires_at == LEASE + 90 * 1000000LL && w.heartbeat_at == WALL &&
                        w.started_at != 0);
        json_decref(r.details);
    }
}

static void heartbeats_always_differ(void **state)
{
    (void)state;
    struct work_item w = item("starting");
    struct work_time back = now;
    struct refusal r = {0};
    bool extended;
    char last[40] = "";
    for (int i = 0; i < 5; i++) { /* the clock stands still, then goes back an hour */
        if (i == 3)
            back.wall_us -= 3600 * 1000000LL;
        char expected[40];
        strcpy(expected, last[0] ? last : "NO_HEARTBEAT");
        assert_int_equal(beat(&w, &back, expected, i == 0 ? 7 : 0, &extended, &r), 0);
        assert_true(strcmp(w.last_heartbeat, last) > 0);
        strcpy(last, w.last_heartbeat);
        assert_int_equal(w.ttl_seconds, 7); /* stays what was asked for */
        assert_true(w.lease_expires_at == LEASE + 7 * 1000000LL);
    }
}

/* The answer to a beat was lost: the same claim says it once more, and is given the present stamp.
 * Everybody else is refused as before. */
static void a_beat_repeated_by_the_same_claim_is_answered_again(void **state)
{
    (void)state;
    struct work_item w = item("starting");
    struct work_time t = now;
    struct refusal r = {0};
    bool extended;
    struct work_beat first = {.expected = "NO_HEARTBEAT", .by_token = true};
    assert_int_equal(work_rule_heartbeat(&w, &t, &first, &extended, &r), 0);
    char s1[40], s2[40];
    strcpy(s1, w.last_heartbeat);
    /* NO_HEARTBEAT is anybody's: only who says that he repeats himself is believed. */
    assert_int_equal(work_rule_heartbeat(&w, &t, &first, &extended, &r), -E_DENIED);
    json_decref(r.details);
    first.again = true;
    assert_int_equal(work_rule_heartbeat(&w, &t, &first, &extended, &r), 0);
    assert_true(extended);
    assert_string_equal(w.last_heartbeat, s1);

    t.wall_us += 30 * 1000000LL;
    t.lease_us += 30 * 1000000LL;
    struct work_beat second = {.expected = s1, .by_token = true};
    assert_int_equal(work_rule_heartbeat(&w, &t, &second, &extended, &r), 0);
    strcpy(s2, w.last_heartbeat);
    assert_true(strcmp(s1, s2) < 0);
    t.lease_us += 3 * 1000000LL;
    assert_int_equal(work_rule_heartbeat(&w, &t, &second, &extended, &r), 0);
    assert_true(extended && w.lease_expires_at == t.lease_us + 90 * 1000000LL);
    assert_string_equal(w.last_heartbeat, s2);

    const struct {
        const char *expected;
        bool by_token, again;
    } not [] = {{s1, false, true},            /* not with the token of this claim */
                {"NO_HEARTBEAT", true, true}, /* two beats ago */
                {"2027-01-15T07:59:58Z", true, true}};
    for (size_t i = 0; i < ARRAY_LEN(not ); i++) {
        struct work_beat b = {
            .expected = not [i].expected, .by_token = not [i].by_token, .again = not [i].again};
        r = (struct refusal){0};
        assert_int_equal(work_rule_heartbeat(&w, &t, &b, &extended, &r), -E_DENIED);
        assert_int_equal(r.status, 412);
        json_decref(r.details);
    }
    /* One more beat, and the one before the last is nobody's any more. */
    struct work_beat third = {.expected = s2, .by_token = true};
    assert_int_equal(work_rule_heartbeat(&w, &t, &third, &extended, &r), 0);
    assert_int_equal(work_rule_heartbeat(&w, &t, &second, &extended, &r), -E_DENIED);
    json_decref(r.details);
}

/* The first answer was lost in a way the client does not call a repetition: it takes the lease when
 * nobody who has the stamp has used it. Whoever comes with that stamp afterwards has lost. */
static void a_first_stamp_that_nobody_uses_is_replaced(void **state)
{
    (void)state;
    struct work_item w = item("starting");
    struct work_time t = now;
    struct refusal r = {0};
    bool extended;
    struct work_beat first = {.expected = "NO_HEARTBEAT", .by_token = true};
    assert_int_equal(work_rule_heartbeat(&w, &t, &first, &extended, &r), 0);
    char s1[40];
    strcpy(s1, w.last_heartbeat);
    t.lease_us += 45 * 1000000LL;
    assert_int_equal(work_rule_heartbeat(&w, &t, &first, &extended, &r), -E_DENIED);
    json_decref(r.details);
    t.lease_us += 1;
    assert_int_equal(work_rule_heartbeat(&w, &t, &first, &extended, &r), 0);
    assert_true(extended && strcmp(w.last_heartbeat, s1) > 0);
    struct work_beat old = {.expected = s1, .by_token = true};
    assert_int_equal(work_rule_heartbeat(&w, &t, &old, &extended, &r), -E_DENIED);
    json_decref(r.details);
}

static void what_is_taken_back_ends_at_once_where_the_token_is_all(void **state)
{
    (void)state;
    struct work_item w = item("active");
    w.holder = WORK_HOLDER_TOKEN;
    work_rule_take_back(&w, &now);
    assert_string_equal(w.state, "stopped");
    assert_true(w.stopped_at == WALL && w.lease_expires_at == 0);
    assert_false(w.drop_token); /* so that the worker hears of it */
    w = item("active");         /* the environment key: it could go on reading and answering */
    work_rule_take_back(&w, &now);
    assert_string_equal(w.state, "stopping");
    assert_true(w.lease_expires_at == LEASE + 1000000);
}

static void a_refused_heartbeat_tells_the_state(void **state)
{
    (void)state;
    struct work_item w = item("active");
    struct refusal r = {0};
    bool extended;
    assert_int_equal(beat(&w, &now, "NO_HEARTBEAT", 0, &extended, &r), -E_DENIED);
    assert_string_equal(r.message, "Heartbeat precondition failed: expected NO_HEARTBEAT, actual "
                                   "was 2027-01-15T07:59:58.000000Z");
    assert_string_equal(r.type, "invalid_request_error");
    assert_string_equal(json_get_str(r.details, "error_code"), "heartbeat_precondition_failed");
    const json_t *s = json_object_get(r.details, "current_state");
    assert_string_equal(json_get_str(s, "state"), "active");
    assert_string_equal(json_get_str(s, "last_heartbeat"), "2027-01-15T07:59:58.000000Z");
    assert_true(json_is_false(json_object_get(s, "lease_extended")));
    assert_int_equal(json_get_int(s, "ttl_seconds", 0), 90);
    json_decref(r.details);
}

static void a_stop_moves_each_state_on(void **state)
{
    (void)state;
    const struct {
        const char *from;
        bool force;
        const char *to;
    } t[] = {
        {"queued", false, "stopped"},  {"queued", true, "stopped"},
        {"claimed", false, "stopped"}, {"starting", false, "stopping"},
        {"starting", true, "stopped"}, {"active", false, "stopping"},
        {"active", true, "stopped"},   {"stopping", false, "stopping"},
        {"stopping", true, "stopped"}, {"stopped", false, NULL},
        {"stopped", true, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct work_item w = item(t[i].from), before = w;
        struct refusal r = {0};
        assert_int_equal(work_rule_stop(&w, &now, t[i].force, &r), t[i].to ? 0 : -E_DENIED);
        if (!t[i].to) {
            assert_int_equal(r.status, 409);
            assert_memory_equal(&w, &before, sizeof(w));
            continue;
        }
        assert_string_equal(w.state, t[i].to);
        assert_true(w.stop_requested_at ==
                    (before.stop_requested_at ? before.stop_requested_at : WALL));
        bool ended = !strcmp(t[i].to, "stopped");
        assert_int_equal(w.drop_token, ended);
        assert_true(w.stopped_at == (ended ? WALL : 0));
        /* A stop request does not renew the lease, so it ends even when the worker is dead. */
        assert_true(w.lease_expires_at == (ended ? 0 : before.lease_expires_at));
    }
}

static void an_expired_item_is_queued_or_stopped(void **state)
{
    (void)state;
    const struct {
        const char *from, *to;
    } t[] = {{"starting", "queued"},
             {"active", "queued"},
             {"stopping", "stopped"},
             {"stopped", "stopped"}};
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct work_item w = item(t[i].from);
        bool again = work_rule_expire(&w, &now);
        assert_string_equal(w.state, t[i].to);
        assert_int_equal(again, !strcmp(t[i].to, "queued"));
        assert_true(w.drop_token && w.lease_expires_at == 0);
        if (again)
            assert_true(w.claimed_at == 0 && w.acknowledged_at == 0 && w.started_at == 0 &&
                        w.heartbeat_at == 0 && w.last_heartbeat[0] == '\0' && w.queued_at == WALL);
    }
}

static void held_back_longer_each_time(void **state)
{
    (void)state;
    const int64_t want[] = {0, 0, 2, 4, 8, 16, 32, 60, 60, 60};
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_int_equal(work_hold_back_s((int64_t)i), want[i]);
    assert_int_equal(work_hold_back_s(INT64_MAX), 60);
}

static void the_secret_decodes(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        char *secret = work_secret("sk-sp-req-abc", with ? "https://here.example" : NULL);
        AUTO(buf) text = BUF_INIT(4096);
        assert_int_equal(enc_base64url_decode(&text, secret, strlen(secret)), 0);
        AUTO_JSON json_t *o = NULL;
        assert_int_equal(json_parse(buf_str(&text), text.len, &o, NULL), 0);
        assert_string_equal(json_get_str(o, "sessions_token"), "sk-sp-req-abc");
        assert_int_equal(json_object_size(o), 1 + with);
        free(secret);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_claimed_work_is_acknowledged),
        cmocka_unit_test(a_heartbeat_needs_the_last_stamp),
        cmocka_unit_test(heartbeats_always_differ),
        cmocka_unit_test(a_beat_repeated_by_the_same_claim_is_answered_again),
        cmocka_unit_test(a_first_stamp_that_nobody_uses_is_replaced),
        cmocka_unit_test(what_is_taken_back_ends_at_once_where_the_token_is_all),
        cmocka_unit_test(a_refused_heartbeat_tells_the_state),
        cmocka_unit_test(a_stop_moves_each_state_on),
        cmocka_unit_test(an_expired_item_is_queued_or_stopped),
        cmocka_unit_test(held_back_longer_each_time),
        cmocka_unit_test(the_secret_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

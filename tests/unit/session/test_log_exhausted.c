/* What the session log says when memory runs out while it reads: never that what is stored is
 * damaged. */
#include "base/err.h"
#include "base/json.h"
#include "session/log.h"
#include "store/db.h"

#include "unit/exhaust.h"
#include "unit/store/scratch.h"

#define SESSION "sesn_01a"

static struct scratch dir;

static int make_tx(struct tx *tx, void *arg)
{
    (void)arg;
    AUTO(log_session) s = {0};
    static char text[100000]; /* json_parse asks for memory beforehand from 64 KiB on */
    memset(text, 'x', sizeof(text) - 1);
    AUTO_JSON json_t *body = json_object();
    json_put_str(body, "text", text);
    int r = tx_exec(tx,
                    "INSERT INTO sessions (id, thread_id, agent_id, agent_version, environment_id,"
                    " status, metadata, agent, usage, next_seq, last_stamp, active_us, wake,"
                    " created_at, updated_at) VALUES ($1, 'sthr_01a', 'agent_01a', 1, 'env_01a',"
                    " 'idle', '{}', '{}', '{}', 1, 0, 0, 0, 1, 1)",
                    "t", SESSION);
    if (r == 0)
        r = log_session_load_tx(tx, SESSION, &s);
    return r < 0 ? r : log_inbox_push_tx(tx, &s, "sevt_01a", "user.message", body);
}

/* Delivers, and has it undone. */
static int deliver_tx(struct tx *tx, void *arg)
{
    struct log_batch *b = arg;
    AUTO(log_session) s = {0};
    int r = log_session_load_tx(tx, SESSION, &s);
    if (r == 0)
        r = log_deliver_tx(tx, &s, b, false);
    return r < 0 ? r : -ECANCELED;
}

static void deliver(void)
{
    struct db *d = NULL;
    struct err e = {0};
    struct log_batch b = {0};
    if (db_open(dir.dir, &d, &e) < 0)
        return;
    int r = db_write(d, deliver_tx, &b);
    log_batch_done(&b);
    db_close(d);
    if (r == -E_CORRUPT)
        _exit(2); /* fails the try */
}

static void an_input_is_delivered_without_memory(void **state)
{
    (void)state;
    struct db *d = NULL;
    struct err e = {0};
    struct log_batch b = {0};
    scratch_init(&dir);
    assert_int_equal(db_open(dir.dir, &d, &e), 0);
    assert_int_equal(db_write(d, make_tx, NULL), 0);
    assert_int_equal(db_write(d, deliver_tx, &b), -ECANCELED);
    log_batch_done(&b);
    db_close(d);
    exhaust_each("delivery", deliver);
    scratch_done(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_input_is_delivered_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

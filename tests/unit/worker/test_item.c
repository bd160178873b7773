/* test_item.c - what the poll gave: ids and credentials of every shape. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "worker/item.h"

#include <string.h>

#define TEN      "0123456789"
#define LONG     TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define TOO_LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG

static void ids_that_cannot_be_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *work;
        int r;
        const char *session; /* NULL: none, so the item is stopped */
    } rows[] = {
        {"{\"id\":\"w\",\"data\":{\"type\":\"session\",\"id\":\"sesn_1\"}}", 0, "sesn_1"},
        {"{\"id\":\"" LONG "\",\"data\":{\"type\":\"session\",\"id\":\"" LONG "\"}}", 0, LONG},
        {"{\"id\":\"w:1@x.y~z\",\"data\":{\"type\":\"session\",\"id\":\"s,=+\"}}", 0, "s,=+"},
        {"{\"id\":\"w\",\"data\":{\"type\":\"session\",\"id\":\"" TOO_LONG "\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"type\":\"session\",\"id\":\"\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"type\":\"session\",\"id\":\"..\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"type\":\"session\",\"id\":\"a/b\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"type\":\"session\",\"id\":\"a%2Fb\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"type\":\"session\",\"id\":\"a\\nb\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"type\":\"session\",\"id\":7}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"type\":\"session\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"type\":\"healthcheck\",\"id\":\"sesn_1\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"type\":\"healthcheck\",\"id\":\"\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":{\"id\":\"sesn_1\"}}", 0, NULL},
        {"{\"id\":\"w\",\"data\":\"session\"}", 0, NULL},
        {"{\"id\":\"w\"}", 0, NULL},
        {"{\"id\":\"\",\"data\":{\"type\":\"session\",\"id\":\"sesn_1\"}}", -E_PROTO, NULL},
        {"{\"id\":\".\"}", -E_PROTO, NULL},
        {"{\"id\":\"a b\"}", -E_PROTO, NULL},
        {"{}", -E_PROTO, NULL},
    };
    struct secret key = {0};
    assert_int_equal(secret_set(&key, "sk-env", 6), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *work = NULL;
        assert_int_equal(json_parse(rows[i].work, strlen(rows[i].work), &work, NULL), 0);
        struct item it = {0};
        int r = item_init(&it, work, &key);
        if (r != rows[i].r || !str_eq(it.session_id, rows[i].session))
            fail_msg("%s: %d, %s", rows[i].work, r, it.session_id ? it.session_id : "none");
        if (r == 0)
            assert_string_equal(secret_borrow(&it.token), "sk-env");
        item_done(&it);
    }
    secret_done(&key);
}

static void a_secret_gives_its_token_or_the_key_serves(void **state)
{
    (void)state;
    static const struct {
        const char *payload; /* NULL: `secret` as it stands */
        const char *secret, *token;
    } rows[] = {
        {"{\"sessions_token\":\"sk-req\"}", NULL, "sk-req"},
        {"{\"api_base_url\":\"https://x\",\"sessions_token\":\"sk-req\"}", NULL, "sk-req"},
        {"{\"sessions_token\":\"\"}", NULL, "sk-env"},
        {"{\"sessions_token\":null}", NULL, "sk-env"},
        {"{\"sessions_token\":7}", NULL, "sk-env"},
        {"{\"sessions_token\":\"sk\\r\\nx: 1\"}", NULL, "sk-env"},
        {"{\"sessions_token\":\"sk req\"}", NULL, "sk-env"},
        {"{\"sessions_token\":\"sk-\\u00fc\"}", NULL, "sk-env"},
        {"{}", NULL, "sk-env"},
        {"[\"sessions_token\"]", NULL, "sk-env"},
        {"sk-req", NULL, "sk-env"},
        {NULL, "", "sk-env"},
        {NULL, "***", "sk-env"},
        {NULL, NULL, "sk-env"},
        /* {"sessions_token":"sk-req","x":"?>"} and a tilde, in the other alphabet, padded */
        {NULL, "eyJzZXNzaW9uc190b2tlbiI6InNrLXJlcSIsIngiOiI/Pn4ifQ==", "sk-req"},
    };
    struct secret key = {0};
    assert_int_equal(secret_set(&key, "sk-env", 6), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = BUF_INIT(4096);
        if (rows[i].payload)
            assert_int_equal(enc_base64url(&b, rows[i].payload, strlen(rows[i].payload)), 0);
        AUTO_JSON json_t *work =
            json_pack("{s:s,s:{s:s,s:s}}", "id", "w", "data", "type", "session", "id", "sesn_1");
        json_put_str(work, "secret", rows[i].payload ? buf_str(&b) : rows[i].secret);
        struct item it = {0};
        assert_int_equal(item_init(&it, work, &key), 0);
        if (!str_eq(secret_borrow(&it.token), rows[i].token))
            fail_msg("row %zu: the wrong credential", i);
        item_done(&it);
        buf_done(&b);
    }
    secret_done(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_that_cannot_be_asked_for),
        cmocka_unit_test(a_secret_gives_its_token_or_the_key_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

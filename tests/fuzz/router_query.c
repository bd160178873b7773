/* router_query.c - fuzzes path routing and query decoding with whatever the head's parser lets
 * through.
 *
 * Theory of operation: the input is put behind "GET " and before " HTTP/1.1"; when the head is
 * accepted, its path is looked up and its query walked. What comes out is UTF-8 without NUL; a
 * value found by name is the value seen on the walk; encoding the parameters again and decoding
 * them gives the same parameters. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "http/server/internal.h"
#include "http/server/router.h"

#include <string.h>

static const struct route table[] = {
    {"GET", "/", NULL, 1},
    {"GET", "/v1/things", NULL, 2},
    {"GET", "/v1/things/{id}", NULL, 3},
    {"GET", "/v1/things/special", NULL, 4},
    {"POST", "/v1/things/{id}/parts", NULL, 5},
    {"GET", "/v1/{a}/{b}/{c}/{d}", NULL, 6},
};

static int encode(const char *name, const char *value, void *arg)
{
    struct buf *b = arg;
    const char *parts[] = {name, value};
    MUST(str_is_utf8(name, strlen(name)) && str_is_utf8(value, strlen(value)));
    if (b->len)
        (void)buf_addc(b, '&');
    for (size_t k = 0; k < 2; k++) {
        for (const char *p = parts[k]; *p; p++)
            (void)buf_addf(b, "%%%02x", (unsigned char)*p);
        if (k == 0)
            (void)buf_addc(b, '=');
    }
    return buf_err(b);
}

struct found {
    struct http_exchange *x;
    size_t n;
};

static int find_again(const char *name, const char *value, void *arg)
{
    struct found *f = arg;
    f->n++;
    for (size_t k = 0;; k++) {
        const char *v = query_get(f->x, name, k);
        MUST(v); /* it must turn up among the values of its name */
        if (v == value)
            return 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(buf) head = BUF_INIT(2 * LIMIT_HEADER_BYTES);
    (void)buf_adds(&head, "GET ");
    (void)buf_add(&head, data, n);
    (void)buf_adds(&head, " HTTP/1.0\r\n\r\n");
    AUTO(h1_request) q = {0};
    int status;
    const char *why;
    if (buf_err(&head) < 0 || h1_request_parse(head.data, head.len, &q, &status, &why) < 0)
        return 0;

    struct http_exchange x = {.req = q};
    const struct route *route = NULL;
    struct route_params params = {0};
    char allow[64];
    int r = router_find(&x, table, ARRAY_LEN(table), &route, &params, allow);
    MUST(r == 0 || r == -ENOENT || (r == -EOPNOTSUPP && str_eq(allow, "POST")));
    for (size_t i = 0; r == 0 && i < params.n; i++)
        MUST(*params.value[i] && str_is_utf8(params.value[i], strlen(params.value[i])));

    AUTO(buf) once = BUF_INIT(1 << 20), twice = BUF_INIT(1 << 20);
    r = query_each(&x, encode, &once);
    MUST(r == 0 || r == -E_PARSE);
    if (r == 0) {
        struct found f = {.x = &x};
        MUST(query_each(&x, find_again, &f) == 0 && f.n == x.n_query && f.n <= 256);
        struct http_exchange y = {.req = {.query = buf_str(&once)}};
        MUST(query_each(&y, encode, &twice) == 0);
        MUST(str_eq(buf_str(&once), buf_str(&twice)));
        arena_done(&y.arena, NULL);
    }
    arena_done(&x.arena, NULL);
    return 0;
}

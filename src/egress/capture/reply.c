/* reply.c - answers of our own, in HTTP/1.1, to clients that get no further.
 *
 * Theory of operation. The connection ends with each of them, in two steps: our side first, then what
 * the client still sends is read and dropped for a bounded time. Otherwise the kernel answers unread
 * bytes with a reset, and the client loses the answer (RFC 9112 9.6). What the client controls is how
 * slowly it reads: deadlines. */
#include "base/buf.h"
#include "base/json.h"
#include "egress/capture/front_internal.h"
#include "egress/policy/refusal.h"
#include "http/wire/h1.h"

#include <string.h>

#define WRITE_MS    10000
#define LINGER_MS   2000
#define LINGER_MAX  (256u << 10)
#define HEAD_BYTES  (4u << 10)
#define ERROR_BYTES (4u << 10)

static void linger(struct conn *c)
{
    char dropped[1024];
    struct fiber_deadline d = fiber_deadline_push_ms(LINGER_MS);
    size_t n = 0;
    int r = stream_finish(&c->stream);
    while (r == 0 && n < LINGER_MAX) {
        ssize_t k = stream_read(&c->stream, dropped, sizeof(dropped));
        if (k <= 0)
            break;
        n += (size_t)k;
    }
    fiber_deadline_pop(&d);
}

void reply_and_end(struct conn *c, int status, const char *type, const char *fields,
                   const char *proxy_error, const char *details, const char *body, size_t body_n)
{
    AUTO(buf) out = BUF_INIT(HEAD_BYTES + REFUSAL_PROXY_STATUS_MAX + body_n);
    (void)buf_addf(&out, "HTTP/1.1 %d %s\r\n", status, h1_reason(status));
    if (type)
        (void)buf_addf(&out, "Content-Type: %s\r\n", type);
    (void)buf_addf(&out, "Content-Length: %zu\r\nCache-Control: no-store\r\n", body_n);
    if (proxy_error) {
        (void)buf_adds(&out, "Proxy-Status: ");
        refusal_proxy_status(proxy_error, details, &out);
        (void)buf_adds(&out, "\r\n");
    }
    (void)buf_addf(&out, "%sConnection: close\r\n\r\n", fields);
    if (body)
        (void)buf_add(&out, body, body_n);
    struct fiber_deadline d = fiber_deadline_push_ms(WRITE_MS);
    int r = buf_err(&out) < 0 ? buf_err(&out) : stream_write(&c->stream, out.data, out.len);
    fiber_deadline_pop(&d);
    if (r == 0)
        linger(c);
}

void reply_error(struct conn *c, int status, const char *type, const char *proxy_error,
                 const char *message)
{
    AUTO(buf) body = BUF_INIT(ERROR_BYTES);
    AUTO_JSON json_t *j = json_pack("{s:s, s:{s:s, s:o}}", "type", "error", "error", "type", type,
                                    "message", json_str_lossy(message, strlen(message)));
    (void)json_print(&body, j);
    reply_and_end(c, status, "application/json", "", proxy_error, message, buf_str(&body),
                  body.len);
}

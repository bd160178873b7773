/* self.c - what egress says about itself, and to whom.
 *
 * Theory of operation. self_answer is a pure table of paths. self_serve runs on the connection's
 * fiber, for the explicit proxy and for connections to the name's own address alike: one request,
 * peeked at and answered; a body is not read. The sandbox controls the request. The certificate is
 * public: whoever connects to a host through us is shown it. */
#include "egress/capture/self.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/capture/front_internal.h"
#include "http/wire/h1.h"

#include <stdio.h>
#include <string.h>

#define HEAD_MS 10000

#define ERROR(type, message)                                                                       \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"}}"

static const char not_found[] = ERROR(
    "not_found_error",
    "There is one path here: /ca.pem, the certificate by which hosts that are looked into "
    "are known. What the policy allows is not told here; a refusal says which rule is missing.");
static const char wrong_method[] = ERROR("invalid_request_error", "/ca.pem can be read with GET.");

void self_answer(const char *method, const char *path, const char *ca_pem, struct self_answer *ret)
{
    bool reads = str_eq(method, "GET") || str_eq(method, "HEAD");
    *ret = (struct self_answer){.status = 404,
                                .type = "application/json",
                                .body = not_found,
                                .body_n = sizeof(not_found) - 1};
    if (!str_eq(path, "/ca.pem") || !ca_pem)
        return;
    if (!reads) {
        ret->status = 405;
        ret->allow = "GET, HEAD";
        ret->body = wrong_method;
        ret->body_n = sizeof(wrong_method) - 1;
        return;
    }
    ret->status = 200;
    ret->type = "application/x-pem-file";
    ret->body = ca_pem;
    ret->body_n = strlen(ca_pem);
}

/* Waits for the head of a request. 0; *ret_status 0 and *ret is the caller's, or what is wrong with
 * it. */
static int wait_for_request(struct conn *c, struct h1_request *ret, int *ret_status,
                            const char **ret_why)
{
    /* Filled and judged without a suspension between; the process has one loop. */
    static char room[LIMIT_HEADER_BYTES + 2];
    struct peek k;
    peek_begin(&k, time_mono_ns() + HEAD_MS * NS_PER_MS);
    for (;;) {
        ssize_t n = peek_look(&k, &c->stream.io, room, sizeof(room));
        if (n < 0)
            return (int)n;
        *ret_status = 0;
        ssize_t r = h1_request_parse(room, (size_t)n, ret, ret_status, ret_why);
        if (r != -EAGAIN)
            return 0;
        if (k.ended)
            return -E_CLOSED;
        int w = peek_wait(&k, &c->stream.io, FIBER_NO_DEADLINE);
        if (w < 0)
            return w;
    }
}

void self_serve(struct conn *c)
{
    struct h1_request q = {0};
    int status;
    const char *why;
    if (wait_for_request(c, &q, &status, &why) < 0)
        return;
    if (status != 0) {
        reply_error(c, status, "invalid_request_error", NULL, why);
        return;
    }
    struct self_answer a;
    char allow[64] = "";
    self_answer(q.method, q.path, c->binding->front->o.ca_pem, &a);
    if (a.allow)
        (void)snprintf(allow, sizeof(allow), "Allow: %s\r\n", a.allow);
    bool head = str_eq(q.method, "HEAD");
    h1_request_done(&q);
    reply_and_end(c, a.status, a.type, allow, NULL, NULL, head ? NULL : a.body, a.body_n);
}

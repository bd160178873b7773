/* h1_response.c - the status line, and where a response ends.
 *
 * Called by the asking side of http/pipe with whatever has arrived; pure. The origin writes every
 * byte, and it may be hostile, or repeat what somebody else put into its answer (response splitting):
 * so a response is as little to be trusted as a request. One leniency, since it has one reading and
 * old origins need it: the space before an empty reason may be missing.
 *
 * Where a body is not allowed, or what follows is no HTTP at all, a field that announces one is
 * refused unless it says "none": the next reader would take the bytes for a body, and we for the next
 * response. To HEAD and in a 304 such fields speak of the answer that was not sent. */
#include "http/wire/h1_response.h"

#include "base/err.h"
#include "http/wire/h1_class.h"

/* HTTP-version SP status-code SP [ reason-phrase ] CRLF, RFC 9112 4. */
static int scan_status_line(struct h1_scan *s)
{
    int r = h1_scan_version(s, "The answer does not begin with the protocol version.");
    if (r == 0)
        r = h1_expect(s, ' ', "The protocol version is not followed by one space.");
    if (r < 0)
        return r;
    int status = 0;
    for (int i = 0; i < 3; i++) {
        if (s->at == s->n)
            return h1_starved(s);
        char c = s->p[s->at];
        if (c < (i == 0 ? '1' : '0') || c > (i == 0 ? '5' : '9'))
            return h1_refuse(s, 400, "The status is not a number from 100 to 599.");
        status = status * 10 + (c - '0');
        s->at++;
    }
    s->head->status = status;
    if (s->at == s->n)
        return h1_starved(s);
    if (s->p[s->at] == ' ') {
        while (s->at < s->n && h1_is(s->p[s->at], H1_VALUE))
            s->at++;
    }
    r = h1_expect(s, '\r', "The status is not followed by a reason or CRLF.");
    return r < 0 ? r : h1_expect(s, '\n', "A CR in the status line is not followed by LF.");
}

static int framing(struct h1_scan *s, enum h1_asked asked, enum h1_framing *ret)
{
    const struct h1_head *h = s->head;
    bool tunnel = h->status == 101 || (asked == H1_ASKED_CONNECT && h->status / 100 == 2);
    if (tunnel || h->status < 200 || h->status == 204) {
        if (h->n_te > 0 || h->length > 0)
            return h1_refuse(s, 400, "A response that has no body announces one.");
        *ret = tunnel ? H1_UNTIL_END : H1_NO_BODY;
    } else if (asked == H1_ASKED_HEAD || h->status == 304) {
        *ret = H1_NO_BODY;
    } else if (h->n_te > 0) {
        *ret = H1_CHUNKED;
    } else {
        *ret = h->n_length > 0 ? H1_LENGTH : H1_UNTIL_END;
    }
    return 0;
}

ssize_t h1_response_scan(const char *p, size_t n, const struct h1_limits *limits,
                         enum h1_asked asked, struct h1_head *ret, enum h1_framing *ret_framing,
                         const char **ret_why)
{
    struct h1_scan s;
    h1_scan_begin(&s, p, 0, n, limits, ret);
    int r = scan_status_line(&s);
    if (r == 0)
        r = h1_scan_fields(&s);
    if (r == 0)
        r = framing(&s, asked, ret_framing);
    if (r == -E_PARSE) {
        *ret_why = s.why;
        r = s.status == 431 ? -E_LIMIT : r;
    }
    return r < 0 ? r : (ssize_t)s.at;
}

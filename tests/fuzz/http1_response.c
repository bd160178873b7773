/* http1_response.c - fuzzes response heads: a verdict does not depend on how the bytes were cut, and
 * what is taken has one framing.
 *
 * Theory of operation: the first byte chooses what was asked; the rest is what an origin has sent.
 * The verdict about the whole is compared with the verdicts about its prefixes (each in memory of its
 * own, so that an over-read is seen). An accepted head is written out from its parts, and must be
 * read as the same parts. A second, naive look at the lines, sharing nothing but the rules, must find
 * the framing fields that the scanner has counted. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/wire/h1_response.h"

#include <string.h>
#include <strings.h>

static const struct h1_limits limits = {.bytes = 8192, .fields = 64};

static ssize_t scan_copy(const uint8_t *data, size_t n, enum h1_asked asked, struct h1_head *h,
                         enum h1_framing *framing)
{
    AUTO_FREE char *p = malloc(n ? n : 1);
    memcpy(p, data, n);
    const char *why = NULL;
    ssize_t r = h1_response_scan(p, n, &limits, asked, h, framing, &why);
    MUST(r >= 0 || r == -EAGAIN || r == -E_PARSE || r == -E_LIMIT);
    MUST(r >= 0 || r == -EAGAIN || why);
    MUST(r < 0 || (size_t)r <= n);
    return r;
}

/* How many lines begin with this name and a colon, and the value of the last. */
static size_t count(const char *p, size_t n, const char *name, const char **ret, size_t *ret_n)
{
    size_t found = 0, k = strlen(name);
    for (size_t i = 0; i + k + 1 < n; i++) {
        if (p[i] != '\n' || i + 1 + k >= n || strncasecmp(p + i + 1, name, k) != 0 ||
            p[i + 1 + k] != ':')
            continue;
        size_t from = i + 2 + k;
        const char *end = memchr(p + from, '\r', n - from);
        MUST(end);
        size_t to = (size_t)(end - p);
        while (from < to && (p[from] == ' ' || p[from] == '\t'))
            from++;
        while (to > from && (p[to - 1] == ' ' || p[to - 1] == '\t'))
            to--;
        *ret = p + from;
        *ret_n = to - from;
        found++;
    }
    return found;
}

static void check(const char *p, size_t n, enum h1_asked asked, const struct h1_head *h,
                  enum h1_framing framing)
{
    MUST(h->status >= 100 && h->status <= 599 && h->minor >= 0 && h->minor <= 9);
    MUST(!memchr(p, 0, n) && n >= 4 && memcmp(p + n - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < n; i++) {
        MUST(p[i] != '\r' || p[i + 1] == '\n');
        MUST(p[i] != '\n' || (p[i - 1] == '\r'));
        MUST(i + 1 == n || p[i] != '\n' || (p[i + 1] != ' ' && p[i + 1] != '\t'));
    }
    const char *length = NULL, *te = NULL;
    size_t length_n = 0, te_n = 0;
    size_t n_length = count(p, n, "content-length", &length, &length_n);
    size_t n_te = count(p, n, "transfer-encoding", &te, &te_n);
    MUST(n_length == h->n_length && n_te == h->n_te && n_length + n_te <= 1);
    MUST(n_te == 0 || (te_n == 7 && strncasecmp(te, "chunked", 7) == 0 && h->minor >= 1));
    uint64_t value = 0;
    for (size_t i = 0; i < length_n; i++) {
        MUST(length[i] >= '0' && length[i] <= '9');
        value = value * 10 + (uint64_t)(length[i] - '0');
    }
    MUST(value == h->length && value <= INT64_MAX && (n_length == 0 || length_n > 0));
    bool tunnel = h->status == 101 || (asked == H1_ASKED_CONNECT && h->status / 100 == 2);
    bool never = h->status < 200 || h->status == 204 || tunnel;
    MUST(!never || (n_te == 0 && value == 0));
    enum h1_framing want = tunnel                                                ? H1_UNTIL_END
                           : never || asked == H1_ASKED_HEAD || h->status == 304 ? H1_NO_BODY
                           : n_te                                                ? H1_CHUNKED
                           : n_length                                            ? H1_LENGTH
                                                                                 : H1_UNTIL_END;
    MUST(framing == want);
}

static void write_and_read_again(const char *p, enum h1_asked asked, const struct h1_head *h,
                                 enum h1_framing framing)
{
    AUTO(buf) b = BUF_INIT(1 << 16);
    (void)buf_addf(&b, "HTTP/1.%d %d x\r\n", h->minor, h->status);
    for (size_t i = 0; i < h->n_fields; i++) {
        struct h1_part name = h1_field_name(&h->field[i]), v = h1_field_value(&h->field[i]);
        (void)buf_add(&b, p + name.at, name.n);
        (void)buf_adds(&b, ":");
        (void)buf_add(&b, p + v.at, v.n);
        (void)buf_adds(&b, "\r\n");
    }
    (void)buf_adds(&b, "\r\n");
    if (b.len > limits.bytes)
        return; /* the reason made it too long */
    static struct h1_head again;
    enum h1_framing other = H1_NO_BODY;
    MUST(scan_copy((const uint8_t *)b.data, b.len, asked, &again, &other) == (ssize_t)b.len);
    MUST(other == framing && again.status == h->status && again.n_fields == h->n_fields);
    MUST(again.close == h->close && again.keep_alive == h->keep_alive &&
         again.upgrade == h->upgrade && again.options == h->options);
    for (size_t i = 0; i < h->n_fields; i++) {
        struct h1_part a = h1_field_value(&h->field[i]), v = h1_field_value(&again.field[i]);
        MUST(a.n == v.n && memcmp(p + a.at, b.data + v.at, a.n) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    enum h1_asked asked = (enum h1_asked)(data[0] % 3);
    data++;
    n--;
    static struct h1_head h, part;
    enum h1_framing framing = H1_NO_BODY;
    ssize_t whole = scan_copy(data, n, asked, &h, &framing);
    if (whole >= 0) {
        check((const char *)data, (size_t)whole, asked, &h, framing);
        write_and_read_again((const char *)data, asked, &h, framing);
    }
    size_t end = whole >= 0 ? (size_t)whole : n;
    size_t step = n > 600 ? n / 50 : 1; /* all prefixes of short inputs, some of long ones */
    for (size_t k = 0; k < end; k += step) {
        enum h1_framing other;
        ssize_t r = scan_copy(data, k, asked, &part, &other);
        MUST(r == -EAGAIN || (whole < 0 && r == whole));
    }
    return 0;
}

/* tunnel_pins.c - fuzzes the file of pins, and lists that come after it.
 *
 * Theory of operation: the first line of the input is a file of pins, each further line a list of tools. A
 * refusal has words. What was read is written alike, read again and written alike. A tool that is kept out of a list
 * in `ask` is not callable unless it was pinned; one that is kept in is; and memory is counted to nothing at the end. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "tunnel/gateway/pins.h"

#include <string.h>

#define TEXT_MAX  (64u << 10)
#define TOOLS_MAX 2048

static void write_twice(const struct pins *p)
{
    AUTO(buf) a = BUF_INIT(8u << 20), b = BUF_INIT(8u << 20);
    struct pins other;
    struct err e = {0};
    pins_init(&other);
    MUST(pins_text(p, &a) == 0);
    MUST(pins_read(&other, a.data, a.len, &e) == 0);
    MUST(pins_text(&other, &b) == 0);
    MUST(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    pins_done(&other);
    MUST(other.bytes == 0);
}

static void look(struct pins *p, const char *text, size_t n)
{
    static bool keep[TOOLS_MAX];
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    const struct pin_sight s = {
        .route = "r", .mode = n % 2 ? PIN_ASK : PIN_FIRST, .asked = true, .now_us = 1};
    if (json_parse(text, n, &j, &e) < 0 || !json_is_array(j) || json_array_size(j) > TOOLS_MAX)
        return;
    for (size_t i = 0; i < json_array_size(j); i++)
        keep[i] = json_get_str(json_array_get(j, i), "name") != NULL;
    pins_look(p, &s, j, keep);
    for (size_t i = 0; i < json_array_size(j); i++) {
        const char *name = json_get_str(json_array_get(j, i), "name");
        MUST(!keep[i] || pins_judge(p, "r", name) == PIN_GOOD);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    const char *lf = memchr(p ? p : "", '\n', size);
    struct pins pins;
    struct err e = {0};
    if (size == 0 || size > TEXT_MAX)
        return 0;
    pins_init(&pins);
    int r = pins_read(&pins, p, lf ? (size_t)(lf - p) : size, &e);
    MUST(r == 0 || e.msg[0]);
    while (lf) {
        p = lf + 1;
        lf = memchr(p, '\n', (size_t)(end - p));
        look(&pins, p, lf ? (size_t)(lf - p) : (size_t)(end - p));
    }
    if (r == 0)
        write_twice(&pins);
    pins_done(&pins);
    MUST(pins.bytes == 0);
    return 0;
}

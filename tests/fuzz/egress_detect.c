/* egress_detect.c - fuzzes egress/capture/detect: one verdict, however the bytes were cut.
 *
 * Theory of operation: the first byte chooses the port. Every prefix of the input is judged: once there
 * is a verdict it stays, as long as no end cuts it short; a server name is a canonical host; nothing
 * is undecided at the end, or beyond the ceiling. */
#include "fuzz.h"
#include "egress/capture/detect.h"

#include <string.h>

static void check(const struct detected *d)
{
    MUST(detect_kind_text(d->kind));
    MUST((d->kind == DETECT_BAD_TLS) == (d->why != NULL));
    MUST(d->kind != DETECT_SILENT);
    if (d->has_sni && d->kind == DETECT_TLS) {
        struct host again;
        MUST(host_parse(d->sni.text, d->sni.n, 0, &again, NULL) == 0 && host_eq(&again, &d->sni));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint16_t ports[] = {80, 443, 8080, 5432};
    if (n == 0)
        return 0;
    uint16_t port = ports[data[0] % 4];
    const uint8_t *p = data + 1;
    n--;
    struct detected whole, part;
    detect_bytes(p, n, false, port, &whole);
    check(&whole);
    MUST(n < DETECT_BYTES_MAX || whole.kind != DETECT_MORE);
    detect_bytes(p, n, true, port, &part);
    check(&part);
    MUST(n == 0 || part.kind != DETECT_MORE);
    /* All prefixes of short inputs, some of long ones. */
    size_t step = n / 256 + 1;
    for (size_t k = 0; k < n; k += step) {
        detect_bytes(p, k, false, port, &part);
        check(&part);
        MUST(part.kind == DETECT_MORE || part.kind == whole.kind);
    }
    return 0;
}

/* egress_forward.c - fuzzes egress/capture/forward: what a head to the explicit proxy asks for.
 *
 * Theory of operation: a head is complete or not, whatever follows it; a target is a canonical host
 * with a port; a refusal has a status and words. */
#include "fuzz.h"
#include "egress/capture/forward.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct forward_head h, again;
    const char *p = (const char *)data;
    int r = forward_read(p, n, &h);
    MUST(r == 0 || r == -EAGAIN);
    if (r < 0)
        return 0;
    if (h.kind == FORWARD_BAD) {
        MUST(h.status >= 400 && h.status < 600 && h.why[0]);
        return 0;
    }
    MUST(h.bytes <= n && memcmp(p + h.bytes - 2, "\r\n", 2) == 0);
    MUST(forward_read(p, h.bytes, &again) == 0 && again.kind == h.kind && again.bytes == h.bytes);
    MUST(forward_read(p, h.bytes - 1, &again) == -EAGAIN);
    if (h.kind != FORWARD_OPTIONS) {
        struct host host;
        MUST(h.port > 0);
        MUST(host_parse(h.host.text, h.host.n, HOST_LITERALS, &host, NULL) == 0 &&
             host_eq(&host, &h.host));
    }
    return 0;
}

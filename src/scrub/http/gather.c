/* gather.c - many texts in one search.
 *
 * Called for each head that goes by, on the fiber that moves it. A head has dozens of short texts, and a
 * search costs most at its beginning: so they are put behind one another, with a NUL between them, which no
 * field has, is within no needle, and ends every escape. What a peer controls is the texts; one that does
 * not fit is searched by itself. Nothing here suspends. */
#include "scrub/http/gather.h"

#include <string.h>

#include "base/secret.h"

static void search(struct gather *g, const char *p, size_t n)
{
    uint64_t hits = 0;
    int r = n ? scrub_text(g->table, p, n, SCRUB_QUOTE_NONE, NULL, &hits) : 0;
    g->error = g->error < 0 ? g->error : r;
    g->hits += hits;
}

void gather_add(struct gather *g, struct http_text t)
{
    if (t.n + 1 > GATHER_BYTES - g->n) {
        search(g, g->bytes, g->n);
        g->n = 0;
    }
    if (t.n + 1 > GATHER_BYTES) {
        search(g, t.p, t.n);
        return;
    }
    if (t.n)
        memcpy(g->bytes + g->n, t.p, t.n);
    g->bytes[g->n + t.n] = '\0';
    g->n += t.n + 1;
}

int gather_end(struct gather *g, uint64_t *ret_hits)
{
    search(g, g->bytes, g->n);
    if (g->hits) /* who found nothing holds nothing that must not be seen */
        secret_wipe(g->bytes, sizeof(g->bytes));
    if (g->error == 0)
        *ret_hits = g->hits;
    return g->error;
}

/* table.c - from pairs to a table.
 *
 * Theory of operation: called when a session gets its credentials and when one of them changes,
 * on the loop's thread; a few milliseconds for hundreds of secrets. The table is immutable
 * afterwards but for its scratch memory. It is counted: the session and each of its streams hold
 * it. Rotation makes another one, with the old secret beside the new, and streams under way go on
 * with that (scrub_change_table). All that is derived from secrets lies in the area: locked, not dumped, wiped. What an
 * attacker may control are the values of tokens that an origin mints; a long one that
 * repeats itself would make verifying a hit quadratic and is refused. */
#include "base/err.h"
#include "scrub/table.h"

#include <string.h>

#define REPEATS_MIN    64u     /* bytes; shorter ones may repeat themselves: that costs little */
#define NEEDLES_MAX    100000u /* keys of one set fit one room of the area */
#define ROOM_BYTES_MIN (16u << 10)
#define IDLE_MAX       8u
#define SCRATCH_MAX    (64u << 20)

void *area_take(struct area *a, size_t bytes)
{
    if (bytes > AREA_ROOM_BYTES)
        return NULL;
    bytes = (bytes + 7) & ~(size_t)7;
    if (a->n == 0 || a->rooms[a->n - 1].len - a->used < bytes) {
        if (a->n == AREA_ROOMS)
            return NULL;
        /* A small table locks little, a large one has few rooms. */
        size_t room = a->n < 6 ? ROOM_BYTES_MIN << a->n : AREA_ROOM_BYTES;
        room -= 8; /* a secret has a NUL behind it: no page for that alone */
        if (secret_room(&a->rooms[a->n], room > bytes ? room : bytes) < 0)
            return NULL;
        a->n++;
        a->used = 0;
    }
    void *p = a->rooms[a->n - 1].data + a->used;
    a->used += bytes;
    return p;
}

void area_done(struct area *a)
{
    for (size_t i = 0; i < a->n; i++)
        secret_done(&a->rooms[i]);
    a->n = 0;
}

/* Is half of it, or more, what it begins with, somewhere further on? A text of such repetitions
 * would be compared with the secret at each place, nearly to its end. (The Z algorithm: z[i] is
 * how far x goes on at i as it begins.) */
static bool repeats(const uint8_t *x, size_t n)
{
    uint32_t *z = mem_array(n, sizeof(*z)); /* of the shape of a secret, not of its bytes */
    size_t from = 0, to = 0, most = 0;
    for (size_t i = 1; i < n; i++) {
        size_t k = i < to ? (z[i - from] < to - i ? z[i - from] : to - i) : 0;
        while (i + k < n && x[k] == x[i + k])
            k++;
        z[i] = (uint32_t)k;
        most = k > most ? k : most;
        if (i + k > to) {
            from = i;
            to = i + k;
        }
    }
    free(z);
    return most >= n / 2;
}

int scrub_pair_check(const struct scrub_pair *p, struct err *e)
{
    if (p->secret_bytes < SCRUB_SECRET_MIN)
        return err_set(
            e, -EINVAL,
            "the secret of %s has %zu bytes; below %u it cannot be told from ordinary text in "
            "an answer, use a longer one",
            p->name, p->secret_bytes, SCRUB_SECRET_MIN);
    if (p->secret_bytes > SCRUB_SECRET_MAX)
        return err_set(e, -EINVAL, "the secret of %s has %zu bytes, more than %u", p->name,
                       p->secret_bytes, SCRUB_SECRET_MAX);
    if (p->placeholder_bytes == 0 || p->placeholder_bytes > SCRUB_SECRET_MAX)
        return err_set(e, -EINVAL, "the placeholder of %s has %zu bytes, not 1 to %u", p->name,
                       p->placeholder_bytes, SCRUB_SECRET_MAX);
    if (p->secret_bytes >= REPEATS_MIN && repeats(p->secret, p->secret_bytes))
        return err_set(e, -EINVAL, "the secret of %s repeats itself; that is no secret", p->name);
    return 0;
}

/* Order of search; then whose needle it is, so that of equal ones the first is kept. */
static int by_bytes(const void *x, const void *y)
{
    const struct needle *a = x, *b = y;
    int c = memcmp(a->bytes, b->bytes, a->n < b->n ? a->n : b->n);
    if (c != 0)
        return c;
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Two needles are one when no text could tell them apart. */
static bool same_needle(const struct needle *a, const struct needle *b)
{
    return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0 && a->head_mask == b->head_mask &&
           a->head_bits == b->head_bits && a->tail_mask == b->tail_mask &&
           a->tail_bits == b->tail_bits;
}

static int make_set(struct scrub_table *t, struct needle_set *s, struct needle *all, size_t n)
{
    if (n)
        qsort(all, n, sizeof(*all), by_bytes);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool twin = false;
        for (size_t j = kept; j-- > 0 && !twin && all[j].n == all[i].n &&
                              memcmp(all[j].bytes, all[i].bytes, all[i].n) == 0;)
            twin = same_needle(&all[j], &all[i]);
        if (!twin)
            all[kept++] = all[i];
    }
    s->n = kept;
    s->needles = mem_array(kept + 1, sizeof(*all));
    s->keys = area_take(&t->area, (kept + 1) * sizeof(*s->keys));
    if (!s->keys)
        return -ENOMEM;
    for (size_t i = 0; i < kept; i++) {
        struct needle *nd = &s->needles[i];
        *nd = all[i];
        memcpy(&s->keys[i], nd->bytes, 8);
        s->keys[i] = __builtin_bswap64(s->keys[i]);
        int32_t up = (int32_t)i - 1;
        while (up >= 0 && (s->needles[up].n > nd->n ||
                           memcmp(s->needles[up].bytes, nd->bytes, s->needles[up].n) != 0))
            up = s->needles[up].parent;
        nd->parent = up;
    }
    return 0;
}

static void look_at(struct scrub_table *t, const struct needle_set *s, bool folded)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct needle *nd = &s->needles[i];
        size_t whole = nd->n + (nd->head_mask ? 1u : 0) + (nd->tail_mask ? 1u : 0);
        t->longest = whole > t->longest ? whole : t->longest;
        t->shortest = nd->n < t->shortest ? nd->n : t->shortest;
        t->needle_bytes += nd->n;
        for (size_t k = 0; k < nd->n; k++) {
            t->inside[nd->bytes[k]] = true;
            if (folded && nd->bytes[k] >= 'a')
                t->inside[nd->bytes[k] & ~0x20] = true;
        }
        t->first[nd->bytes[0]] = true;
        if (folded && nd->bytes[0] >= 'a')
            t->first[nd->bytes[0] & ~0x20] = true;
        for (unsigned c = 0; nd->head_mask && c < 256; c++) {
            int v = base64_value((uint8_t)c);
            if (v >= 0 && (v & nd->head_mask) == nd->head_bits)
                t->head[c] = true;
        }
        /* The characters at the edges vary. */
        for (unsigned c = 0; (nd->head_mask || nd->tail_mask) && c < 256; c++)
            t->inside[c] = t->inside[c] || base64_value((uint8_t)c) >= 0;
    }
}

static int build(struct scrub_table *t, const struct scrub_pair *pairs, size_t n, struct err *e)
{
    AUTO(buf) all = BUF_INIT(NEEDLES_MAX * sizeof(struct needle));
    size_t shortest = SCRUB_SECRET_MAX;
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        r = scrub_pair_check(&pairs[i], e);
        if (r < 0)
            return r;
        t->names[t->pairs++] = mem_strdup(pairs[i].name);
        shortest = pairs[i].secret_bytes < shortest ? pairs[i].secret_bytes : shortest;
        r = forms_add(t, i, &pairs[i], &all);
    }
    t->idle_max = shortest / 4 < IDLE_MAX ? shortest / 4 : IDLE_MAX;
    struct needle *nd = (struct needle *)(void *)all.data;
    size_t k = all.len / sizeof(*nd), exact = 0;
    for (size_t i = 0; i < k; i++)
        if (nd[i].form != FORM_HEX) {
            struct needle x = nd[exact];
            nd[exact++] = nd[i];
            nd[i] = x;
        }
    if (r == 0)
        r = make_set(t, &t->exact, nd, exact);
    if (r == 0)
        r = make_set(t, &t->folded, nd ? nd + exact : NULL, k - exact);
    if (r == 0) {
        t->shortest = SIZE_MAX;
        look_at(t, &t->exact, false);
        look_at(t, &t->folded, true);
        r = filter_make(t);
    }
    secret_wipe(all.data, all.cap);
    if (r == -EMSGSIZE || r == -E_LIMIT)
        return err_set(e, -E_LIMIT,
                       "%zu secrets are too many, or too long, to be searched for together", n);
    return r < 0 ? err_set(e, r, "no memory for the table of %zu secrets", n) : 0;
}

static void table_free(struct scrub_table *t)
{
    struct scratch *w = &t->scratch;
    struct buf *all[] = {&w->found,    &w->partial,  &w->join,     &w->segments, &w->bytes[0],
                         &w->bytes[1], &w->bytes[2], &w->units[0], &w->units[1], &w->units[2]};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        secret_wipe(all[i]->data, all[i]->cap);
        buf_done(all[i]);
    }
    struct needle_set *sets[] = {&t->exact, &t->folded};
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        secret_wipe(sets[i]->needles, sets[i]->n * sizeof(struct needle));
        free(sets[i]->needles);
    }
    for (size_t i = 0; i < t->pairs; i++)
        free(t->names[i]);
    free(t->names);
    area_done(&t->area);
    free(t);
}

int scrub_table_new(const struct scrub_pair *pairs, size_t n, unsigned forms,
                    struct scrub_table **ret, struct err *e)
{
    if (n > SCRUB_PAIRS_MAX)
        return err_set(e, -E_LIMIT, "%zu secrets, at most %u can be searched for together", n,
                       SCRUB_PAIRS_MAX);
    struct scrub_table *t = mem_new(struct scrub_table);
    t->refs = 1;
    t->forms = forms | SCRUB_PLAIN;
    t->names = mem_array(n + 1, sizeof(*t->names));
    struct scratch *w = &t->scratch;
    struct buf *all[] = {&w->found,    &w->partial,  &w->join,     &w->segments, &w->bytes[0],
                         &w->bytes[1], &w->bytes[2], &w->units[0], &w->units[1], &w->units[2]};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_init(all[i], SCRATCH_MAX);
    int r = build(t, pairs, n, e);
    if (r < 0) {
        table_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

struct scrub_table *scrub_table_ref(struct scrub_table *t)
{
    t->refs++;
    return t;
}

void scrub_table_unref(struct scrub_table *t)
{
    if (t && --t->refs == 0)
        table_free(t);
}

size_t scrub_table_pairs(const struct scrub_table *t)
{
    return t->pairs;
}

const char *scrub_table_name(const struct scrub_table *t, size_t pair)
{
    MUST(pair < t->pairs);
    return t->names[pair];
}

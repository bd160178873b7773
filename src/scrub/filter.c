/* filter.c - makes what lets the search skip nearly everything.
 *
 * Theory of operation: once for each table. A needle is found by any piece of it of GRAM_BYTES
 * bytes: when every step-th gram of a text is looked up, each occurrence of a needle shows one
 * of `step` neighbouring grams of it. So for each needle a window of step + GRAM_BYTES - 1 bytes
 * is chosen, and its grams are entered: in a set of bits, that answers nearly always "no", and
 * in a table from the gram to its places in needles. The choice makes the speed, and the bound
 * for what an attacker can cost us: of all windows in the first WINDOWS_MAX bytes that one is
 * taken whose grams are rare among all needles, and look least like ordinary text. Needles that
 * begin alike ("github_pat_") are thereby found by what is theirs. Places are kept as offsets,
 * not as needles: however many needles have one gram at one offset, that is one look-up among
 * the sorted needles. */
#include "base/err.h"
#include "scrub/table.h"

#include <string.h>

#define STEP_MAX    16u
#define WINDOWS_MAX 256u    /* places of a needle that are considered */
#define GRAMS_MAX   55000u  /* entered; their slots fit one room of the area */
#define COUNTED_MAX 110000u /* likewise of those that are only counted */
/* Bits of a set for each gram in it: so many random grams are taken for one of them. */
#define SAMPLED_BITS 32u /* 3 % */
#define FIRST_BITS   32u /* 0.1 % */
#define ALL_BITS     16u /* 0.5 % */
#define SET_MAX_LOG2 20u /* 128 KiB, of the second-level cache */
#define SET_MIN_LOG2 13u

struct count {
    uint32_t gram, n;
};

struct maker {
    struct scrub_table *t;
    struct area area; /* of this call */
    struct count *counts;
    uint32_t mask;
    uint32_t windows; /* considered of each needle */
};

static uint32_t size_for(size_t n)
{
    uint32_t size = 64;
    while (size < n + n / 8)
        size *= 2;
    return size;
}

static struct count *count_of(struct maker *m, uint32_t gram)
{
    uint32_t i = gram_hash(gram, 0) >> 8 & m->mask;
    while (m->counts[i].n && m->counts[i].gram != gram)
        i = (i + 1) & m->mask;
    m->counts[i].gram = gram;
    return &m->counts[i];
}

struct slot *filter_slot(const struct scrub_table *t, uint32_t gram)
{
    uint32_t i = gram_hash(gram, 0) >> 8 & t->slots_mask;
    while (t->slots[i].first && t->slots[i].gram != gram)
        i = (i + 1) & t->slots_mask;
    return &t->slots[i];
}

/* How likely a gram is in ordinary text, very roughly. */
static unsigned common(uint32_t gram)
{
    uint8_t c[GRAM_BYTES];
    memcpy(c, &gram, sizeof(c));
    unsigned letters = 0, digits = 0, same = 0;
    for (size_t i = 0; i < GRAM_BYTES; i++) {
        letters += c[i] >= 'a' && c[i] <= 'z';
        digits += c[i] >= '0' && c[i] <= '9';
        same += c[i] == c[0];
    }
    if (same == GRAM_BYTES)
        return 40;
    if (letters == GRAM_BYTES || digits == GRAM_BYTES)
        return 4;
    return letters + digits == GRAM_BYTES ? 0 : 1;
}

static uint32_t cost_of(struct maker *m, const struct needle *nd, uint32_t at)
{
    uint32_t gram = gram_at(nd->bytes + at), n = count_of(m, gram)->n;
    return (n > 1 ? 8 * (n - 1) : 0) + common(gram);
}

/* Where the best window of the needle begins: a sum that slides along. */
static uint32_t choose(struct maker *m, const struct needle *nd)
{
    uint32_t step = m->t->step, last = nd->n - (step + GRAM_BYTES - 1), best = 0;
    uint32_t costs[WINDOWS_MAX + STEP_MAX];
    uint64_t sum = 0, least = UINT64_MAX;
    if (last > m->windows)
        last = m->windows;
    for (uint32_t k = 0; k < last + step; k++) {
        costs[k] = cost_of(m, nd, k);
        sum += costs[k];
        if (k + 1 < step)
            continue;
        uint32_t o = k + 1 - step;
        if (sum < least) {
            least = sum;
            best = o;
        }
        sum -= costs[o];
    }
    return best;
}

static void count_all(struct maker *m, const struct needle_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        uint32_t grams = s->needles[i].n - GRAM_BYTES + 1, most = m->windows + m->t->step;
        for (uint32_t o = 0; o < grams && o < most; o++)
            count_of(m, gram_at(s->needles[i].bytes + o))->n++;
    }
}

static int set_make(struct area *a, struct gram_set *s, size_t grams, uint32_t bits_each)
{
    unsigned log2 = SET_MIN_LOG2;
    while (log2 < SET_MAX_LOG2 && 1u << log2 < grams * bits_each)
        log2++;
    s->shift = 32 - log2;
    s->bits = area_take(a, 1u << log2 >> 3);
    return s->bits ? 0 : -ENOMEM;
}

static void set_add(struct gram_set *s, uint32_t gram)
{
    for (unsigned i = 0; i < 3; i++) {
        uint32_t h = gram_bit(s, gram, i);
        s->bits[h / 8] |= (uint8_t)(1u << h % 8);
    }
}

/* The grams that a needle has with each character that may stand at an edge of it. */
static void add_edges(struct gram_set *s, const struct needle *nd)
{
    uint8_t head[GRAM_BYTES], tail[GRAM_BYTES];
    memcpy(head + 1, nd->bytes, GRAM_BYTES - 1);
    memcpy(tail, nd->bytes + nd->n - (GRAM_BYTES - 1), GRAM_BYTES - 1);
    for (unsigned c = '+'; c <= 'z'; c++) {
        int v = base64_value((uint8_t)c);
        head[0] = tail[GRAM_BYTES - 1] = (uint8_t)c;
        if (nd->head_mask && v >= 0 && (v & nd->head_mask) == nd->head_bits)
            set_add(s, gram_at(head));
        if (nd->tail_mask && v >= 0 && (v & nd->tail_mask) == nd->tail_bits)
            set_add(s, gram_at(tail));
    }
}

static int make_sets(struct scrub_table *t)
{
    const struct needle_set *sets[] = {&t->exact, &t->folded};
    if (set_make(&t->area, &t->first_grams, t->exact.n + t->folded.n, FIRST_BITS) < 0 ||
        set_make(&t->area, &t->all_grams, t->needle_bytes, ALL_BITS) < 0)
        return -ENOMEM;
    for (size_t k = 0; k < ARRAY_LEN(sets); k++)
        for (size_t i = 0; i < sets[k]->n; i++) {
            const struct needle *nd = &sets[k]->needles[i];
            set_add(&t->first_grams, gram_at(nd->bytes));
            for (size_t o = 0; o + GRAM_BYTES <= nd->n; o++)
                set_add(&t->all_grams, gram_at(nd->bytes + o));
            add_edges(&t->all_grams, nd);
        }
    return 0;
}

/* Enters one gram. Few needles share one, and most that do have it at the same place. */
static void enter(struct scrub_table *t, uint32_t gram, uint32_t at, uint32_t *used)
{
    struct slot *s = filter_slot(t, gram);
    for (uint32_t i = s->first; i; i = t->places[i].next)
        if (t->places[i].at == at)
            return;
    t->places[*used] = (struct place){.at = at, .next = s->first};
    *s = (struct slot){.gram = gram, .first = (*used)++};
    uint32_t h = gram_hash(gram, t->sampled.shift);
    t->sampled.bits[h / 8] |= (uint8_t)(1u << h % 8);
}

static void enter_all(struct maker *m, const struct needle_set *s, uint32_t folded, uint32_t *used)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct needle *nd = &s->needles[i];
        uint32_t o = choose(m, nd);
        for (uint32_t k = 0; k < m->t->step; k++)
            enter(m->t, gram_at(nd->bytes + o + k), (o + k) * 2 + folded, used);
    }
}

static int make(struct maker *m)
{
    struct scrub_table *t = m->t;
    size_t needles = t->exact.n + t->folded.n, grams = needles * t->step;
    m->windows =
        COUNTED_MAX / (uint32_t)needles > t->step ? COUNTED_MAX / (uint32_t)needles - t->step : 0;
    m->windows = m->windows > WINDOWS_MAX ? WINDOWS_MAX : m->windows;
    uint32_t counts = size_for(needles * (m->windows + t->step));
    m->mask = counts - 1;
    m->counts = area_take(&m->area, counts * sizeof(*m->counts));
    if (!m->counts)
        return -ENOMEM;
    count_all(m, &t->exact);
    count_all(m, &t->folded);

    uint32_t slots = size_for(grams * 2);
    t->slots_mask = slots - 1;
    t->slots = area_take(&t->area, slots * sizeof(*t->slots));
    t->places = area_take(&t->area, (grams + 1) * sizeof(*t->places));
    if (!t->slots || !t->places || set_make(&t->area, &t->sampled, grams, SAMPLED_BITS) < 0)
        return -ENOMEM;
    uint32_t used = 1; /* 0 ends a list */
    enter_all(m, &t->exact, 0, &used);
    enter_all(m, &t->folded, 1, &used);
    return 0;
}

int filter_make(struct scrub_table *t)
{
    size_t needles = t->exact.n + t->folded.n;
    if (needles == 0)
        return 0;
    if (needles > GRAMS_MAX)
        return -E_LIMIT;
    t->step = (uint32_t)(t->shortest - (GRAM_BYTES - 1));
    t->step = t->step > STEP_MAX ? STEP_MAX : t->step;
    while (needles * t->step > GRAMS_MAX)
        t->step--;
    struct maker m = {.t = t};
    int r = make(&m);
    area_done(&m.area);
    return r < 0 ? r : make_sets(t);
}

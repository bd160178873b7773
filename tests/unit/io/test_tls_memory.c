/* test_tls_memory.c - what went over a session of the boundary is nowhere in this process afterwards.
 *
 * The test must not hold the value itself: its bytes are computed one by one, both when it is sent
 * and when memory is searched. Both ends are in this process; whoever has the value wipes it after
 * use. Searched is every writable mapping: heap, stacks of fibers, libraries' data. */
#include "unit/io/tls_world.h"
#include "base/secret.h"
#include "base/str.h"

#include <inttypes.h>
#include <sys/mman.h>

#define VALUE_BYTES 4000 /* so that it lies in a record for a while, when it is read in pieces */
#define PIECE       12   /* so much of it in a row counts as found */
#define CHUNK       (1u << 20)

static struct world w;
static unsigned round_number; /* each case has a value of its own */

static int setup(void **state)
{
    (void)state;
    return world_init(&w);
}

static int teardown(void **state)
{
    (void)state;
    return world_done(&w);
}

static char byte_of(size_t i)
{
    uint32_t x = (uint32_t)(round_number * 7919 + i + 1) * 2654435761u;
    return (char)('A' + (x >> 16) % 58);
}

static void fill(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = byte_of(i);
}

/* Places with PIECE bytes of the value in a row, from any multiple of 64 on. */
static size_t count_in(const char *p, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i + PIECE <= n; i++) {
        for (size_t from = 0; from + PIECE <= VALUE_BYTES; from += 64) {
            size_t k = 0;
            while (k < PIECE && p[i + k] == byte_of(from + k))
                k++;
            if (k == PIECE)
                found++;
            if (p[i] < 'A')
                break;
        }
    }
    return found;
}

static size_t search(void)
{
    char line[512];
    size_t found = 0;
    char *chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_true(chunk != MAP_FAILED && mem >= 0 && maps);
    while (fgets(line, sizeof(line), maps)) {
        char *at;
        uint64_t from = 0, to = 0;
        size_t n = strcspn(line, "-");
        assert_int_equal(str_hex_to_u64(line, n, &from), 0);
        at = line + n + 1;
        n = strcspn(at, " ");
        assert_int_equal(str_hex_to_u64(at, n, &to), 0);
        if (strncmp(at + n, " rw", 3) != 0 || ((uintptr_t)chunk >= from && (uintptr_t)chunk < to))
            continue;
        for (; from < to; from += CHUNK - PIECE) {
            ssize_t got = pread(mem, chunk, to - from < CHUNK ? to - from : CHUNK, (off_t)from);
            if (got <= 0)
                break;
            found += count_in(chunk, (size_t)got);
        }
    }
    (void)fclose(maps);
    (void)close(mem);
    (void)munmap(chunk, CHUNK);
    return found;
}

/* ---- one session ---- */

struct keeper {
    struct stream under;
    struct cert_identity *identity;
    size_t sends; /* bytes of the value that it sends, after it has read all of it */
    struct scope *scope;
};

static int keeper_serve(void *arg)
{
    struct keeper *k = arg;
    struct stream s;
    struct err e;
    char piece[100];
    struct tls_serve_options o = {.identity = k->identity};
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    assert_int_equal(tls_serve(w.ctx, &o, &k->under, &s, NULL, &e), 0);
    for (size_t at = 0; at < VALUE_BYTES;) { /* in pieces: the rest waits in the session */
        ssize_t n = stream_read(&s, piece, sizeof(piece));
        assert_true(n > 0);
        at += (size_t)n;
    }
    secret_wipe(piece, sizeof(piece));
    char *value = mem_zalloc(VALUE_BYTES);
    fill(value, VALUE_BYTES);
    assert_int_equal(stream_write(&s, value, k->sends), 0);
    secret_wipe(value, VALUE_BYTES);
    free(value);
    (void)!stream_read(&s, piece, 1); /* until the other end is gone */
    stream_done(&s);
    return 0;
}

/* There and back; the client reads `takes` bytes of what is sent, and goes. */
static int session(size_t sends, size_t takes, bool keep_open)
{
    AUTO(scope) scope;
    scope_init(&scope);
    struct tls_trust *trust = world_trust(w.ca_file);
    struct keeper k = {.identity = world_leaf(w.ca, "a.example", false), .sends = sends};
    struct stream under, s;
    struct err e;
    world_pair(&k.under, &under);
    assert_int_equal(fiber_spawn(&scope, "keeper", keeper_serve, &k, NULL), 0);
    struct tls_connect_options o = {.host = "a.example"};
    assert_int_equal(tls_connect(trust, &o, &under, &s, NULL, &e), 0);
    char *value = mem_zalloc(VALUE_BYTES);
    fill(value, VALUE_BYTES);
    assert_true(search() > 0); /* the search finds it where it is */
    assert_int_equal(stream_write(&s, value, VALUE_BYTES), 0);
    for (size_t at = 0; at < takes;) {
        ssize_t n = stream_read(&s, value, takes - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    secret_wipe(value, VALUE_BYTES);
    free(value);
    if (keep_open) /* all of it was read: nothing of it waits in a session */
        assert_int_equal(search(), 0);
    stream_done(&s);
    assert_int_equal(scope_join(&scope), 0);
    cert_identity_unref(k.identity);
    tls_trust_free(trust);
    round_number++;
    return 0;
}

static int after_reading(void *arg)
{
    (void)arg;
    return session(VALUE_BYTES, VALUE_BYTES, true);
}
ON_LOOP(after_reading)

static int after_the_end(void *arg)
{
    (void)arg;
    round_number = 7;
    int r = session(VALUE_BYTES, 10, false); /* most of it was never read */
    round_number = 7;
    assert_int_equal(search(), 0);
    return r;
}
ON_LOOP(after_the_end)

/* A sanitizer's shadow of all memory takes minutes to search, and its malloc is another. */
static void left_out(void **state)
{
    (void)state;
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(after_reading),
        CASE(after_the_end),
    };
    const struct CMUnitTest none[] = {cmocka_unit_test(left_out)};
    if (SANITIZED)
        return cmocka_run_group_tests(none, NULL, NULL);
    return cmocka_run_group_tests(tests, setup, teardown);
}

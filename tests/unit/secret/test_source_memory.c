/* test_source_memory.c - after rotation and end the old value is nowhere in this process.
 *
 * The test must not hold the value itself: its bytes are computed one by one, both when a file with
 * it is written and when memory is searched. The vault is another process (openssl s_server over
 * TLS, which serves files as whole answers). Searched is every writable mapping of this process:
 * heap, stacks of fibers and threads, libraries' data, anonymous memory. */
#include "unit/io/certificate.h"
#include "unit/secret/secret_world.h"
#include "unit/secret/vault_peer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUE_BYTES 40
#define PIECE       12 /* so much of it in a row counts as found */

/* Byte `i` of the value number `which`. */
static char byte_of(unsigned which, size_t i)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint32_t x = (uint32_t)(which * 7919 + i + 1) * 2654435761u;
    return digits[(x >> 16) % 52];
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Writes before, the value, after, by renaming. */
static void write_value(const struct secret_world *w, const char *name, const char *before,
                        unsigned which, const char *after)
{
    int fd = open(world_path(w, "new"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    put(fd, before);
    for (size_t i = 0; i < VALUE_BYTES; i++) {
        volatile char c = byte_of(which, i);
        assert_int_equal(write(fd, (const void *)(uintptr_t)&c, 1), 1);
        c = 0;
    }
    put(fd, after);
    assert_int_equal(close(fd), 0);
    assert_int_equal(rename(world_path(w, "new"), world_path(w, name)), 0);
}

/* ---- the search ---- */

#define CHUNK (1u << 20)

static size_t count_in(const char *p, size_t n, unsigned which, size_t from)
{
    size_t found = 0;
    for (size_t i = 0; i + PIECE <= n; i++) {
        size_t k = 0;
        while (k < PIECE && p[i + k] == byte_of(which, from + k))
            k++;
        found += k == PIECE;
    }
    return found;
}

static size_t search_range(int mem, char *chunk, uintptr_t from, uintptr_t to, unsigned which,
                           const char *line)
{
    size_t found = 0;
    for (uintptr_t at = from; at < to; at += CHUNK - PIECE) {
        size_t n = to - at < CHUNK ? to - at : CHUNK;
        ssize_t got = pread(mem, chunk, n, (off_t)at);
        if (got <= 0)
            break;
        /* Its beginning and its end: a part counts as well. */
        size_t here = count_in(chunk, (size_t)got, which, 0) +
                      count_in(chunk, (size_t)got, which, VALUE_BYTES - PIECE);
        if (here && line)
            print_message("found in %s", line);
        found += here;
    }
    return found;
}

/* How often a piece of the value is in writable memory. The search's own buffer is left out. */
static size_t in_memory(unsigned which, bool tell)
{
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char *chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    size_t found = 0;
    assert_true(mem >= 0 && chunk != MAP_FAILED && maps);
    while (fgets(line, sizeof(line), maps)) {
        uintptr_t from, to, ours = (uintptr_t)chunk;
        char mode[8];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode) != 3 || mode[1] != 'w')
            continue;
        if (from <= ours && ours < to) { /* it may have been merged with its neighbours */
            found += search_range(mem, chunk, from, ours, which, tell ? line : NULL);
            from = ours + CHUNK;
        }
        found += search_range(mem, chunk, from, to, which, tell ? line : NULL);
    }
    (void)fclose(maps);
    (void)close(mem);
    assert_int_equal(munmap(chunk, CHUNK), 0);
    return found;
}

/* Takes the value, looks whether it is the right one, and returns a reference. */
static struct secret_value *get_value(struct secret_source *s, unsigned which)
{
    struct secret_value *v = NULL;
    struct err e = {0};
    if (secret_source_get(s, &v, &e) < 0)
        fail_msg("%s", e.msg);
    const struct secret *got = secret_value_secret(v);
    assert_int_equal(got->len, VALUE_BYTES);
    for (size_t i = 0; i < VALUE_BYTES; i++)
        assert_true(got->data[i] == byte_of(which, i));
    return v;
}

/* From value 2n to 2n+1: both are there while both are used, and one alone afterwards. */
static void rotate(struct secret_world *w, struct secret_source *s, const char *file,
                   const char *before, const char *after, unsigned n)
{
    struct secret_value *old = get_value(s, 2 * n);
    assert_true(in_memory(2 * n, false) > 0); /* the search finds what is there */
    write_value(w, file, before, 2 * n + 1, after);
    secret_sources_expire(w->all);
    struct secret_value *new = get_value(s, 2 * n + 1);
    assert_true(in_memory(2 * n, false) > 0);
    assert_int_equal(in_memory(2 * n, false), 2); /* beginning and end, of the one in use */
    secret_value_unref(old);
    assert_int_equal(in_memory(2 * n, true), 0);
    secret_value_unref(new);
    secret_source_unref(s);
    assert_int_equal(in_memory(2 * n + 1, true), 0);
}

static int a_file_leaves_nothing(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    write_value(&w, "key", "", 2, "\n");
    rotate(&w, world_source(&w, "{'file':'$DIR/key'}"), "key", "", "\n", 1);
    /* In a document with a number that json.c rewrites. */
    write_value(&w, "key", "{\"n\":123456789012345678901234567890,\"a\":{\"k\":\"", 4, "\"}}");
    rotate(&w, world_source(&w, "{'file':'$DIR/key','json_key':'a.k'}"), "key",
           "{\"n\":123456789012345678901234567890,\"a\":{\"k\":\"", "\"}}", 2);
    assert_int_equal(unlink(world_path(&w, "key")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_file_leaves_nothing)

static int a_command_leaves_nothing(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    write_value(&w, "key", "", 6, "\n");
    rotate(&w, world_source(&w, "{'exec':['cat','$DIR/key']}"), "key", "", "\n", 3);
    /* As a variable of another command, which prints it on both streams. */
    write_value(&w, "key", "", 8, "\n");
    struct secret_source *s =
        world_source(&w, "{'exec':'echo $K; echo $K >&2','environment':{'K':{'file':'$DIR/key'}}}");
    rotate(&w, s, "key", "", "\n", 4);
    write_value(&w, "key", "", 10, "\n");
    s = world_source(&w, "{'exec':'cat $DIR/key; cat $DIR/key >&2; exit 1'}");
    struct secret_value *v = NULL;
    struct err e = {0};
    assert_int_equal(secret_source_get(s, &v, &e), -EIO);
    secret_source_unref(s);
    assert_int_equal(in_memory(10, true), 0);
    assert_int_equal(unlink(world_path(&w, "key")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_command_leaves_nothing)

/* ---- a vault over TLS ---- */

#define ANSWER_HEAD                                                                                \
    "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"lease_id\":\"\",\"data\":{"       \
    "\"data\":{\"key\":\""
#define ANSWER_TAIL "\"},\"metadata\":{\"version\":1}}}"

static int a_vault_leaves_nothing(void *arg)
{
    (void)arg;
    struct secret_world w;
    struct proc vault;
    int port;
    world_begin(&w);
    assert_int_equal(
        certificate_make(world_path(&w, "pem"), world_path(&w, "cert"), "IP:127.0.0.1"), 0);
    static const char *const dirs[] = {"v1", "v1/secret", "v1/secret/data"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        assert_int_equal(mkdir(world_path(&w, dirs[i]), 0700), 0);
    port = vault_tls_start(w.dir, &vault);
    write_value(&w, "token", "", 12, "\n");
    write_value(&w, "v1/secret/data/app", ANSWER_HEAD, 14, ANSWER_TAIL);
    AUTO_FREE char *config = mem_printf(
        "{'hashicorp':{'address':'https://127.0.0.1:%d','ca_file':'$DIR/cert','auth':{'token':{"
        "'file':'$DIR/token'}},'path':'app'},'json_key':'key'}",
        port);
    struct secret_source *s = world_source(&w, config);
    struct secret_value *old = get_value(s, 14);
    assert_true(in_memory(14, false) > 0);
    assert_true(in_memory(12, false) > 0); /* the token is kept for the next read, once */
    assert_int_equal(in_memory(12, false), 2);
    write_value(&w, "v1/secret/data/app", ANSWER_HEAD, 15, ANSWER_TAIL);
    secret_sources_expire(w.all);
    struct secret_value *new = get_value(s, 15);
    secret_value_unref(old);
    assert_int_equal(in_memory(14, true), 0); /* while the connection may still be open */
    assert_int_equal(in_memory(15, false), 2);
    secret_value_unref(new);
    secret_source_unref(s);
    assert_int_equal(in_memory(15, true), 0);
    assert_int_equal(in_memory(12, true), 0);
    proc_done(&vault);
    assert_int_equal(unlink(world_path(&w, "v1/secret/data/app")), 0);
    for (size_t i = ARRAY_LEN(dirs); i > 0; i--)
        assert_int_equal(rmdir(world_path(&w, dirs[i - 1])), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_vault_leaves_nothing)

int main(void)
{
    if (SANITIZED) /* its shadow of all memory takes minutes to search, and its malloc is another */
        return 77;
    secret_wipe_when_freed();
    const struct CMUnitTest tests[] = {
        CASE(a_file_leaves_nothing),
        CASE(a_command_leaves_nothing),
        CASE(a_vault_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

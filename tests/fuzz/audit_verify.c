/* audit_verify.c - fuzzes audit/reader and audit/verify: bytes become two files of a log (a 0xff ends
 * the first). What verifies is whole lines only, has a signed checkpoint, and does not verify any more
 * when a bit of what a checkpoint covers is turned over. */
#include "fuzz.h"
#include "audit/verify.h"
#include "base/err.h"
#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char path[64], full[80];
static struct ed25519 *key;

static void put(const char *file, const uint8_t *p, size_t n)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && fd_write_all(fd, p, n) == 0);
    (void)close(fd);
}

static void put_files(const uint8_t *data, size_t n)
{
    const uint8_t *split = n ? memchr(data, 0xff, n) : NULL;
    (void)unlink(full);
    if (split)
        put(full, data, (size_t)(split - data));
    put(path, split ? split + 1 : data, split ? n - (size_t)(split + 1 - data) : n);
}

static uint64_t count(const uint8_t *data, size_t n, uint8_t c)
{
    uint64_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += data[i] == c;
    return k;
}

static void begin(void)
{
    static const unsigned char seed[ED25519_SEED_BYTES] = {1};
    snprintf(path, sizeof(path), "/tmp/fuzz-audit-%ld", (long)getpid());
    snprintf(full, sizeof(full), "%s.000001", path);
    key = ed25519_private(seed);
}

static int verify(struct audit_report *ret)
{
    struct err e = {0};
    int r = audit_verify(path, key, NULL, NULL, NULL, ret, &e);
    MUST(r == 0 || e.msg[0]);
    audit_report_done(ret);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct audit_report report;
    if (!key)
        begin();
    put_files(data, n);
    if (verify(&report) == 0) {
        MUST(report.checkpoints > 0 && report.lines == count(data, n, '\n'));
        MUST(report.last_seq - report.first_seq + 1 == report.lines);
        /* Line by line, as far as the last checkpoint goes. */
        uint64_t covered = report.lines - report.open_lines, line = 0;
        uint8_t *changed = mem_array(n, 1);
        memcpy(changed, data, n);
        for (size_t i = 0; i < n && line < covered; i += 1 + n / 16) {
            line = count(data, i, '\n');
            if (line >= covered || data[i] == 0xff || (data[i] ^ 4) == 0xff)
                continue;
            changed[i] ^= 4;
            put_files(changed, n);
            struct audit_report other;
            MUST(verify(&other) < 0);
            changed[i] ^= 4;
        }
        free(changed);
    }
    (void)unlink(path);
    (void)unlink(full);
    return 0;
}

/* audit_recover.c - fuzzes audit/recover: behind a signed beginning comes anything at all. What is
 * taken is a prefix of whole lines, which fit, and the signed part is always among them. */
#include "fuzz.h"
#include "audit/recover.h"
#include "base/fd.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const unsigned char seed[ED25519_SEED_BYTES] = {1}, zeros[AUDIT_HASH_BYTES];
    static struct ed25519 *key;
    static char first[AUDIT_CHECKPOINT_MAX + 1];
    static size_t n_first;
    if (!key) {
        struct audit_head h = {.seq = 7, .prev = zeros, .salt = zeros, .time_us = 1, .by = "log"};
        key = ed25519_private(seed);
        n_first = audit_checkpoint_line(&h, "audit_01fuzz", "k", "begin", key, first);
        first[n_first++] = '\n';
    }
    int fd = memfd_create("log", MFD_CLOEXEC);
    MUST(fd >= 0 && fd_write_all(fd, first, n_first) == 0 && fd_write_all(fd, data, n) == 0);
    struct audit_end end;
    audit_end_init(&end);
    int r = audit_recover(fd, "log", key, &end, NULL);
    if (r == 0) {
        MUST(end.bytes >= (int64_t)n_first && end.bytes + end.torn == (int64_t)(n_first + n));
        MUST(end.bytes == (int64_t)n_first || data[end.bytes - (int64_t)n_first - 1] == '\n');
        MUST(end.chain.seq >= 8);
    }
    audit_end_done(&end);
    /* The same without the signed part, as a first start may find it. */
    MUST(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0 && fd_write_all(fd, data, n) == 0);
    audit_end_init(&end);
    if (audit_recover(fd, "log", key, &end, NULL) == 0)
        MUST(end.bytes == 0 && end.torn == (int64_t)n && end.log_id[0] == '\0');
    audit_end_done(&end);
    (void)close(fd);
    return 0;
}

/* image_layer.c - fuzzes worker/image_layer: whatever a layer says, nothing outside the root
 * changes.
 *
 * Theory of operation: one input is one or two tar streams, applied one after the other to an empty
 * directory beside a neighbour with a file in it. Between them stand 8 bytes, "NEXTTAR\n". What is
 * refused has words; the ceilings hold; the neighbour is what it was, its only file has one name,
 * and removing the root empties the parent. The header checksum that libarchive insists on is
 * repaired first, so that mutation reaches the fields behind it. */
#include "fuzz.h"
#include "base/err.h"
#include "image/archive.h"
#include "image/layer.h"
#include "image/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEPARATOR "NEXTTAR\n"

struct memory {
    struct archive_stream stream;
    const uint8_t *p;
    size_t n;
};

static ssize_t memory_next(struct archive_stream *s, const void **ret, struct err *e UNUSED)
{
    struct memory *m = CONTAINER_OF(s, struct memory, stream);
    size_t n = m->n < 4096 ? m->n : 4096;
    *ret = m->p;
    m->p += n;
    m->n -= n;
    return (ssize_t)n;
}

/* Every block that says it is a header gets a checksum that fits. */
static void repair(uint8_t *p, size_t n)
{
    for (size_t at = 0; at + 512 <= n; at += 512) {
        uint8_t *h = p + at;
        if (memcmp(h + 257, "ustar", 5) != 0)
            continue;
        unsigned sum = 0;
        memset(h + 148, ' ', 8);
        for (size_t i = 0; i < 512; i++)
            sum += h[i];
        char text[8];
        snprintf(text, sizeof(text), "%06o", sum & 0777777u);
        memcpy(h + 148, text, 7);
    }
}

static void apply(struct image_unpack *u, uint8_t *p, size_t n)
{
    struct err e = {0};
    repair(p, n);
    struct memory m = {.stream = {.next = memory_next}, .p = p, .n = n};
    int r = image_layer_apply(u, &m.stream, &e);
    MUST(r == 0 || (r < 0 && e.code == r && e.msg[0]));
    MUST(u->tally.bytes <= u->limits.bytes && u->tally.entries <= u->limits.files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char base[] = "/dev/shm/sp-fuzz-XXXXXX";
    MUST(mkdtemp(base));
    int fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    MUST(fd >= 0 && mkdirat(fd, "root", 0755) == 0 && mkdirat(fd, "out", 0755) == 0);
    int canary = openat(fd, "out/canary", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    MUST(canary >= 0 && write(canary, "alive", 5) == 5);
    struct image_unpack u = {
        .limits = {.bytes = 1u << 20, .files = 200, .depth = 16, .ratio = 100},
    };
    u.root_fd = openat(fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    MUST(u.root_fd >= 0);

    AUTO_FREE uint8_t *copy = mem_array(n + 1, 1);
    if (n)
        memcpy(copy, data, n);
    uint8_t *next = memmem(copy, n, SEPARATOR, strlen(SEPARATOR));
    size_t first = next ? (size_t)(next - copy) : n;
    apply(&u, copy, first);
    if (next)
        apply(&u, next + strlen(SEPARATOR), n - first - strlen(SEPARATOR));

    struct stat st;
    struct image_tree_size size;
    struct err e = {0};
    char text[8];
    MUST(fstat(canary, &st) == 0 && st.st_nlink == 1 && st.st_size == 5 &&
         (st.st_mode & 07777) == 0600);
    MUST(pread(canary, text, sizeof(text), 0) == 5 && memcmp(text, "alive", 5) == 0);
    MUST(image_tree_measure(u.root_fd, &size, &e) == 0);
    close(canary);
    close(u.root_fd);
    MUST(image_tree_remove(fd, "root", &e) == 0);
    MUST(unlinkat(fd, "out/canary", 0) == 0 && unlinkat(fd, "out", AT_REMOVEDIR) == 0);
    close(fd);
    MUST(rmdir(base) == 0);
    return 0;
}

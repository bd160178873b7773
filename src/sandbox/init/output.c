/* output.c - bounded capture of a command's output.
 *
 * Init feeds it from the output pipe, possibly at memory speed (`yes`). Memory is fixed: a head
 * part, a ring for the tail. The moment a byte no longer fits both, a file is started with what is
 * held so far and everything after it is appended, so the file always is the whole output. The file
 * is created with O_EXCL in a directory opened at start: a file or link that the sandbox's programs
 * put at that name is never opened. Failing to write it (full /tmp) is told in the text and costs
 * nothing else. */
#include "sandbox/init/output.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/paths.h"

void output_init(struct output *o, int dir_fd, uint64_t ceiling)
{
    *o = (struct output){.dir_fd = dir_fd, .spill_fd = -1, .ceiling = ceiling};
}

void output_done(struct output *o)
{
    fd_cleanup_close(&o->spill_fd);
    o->spill_fd = -1;
    free(o->head);
    free(o->tail);
    o->head = o->tail = NULL;
}

void output_begin(struct output *o, const char *name)
{
    output_done(o);
    o->head_len = 0;
    o->total = 0;
    o->spill_error = 0;
    str_copy(o->spill_name, sizeof(o->spill_name), name);
}

static size_t tail_len(const struct output *o)
{
    uint64_t n = o->total - o->head_len;
    return n < OUTPUT_PART_BYTES ? (size_t)n : OUTPUT_PART_BYTES;
}

static void spill_write(struct output *o, const char *p, size_t n)
{
    while (n > 0 && o->spill_fd >= 0) {
        ssize_t k = write(o->spill_fd, p, n);
        if (k < 0) {
            o->spill_error = -errno;
            close(TAKE_FD(o->spill_fd));
            return;
        }
        p += k;
        n -= (size_t)k;
    }
}

/* Starts the file with everything held so far. Called while head and (unwrapped) tail are the whole
 * output. */
static void spill_start(struct output *o)
{
    if (o->dir_fd < 0 || o->spill_error)
        return;
    o->spill_fd = openat(o->dir_fd, o->spill_name,
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (o->spill_fd < 0) {
        o->spill_error = -errno;
        return;
    }
    spill_write(o, o->head, o->head_len);
    spill_write(o, o->tail, tail_len(o));
}

static void tail_add(struct output *o, const char *p, size_t n)
{
    size_t at = (size_t)((o->total - o->head_len) % OUTPUT_PART_BYTES);
    if (n > OUTPUT_PART_BYTES) {
        at = (at + n - OUTPUT_PART_BYTES) % OUTPUT_PART_BYTES;
        p += n - OUTPUT_PART_BYTES;
        o->total += n - OUTPUT_PART_BYTES;
        n = OUTPUT_PART_BYTES;
    }
    size_t first = OUTPUT_PART_BYTES - at < n ? OUTPUT_PART_BYTES - at : n;
    memcpy(o->tail + at, p, first);
    memcpy(o->tail, p + first, n - first);
    o->total += n;
}

int output_add(struct output *o, const void *bytes, size_t n)
{
    const char *p = bytes;
    bool over = n > o->ceiling - o->total;
    if (over)
        n = (size_t)(o->ceiling - o->total);
    if (!o->head)
        o->head = mem_array(OUTPUT_PART_BYTES, 1);
    size_t k = OUTPUT_PART_BYTES - o->head_len < n ? OUTPUT_PART_BYTES - o->head_len : n;
    memcpy(o->head + o->head_len, p, k);
    o->head_len += k;
    o->total += k;
    p += k;
    n -= k;
    if (n > 0) {
        if (!o->tail)
            o->tail = mem_array(OUTPUT_PART_BYTES, 1);
        if (o->spill_fd < 0 && tail_len(o) + n > OUTPUT_PART_BYTES)
            spill_start(o);
        spill_write(o, p, n);
        tail_add(o, p, n);
    }
    return over ? -E_LIMIT : 0;
}

/* Length of a terminal control sequence at p ("ESC [ parameters intermediates final"), or 0. */
static size_t ansi_len(const char *p, size_t n)
{
    if (n < 3 || p[0] != '\x1b' || p[1] != '[')
        return 0;
    size_t i = 2;
    while (i < n && ((p[i] >= '0' && p[i] <= '9') || p[i] == ';' || p[i] == '?'))
        i++;
    while (i < n && p[i] >= ' ' && p[i] <= '/')
        i++;
    return i < n && p[i] >= '@' && p[i] <= '~' ? i + 1 : 0;
}

/* Length of the well-formed UTF-8 character at p, or 0. */
static size_t utf8_len(const char *p, size_t n)
{
    unsigned char c = (unsigned char)p[0];
    size_t len = c < 0x80                ? 1
                 : c >= 0xc2 && c < 0xe0 ? 2
                 : c >= 0xe0 && c < 0xf0 ? 3
                 : c >= 0xf0 && c < 0xf5 ? 4
                                         : 0;
    return len && len <= n && str_is_utf8(p, len) ? len : 0;
}

void output_clean(struct buf *out, const char *p, size_t n)
{
    while (n > 0) {
        size_t k = ansi_len(p, n);
        if (k == 0) {
            k = utf8_len(p, n);
            if (k == 0 || *p == '\0') { /* NUL cannot be carried in a JSON string here */
                buf_adds(out, "\xef\xbf\xbd");
                k = 1;
            } else {
                buf_add(out, p, k);
            }
        }
        p += k;
        n -= k;
    }
}

/* Start of the last part: not in the middle of a character. */
static void add_tail(struct output *o, struct buf *out)
{
    size_t n = tail_len(o);
    if (n == 0)
        return;
    AUTO_FREE char *line = mem_array(n, 1);
    bool wrapped = o->total - o->head_len > OUTPUT_PART_BYTES;
    size_t at = wrapped ? (size_t)((o->total - o->head_len) % OUTPUT_PART_BYTES) : 0;
    size_t first = n - at < n ? n - at : n;
    memcpy(line, o->tail + at, first);
    memcpy(line + first, o->tail, n - first);
    size_t skip = 0;
    while (wrapped && skip < n && skip < 3 && ((unsigned char)line[skip] & 0xc0) == 0x80)
        skip++;
    output_clean(out, line + skip, n - skip);
}

static void add_marker(struct output *o, struct buf *out, uint64_t missing)
{
    buf_addf(out, "\n\n[%llu of %llu bytes are left out here; ", (unsigned long long)missing,
             (unsigned long long)o->total);
    if (o->spill_error)
        buf_addf(out, "the whole output could not be kept: %s]\n\n", err_text(o->spill_error));
    else if (o->dir_fd < 0)
        buf_adds(out, "nothing else was kept]\n\n");
    else
        buf_addf(out, "the whole output is in %s/%s]\n\n", paths()->spool, o->spill_name);
}

/* How many of the `n` bytes hold whole characters: a lead byte whose followers are cut off is left
 * out. */
static size_t whole_chars(const char *p, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)p[n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return need > back ? n - back : n;
    }
    return n;
}

void output_text(struct output *o, struct buf *out)
{
    uint64_t missing = o->total - o->head_len - tail_len(o);
    output_clean(out, o->head, missing ? whole_chars(o->head, o->head_len) : o->head_len);
    if (missing)
        add_marker(o, out, missing);
    add_tail(o, out);
    while (out->len > 0 && out->data[out->len - 1] == '\n')
        out->data[--out->len] = '\0';
}

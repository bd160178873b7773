/* read.c - the read tool: a text file, a range of its lines, or an image.
 *
 * Runs in a tool child. The file may be anything the sandbox's programs put there and may change
 * while it is read: memory is bounded by TOOL_FILE_MAX plus one chunk, time by init. A range of a
 * large file is streamed. Lines are what lies between newlines; a range returns them joined,
 * without a newline at the end, as the reference does. Files with a NUL byte are not text and are
 * refused instead of being shown as replacement characters. */
#include "sandbox/tools/tool.h"

#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "sandbox/sandbox.h"
#include "sandbox/tools/path.h"

#define CHUNK (64u << 10)

struct range {
    bool given;
    int64_t first, last; /* as asked for: 1-based, inclusive; last <= 0: to the end */
};

static const char *image_type(const char *p, size_t n)
{
    if (n >= 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0)
        return "image/png";
    if (n >= 3 && memcmp(p, "\xff\xd8\xff", 3) == 0)
        return "image/jpeg";
    if (n >= 6 && (memcmp(p, "GIF87a", 6) == 0 || memcmp(p, "GIF89a", 6) == 0))
        return "image/gif";
    if (n >= 12 && memcmp(p, "RIFF", 4) == 0 && memcmp(p + 8, "WEBP", 4) == 0)
        return "image/webp";
    return NULL;
}

/* Reads up to `max` bytes; -errno or the sticky error of `out`. */
static int slurp(int fd, struct buf *out, size_t max)
{
    while (out->len < max) {
        size_t want = max - out->len < CHUNK ? max - out->len : CHUNK;
        char *room = buf_room(out, want);
        if (!room)
            return buf_err(out);
        ssize_t n = read(fd, room, want);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        buf_commit(out, (size_t)n);
    }
    return 0;
}

static void read_image(int fd, const char *name, const char *type, uint64_t size,
                       struct tool_result *ret)
{
    if (size > TOOL_IMAGE_MAX) {
        tool_fail(ret,
                  "read: %s is an image of %llu bytes; at most %u can be shown. Make a smaller "
                  "copy first.",
                  name, (unsigned long long)size, TOOL_IMAGE_MAX);
        return;
    }
    AUTO(buf) raw = BUF_INIT(TOOL_IMAGE_MAX), text = BUF_INIT(SANDBOX_FRAME_MAX);
    int r = slurp(fd, &raw, TOOL_IMAGE_MAX);
    if (r >= 0)
        r = enc_base64(&text, buf_str(&raw), raw.len);
    if (r < 0) {
        tool_fail_errno(ret, "read", name, r);
        return;
    }
    json_t *source = json_object(), *block = json_object();
    json_put_str(source, "type", "base64");
    json_put_str(source, "media_type", type);
    json_put_str(source, "data", buf_str(&text));
    json_put_str(block, "type", "image");
    json_put(block, "source", source);
    json_decref(ret->content);
    ret->content = json_array();
    json_array_append_new(ret->content, block);
}

/* Lines [start, end) of the file, 0-based, appended to `out` up to TOOL_FILE_MAX bytes; -EMSGSIZE
 * above it. */
static int collect_lines(int fd, uint64_t start, uint64_t end, struct buf *out)
{
    AUTO(buf) chunk = BUF_INIT(CHUNK);
    uint64_t line = 0;
    while (line < end) {
        buf_reset(&chunk);
        int r = slurp(fd, &chunk, CHUNK);
        if (r < 0 || chunk.len == 0)
            return r;
        const char *p = chunk.data, *stop = p + chunk.len;
        while (p < stop && line < end) {
            const char *nl = memchr(p, '\n', (size_t)(stop - p));
            const char *line_end = nl ? nl : stop;
            if (line >= start) {
                buf_add(out, p, (size_t)(line_end - p));
                if (nl && line + 1 < end)
                    buf_addc(out, '\n');
                if (buf_err(out) < 0)
                    return buf_err(out);
            }
            line += nl != NULL;
            p = nl ? nl + 1 : stop;
        }
    }
    return 0;
}

static void read_range(int fd, const char *name, const struct range *v, struct tool_result *ret)
{
    uint64_t start = v->first > 1 ? (uint64_t)v->first - 1 : 0;
    uint64_t end = v->last > 0 ? (uint64_t)v->last : UINT64_MAX;
    AUTO(buf) out = BUF_INIT(TOOL_FILE_MAX);
    int r = end > start ? collect_lines(fd, start, end, &out) : 0;
    if (r == -EMSGSIZE && end - start == 1)
        tool_fail(
            ret,
            "read: line %llu of %s alone is longer than the limit of %u bytes, and parts of a line "
            "cannot be read. Use bash to look at a piece of it.",
            (unsigned long long)start + 1, name, TOOL_FILE_MAX);
    else if (r == -EMSGSIZE)
        tool_fail(ret,
                  "read: lines %lld to %lld of %s are more than the limit of %u bytes. Ask for "
                  "fewer lines.",
                  (long long)v->first, (long long)v->last, name, TOOL_FILE_MAX);
    else if (r < 0)
        tool_fail_errno(ret, "read", name, r);
    else if (out.len && memchr(out.data, '\0', out.len))
        tool_fail(ret, "read: %s is a binary file", name);
    else
        tool_text(ret, buf_str(&out), out.len);
}

static void read_whole(int fd, const char *name, uint64_t size, struct tool_result *ret)
{
    AUTO(buf) out = BUF_INIT(TOOL_FILE_MAX + 1u);
    int r = size > TOOL_FILE_MAX ? -EMSGSIZE : slurp(fd, &out, TOOL_FILE_MAX + 1u);
    if (r == -EMSGSIZE || out.len > TOOL_FILE_MAX)
        tool_fail(ret,
                  "read: %s has %llu bytes, more than the limit of %u. Ask for a part of it with "
                  "view_range, "
                  "for example [1, 500].",
                  name, (unsigned long long)(size > out.len ? size : out.len), TOOL_FILE_MAX);
    else if (r < 0)
        tool_fail_errno(ret, "read", name, r);
    else if (out.len && memchr(out.data, '\0', out.len))
        tool_fail(ret, "read: %s is a binary file", name);
    else
        tool_text(ret, buf_str(&out), out.len);
}

static bool parse_range(const json_t *input, struct range *v, struct tool_result *ret)
{
    const json_t *a = json_object_get(input, "view_range");
    *v = (struct range){.given = false};
    if (!a || json_is_null(a) || (json_is_array(a) && json_array_size(a) == 0))
        return true;
    const json_t *first = json_array_get(a, 0), *last = json_array_get(a, 1);
    if (json_array_size(a) != 2 || !json_is_integer(first) || !json_is_integer(last)) {
        tool_fail(ret, "read: view_range must be [start_line, end_line]");
        return false;
    }
    *v = (struct range){
        .given = true, .first = json_integer_value(first), .last = json_integer_value(last)};
    return true;
}

void tool_read(const json_t *input, struct tool_result *ret)
{
    const char *name = tool_string(input, "file_path", "read", ret);
    struct range v;
    if (!name) {
        if (!ret->is_error)
            tool_fail(ret, "read: file_path is required");
        return;
    }
    if (!parse_range(input, &v, ret))
        return;
    AUTO_FREE char *path = path_absolute(name);
    uint64_t size = 0;
    AUTO_CLOSE int fd = path ? path_open_regular(path, &size) : -ENAMETOOLONG;
    if (fd == -E_DENIED) {
        tool_fail(ret, "read: %s is not a regular file", name);
        return;
    }
    if (fd < 0) {
        tool_fail_errno(ret, "read", name, fd);
        return;
    }
    char magic[12];
    ssize_t n = pread(fd, magic, sizeof(magic), 0);
    const char *type = n > 0 ? image_type(magic, (size_t)n) : NULL;
    if (type)
        read_image(fd, name, type, size, ret);
    else if (v.given)
        read_range(fd, name, &v, ret);
    else
        read_whole(fd, name, size, ret);
}

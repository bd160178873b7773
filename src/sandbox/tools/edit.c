/* edit.c - the edit tool: one string for another, exactly once unless asked for all.
 *
 * Runs in a tool child. Bytes are compared, so a file that is not UTF-8 keeps the bytes that are
 * not touched. The file is read whole (bounded by TOOL_FILE_MAX) and written back atomically; a
 * change by a program in between is lost, as with any editor. */
#include "sandbox/tools/edit.h"

#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "sandbox/sandbox.h"
#include "sandbox/tools/path.h"
#include "sandbox/tools/tool.h"
#include "sandbox/tools/write.h"

size_t edit_count(const char *text, size_t n, const char *old, size_t old_len)
{
    size_t count = 0;
    const char *end = text + n;
    for (const char *p = text; (p = memmem(p, (size_t)(end - p), old, old_len)); p += old_len)
        count++;
    return count;
}

int edit_replace(struct buf *out, const char *text, size_t n, const char *old, size_t old_len,
                 const char *new, size_t new_len, size_t max)
{
    const char *p = text, *end = text + n;
    for (size_t i = 0; i < max; i++) {
        const char *hit = memmem(p, (size_t)(end - p), old, old_len);
        if (!hit)
            break;
        buf_add(out, p, (size_t)(hit - p));
        buf_add(out, new, new_len);
        p = hit + old_len;
    }
    return buf_add(out, p, (size_t)(end - p));
}

/* Reads the file into `text`; false with the reason in *ret. */
static bool load(const char *name, const char *path, struct buf *text, struct tool_result *ret)
{
    uint64_t size = 0;
    AUTO_CLOSE int fd = path ? path_open_regular(path, &size) : -ENAMETOOLONG;
    if (fd == -E_DENIED) {
        tool_fail(ret, "edit: %s is not a regular file", name);
        return false;
    }
    if (fd < 0) {
        tool_fail_errno(ret, "edit", name, fd);
        return false;
    }
    while (size <= TOOL_FILE_MAX) {
        char *room = buf_room(text, 4096);
        ssize_t n = room ? read(fd, room, 4096) : 0;
        if (n < 0) {
            tool_fail_errno(ret, "edit", name, -errno);
            return false;
        }
        if (room && n == 0)
            return true;
        buf_commit(text, (size_t)n);
        if (text->len > TOOL_FILE_MAX)
            size = text->len;
    }
    tool_fail(ret,
              "edit: %s has %llu bytes, more than the limit of %u; a file this large cannot be "
              "edited this way. "
              "Use bash (sed, a script) instead.",
              name, (unsigned long long)size, TOOL_FILE_MAX);
    return false;
}

void tool_edit(const json_t *input, struct tool_result *ret)
{
    const char *name = tool_string(input, "file_path", "edit", ret);
    const char *old = ret->is_error ? NULL : tool_string(input, "old_string", "edit", ret);
    const json_t *new = json_object_get(input, "new_string"),
                 *all = json_object_get(input, "replace_all");
    if (ret->is_error)
        return;
    if (!name || !old || !json_is_string(new)) {
        tool_fail(ret, "edit: %s is required",
                  !name  ? "file_path"
                  : !old ? "old_string"
                         : "new_string");
        return;
    }
    if (all && !json_is_null(all) && !json_is_boolean(all)) {
        tool_fail(ret, "edit: replace_all must be true or false");
        return;
    }
    AUTO_FREE char *path = path_absolute(name);
    AUTO(buf) text = BUF_INIT(TOOL_FILE_MAX + 8192u), out = BUF_INIT(SANDBOX_FRAME_MAX);
    if (!load(name, path, &text, ret))
        return;
    size_t old_len = json_string_length(json_object_get(input, "old_string"));
    size_t count = edit_count(buf_str(&text), text.len, old, old_len);
    if (count == 0) {
        tool_fail(ret, "edit: old_string not found in %s", name);
        return;
    }
    if (count > 1 && !json_is_true(all)) {
        tool_fail(ret,
                  "edit: old_string appears %zu times in %s; it must be unique, or set replace_all",
                  count, name);
        return;
    }
    int r = edit_replace(&out, buf_str(&text), text.len, old, old_len, json_string_value(new),
                         json_string_length(new), SIZE_MAX);
    if (r >= 0)
        r = write_atomically(path, buf_str(&out), out.len, false);
    if (r < 0)
        tool_fail_errno(ret, "edit", name, r);
    else
        tool_say(ret, "edited %s (%zu replacement(s))", name, count);
}

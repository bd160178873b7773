/* tool.c - the table of file tools and what they share: results and error sentences.
 *
 * Everything here runs in a child of init with the sandbox's rights. Texts may hold bytes from the
 * sandbox's files; output_clean makes them fit for JSON. */
#include "sandbox/tools/tool.h"

#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/sandbox.h"

static const struct {
    const char *name;
    void (*run)(const json_t *input, struct tool_result *ret);
} tools[] = {
#define RUN_SHELL(name)
#define RUN_FILE(name) {#name, tool_##name},
#define RUN_NOBODY(name)
#define TOOL(name, served, ...) RUN_##served(name)
#include "base/toolset.def"
#undef TOOL
};

void (*tool_find(const char *name))(const json_t *input, struct tool_result *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(tools); i++)
        if (str_eq(name, tools[i].name))
            return tools[i].run;
    return NULL;
}

/* Bytes as a JSON string: NUL and bytes that are not UTF-8 become U+FFFD. */
static json_t *json_lossy(const char *p, size_t n)
{
    if (str_is_utf8(p, n) && !memchr(p, '\0', n))
        return json_stringn(p, n);
    AUTO(buf) b = BUF_INIT(SANDBOX_FRAME_MAX);
    for (size_t i = 0; i < n;) {
        size_t k = 1;
        while (k < 4 && i + k <= n && !str_is_utf8(p + i, k))
            k++;
        if (i + k <= n && str_is_utf8(p + i, k) && p[i]) {
            buf_add(&b, p + i, k);
            i += k;
        } else {
            buf_adds(&b, "\xef\xbf\xbd");
            i++;
        }
    }
    return json_stringn(buf_str(&b), b.len);
}

void tool_text(struct tool_result *ret, const char *text, size_t n)
{
    json_decref(ret->content);
    json_t *block = json_object();
    json_put_str(block, "type", "text");
    /* A text block is never empty: model providers refuse one, and a reader would wonder. */
    json_put(block, "text", n ? json_lossy(text, n) : json_string("(no output)"));
    ret->content = json_array();
    json_array_append_new(ret->content, block);
}

static void say(struct tool_result *ret, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static void say(struct tool_result *ret, const char *fmt, va_list ap)
{
    AUTO(buf) b = BUF_INIT(64u << 10);
    buf_addv(&b, fmt, ap);
    tool_text(ret, buf_str(&b), b.len);
}

void tool_say(struct tool_result *ret, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(ret, fmt, ap);
    va_end(ap);
    ret->is_error = false;
}

void tool_fail(struct tool_result *ret, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(ret, fmt, ap);
    va_end(ap);
    ret->is_error = true;
}

void tool_fail_errno(struct tool_result *ret, const char *tool, const char *path, int code)
{
    /* The words every Unix program uses, whatever this libc's strerror says. */
    static const struct {
        int code;
        const char *text;
    } words[] = {
        {-ENOENT, "no such file or directory"},
        {-EACCES, "permission denied"},
        {-EPERM, "permission denied"},
        {-ENOTDIR, "not a directory"},
        {-EISDIR, "is a directory"},
        {-ELOOP, "too many levels of symbolic links"},
        {-ENAMETOOLONG, "file name too long"},
        {-ENOSPC, "no space left on device"},
        {-EDQUOT, "no space left on device"},
        {-EMFILE, "too many open files"},
        {-EROFS, "read-only file system"},
        {-EFBIG, "file too large"},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (words[i].code == code) {
            tool_fail(ret, "%s: %s: %s", tool, path, words[i].text);
            return;
        }
    tool_fail(ret, "%s: %s: i/o error (%s)", tool, path, err_name(code));
}

const char *tool_string(const json_t *input, const char *key, const char *tool,
                        struct tool_result *ret)
{
    const json_t *v = json_object_get(input, key);
    if (!v || json_is_null(v))
        return NULL;
    if (!json_is_string(v)) {
        tool_fail(ret, "%s: %s must be a string", tool, key);
        return NULL;
    }
    const char *s = json_string_value(v);
    return *s ? s : NULL;
}

/* grep.c - the grep tool: lines of files that match a regular expression, as "path:line:text".
 *
 * Runs in a tool child. The expression is the model's and the files are untrusted, so both are
 * treated as hostile: every match attempt has a step budget (base/regex), lines longer than
 * LINE_MAX_BYTES are not searched, a file is left at its first NUL byte, output stops at
 * GREP_OUTPUT bytes, and the whole search stops before init would end it, keeping what it has
 * found. */
#include "sandbox/tools/tool.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/regex.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/paths.h"
#include "sandbox/tools/path.h"
#include "sandbox/tools/walk.h"

#define LINE_MAX_BYTES (64u << 10)
#define LINE_SHOWN     2000 /* bytes of a matching line in the result */
#define SEARCH_MS      (TOOL_TIMEOUT_MS - 5000)

struct search {
    const struct regex *re;
    const char *root; /* absolute, printed in front of every path */
    struct buf out, line;
    int64_t until_ns;
    uint64_t hard; /* lines the expression's budget did not suffice for */
    bool full, late;
};

/* One line without its end. False when the result is full. */
static bool take_line(struct search *s, const char *path, uint64_t number, const char *text,
                      size_t n)
{
    if (n > 0 && text[n - 1] == '\r')
        n--;
    int r = regex_find(s->re, text, n, 0, NULL);
    s->hard += r < 0;
    if (r <= 0)
        return true;
    size_t shown = n <= LINE_SHOWN ? n : str_utf8_cut(text, n, LINE_SHOWN);
    size_t need = strlen(s->root) + strlen(path) + shown + 40;
    if (s->out.len + need > LIMIT_TOOL_OUTPUT_BYTES) {
        s->full = true;
        return false;
    }
    if (s->out.len)
        buf_addc(&s->out, '\n');
    buf_addf(&s->out, "%s%s%s:%llu:", s->root, path[0] ? "/" : "", path,
             (unsigned long long)number);
    buf_add(&s->out, text, shown);
    if (shown < n)
        buf_adds(&s->out, " [line cut]");
    return true;
}

/* All lines of the open file. False when the search is over. */
static bool search_fd(struct search *s, int fd, const char *path)
{
    uint64_t number = 1;
    bool skipping = false; /* in the rest of a line that is too long */
    buf_reset(&s->line);
    for (;;) {
        char *room = buf_room(&s->line, LINE_MAX_BYTES);
        ssize_t n = room ? read(fd, room, LINE_MAX_BYTES) : -1;
        if (n <= 0)
            break;
        if (memchr(room, '\0', (size_t)n))
            return true; /* binary from here on */
        buf_commit(&s->line, (size_t)n);
        if (time_mono_ns() > s->until_ns) {
            s->late = true;
            return false;
        }
        size_t done = 0;
        for (char *nl; (nl = memchr(s->line.data + done, '\n', s->line.len - done));) {
            size_t end = (size_t)(nl - s->line.data);
            if (!skipping && !take_line(s, path, number, s->line.data + done, end - done))
                return false;
            skipping = false;
            number++;
            done = end + 1;
        }
        buf_consume(&s->line, done);
        if (s->line.len > LINE_MAX_BYTES) {
            skipping = true;
            buf_reset(&s->line);
        }
    }
    if (s->line.len > 0 && !skipping)
        return take_line(s, path, number, s->line.data, s->line.len);
    return true;
}

static enum walk_verdict visit(void *arg, const struct walk_entry *e)
{
    struct search *s = arg;
    if (walk_is_noise(e->name))
        return WALK_SKIP;
    if (e->type == WALK_DIR)
        return time_mono_ns() > s->until_ns ? WALK_STOP : WALK_DESCEND;
    if (e->type != WALK_FILE)
        return WALK_SKIP;
    /* O_NONBLOCK, then a look: the name may have become a FIFO since it was listed. */
    AUTO_CLOSE int fd =
        openat(e->dirfd, e->name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return WALK_SKIP;
    return search_fd(s, fd, e->path) ? WALK_SKIP : WALK_STOP;
}

static void report(struct search *s, struct tool_result *ret)
{
    if (s->out.len == 0 && s->late) {
        tool_fail(ret,
                  "grep: nothing was found within %d s and not everything was searched; search a "
                  "smaller part",
                  SEARCH_MS / 1000);
        return;
    }
    if (s->out.len == 0 && !s->hard) {
        tool_say(ret, "no matches");
        return;
    }
    if (s->out.len == 0)
        buf_adds(&s->out, "no matches");
    if (s->full)
        buf_addf(&s->out, "\n[output truncated at %u bytes]", LIMIT_TOOL_OUTPUT_BYTES);
    if (s->late)
        buf_addf(&s->out, "\n[the search was cut short after %d ms]", SEARCH_MS);
    if (s->hard)
        buf_addf(&s->out,
                 "\n[%llu lines were given up on: the expression takes too many steps on them]",
                 (unsigned long long)s->hard);
    tool_text(ret, buf_str(&s->out), s->out.len);
}

static void search(struct search *s, const char *name, struct tool_result *ret)
{
    uint64_t size = 0;
    AUTO_CLOSE int file = path_open_regular(s->root, &size);
    if (file >= 0) {
        (void)search_fd(s, file, "");
        report(s, ret);
        return;
    }
    int fd = path_open(s->root, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        tool_fail_errno(ret, "grep", name, fd);
        return;
    }
    if (!s->root[1])
        s->root = ""; /* "/": paths below it begin with their own slash */
    if (!walk_tree(fd, visit, s) && time_mono_ns() > s->until_ns)
        s->late = true;
    report(s, ret);
}

void tool_grep(const json_t *input, struct tool_result *ret)
{
    const char *pattern = tool_string(input, "pattern", "grep", ret);
    const char *path = ret->is_error ? NULL : tool_string(input, "path", "grep", ret);
    if (ret->is_error)
        return;
    if (!pattern) {
        tool_fail(ret, "grep: pattern is required");
        return;
    }
    struct err e = {.code = 0};
    struct regex *re = regex_new(pattern, 0, &e);
    AUTO_FREE char *root = path_absolute(path ? path : paths()->home);
    if (!re || !root) {
        tool_fail(ret, re ? "grep: the path is too long" : "grep: invalid regex: %s", e.msg);
    } else {
        struct search s = {
            .re = re, .root = root, .until_ns = time_mono_ns() + SEARCH_MS * NS_PER_MS};
        buf_init(&s.out, LIMIT_TOOL_OUTPUT_BYTES + 1024u);
        buf_init(&s.line, 3u * LINE_MAX_BYTES);
        search(&s, path ? path : paths()->home, ret);
        buf_done(&s.out);
        buf_done(&s.line);
    }
    regex_free(re);
}

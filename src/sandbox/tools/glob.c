/* glob.c - the glob tool: files below a directory whose path matches a pattern, newest first.
 *
 * Runs in a tool child. The tree is the sandbox's and may change meanwhile; what vanishes between
 * being listed and being looked at is left out. The walk is bounded (walk.h); only regular files
 * are reported, and links are entered only where the pattern spells their name. */
#include "sandbox/tools/tool.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/str.h"
#include "sandbox/paths.h"
#include "sandbox/sandbox.h"
#include "sandbox/tools/path.h"
#include "sandbox/tools/pattern.h"
#include "sandbox/tools/walk.h"

#define MAX_RESULTS 200 /* api.md 13 */

struct hit {
    char *path;
    struct timespec mtime;
};

struct search {
    const struct pattern *pattern;
    size_t words;
    uint64_t *states; /* one state per level of depth */
    struct hit *hits;
    size_t n, cap;
};

static void add_hit(struct search *s, const char *path, const struct stat *st)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        struct hit *grown = mem_array(s->cap, sizeof(*grown));
        if (s->n)
            memcpy(grown, s->hits, s->n * sizeof(*grown));
        free(s->hits);
        s->hits = grown;
    }
    s->hits[s->n++] = (struct hit){.path = mem_strdup(path), .mtime = st->st_mtim};
}

static enum walk_verdict visit(void *arg, const struct walk_entry *e)
{
    struct search *s = arg;
    uint64_t *next = s->states + (e->depth + 1) * s->words;
    struct pattern_step step =
        pattern_advance(s->pattern, s->states + e->depth * s->words, e->name, next);
    struct stat st;
    if (walk_is_noise(e->name) && !step.literal)
        return WALK_SKIP;
    if (step.matches && e->type == WALK_FILE &&
        fstatat(e->dirfd, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
        add_hit(s, e->path, &st);
    if (e->type == WALK_LINK)
        return step.literal ? WALK_DESCEND : WALK_SKIP;
    return step.deeper ? WALK_DESCEND : WALK_SKIP;
}

static int newest_first(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->mtime.tv_sec != y->mtime.tv_sec)
        return x->mtime.tv_sec > y->mtime.tv_sec ? -1 : 1;
    if (x->mtime.tv_nsec != y->mtime.tv_nsec)
        return x->mtime.tv_nsec > y->mtime.tv_nsec ? -1 : 1;
    return strcmp(x->path, y->path);
}

static void report(struct search *s, const char *root, struct tool_result *ret)
{
    if (s->n == 0) {
        tool_say(ret, "no matches");
        return;
    }
    qsort(s->hits, s->n, sizeof(*s->hits), newest_first);
    AUTO(buf) out = BUF_INIT(SANDBOX_FRAME_MAX / 4);
    for (size_t i = 0; i < s->n && i < MAX_RESULTS; i++)
        buf_addf(&out, "%s%s/%s", i ? "\n" : "", root[1] ? root : "", s->hits[i].path);
    tool_text(ret, buf_str(&out), out.len);
}

/* "..": as a part of the pattern, or made by braces. */
static bool can_ascend(const char *p)
{
    while (*p) {
        size_t n = strcspn(p, "/\\{},");
        if (n == 2 && p[0] == '.' && p[1] == '.')
            return true;
        p += n + (p[n] != '\0');
    }
    return false;
}

static void search(const struct pattern *p, const char *root, struct tool_result *ret)
{
    int fd = path_open(root, O_RDONLY | O_DIRECTORY);
    struct search s = {.pattern = p, .words = pattern_state_words(p)};
    s.states = mem_array(s.words * (WALK_MAX_DEPTH + 3), sizeof(*s.states));
    pattern_start(p, s.states);
    if (fd >= 0)
        (void)walk_tree(fd, visit, &s);
    report(&s, root, ret);
    for (size_t i = 0; i < s.n; i++)
        free(s.hits[i].path);
    free(s.hits);
    free(s.states);
}

void tool_glob(const json_t *input, struct tool_result *ret)
{
    const char *pattern = tool_string(input, "pattern", "glob", ret);
    const char *path = ret->is_error ? NULL : tool_string(input, "path", "glob", ret);
    if (ret->is_error)
        return;
    if (!pattern) {
        tool_fail(ret, "glob: pattern is required");
        return;
    }
    if (pattern[0] == '/') {
        tool_fail(ret,
                  "glob: the pattern must be relative; give the directory to search in as path");
        return;
    }
    if (can_ascend(pattern)) {
        tool_fail(ret, "glob: \"..\" is not allowed in a pattern");
        return;
    }
    const char *error = NULL;
    struct pattern *p = pattern_new(pattern, &error);
    AUTO_FREE char *root = path_absolute(path ? path : paths()->home);
    if (!p || !root)
        tool_fail(ret, "glob: %s", p ? "the path is too long" : error);
    else
        search(p, root, ret);
    pattern_free(p);
}

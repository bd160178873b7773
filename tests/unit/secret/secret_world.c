/* secret_world.c - see secret_world.h.
 *
 * The directory is made for each case and removed by its end, which fails when a case has left more
 * than files in it. The pool has one thread, so that reads of files are in order. */
#include "unit/secret/secret_world.h"
#include "base/fd.h"
#include "base/str.h"
#include "io/pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void world_begin(struct secret_world *w)
{
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/sp-secret-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->pool = pool_new("test", 1);
    w->all = secret_sources_new(
        &(struct secret_options){.pool = w->pool, .credentials_directory = w->dir, .vault = true});
}

void world_end(struct secret_world *w)
{
    secret_sources_free(w->all);
    pool_free(w->pool);
    DIR *d = opendir(w->dir);
    assert_non_null(d);
    for (struct dirent *x; (x = readdir(d));)
        if (!str_eq(x->d_name, ".") && !str_eq(x->d_name, ".."))
            assert_int_equal(unlinkat(dirfd(d), x->d_name, x->d_type == DT_DIR ? AT_REMOVEDIR : 0),
                             0);
    (void)closedir(d);
    assert_int_equal(rmdir(w->dir), 0);
}

const char *world_path(const struct secret_world *w, const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *p = paths[next++ % 4];
    (void)snprintf(p, sizeof(paths[0]), "%s/%s", w->dir, name);
    return p;
}

void world_write(const struct secret_world *w, const char *name, const char *text)
{
    int fd = open(world_path(w, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(close(fd), 0);
}

void world_swap(const struct secret_world *w, const char *name, const char *text)
{
    world_write(w, "new", text);
    assert_int_equal(rename(world_path(w, "new"), world_path(w, name)), 0);
}

size_t world_bytes(const struct secret_world *w, const char *name)
{
    struct stat st;
    return stat(world_path(w, name), &st) == 0 ? (size_t)st.st_size : 0;
}

static json_t *config_of(const struct secret_world *w, const char *config)
{
    char text[2048] = "";
    for (const char *p = config; *p;) {
        size_t n = strlen(text);
        if (str_starts(p, "$DIR")) {
            (void)snprintf(text + n, sizeof(text) - n, "%s", w->dir);
            p += 4;
        } else {
            assert_true(n + 2 < sizeof(text));
            text[n] = *p++;
            text[n + 1] = '\0';
        }
    }
    return js(text);
}

struct secret_source *world_source(struct secret_world *w, const char *config)
{
    AUTO_JSON json_t *j = config_of(w, config);
    struct secret_source *s = NULL;
    struct err e = {0};
    if (secret_source_new(w->all, j, 0, &s, &e) < 0)
        fail_msg("%s: %s", config, e.msg);
    return s;
}

void world_refuses(struct secret_world *w, const char *config, const char *words)
{
    AUTO_JSON json_t *j = config_of(w, config);
    struct secret_source *s = NULL;
    struct err e = {0};
    int r = secret_source_new(w->all, j, 0, &s, &e);
    if (r != -EINVAL || e.code != r || !strstr(e.msg, words))
        fail_msg("%s: %d %s, not \"%s\"", config, r, e.msg, words);
    assert_null(s);
}

void expect_got(struct secret_source *s, const char *want)
{
    struct secret_value *v = NULL;
    struct err e = {0};
    if (secret_source_get(s, &v, &e) < 0)
        fail_msg("%s: %s", want, e.msg);
    assert_string_equal(secret_borrow(secret_value_secret(v)), want);
    secret_value_unref(v);
}

void expect_failure(struct secret_source *s, int code, const char *words)
{
    struct secret_value *v = NULL;
    struct err e = {0};
    int r = secret_source_get(s, &v, &e);
    if (r != code || e.code != r || !strstr(e.msg, words))
        fail_msg("%d \"%s\", not %d \"%s\"", r, e.msg, code, words);
    assert_null(v);
}

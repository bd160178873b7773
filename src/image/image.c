/* image.c - images that are there: finding, listing, removing.
 *
 * Called by the subcommands rootfs, exec and worker, in as many processes at once as people like;
 * the locks that make that safe are store.c's. Nothing here comes from an image but image.json,
 * which this program wrote; it is read with the same care as any file. */
#include "image/image.h"
#include "base/buf.h"
#include "base/err.h"
#include "image/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX (4u << 20) /* what an image's config may have, and a little */

static int read_record(int image_fd, json_t **ret, struct err *e)
{
    AUTO_CLOSE int fd = openat(image_fd, IMAGE_RECORD, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_set(e, -E_CORRUPT, IMAGE_RECORD " cannot be opened: %s", err_text(-errno));
    AUTO(buf) text = BUF_INIT(RECORD_MAX);
    for (;;) {
        char *room = buf_room(&text, 16384);
        ssize_t n = room ? read(fd, room, 16384) : -1;
        if (!room || n < 0)
            return err_set(e, -E_CORRUPT, IMAGE_RECORD " cannot be read");
        if (n == 0)
            break;
        buf_commit(&text, (size_t)n);
    }
    AUTO_JSON json_t *o = NULL;
    struct err why = {0};
    if (json_parse(buf_str(&text), text.len, &o, &why) < 0 || !json_get_str(o, "name"))
        return err_set(e, -E_CORRUPT, IMAGE_RECORD " is damaged");
    *ret = TAKE(o);
    return 0;
}

static int unknown_image(const char *data_dir, const char *name, struct err *e)
{
    AUTO_JSON json_t *all = NULL;
    AUTO(buf) names = BUF_INIT(200);
    if (image_list(data_dir, &all, NULL, NULL) == 0)
        for (size_t i = 0; i < json_array_size(all); i++)
            buf_addf(&names, "%s%s", i ? ", " : "", json_get_str(json_array_get(all, i), "name"));
    if (!names.len)
        return err_set(e, -ENOENT,
                       "there is no image %s in %s/rootfs, which holds no images; make one with "
                       "sallyport rootfs import",
                       name, data_dir);
    return err_set(e, -ENOENT, "there is no image %s in %s/rootfs; there is: %s%s", name, data_dir,
                   buf_str(&names), buf_err(&names) ? ", ..." : "");
}

static void take_env(struct image *i)
{
    const json_t *env = json_object_get(i->record, "env");
    i->env = mem_array(json_array_size(env) + 1, sizeof(*i->env));
    for (size_t k = 0; k < json_array_size(env); k++) {
        const char *s = json_string_value(json_array_get(env, k));
        if (s)
            i->env[i->n_env++] = mem_strdup(s);
    }
}

int image_find(const char *data_dir, const char *name, struct image *ret, struct err *e)
{
    int r = image_store_check_name(name, e);
    if (r < 0)
        return r;
    AUTO_CLOSE int store = image_store_open(data_dir, e);
    if (store < 0)
        return store == -ENOENT ? unknown_image(data_dir, name, e) : store;
    AUTO_CLOSE int fd = image_store_hold(store, name, e);
    if (fd < 0)
        return fd == -ENOENT ? unknown_image(data_dir, name, e) : fd;
    struct image i = {.lock_fd = -1};
    r = read_record(fd, &i.record, e);
    if (r < 0)
        return err_wrap(e, r, "image %s (remove it and import it again)", name);
    const char *workdir = json_get_str(i.record, "workdir"), *user = json_get_str(i.record, "user");
    i.rootfs = mem_printf("%s/rootfs/%s/" IMAGE_ROOT, data_dir, name);
    i.workdir = workdir ? mem_strdup(workdir) : NULL;
    i.user = user ? mem_strdup(user) : NULL;
    i.lock_fd = TAKE_FD(fd);
    take_env(&i);
    *ret = i;
    return 0;
}

void image_done(struct image *i)
{
    free(TAKE(i->rootfs));
    free(TAKE(i->workdir));
    free(TAKE(i->user));
    for (size_t k = 0; k < i->n_env; k++)
        free(i->env[k]);
    free(TAKE(i->env));
    i->n_env = 0;
    json_decref(TAKE(i->record));
    if (i->lock_fd > 0) /* 0: never filled in */
        close(TAKE_FD(i->lock_fd));
}

static int by_name(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    return strcmp(json_get_str(*x, "name"), json_get_str(*y, "name"));
}

int image_list(const char *data_dir, json_t **ret, size_t *ret_damaged, struct err *e)
{
    AUTO_CLOSE int store = image_store_open(data_dir, e);
    if (store < 0 && store != -ENOENT)
        return store;
    json_t **records = NULL;
    size_t n = 0, damaged = 0;
    AUTO_CLOSE int reading =
        store < 0 ? -1 : openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = reading < 0 ? NULL : fdopendir(reading);
    if (dir)
        (void)TAKE_FD(reading);
    struct dirent *d;
    while (dir && (d = readdir(dir))) {
        if (!image_name_ok(d->d_name))
            continue;
        AUTO_CLOSE int fd =
            openat(store, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        json_t *o = NULL;
        if (fd < 0)
            continue;
        if (read_record(fd, &o, NULL) < 0) {
            damaged++;
            continue;
        }
        /* Its place is its name, whatever the record says. */
        json_put_str(o, "name", d->d_name);
        if ((n & (n - 1)) == 0) {
            json_t **more = mem_array(n ? n * 2 : 1, sizeof(json_t *));
            if (n)
                memcpy(more, records, n * sizeof(json_t *));
            free(records);
            records = more;
        }
        records[n++] = o;
    }
    if (dir)
        closedir(dir);
    if (n)
        qsort(records, n, sizeof(json_t *), by_name);
    json_t *all = json_array();
    MUST(all);
    for (size_t i = 0; i < n; i++)
        MUST(json_array_append_new(all, records[i]) == 0);
    free(records);
    *ret = all;
    if (ret_damaged)
        *ret_damaged = damaged;
    return 0;
}

int image_remove(const char *data_dir, const char *name, struct err *e)
{
    int r = image_store_remove(data_dir, name, e);
    return r == 1 ? unknown_image(data_dir, name, e) : r;
}

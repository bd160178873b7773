/* image.c - importing: from an archive that the user gives us to an image in its place.
 *
 * Called by `sallyport rootfs import` on the main thread, without fibers; blocks for as long as it
 * takes. The steps: a place is made (image_store), a child process that can do nothing else unpacks
 * the archive there (image_child), the tree is looked at and measured, image.json is written, and
 * the place becomes the image. When the import fails or is killed before that last step, no
 * image has changed. No byte of the archive is read in this process. */
#include "image/image.h"
#include "base/err.h"
#include "base/time.h"
#include "image/child.h"
#include "image/store.h"
#include "image/tree.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the record ---- */

static json_t *texts_or_null(json_t *a)
{
    return a ? json_incref(a) : json_null();
}

static json_t *make_record(const struct image_import *in, const struct image_plan *p,
                           const struct image_tally *t, const struct image_tree_size *size)
{
    char digest[DIGEST_SHA256_HEX + 8], when[TIME_RFC3339_MAX];
    json_t *source = json_object(), *skipped = json_object(), *layers = json_array(),
           *o = json_object();
    MUST(source && skipped && layers && o);
    memcpy(digest, "sha256:", 7);
    memcpy(digest + 7, p->id, sizeof(p->id));
    json_put_str(source, "format", image_format_name(p->format));
    json_put_str(source, "reference", p->reference);
    json_put_str(source, "digest", digest);
    for (size_t i = 0; i < p->n_layers; i++) {
        memcpy(digest + 7, p->layers[i].diff_sha256, DIGEST_SHA256_HEX);
        MUST(json_array_append_new(layers, json_string(digest)) == 0);
    }
    json_put_int(skipped, "special_files", (int64_t)t->special);
    json_put_int(skipped, "set_id_bits", (int64_t)t->set_id);
    json_put_int(skipped, "extended_attributes", (int64_t)t->attributes);

    json_put_str(o, "name", in->name);
    json_put(o, "source", source);
    json_put_str(o, "imported_at", time_format(when, time_real_us()));
    json_put_str(o, "architecture", p->architecture);
    json_put(o, "env", json_incref(p->env));
    json_put_str(o, "workdir", p->workdir);
    json_put_str(o, "user", p->user);
    json_put(o, "entrypoint", texts_or_null(p->entrypoint));
    json_put(o, "cmd", texts_or_null(p->cmd));
    json_put(o, "layers", layers);
    json_put_int(o, "bytes", (int64_t)size->bytes);
    json_put_int(o, "files", (int64_t)size->files);
    json_put_int(o, "directories", (int64_t)size->directories);
    json_put(o, "skipped", skipped);
    return o;
}

static int write_text(int fd, const char *p, size_t n, struct err *e)
{
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0) {
            int r = w < 0 ? -errno : -ENOSPC;
            return err_set(e, r, IMAGE_RECORD " can not be written: %s", err_text(r));
        }
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

static int write_record(const struct image_staging *s, const json_t *record, struct err *e)
{
    size_t n;
    AUTO_FREE char *text = json_text(record, &n);
    AUTO_CLOSE int fd =
        openat(s->fd, IMAGE_RECORD, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int r = -errno;
        return err_set(e, r, IMAGE_RECORD " can not be made: %s", err_text(r));
    }
    int r = write_text(fd, text, n, e);
    return r < 0 ? r : write_text(fd, "\n", 1, e);
}

/* ---- the import ---- */

static int check_kind(int fd, bool *ret_is_file, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, -errno, "the archive can not be looked at");
    if (S_ISDIR(st.st_mode))
        return err_set(e, -EISDIR,
                       "it is a directory; an image is a tar archive. A directory with a root file "
                       "system needs no import: give its path where a sandbox is configured");
    *ret_is_file = S_ISREG(st.st_mode);
    return 0;
}

static int fill(const struct image_import *in, const struct image_staging *s, json_t **ret,
                struct err *e)
{
    bool is_file = false;
    int r = check_kind(in->fd, &is_file, e);
    if (r < 0)
        return r;
    AUTO_CLOSE int spool = is_file ? -1 : image_staging_spool(s, e);
    AUTO_CLOSE int plain = is_file || spool >= 0 ? image_staging_spool(s, e) : spool;
    if (plain < 0)
        return plain;
    const struct image_place place = {.root_fd = s->root_fd, .spool_fd = spool, .plain_fd = plain};
    struct image_plan plan = {0};
    struct image_tally tally;
    struct image_tree_size size;
    r = image_child_unpack(in, &place, &plan, &tally, e);
    if (r < 0)
        return r;
    r = image_tree_measure(s->root_fd, &size, e);
    AUTO_JSON json_t *record = r == 0 ? make_record(in, &plan, &tally, &size) : NULL;
    image_plan_done(&plan);
    if (r == 0)
        r = write_record(s, record, e);
    if (r == 0)
        *ret = TAKE(record);
    return r;
}

int image_import(const struct image_import *in, json_t **ret_record, struct err *e)
{
    struct image_staging s;
    AUTO_JSON json_t *record = NULL;
    MUST(in->limits.depth <= IMAGE_DEPTH_MAX && in->limits.ratio > 0);
    int r = image_staging_begin(in->data_dir, in->name, in->replace, &s, e);
    if (r < 0)
        return r;
    r = fill(in, &s, &record, e);
    if (r < 0) {
        image_staging_abandon(&s);
        return r;
    }
    r = image_staging_commit(&s, e);
    if (r == 0)
        *ret_record = TAKE(record);
    return r;
}

/* members.c - which members an image archive has, and reading the small ones.
 *
 * Called by layout.c, once per import. All of the archive is untrusted: the names of
 * its members, the links between them, the documents in it.
 *
 * One pass over the members' headers makes an index of the few that an image may consist of (short
 * paths; data is skipped with seeks); a member is read later by going back to its headers. Links,
 * with which older versions of docker save store a layer that two images share, are looked up in
 * the index and nowhere else. Two members of one name are refused when asked for, because readers
 * disagree about which one counts. */
#include "image/members.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "image/archive.h"

#include <stdio.h>
#include <string.h>

#define MEMBERS_MAX  16384      /* 127 layers make a few hundred */
#define PARTS_MAX    4          /* blobs/sha256/DIGEST has three */
#define DOCUMENT_MAX (4u << 20) /* the OCI distribution specification's limit on manifests */
#define LINKS_MAX    8

const char *image_quoted(const char *s, struct buf *b)
{
    buf_reset(b);
    str_escape(b, s, strlen(s), 100);
    return buf_str(b);
}

/* ---- the index ---- */

/* `raw`, relative to the directory of the name `from` when that is given, as a name of the index:
 * no ".", no "..", no slash at either end. False for what cannot be one. */
static bool member_name(const char *raw, const char *from, char ret[IMAGE_MEMBER_NAME_MAX])
{
    size_t len = 0, parts = 0;
    const char *sources[2] = {from, raw};
    ret[0] = '\0';
    for (size_t i = 0; i < 2; i++) {
        const char *p = sources[i];
        while (p && *p) {
            size_t n = strcspn(p, "/");
            bool last = p[n] == '\0';
            const char *part = p;
            p += n + !last;
            if (n == 0 || (n == 1 && part[0] == '.') || (i == 0 && last))
                continue;
            if (n == 2 && part[0] == '.' && part[1] == '.') {
                if (!from || parts == 0)
                    return false;
                char *slash = strrchr(ret, '/');
                len = slash ? (size_t)(slash - ret) : 0;
                ret[len] = '\0';
                parts--;
                continue;
            }
            if (++parts > PARTS_MAX || len + 1 + n >= IMAGE_MEMBER_NAME_MAX)
                return false;
            if (len)
                ret[len++] = '/';
            memcpy(ret + len, part, n);
            len += n;
            ret[len] = '\0';
        }
    }
    return len > 0;
}

static void note_root(struct image_members *l, const char *name, const struct archive_item *item)
{
    static const char *const tops[] = {"bin", "etc", "lib", "sbin", "usr"};
    size_t n = strcspn(name, "/");
    for (size_t i = 0; i < ARRAY_LEN(tops); i++)
        if (strlen(tops[i]) == n && memcmp(tops[i], name, n) == 0 &&
            (name[n] == '/' || item->type == ARCHIVE_DIRECTORY || item->type == ARCHIVE_SYMLINK))
            l->has_root = true;
}

static void note_member(struct image_members *l, const struct archive_item *item, int64_t at)
{
    char name[IMAGE_MEMBER_NAME_MAX], link[IMAGE_MEMBER_NAME_MAX];
    if (!member_name(item->path, NULL, name))
        return;
    note_root(l, name, item);
    bool is_link = item->type == ARCHIVE_SYMLINK || item->type == ARCHIVE_HARDLINK;
    if (item->type != ARCHIVE_FILE && !is_link)
        return;
    struct image_member *known = map_get(&l->map, name);
    if (known) {
        known->twice = true;
        return;
    }
    if (l->map.n >= MEMBERS_MAX) {
        l->too_many = true;
        return;
    }
    /* A symbolic link is relative to its directory, a hard link names a member. */
    if (is_link && (item->link[0] == '/' ||
                    !member_name(item->link, item->type == ARCHIVE_SYMLINK ? name : NULL, link)))
        return;
    struct image_member *m = mem_new(struct image_member);
    *m = (struct image_member){.at = at, .size = item->size, .file = !is_link};
    if (is_link)
        m->link = mem_strdup(link);
    map_put(&l->map, name, m);
}

int image_members_read(int fd, struct image_members *ret, struct err *e)
{
    struct image_members *l = ret;
    *l = (struct image_members){.fd = fd};
    map_init(&l->map);
    struct archive_file file;
    archive_file_init(&file, l->fd, 0);
    struct archive_reader *tar = NULL;
    int r = archive_reader_open(&tar, ARCHIVE_KIND_TAR, &file.stream, e);
    bool any = false;
    while (r == 0) {
        struct archive_item item;
        r = archive_reader_next(tar, &item, e);
        if (r <= 0)
            break;
        any = true;
        note_member(l, &item, archive_reader_position(tar));
        r = 0;
    }
    archive_reader_free(tar);
    archive_file_done(&file);
    if (r == 0 && !any)
        r = err_set(e, -E_PARSE, "it is empty, or it is not a tar archive");
    return r;
}

const struct image_member *image_members_find(const struct image_members *l, const char *raw)
{
    char name[IMAGE_MEMBER_NAME_MAX];
    if (!member_name(raw, NULL, name))
        return NULL;
    const struct image_member *m = map_get(&l->map, name);
    for (int hops = 0; m && m->link && !m->twice; hops++)
        m = hops < LINKS_MAX ? map_get(&l->map, m->link) : NULL;
    return m;
}

int image_members_file(const struct image_members *l, const char *raw,
                       const struct image_member **ret, struct err *e)
{
    AUTO(buf) b = BUF_INIT(1024);
    const struct image_member *m = image_members_find(l, raw);
    if (m && m->twice)
        return err_set(e, -E_PARSE, "\"%s\" is in the archive twice", image_quoted(raw, &b));
    if (!m || !m->file)
        return err_set(e, -E_PARSE, "\"%s\" is not in the archive%s", image_quoted(raw, &b),
                       l->too_many ? ", which has too many members for an image" : "");
    *ret = m;
    return 0;
}

/* ---- documents ---- */

/* Reads a member into `out`. */
static int read_member(const struct image_members *l, const struct image_member *m, struct buf *out,
                       struct err *e)
{
    if (m->size > DOCUMENT_MAX)
        return err_set(e, -E_LIMIT, "it has %lld bytes, at most %u can be", (long long)m->size,
                       DOCUMENT_MAX);
    struct archive_file file;
    archive_file_init(&file, l->fd, m->at);
    struct archive_reader *tar = NULL;
    struct archive_item item;
    int r = archive_reader_open(&tar, ARCHIVE_KIND_TAR, &file.stream, e);
    if (r == 0)
        r = archive_reader_next(tar, &item, e);
    if (r == 0)
        r = err_set(e, -E_PARSE, "the archive changed while it was read");
    while (r > 0) {
        struct archive_stream *s = archive_reader_stream(tar);
        const void *p;
        ssize_t n = s->next(s, &p, e);
        if (n <= 0) {
            r = (int)n;
            break;
        }
        r = buf_add(out, p, (size_t)n);
        r = r < 0 ? err_set(e, r, "it is too large") : 1;
    }
    archive_reader_free(tar);
    archive_file_done(&file);
    return r;
}

/* Reads the document of this name. With `sha256` not NULL its digest must be that one. `ret_sha256`
 * (may be NULL) gets what it is. */
int image_members_document(const struct image_members *l, const char *name, const char *sha256,
                           char *ret_sha256, json_t **ret, struct err *e)
{
    AUTO(buf) text = BUF_INIT(DOCUMENT_MAX);
    AUTO(buf) b = BUF_INIT(1024);
    const struct image_member *m;
    int r = image_members_file(l, name, &m, e);
    if (r < 0)
        return r;
    r = read_member(l, m, &text, e);
    char sum[DIGEST_SHA256_HEX];
    digest_sha256_hex(text.data, text.len, sum);
    if (r == 0 && sha256 && strcmp(sum, sha256) != 0)
        r = err_set(e, -E_CORRUPT, "its digest is sha256:%s, not what its name says", sum);
    if (r == 0 && ret_sha256)
        memcpy(ret_sha256, sum, sizeof(sum));
    if (r == 0)
        r = json_parse(buf_str(&text), text.len, ret, e);
    return r < 0 ? err_wrap(e, r, "%s", image_quoted(name, &b)) : 0;
}

void image_members_done(struct image_members *l)
{
    size_t pos = 0;
    void *value;
    while (map_next(&l->map, &pos, NULL, &value)) {
        struct image_member *m = value;
        free(m->link);
        free(m);
    }
    map_done(&l->map);
}

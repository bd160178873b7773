/* test_layer.c - what a layer may do to a directory, and that nothing beside it changes.
 *
 * Every row applies one to three layers to an empty directory that has a neighbour with a file in
 * it, and compares the code, the words, the tree, and the neighbour. "OUT" in a name or link stands
 * for the neighbour's absolute path. */
#include "unit/unit.h"
#include "base/err.h"
#include "image/archive.h"
#include "unit/image/tar.h"
#include "image/layer.h"
#include "image/tree.h"

#include <sys/xattr.h>

struct paths {
    char base[64];
    char root[96], out[96];
    int root_fd;
};

static void place_init(struct paths *p)
{
    snprintf(p->base, sizeof(p->base), "/tmp/sp-layer-XXXXXX");
    assert_non_null(mkdtemp(p->base));
    snprintf(p->root, sizeof(p->root), "%s/root", p->base);
    snprintf(p->out, sizeof(p->out), "%s/out", p->base);
    assert_int_equal(mkdir(p->root, 0755), 0);
    assert_int_equal(mkdir(p->out, 0755), 0);
    char *canary = mem_printf("%s/canary", p->out);
    int fd = open(canary, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "alive", 5), 5);
    close(fd);
    free(canary);
    p->root_fd = open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(p->root_fd >= 0);
}

static void place_done(struct paths *p)
{
    struct err e = {0};
    AUTO(buf) beside = BUF_INIT(4096);
    close(p->root_fd);
    tree_list(p->out, "", &beside);
    assert_string_equal(buf_str(&beside), "f600 canary=alive\n");
    int fd = open(p->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(image_tree_remove(fd, "root", &e), 0);
    assert_int_equal(image_tree_remove(fd, "out", &e), 0);
    close(fd);
    /* Nothing but these two was ever made there. */
    assert_int_equal(rmdir(p->base), 0);
}

/* Bytes in memory as a stream, in pieces of a length that divides nothing. */
struct memory {
    struct archive_stream stream;
    const char *p;
    size_t n;
};

static ssize_t memory_next(struct archive_stream *s, const void **ret, struct err *e)
{
    (void)e;
    struct memory *m = CONTAINER_OF(s, struct memory, stream);
    size_t n = m->n < 1009 ? m->n : 1009;
    *ret = m->p;
    m->p += n;
    m->n -= n;
    return (ssize_t)n;
}

static int apply_bytes(struct image_unpack *u, const void *p, size_t n, struct err *e)
{
    struct memory m = {.stream = {.next = memory_next}, .p = p, .n = n};
    return image_layer_apply(u, &m.stream, e);
}

static struct image_unpack unpack_into(const struct paths *p)
{
    return (struct image_unpack){
        .root_fd = p->root_fd,
        .limits = {.bytes = 1u << 20, .files = 40, .depth = 8, .ratio = 100},
    };
}

struct entry {
    char type; /* '0' file, '5' directory, '2' symlink, '1' hard link, '3' device, '6' fifo */
    const char *name;
    const char *text; /* contents, or target */
    unsigned mode;    /* 0: 0644, directories 0755; 1: really 0 */
};
#define D(name)                                                                                    \
    {                                                                                              \
        '5', name, "", 0                                                                           \
    }
#define F(name, t)                                                                                 \
    {                                                                                              \
        '0', name, t, 0                                                                            \
    }
#define L(name, to)                                                                                \
    {                                                                                              \
        '2', name, to, 0                                                                           \
    }
#define H(name, to)                                                                                \
    {                                                                                              \
        '1', name, to, 0                                                                           \
    }
/* The next layer begins. */
#define NEXT                                                                                       \
    {                                                                                              \
        '-', "", "", 0                                                                             \
    }

struct row {
    const char *what;
    struct entry entries[14];
    int code;
    const char *words; /* within the message */
    const char *tree;  /* NULL: not looked at */
};

static char *expand(const struct paths *p, const char *text)
{
    const char *at = strstr(text, "OUT");
    return at ? mem_printf("%.*s%s%s", (int)(at - text), text, p->out, at + 3) : mem_strdup(text);
}

static void add_entry(struct buf *b, const struct paths *p, const struct entry *it)
{
    char *name = expand(p, it->name), *text = expand(p, it->text);
    bool link = it->type == '1' || it->type == '2', file = it->type == '0';
    unsigned mode = it->mode == 1 ? 0 : it->mode ? it->mode : it->type == '5' ? 0755 : 0644;
    tar_entry(b, name, it->type, mode, link ? text : "", text, file ? strlen(text) : 0);
    free(name);
    free(text);
}

static void run_row(const struct row *row)
{
    struct paths p;
    place_init(&p);
    struct image_unpack u = unpack_into(&p);
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    struct err e = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(row->entries); i++) {
        if (row->entries[i].type && row->entries[i].type != '-') {
            add_entry(&tar, &p, &row->entries[i]);
            continue;
        }
        tar_end(&tar);
        r = apply_bytes(&u, tar.data, tar.len, &e);
        buf_reset(&tar);
        if (!row->entries[i].type)
            break;
    }
    if (r != row->code || (row->words && !strstr(e.msg, row->words)))
        fail_msg("%s: %s (%s), expected %s (%s)", row->what, err_name(r), e.msg,
                 err_name(row->code), row->words ? row->words : "");
    AUTO(buf) tree = BUF_INIT(TAR_MAX);
    tree_list(p.root, "", &tree);
    if (row->tree && strcmp(buf_str(&tree), row->tree) != 0)
        fail_msg("%s: the tree is\n%sexpected\n%s", row->what, buf_str(&tree), row->tree);
    place_done(&p);
}

#define LONG_50  "aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaa"
#define LONG_250 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50

static const struct row refused[] = {
    {"up at once", {F("../x", "1")}, -E_DENIED, "\"../x\": its path has \"..\"", ""},
    {"up from within", {D("a"), F("a/../../out/canary", "1")}, -E_DENIED, "..", "d755 a\n"},
    {"up that would stay within", {D("a"), F("a/../b", "1")}, -E_DENIED, "..", "d755 a\n"},
    {"up at the end", {D("a/..")}, -E_DENIED, "..", ""},
    {"up, absolute", {F("/../OUT/canary", "1")}, -E_DENIED, "..", ""},
    {"a part of 256 bytes", {F(LONG_250 "cccccc", "1")}, -E_LIMIT, "too long", ""},
    {"a part of 255 bytes", {F(LONG_250 "ccccc", "1")}, 0, NULL, "f644 " LONG_250 "ccccc=1\n"},
    {"deeper than 8", {F("1/2/3/4/5/6/7/8/9", "1")}, -E_LIMIT, "--max-depth", ""},
    {"more than 40 with the directories between",
     {F("a/2/3/4/5/6/7/8", ""), F("b/2/3/4/5/6/7/8", ""), F("c/2/3/4/5/6/7/8", ""),
      F("d/2/3/4/5/6/7/8", ""), F("e/2/3/4/5/6/7/8", ""), F("f/2/3/4/5/6/7/8", "")},
     -E_LIMIT,
     "--max-files",
     NULL},
    {"through an absolute link",
     {L("a", "OUT"), F("a/canary", "dead")},
     -E_DENIED,
     "\"a/canary\": its path goes through a symbolic link",
     NULL},
    {"through a relative link",
     {L("a", "../out"), F("a/canary", "dead")},
     -E_DENIED,
     "symbolic link",
     "l a->../out\n"},
    {"through a link to /proc/self/cwd",
     {L("a", "/proc/self/cwd"), F("a/x", "")},
     -E_DENIED,
     "symbolic link",
     NULL},
    {"through a chain of links",
     {L("a", "b"), L("b", "../out"), F("a/canary", "dead")},
     -E_DENIED,
     "symbolic link",
     NULL},
    {"through a link deeper down",
     {D("d"), L("d/a", "../../out"), F("d/a/b/c", "")},
     -E_DENIED,
     "symbolic link",
     "d755 d\nl d/a->../../out\n"},
    {"through a link that stays within",
     {D("usr"), L("lib", "usr"), F("lib/x", "")},
     -E_DENIED,
     "symbolic link",
     NULL},
    {"a directory of a lower layer became a link",
     {D("d"), F("d/f", "1"), NEXT, L("d", "../out"), NEXT, F("d/canary", "dead")},
     -E_DENIED,
     "symbolic link",
     "l d->../out\n"},
    {"the same within one layer, with the directory remembered",
     {D("d"), F("d/f", "1"), L("d", "../out"), F("d/canary", "dead")},
     -E_DENIED,
     "symbolic link",
     "l d->../out\n"},
    {"the same, the directory above it replaced",
     {D("d/e"), F("d/e/f", "1"), L("d", "../out"), F("d/e/f", "2"), F("d/canary", "dead")},
     -E_DENIED,
     "symbolic link",
     "l d->../out\n"},
    {"a directory through a link", {L("a", "../out"), D("a/b")}, -E_DENIED, "symbolic link", NULL},
    {"a link through a link", {L("a", "../out"), L("a/b", "x")}, -E_DENIED, "symbolic link", NULL},
    {"through a file", {F("a", "1"), F("a/b", "2")}, -E_DENIED, "not a directory", "f644 a=1\n"},
    {"hard link up", {H("a", "../out/canary")}, -E_DENIED, "..", ""},
    {"hard link to an absolute path",
     {H("a", "OUT/canary")},
     -E_DENIED,
     "not a file of this image",
     ""},
    {"hard link through a link",
     {L("d", "../out"), H("a", "d/canary")},
     -E_DENIED,
     "symbolic link",
     NULL},
    {"hard link made through a link",
     {F("f", "1"), L("d", "../out"), H("d/a", "f")},
     -E_DENIED,
     "symbolic link",
     NULL},
    {"hard link to a directory", {D("d"), H("a", "d")}, -E_DENIED, "not a file", "d755 d\n"},
    {"hard link to the root", {H("a", "/")}, -E_DENIED, "not a file", ""},
    {"hard link to itself", {F("a", "1"), H("a", "./a")}, -E_PARSE, "itself", "f644 a=1\n"},
    {"hard link to what is not there", {H("a", "b")}, -E_DENIED, "not a file", ""},
    {"hard link to what it replaces", {F("a/b", "1"), H("a", "a/b")}, -ENOENT, NULL, ""},
    {"whiteout of nothing", {F("d/.wh.", "")}, -E_DENIED, "whiteout of \"\"", ""},
    {"whiteout of .", {D("d"), F("d/.wh..", "")}, -E_DENIED, "whiteout of \".\"", "d755 d\n"},
    {"whiteout of ..", {D("d"), F("d/.wh...", "")}, -E_DENIED, "whiteout of \"..\"", NULL},
    {"whiteout of .. at the root", {F(".wh...", "")}, -E_DENIED, "whiteout of \"..\"", ""},
    {"whiteout through a link",
     {L("d", "../out"), NEXT, F("d/.wh.canary", "")},
     -E_DENIED,
     "symbolic link",
     NULL},
    {"opaque through a link",
     {L("d", "../out"), NEXT, F("d/.wh..wh..opq", "")},
     -E_DENIED,
     "symbolic link",
     NULL},
    {"a directory with a whiteout's name", {D(".wh.a")}, -E_DENIED, "reserved", ""},
    {"below a whiteout's name", {F("d/.wh.a/b", "")}, -E_DENIED, "reserved", ""},
    {"a link with a whiteout's name", {L("d/.wh.a", "b")}, -E_DENIED, "reserved", ""},
    /* by its slash a directory, with data */
    {"the root as a file", {F("./", "1")}, -E_PARSE, NULL, ""},
    {"the root as a link", {L(".", "../out")}, -E_DENIED, "root", ""},
    {"the root as a link, absolute", {L("/", "../out")}, -E_DENIED, "root", ""},
    {"a link to nothing", {L("a", "")}, -E_PARSE, NULL, ""},
};

static void layers_that_reach_outside_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        run_row(&refused[i]);
}

/* Expected as umoci, containerd and Docker leave it; where they follow links, see `refused`. */
static const struct row accepted[] = {
    {"plain",
     {D("a"), F("a/b", "1"), L("a/l", "b"), H("a/h", "a/b")},
     0,
     NULL,
     "d755 a\nf644 a/b=1\nf644 a/h=1\nl a/l->b\n"},
    {"dots and slashes",
     {D("./"), D("./a//"), F("a/./b", "1"), F("//c", "2")},
     0,
     NULL,
     "d755 a\nf644 a/b=1\nf644 c=2\n"},
    {"an absolute path is one of the image", {F("OUT/canary", "mine")}, 0, NULL, NULL},
    {"directories that no entry names",
     {F("a/b/c", "1")},
     0,
     NULL,
     "d755 a\nd755 a/b\nf644 a/b/c=1\n"},
    {"links anywhere are kept and not followed",
     {L("a", "OUT/canary"), L("p", "/etc/passwd"), L("u", "../../x")},
     0,
     NULL,
     NULL},
    {"a file replaces a link, not what it points to",
     {L("f", "../out/canary"), F("f", "mine")},
     0,
     NULL,
     "f644 f=mine\n"},
    {"the same across layers",
     {L("f", "../out/canary"), NEXT, F("f", "mine")},
     0,
     NULL,
     "f644 f=mine\n"},
    {"a hard link to a link is the link; replacing one leaves the other",
     {L("f", "../out/canary"), H("g", "f"), F("f", "mine")},
     0,
     NULL,
     "f644 f=mine\nl g->../out/canary\n"},
    {"replacing a file leaves its other names",
     {F("a", "1"), H("b", "a"), F("a", "2")},
     0,
     NULL,
     "f644 a=2\nf644 b=1\n"},
    {"a hard link to a lower layer",
     {F("a", "1"), NEXT, H("d/b", "/a")},
     0,
     NULL,
     "f644 a=1\nd755 d\nf644 d/b=1\n"},
    {"a hard link over a file",
     {F("a", "1"), F("b", "2"), H("b", "a")},
     0,
     NULL,
     "f644 a=1\nf644 b=1\n"},
    {"twice: the last counts",
     {F("a", "1"), F("a", "2"), D("d"), D("d")},
     0,
     NULL,
     "f644 a=2\nd755 d\n"},
    {"a directory replaces a link",
     {L("d", "../out"), NEXT, D("d"), F("d/canary", "mine")},
     0,
     NULL,
     "d755 d\nf644 d/canary=mine\n"},
    {"a directory replaces a file",
     {F("d", "1"), NEXT, D("d"), F("d/a", "2")},
     0,
     NULL,
     "d755 d\nf644 d/a=2\n"},
    {"a file replaces a directory with all in it",
     {F("d/e/f", "1"), L("d/l", "../../out"), NEXT, F("d", "2")},
     0,
     NULL,
     "f644 d=2\n"},
    {"a link replaces a directory", {F("d/f", "1"), NEXT, L("d", "e")}, 0, NULL, "l d->e\n"},
    {"directories merge, the mode is the last one's",
     {{'5', "d", "", 0700}, F("d/a", "1"), NEXT, {'5', "d", "", 0755}, F("d/b", "2")},
     0,
     NULL,
     "d755 d\nf644 d/a=1\nf644 d/b=2\n"},
    {"modes",
     {{'0', "all", "", 0777},
      {'0', "suid", "", 06755},
      {'0', "none", "", 1},
      {'0', "ro", "", 0444},
      {'5', "tmp", "", 01777},
      {'5', "shut", "", 1},
      {'5', "sgid", "", 02770}},
     0,
     NULL,
     "f755 all=\nf400 none=\nf444 ro=\nd750 sgid\nd700 shut\nf755 suid=\nd755 tmp\n"},
    {"what is no file",
     {{'3', "null", "", 0}, {'4', "sda", "", 0}, {'6', "d/fifo", "", 0}},
     0,
     NULL,
     "d755 d\n"},
    {"a device takes the place of a file",
     {F("a", "1"), F("b", "1"), NEXT, {'3', "a", "", 0}},
     0,
     NULL,
     "f644 b=1\n"},
    /* whiteouts: OCI image-spec layer.md */
    {"whiteout", {F("a", "1"), F("b", "2"), NEXT, F(".wh.a", "")}, 0, NULL, "f644 b=2\n"},
    {"whiteout of a directory",
     {F("d/e/f", "1"), F("d/g", ""), NEXT, F("d/.wh.e", "")},
     0,
     NULL,
     "d755 d\nf644 d/g=\n"},
    {"whiteout of a link", {L("d", "../out"), NEXT, F(".wh.d", "")}, 0, NULL, ""},
    {"whiteout of what is not there",
     {F("a", "1"), NEXT, F(".wh.b", ""), F("x/y/.wh.z", "")},
     0,
     NULL,
     "f644 a=1\n"},
    {"whiteout in the first layer", {F("a", "1"), F(".wh.a", "")}, 0, NULL, "f644 a=1\n"},
    {"whiteout after what the same layer brings",
     {F("a", "1"), NEXT, F("a", "2"), F(".wh.a", "")},
     0,
     NULL,
     "f644 a=2\n"},
    {"whiteout before it", {F("a", "1"), NEXT, F(".wh.a", ""), F("a", "2")}, 0, NULL, "f644 a=2\n"},
    {"whiteout of a directory that the same layer brings, too",
     {F("d/low", "1"), F("d/e/low", "1"), NEXT, F("d/new", "2"), F("d/e/new", "2"), F(".wh.d", "")},
     0,
     NULL,
     "d755 d\nd755 d/e\nf644 d/e/new=2\nf644 d/new=2\n"},
    {"the same, before it",
     {F("d/low", "1"), NEXT, F(".wh.d", ""), F("d/new", "2")},
     0,
     NULL,
     "d755 d\nf644 d/new=2\n"},
    {"opaque",
     {F("d/a", "1"), F("d/e/f", "1"), F("x", ""), NEXT, D("d"), F("d/.wh..wh..opq", "")},
     0,
     NULL,
     "d755 d\nf644 x=\n"},
    {"opaque after what the same layer brings",
     {F("d/a", "1"), F("d/e/f", "1"), NEXT, F("d/e/g", "2"), F("d/b", "2"),
      F("d/.wh..wh..opq", "")},
     0,
     NULL,
     "d755 d\nf644 d/b=2\nd755 d/e\nf644 d/e/g=2\n"},
    {"opaque before it",
     {F("d/a", "1"), NEXT, F("d/.wh..wh..opq", ""), F("d/a", "2")},
     0,
     NULL,
     "d755 d\nf644 d/a=2\n"},
    {"opaque at the root",
     {F("a", "1"), F("d/b", "1"), NEXT, F("c", "2"), F(".wh..wh..opq", "")},
     0,
     NULL,
     "f644 c=2\n"},
    {"opaque with a link in it",
     {L("d/l", "../../out"), NEXT, F("d/.wh..wh..opq", "")},
     0,
     NULL,
     "d755 d\n"},
    {"whiteout in the third layer, back in between",
     {F("a", "1"), NEXT, F(".wh.a", ""), NEXT, F("a", "3"), NEXT, F(".wh.b", "")},
     0,
     NULL,
     "f644 a=3\n"},
    {"a whiteout with the remembered directory in what goes",
     {F("d/e/f", "1"), NEXT, F("d/e/.wh.x", ""), F(".wh.d", ""), F("d/e/g", "2")},
     0,
     NULL,
     "d755 d\nd755 d/e\nf644 d/e/g=2\n"},
    {"bookkeeping of AUFS",
     {D(".wh..wh.plnk"), F(".wh..wh.plnk/1.2", "x"), F(".wh..wh.aufs", ""), F("a", "1")},
     0,
     NULL,
     "f644 a=1\n"},
    {"names of any bytes",
     {F("\xff\xfe", "1"), F("e\xcc\x81", "2"), F("\xc3\xa9", "3"), F("a\nb\x1b[31m", "4")},
     0,
     NULL,
     "f644 a\\x0ab\\x1b[31m=4\nf644 e\\xcc\\x81=2\nf644 \\xc3\\xa9=3\nf644 \\xff\\xfe=1\n"},
};

static void layers_are_applied_as_others_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++)
        run_row(&accepted[i]);
}

/* ---- what rows cannot say ---- */

static int apply_one(struct paths *p, struct image_unpack *u, struct buf *tar, struct err *e)
{
    *u = unpack_into(p);
    tar_end(tar);
    return apply_bytes(u, tar->data, tar->len, e);
}

static void check_tree(const struct paths *p, const char *expected)
{
    AUTO(buf) tree = BUF_INIT(TAR_MAX);
    tree_list(p->root, "", &tree);
    assert_string_equal(buf_str(&tree), expected);
}

static void pax_names_are_read_byte_for_byte(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        size_t n;
        int code;
        const char *words, *tree;
    } rows[] = {
        {"path", "a\0b", 3, 0, "", "f644 a=1\n"}, /* a name ends at its NUL */
        {"path", "../x", 4, -E_DENIED, "..", ""},
        {"path", "e\xcc\x81", 3, 0, "", "f644 e\\xcc\\x81=1\n"}, /* not normalised */
        {"path", "\xc3\xa9", 2, 0, "", "f644 \\xc3\\xa9=1\n"},
        {"path", "\xff\xfe", 2, 0, "", "f644 \\xff\\xfe=1\n"}, /* not UTF-8 */
        {"hdrcharset", "BINARY", 6, 0, "", "f644 plain=1\n"},
        {"path", "/", 1, -E_PARSE, "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct paths p;
        struct image_unpack u;
        struct err e = {0};
        AUTO(buf) tar = BUF_INIT(TAR_MAX);
        place_init(&p);
        tar_pax(&tar, rows[i].key, rows[i].value, rows[i].n);
        tar_file(&tar, "plain", "1");
        int r = apply_one(&p, &u, &tar, &e);
        if (r != rows[i].code || !strstr(e.msg, rows[i].words))
            fail_msg("row %zu: %s (%s)", i, err_name(r), e.msg);
        check_tree(&p, rows[i].tree);
        place_done(&p);
    }
}

static void an_overlong_path_is_refused(void **state)
{
    (void)state;
    struct paths p;
    struct image_unpack u;
    struct err e = {0};
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    AUTO(buf) name = BUF_INIT(8192);
    place_init(&p);
    for (int i = 0; i < 2500; i++)
        buf_adds(&name, i ? "/a" : "a");
    tar_file(&tar, buf_str(&name), "1");
    u = unpack_into(&p);
    u.limits.depth = IMAGE_DEPTH_MAX;
    tar_end(&tar);
    assert_int_equal(apply_bytes(&u, tar.data, tar.len, &e), -E_LIMIT);
    check_tree(&p, "");
    buf_reset(&tar);
    buf_reset(&name);
    for (int i = 0; i < 20; i++)
        buf_addf(&name, "%s" LONG_250, i ? "/" : "");
    tar_file(&tar, buf_str(&name), "1");
    tar_end(&tar);
    assert_int_equal(apply_bytes(&u, tar.data, tar.len, &e), -E_LIMIT);
    assert_non_null(strstr(e.msg, "too long"));
    check_tree(&p, "");
    place_done(&p);
}

/* A file is refused by what it says, before a byte of it is written. */
static void a_size_is_refused_before_a_byte_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *size; /* pax */
        int code;
        const char *words;
    } rows[] = {
        {"1048577", -E_LIMIT, "--max-size"},
        {"1000000000000000", -E_LIMIT, "--max-size"},
        {"1048576", -E_PARSE, ""}, /* as much as may be, but not as much as is there */
        {"9223372036854775807", -E_PARSE, ""},
        {"18446744073709551615", -E_PARSE, ""},
        {"-5", -E_PARSE, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct paths p;
        struct image_unpack u;
        struct err e = {0};
        AUTO(buf) tar = BUF_INIT(TAR_MAX);
        place_init(&p);
        tar_pax(&tar, "size", rows[i].size, strlen(rows[i].size));
        tar_file(&tar, "big", "1");
        int r = apply_one(&p, &u, &tar, &e);
        if (r != rows[i].code || !strstr(e.msg, rows[i].words))
            fail_msg("size %s: %s (%s)", rows[i].size, err_name(r), e.msg);
        place_done(&p);
    }
    struct paths p;
    struct image_unpack u;
    struct err e = {0};
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    char *text = mem_array(700000, 1);
    place_init(&p);
    memset(text, 'x', 699999);
    tar_entry(&tar, "half", '0', 0644, "", text, 699999);
    tar_entry(&tar, "other", '0', 0644, "", text, 699999); /* together too much */
    assert_int_equal(apply_one(&p, &u, &tar, &e), -E_LIMIT);
    assert_int_equal(u.tally.bytes, 699999);
    free(text);
    place_done(&p);
}

static void add_sparse(struct buf *tar, const char *size, const char *map)
{
    AUTO(buf) r = BUF_INIT(4096);
    tar_pax_record(&r, "GNU.sparse.size", size, strlen(size));
    tar_pax_record(&r, "GNU.sparse.map", map, strlen(map));
    tar_header(tar, "pax", 'x', 0644, "", r.len);
    tar_data(tar, r.data, r.len);
    tar_file(tar, "sparse", "abc");
}

static void a_sparse_file_keeps_its_holes(void **state)
{
    (void)state;
    struct paths p;
    struct image_unpack u;
    struct err e = {0};
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    place_init(&p);
    add_sparse(&tar, "1000000", "4096,3");
    assert_int_equal(apply_one(&p, &u, &tar, &e), 0);
    char *path = mem_printf("%s/sparse", p.root);
    struct stat st;
    char text[4] = "";
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1000000);
    assert_true(st.st_blocks <= 64); /* holes are holes */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, text, 3, 4096), 3);
    assert_string_equal(text, "abc");
    close(fd);
    free(path);
    assert_int_equal(u.tally.bytes, 1000000);
    buf_reset(&tar);
    /* A hole counts as what it looks like: copying the tree must not fill a disk. */
    add_sparse(&tar, "1099511627776", "0,3");
    assert_int_equal(apply_one(&p, &u, &tar, &e), -E_LIMIT);
    place_done(&p);
}

static void attributes_and_devices_are_left_out(void **state)
{
    (void)state;
    static const char cap[] = "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    struct paths p;
    struct image_unpack u;
    struct err e = {0};
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    place_init(&p);
    tar_pax(&tar, "SCHILY.xattr.security.capability", cap, sizeof(cap) - 1);
    tar_entry(&tar, "ping", '0', 0755, "", "x", 1);
    tar_pax(&tar, "SCHILY.xattr.user.note", "hi", 2);
    tar_file(&tar, "noted", "x");
    tar_entry(&tar, "su", '0', 04755, "", "x", 1);
    tar_entry(&tar, "dev/null", '3', 0666, "", "", 0);
    assert_int_equal(apply_one(&p, &u, &tar, &e), 0);
    static const char *const names[] = {"ping", "noted", "su"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *path = mem_printf("%s/%s", p.root, names[i]), list[64];
        struct stat st;
        assert_int_equal(llistxattr(path, list, sizeof(list)), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, geteuid());
        assert_int_equal(st.st_mode & 07000, 0);
        assert_int_equal(st.st_mtim.tv_sec, 1700000000);
        free(path);
    }
    assert_int_equal(u.tally.attributes, 2);
    assert_int_equal(u.tally.set_id, 1);
    assert_int_equal(u.tally.special, 1);
    place_done(&p);
}

/* Cut anywhere, or changed anywhere, it ends with a code and words, never outside. */
static void a_damaged_layer_ends_with_words(void **state)
{
    (void)state;
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d/f%d", i);
        tar_file(&tar, name, "content");
    }
    tar_end(&tar);
    struct paths p;
    place_init(&p);
    int failures = 0;
    for (size_t n = 0; n < tar.len; n += 101) {
        struct image_unpack u = unpack_into(&p);
        struct err e = {0};
        int r = apply_bytes(&u, tar.data, n, &e);
        assert_true(r == 0 || (r == -E_PARSE && e.msg[0]));
        failures += r < 0;
    }
    assert_true(failures > 10);
    for (size_t at = 0; at < 1024; at += 7) {
        struct image_unpack u = unpack_into(&p);
        struct err e = {0};
        char was = tar.data[at];
        tar.data[at] = (char)(was ^ 0x41);
        int r = apply_bytes(&u, tar.data, tar.len, &e);
        assert_true(r == 0 || e.msg[0]);
        tar.data[at] = was;
    }
    static char noise[4096];
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)(i * 131 + (i >> 3));
    struct image_unpack u = unpack_into(&p);
    struct err e = {0};
    assert_int_equal(apply_bytes(&u, noise, sizeof(noise), &e), -E_PARSE);
    place_done(&p);
}

static void make_deep(int dir_fd, int levels)
{
    int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
    for (int i = 0; i < levels; i++) {
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    close(fd);
}

static void a_deep_tree_is_measured_and_removed(void **state)
{
    (void)state;
    struct paths p;
    struct err e = {0};
    struct image_tree_size size;
    place_init(&p);
    make_deep(p.root_fd, 300);
    assert_int_equal(image_tree_measure(p.root_fd, &size, &e), 0);
    assert_int_equal(size.directories, 300);
    assert_int_equal(image_tree_remove(p.root_fd, "d", &e), 0);
    check_tree(&p, "");
    make_deep(p.root_fd, IMAGE_TREE_DEPTH_MAX + 1);
    assert_int_equal(image_tree_remove(p.root_fd, "d", &e), -E_LIMIT);
    /* Half way down it is shallow enough again. */
    AUTO(buf) path = BUF_INIT(8192);
    for (int i = 0; i < 200; i++)
        buf_adds(&path, i ? "/d" : "d");
    int half = image_tree_open(p.root_fd, buf_str(&path), O_RDONLY);
    assert_true(half >= 0);
    assert_int_equal(image_tree_remove(half, "d", &e), 0);
    close(half);
    place_done(&p);
}

/* A layer that whites out what another made, with more names than fit one reading
 * of a directory. */
static void a_white_out_removes_thousands_of_names(void **state)
{
    (void)state;
    struct paths p;
    struct err e = {0};
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    place_init(&p);
    struct image_unpack u = unpack_into(&p);
    u.limits.files = 20000;
    for (int i = 0; i < 5000; i++) {
        char name[64];
        snprintf(name, sizeof(name), "d/with-a-name-of-some-length-%d", i);
        tar_file(&tar, name, "");
    }
    tar_end(&tar);
    assert_int_equal(apply_bytes(&u, tar.data, tar.len, &e), 0);
    assert_int_equal(u.tally.entries, 5001); /* and the directory */
    buf_reset(&tar);
    tar_file(&tar, "d/new", "1");
    tar_file(&tar, "d/.wh..wh..opq", "");
    tar_end(&tar);
    assert_int_equal(apply_bytes(&u, tar.data, tar.len, &e), 0);
    check_tree(&p, "d755 d\nf644 d/new=1\n");
    place_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_that_reach_outside_are_refused),
        cmocka_unit_test(layers_are_applied_as_others_do),
        cmocka_unit_test(pax_names_are_read_byte_for_byte),
        cmocka_unit_test(an_overlong_path_is_refused),
        cmocka_unit_test(a_size_is_refused_before_a_byte_is_written),
        cmocka_unit_test(a_sparse_file_keeps_its_holes),
        cmocka_unit_test(attributes_and_devices_are_left_out),
        cmocka_unit_test(a_damaged_layer_ends_with_words),
        cmocka_unit_test(a_deep_tree_is_measured_and_removed),
        cmocka_unit_test(a_white_out_removes_thousands_of_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

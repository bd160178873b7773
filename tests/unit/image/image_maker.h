/* image_maker - archives of images written by a test, and a data directory to import them to. */
#pragma once

#include "unit/unit.h"
#include "base/err.h"
#include "unit/image/tar.h"
#include "image/image.h"
#include "image/import.h"
#include "image/store.h"
#include "image/tree.h"

static char data_dir[64];

static inline int setup(void **state)
{
    (void)state;
    snprintf(data_dir, sizeof(data_dir), "/tmp/sp-image-XXXXXX");
    return mkdtemp(data_dir) ? 0 : -1;
}

static inline int teardown(void **state)
{
    (void)state;
    struct err e = {0};
    char *slash = strrchr(data_dir, '/');
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = image_tree_remove(fd, slash + 1, &e);
    close(fd);
    return r;
}

static inline struct image_import import_of(const char *name, int fd)
{
    return (struct image_import){
        .data_dir = data_dir,
        .name = name,
        .fd = fd,
        .choice = {.architecture = "amd64"},
        .limits = {.bytes = 64u << 20, .files = 1000, .depth = 64, .ratio = 200},
    };
}

/* Names below DATA/rootfs, sorted, one a line; ".lock" left out. */
static inline void check_store(const char *expected)
{
    AUTO(buf) out = BUF_INIT(65536);
    char *dir = mem_printf("%s/rootfs", data_dir);
    struct dirent **names;
    int n = scandir(dir, &names, NULL, tree_order);
    for (int i = 0; i < n; i++) {
        const char *s = names[i]->d_name;
        if (strcmp(s, ".") != 0 && strcmp(s, "..") != 0 && strcmp(s, ".lock") != 0)
            buf_addf(&out, "%s\n", s);
        free(names[i]);
    }
    free(n >= 0 ? names : NULL);
    free(dir);
    assert_string_equal(buf_str(&out), expected);
}

static inline void check_tree(const char *name, const char *expected)
{
    AUTO(buf) out = BUF_INIT(65536);
    char *dir = mem_printf("%s/rootfs/%s/rootfs", data_dir, name);
    tree_list(dir, "", &out);
    free(dir);
    assert_string_equal(buf_str(&out), expected);
}

/* ---- archives ---- */

/* One image in the making. Texts with "%s" get digests. */
struct maker {
    struct buf tar;
    char config[DIGEST_SHA256_HEX], layer[2][DIGEST_SHA256_HEX];
    size_t config_size, layer_size[2];
    struct buf layers[2];
};

static inline void maker_done(struct maker *m)
{
    buf_done(&m->tar);
    buf_done(&m->layers[0]);
    buf_done(&m->layers[1]);
}

static inline void maker_init(struct maker *m)
{
    *m = (struct maker){.tar = BUF_INIT(TAR_MAX)};
    for (int i = 0; i < 2; i++)
        buf_init(&m->layers[i], TAR_MAX);
    tar_file(&m->layers[0], "etc/old", "1");
    tar_file(&m->layers[0], "bin/sh", "sh");
    tar_end(&m->layers[0]);
    tar_file(&m->layers[1], "etc/.wh.old", "");
    tar_file(&m->layers[1], "app/run", "2");
    tar_end(&m->layers[1]);
    for (int i = 0; i < 2; i++) {
        digest_sha256_hex(m->layers[i].data, m->layers[i].len, m->layer[i]);
        m->layer_size[i] = m->layers[i].len;
    }
}

static const char both_layers[] = "d755 app\nf644 app/run=2\nd755 bin\nf644 bin/sh=sh\nd755 etc\n";

static inline char *config_text(const struct maker *m, const char *arch, const char *config)
{
    return mem_printf(
        "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":%s,\"rootfs\":{\"type\":"
        "\"layers\",\"diff_ids\":[\"sha256:%s\",\"sha256:%s\"]}}",
        arch, config, m->layer[0], m->layer[1]);
}

static inline void add_text(struct buf *tar, const char *name, const char *text)
{
    tar_file(tar, name, text);
}

static inline void add_blob(struct maker *m, const void *p, size_t n, char ret[DIGEST_SHA256_HEX])
{
    char name[128];
    digest_sha256_hex(p, n, ret);
    snprintf(name, sizeof(name), "blobs/sha256/%s", ret);
    tar_entry(&m->tar, name, '0', 0644, "", p, n);
}

#define CONFIG                                                                                     \
    "{\"Env\":[\"PATH=/bin\",\"E=a=b\"],\"WorkingDir\":\"/app/\",\"User\":\"1000:1000\","          \
    "\"Entrypoint\":[\"/app/run\"],\"Cmd\":null}"

/* `docker save` as before version 25. */
static inline void make_docker(struct maker *m, const char *tag, const char *arch,
                               const char *config)
{
    char *text = config_text(m, arch, config);
    char name[DIGEST_SHA256_HEX + 8];
    digest_sha256_hex(text, strlen(text), m->config);
    snprintf(name, sizeof(name), "%s.json", m->config);
    /* The manifest first: members come in any order. */
    char *manifest = mem_printf("[{\"Config\":\"%s\",\"RepoTags\":[\"%s\"],\"Layers\":[\"one/"
                                "layer.tar\",\"two/layer.tar\"]}]",
                                name, tag);
    add_text(&m->tar, "manifest.json", manifest);
    tar_entry(&m->tar, "two/layer.tar", '0', 0644, "", m->layers[1].data, m->layers[1].len);
    tar_entry(&m->tar, "one/layer.tar", '0', 0644, "", m->layers[0].data, m->layers[0].len);
    add_text(&m->tar, name, text);
    tar_end(&m->tar);
    free(text);
    free(manifest);
}

#define OCI_LAYER "application/vnd.oci.image.layer.v1.tar"

/* Adds config, layers and manifest; the manifest's digest and size go to the index. */
static inline void add_manifest(struct maker *m, const char *arch, const char *config,
                                const char *layer_type, char ret[DIGEST_SHA256_HEX],
                                size_t *ret_size)
{
    char *text = config_text(m, arch, config);
    add_blob(m, text, strlen(text), m->config);
    char *manifest = mem_printf(
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
        "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":"
        "\"sha256:%s\",\"size\":%zu},\"layers\":["
        "{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%zu},"
        "{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%zu}]}",
        m->config, strlen(text), layer_type, m->layer[0], m->layer_size[0], layer_type, m->layer[1],
        m->layer_size[1]);
    add_blob(m, manifest, strlen(manifest), ret);
    *ret_size = strlen(manifest);
    free(text);
    free(manifest);
}

static inline char *descriptor(const char *type, const char *digest, size_t size, const char *more)
{
    return mem_printf("{\"mediaType\":\"application/vnd.oci.image.%s.v1+json\",\"digest\":"
                      "\"sha256:%s\",\"size\":%zu%s}",
                      type, digest, size, more);
}

/* Steals `d`. */
static inline char *index_of(char *d)
{
    char *text = mem_printf("{\"schemaVersion\":2,\"manifests\":[%s]}", d);
    free(d);
    return text;
}

/* Steals `index`. */
static inline void end_oci(struct maker *m, char *index)
{
    for (int i = 0; i < 2; i++) {
        char digest[DIGEST_SHA256_HEX];
        add_blob(m, m->layers[i].data, m->layers[i].len, digest);
    }
    add_text(&m->tar, "index.json", index);
    add_text(&m->tar, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    tar_end(&m->tar);
    free(index);
}

#define PLATFORM(a) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" a "\"}"
#define REF(n)      ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" n "\"}"

static inline void make_oci(struct maker *m, const char *more, const char *arch,
                            const char *layer_type)
{
    char digest[DIGEST_SHA256_HEX];
    size_t size;
    add_manifest(m, arch, CONFIG, layer_type, digest, &size);
    end_oci(m, index_of(descriptor("manifest", digest, size, more)));
}

static inline int import_bytes(struct image_import *in, const struct buf *tar, json_t **ret,
                               struct err *e)
{
    AUTO_CLOSE int fd = tar_fd(tar);
    assert_true(fd >= 0);
    in->fd = fd;
    return image_import(in, ret, e);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* test_image.c - image archives of both forms, and the directory images are kept in.
 *
 * Archives are written by the test; what a builder of images would never write is the point of most
 * of them. Other processes are children of the test: one that holds an image, one that imports, one
 * that is killed while it does. */
#include "../unit.h"
#include "base/err.h"
#include "tar.h"
#include "worker/image.h"
#include "worker/image_tree.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

static char data_dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(data_dir, sizeof(data_dir), "/tmp/sp-image-XXXXXX");
    return mkdtemp(data_dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    struct err e = {0};
    char *slash = strrchr(data_dir, '/');
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = image_tree_remove(fd, slash + 1, &e);
    close(fd);
    return r;
}

static struct image_import import_of(const char *name, int fd)
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
static void check_store(const char *expected)
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

static void check_tree(const char *name, const char *expected)
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

static void maker_done(struct maker *m)
{
    buf_done(&m->tar);
    buf_done(&m->layers[0]);
    buf_done(&m->layers[1]);
}

static void maker_init(struct maker *m)
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

static char *config_text(const struct maker *m, const char *arch, const char *config)
{
    return mem_printf(
        "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":%s,\"rootfs\":{\"type\":"
        "\"layers\",\"diff_ids\":[\"sha256:%s\",\"sha256:%s\"]}}",
        arch, config, m->layer[0], m->layer[1]);
}

static void add_text(struct buf *tar, const char *name, const char *text)
{
    tar_file(tar, name, text);
}

static void add_blob(struct maker *m, const void *p, size_t n, char ret[DIGEST_SHA256_HEX])
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
static void make_docker(struct maker *m, const char *tag, const char *arch, const char *config)
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
static void add_manifest(struct maker *m, const char *arch, const char *config,
                         const char *layer_type, char ret[DIGEST_SHA256_HEX], size_t *ret_size)
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

static char *descriptor(const char *type, const char *digest, size_t size, const char *more)
{
    return mem_printf("{\"mediaType\":\"application/vnd.oci.image.%s.v1+json\",\"digest\":"
                      "\"sha256:%s\",\"size\":%zu%s}",
                      type, digest, size, more);
}

/* Steals `d`. */
static char *index_of(char *d)
{
    char *text = mem_printf("{\"schemaVersion\":2,\"manifests\":[%s]}", d);
    free(d);
    return text;
}

/* Steals `index`. */
static void end_oci(struct maker *m, char *index)
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

static void make_oci(struct maker *m, const char *more, const char *arch, const char *layer_type)
{
    char digest[DIGEST_SHA256_HEX];
    size_t size;
    add_manifest(m, arch, CONFIG, layer_type, digest, &size);
    end_oci(m, index_of(descriptor("manifest", digest, size, more)));
}

static int import_bytes(struct image_import *in, const struct buf *tar, json_t **ret, struct err *e)
{
    AUTO_CLOSE int fd = tar_fd(tar);
    assert_true(fd >= 0);
    in->fd = fd;
    return image_import(in, ret, e);
}

/* ---- forms ---- */

static void check_record(const json_t *o, const char *format, const char *reference)
{
    assert_string_equal(json_get_str(json_object_get(o, "source"), "format"), format);
    assert_string_equal(json_get_str(json_object_get(o, "source"), "reference"), reference);
    assert_string_equal(json_get_str(o, "architecture"), "amd64");
    assert_string_equal(json_get_str(o, "workdir"), "/app");
    assert_string_equal(json_get_str(o, "user"), "1000:1000");
    assert_int_equal(json_array_size(json_object_get(o, "entrypoint")), 1);
    assert_true(json_is_null(json_object_get(o, "cmd")));
    assert_int_equal(json_array_size(json_object_get(o, "layers")), 2);
    assert_int_equal(json_get_int(o, "files", 0), 2);
    assert_int_equal(json_get_int(o, "bytes", 0), 3);
}

static void test_forms(void **state)
{
    (void)state;
    struct err e = {0};
    struct maker m;
    maker_init(&m);
    make_docker(&m, "demo:1", "amd64", CONFIG);
    struct image_import in = import_of("docker", -1);
    AUTO_JSON json_t *docker = NULL, *oci = NULL, *plain = NULL;
    assert_int_equal(import_bytes(&in, &m.tar, &docker, &e), 0);
    check_record(docker, "docker", "demo:1");
    check_tree("docker", both_layers);
    char *id = mem_printf("sha256:%s", m.config);
    assert_string_equal(json_get_str(json_object_get(docker, "source"), "digest"), id);
    maker_done(&m);

    maker_init(&m);
    make_oci(&m, PLATFORM("amd64") REF("v1"), "amd64", OCI_LAYER);
    in = import_of("oci", -1);
    assert_int_equal(import_bytes(&in, &m.tar, &oci, &e), 0);
    check_record(oci, "oci", "v1");
    check_tree("oci", both_layers);
    assert_string_equal(json_get_str(json_object_get(oci, "source"), "digest"), id);
    free(id);

    in = import_of("plain", -1);
    assert_int_equal(import_bytes(&in, &m.layers[0], &plain, &e), 0);
    check_tree("plain", "d755 bin\nf644 bin/sh=sh\nd755 etc\nf644 etc/old=1\n");
    id = mem_printf("sha256:%s", m.layer[0]);
    assert_string_equal(json_get_str(json_object_get(plain, "source"), "digest"), id);
    free(id);
    maker_done(&m);

    struct image found;
    assert_int_equal(image_find(data_dir, "oci", &found, &e), 0);
    char *root = mem_printf("%s/rootfs/oci/rootfs", data_dir);
    assert_string_equal(found.rootfs, root);
    assert_string_equal(found.workdir, "/app");
    assert_int_equal(found.n_env, 2);
    assert_string_equal(found.env[1], "E=a=b");
    free(root);
    image_done(&found);
    AUTO_JSON json_t *all = NULL;
    size_t damaged;
    assert_int_equal(image_list(data_dir, &all, &damaged, &e), 0);
    assert_int_equal(json_array_size(all), 3);
    assert_int_equal(damaged, 0);
    assert_string_equal(json_get_str(json_array_get(all, 2), "name"), "plain");
}

/* ---- what is wrong with an archive ---- */

static void bad_layer_bytes(struct maker *m)
{
    make_docker(m, "a:1", "amd64", "{}");
    char *at = memmem(m->tar.data, m->tar.len, "app/run", 7);
    at[4] = 'x'; /* and a checksum that is right again */
    at[5] = (char)('u' - ('x' - 'r'));
}

static void bad_config_bytes(struct maker *m)
{
    make_docker(m, "a:1", "amd64", "{\"User\":\"aaaa\"}");
    char *at = memmem(m->tar.data, m->tar.len, "aaaa", 4);
    at[0] = 'b';
}

static void bad_oci_manifest(struct maker *m)
{
    make_oci(m, PLATFORM("amd64"), "amd64", OCI_LAYER);
    char *at = memmem(m->tar.data, m->tar.len, "schemaVersion", 13);
    at[0] = 'S';
}

static void bad_oci_blob(struct maker *m)
{
    make_oci(m, PLATFORM("amd64"), "amd64", OCI_LAYER);
    /* In the zeros at the layer's end, which no reader of tar looks at. */
    char *at = memmem(m->tar.data, m->tar.len, m->layers[1].data, m->layers[1].len);
    at[m->layers[1].len - 1] = 'x';
}

static void bad_size(struct maker *m)
{
    m->layer_size[1]++;
    make_oci(m, PLATFORM("amd64"), "amd64", OCI_LAYER);
}

static void no_layer(struct maker *m)
{
    char digest[DIGEST_SHA256_HEX];
    size_t size;
    add_manifest(m, "amd64", "{}", OCI_LAYER, digest, &size);
    add_text(&m->tar, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    char *index = index_of(descriptor("manifest", digest, size, ""));
    add_text(&m->tar, "index.json", index);
    free(index);
    tar_end(&m->tar);
}

static void no_manifest_blob(struct maker *m)
{
    end_oci(m, index_of(descriptor("manifest", m->layer[0], 5, "")));
}

static void artifact(struct maker *m)
{
    make_oci(m, "", "amd64", "application/vnd.cncf.helm.chart.content.v1");
}

static void encrypted(struct maker *m)
{
    make_oci(m, "", "amd64", OCI_LAYER "+encrypted");
}

static void other_machine(struct maker *m)
{
    make_oci(m, PLATFORM("arm64"), "arm64", OCI_LAYER);
}

static void other_machine_unsaid(struct maker *m)
{
    make_oci(m, "", "arm64", OCI_LAYER);
}

static void docker_other_machine(struct maker *m)
{
    make_docker(m, "a:1", "arm64", "{}");
}

static void sha512(struct maker *m)
{
    end_oci(m, mem_strdup("{\"manifests\":[{\"digest\":\"sha512:00\",\"size\":3}]}"));
}

static void index_in_index(struct maker *m)
{
    char digest[DIGEST_SHA256_HEX];
    size_t size;
    add_manifest(m, "amd64", "{}", OCI_LAYER, digest, &size);
    char *d = descriptor("manifest", digest, size, "");
    for (int i = 0; i < 6; i++) {
        char *index = index_of(d);
        add_blob(m, index, strlen(index), digest);
        d = descriptor("index", digest, strlen(index), "");
        free(index);
    }
    end_oci(m, index_of(d));
}

static void deep_json(struct maker *m)
{
    AUTO(buf) b = BUF_INIT(TAR_MAX);
    for (int i = 0; i < 100000; i++)
        buf_addc(&b, '[');
    add_text(&m->tar, "manifest.json", buf_str(&b));
    tar_end(&m->tar);
}

static void big_json(struct maker *m)
{
    AUTO(buf) b = BUF_INIT(TAR_MAX);
    buf_addc(&b, '[');
    for (int i = 0; i < (5 << 20); i++)
        buf_addc(&b, ' ');
    buf_addc(&b, ']');
    add_text(&m->tar, "manifest.json", buf_str(&b));
    tar_end(&m->tar);
}

static void manifest_text(struct maker *m, const char *text)
{
    add_text(&m->tar, "manifest.json", text);
    add_text(&m->tar, "c.json", "{\"rootfs\":{\"diff_ids\":[]}}");
    tar_end(&m->tar);
}

static void no_list(struct maker *m)
{
    manifest_text(m, "{\"Layers\":[]}");
}

static void no_config(struct maker *m)
{
    manifest_text(m, "[{\"Layers\":[]}]");
}

static void config_elsewhere(struct maker *m)
{
    manifest_text(m, "[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]");
}

static void layer_elsewhere(struct maker *m)
{
    manifest_text(m, "[{\"Config\":\"c.json\",\"Layers\":[\"/etc/passwd\"]}]");
}

static void layer_no_text(struct maker *m)
{
    manifest_text(m, "[{\"Config\":\"c.json\",\"Layers\":[7]}]");
}

static void too_many_layers(struct maker *m)
{
    AUTO(buf) b = BUF_INIT(TAR_MAX);
    buf_adds(&b, "[{\"Config\":\"c.json\",\"Layers\":[\"c.json\"");
    for (int i = 0; i < 600; i++)
        buf_adds(&b, ",\"c.json\"");
    buf_adds(&b, "]}]");
    manifest_text(m, buf_str(&b));
}

static void fewer_digests(struct maker *m)
{
    manifest_text(m, "[{\"Config\":\"c.json\",\"Layers\":[\"c.json\"]}]");
}

static void twice(struct maker *m)
{
    add_text(&m->tar, "one/layer.tar", "x");
    make_docker(m, "a:1", "amd64", "{}");
}

static void link_loop(struct maker *m)
{
    tar_entry(&m->tar, "a/layer.tar", '2', 0777, "../b/layer.tar", "", 0);
    tar_entry(&m->tar, "b/layer.tar", '2', 0777, "../a/layer.tar", "", 0);
    manifest_text(m, "[{\"Config\":\"c.json\",\"Layers\":[\"a/layer.tar\"]}]");
}

static void link_out(struct maker *m)
{
    tar_entry(&m->tar, "a/layer.tar", '2', 0777, "../../../../../etc/passwd", "", 0);
    manifest_text(m, "[{\"Config\":\"c.json\",\"Layers\":[\"a/layer.tar\"]}]");
}

static void env_without_name(struct maker *m)
{
    make_docker(m, "a:1", "amd64", "{\"Env\":[\"=x\"]}");
}

static void env_no_text(struct maker *m)
{
    make_docker(m, "a:1", "amd64", "{\"Env\":[{}]}");
}

static void workdir_up(struct maker *m)
{
    make_docker(m, "a:1", "amd64", "{\"WorkingDir\":\"/app/../../etc\"}");
}

static void both_forms(struct maker *m)
{
    tar_entry(&m->tar, "usr/", '5', 0755, "", "", 0);
    make_docker(m, "a:1", "amd64", "{}");
}

static void plain_without_end(struct maker *m)
{
    tar_file(&m->tar, "usr/a", "1");
}

static void empty(struct maker *m)
{
    (void)m;
}

static void only_an_end(struct maker *m)
{
    tar_end(&m->tar);
}

static void noise(struct maker *m)
{
    for (int i = 0; i < 5000; i++)
        buf_addc(&m->tar, (char)(i * 37 + (i >> 4)));
}

static void cut(struct maker *m)
{
    make_oci(m, "", "amd64", OCI_LAYER);
    m->tar.len /= 2;
}

static void no_root(struct maker *m)
{
    add_text(&m->tar, "blobs/sha256/x", "1");
    add_text(&m->tar, "README", "1");
    tar_end(&m->tar);
}

static void attack_in_layer(struct maker *m)
{
    buf_reset(&m->layers[1]);
    tar_file(&m->layers[1], "../../../../escaped", "1");
    tar_end(&m->layers[1]);
    digest_sha256_hex(m->layers[1].data, m->layers[1].len, m->layer[1]);
    m->layer_size[1] = m->layers[1].len;
    make_oci(m, "", "amd64", OCI_LAYER);
}

static void test_bad_archives(void **state)
{
    (void)state;
    static const struct {
        void (*make)(struct maker *m);
        int code;
        const char *words;
    } rows[] = {
        {bad_layer_bytes, -E_CORRUPT, "layer 2 of 2: its contents has the digest"},
        {bad_config_bytes, -E_CORRUPT, "its digest is"},
        {bad_oci_manifest, -E_CORRUPT, "its digest is"},
        {bad_oci_blob, -E_CORRUPT, "layer 2 of 2: what is stored has the digest"},
        {bad_size, -E_CORRUPT, "its descriptor says"},
        {no_layer, -E_PARSE, "is not in the archive"},
        {no_manifest_blob, -E_CORRUPT, "its descriptor says 5"},
        {artifact, -E_PARSE, "no file system that can be read"},
        {encrypted, -E_PARSE, "no file system that can be read"},
        {other_machine, -EINVAL, "no image for linux/amd64, only for linux/arm64"},
        {other_machine_unsaid, -EINVAL, "no image for linux/amd64, only for linux/arm64"},
        {docker_other_machine, -EINVAL, "--architecture"},
        {sha512, -E_PARSE, "no sha256 digest"},
        {index_in_index, -E_LIMIT, "more than 4 deep"},
        {deep_json, -E_PARSE, "manifest.json"},
        {big_json, -E_LIMIT, "manifest.json: it has"},
        {no_list, -E_PARSE, "--format rootfs"},
        {no_config, -E_PARSE, "no Config"},
        {config_elsewhere, -E_PARSE, "not in the archive"},
        {layer_elsewhere, -E_PARSE, "not in the archive"},
        {layer_no_text, -E_PARSE, "without a name"},
        {too_many_layers, -E_LIMIT, "601 layers"},
        {fewer_digests, -E_PARSE, "lists 0 layers, its manifest 1"},
        {twice, -E_PARSE, "in the archive twice"},
        {link_loop, -E_PARSE, "not in the archive"},
        {link_out, -E_PARSE, "not in the archive"},
        {env_without_name, -E_PARSE, "Env"},
        {env_no_text, -E_PARSE, "Env"},
        {workdir_up, -E_PARSE, "WorkingDir"},
        {both_forms, -EINVAL, "--format docker or --format rootfs"},
        {plain_without_end, -E_PARSE, "cut short"},
        {empty, -E_PARSE, "nothing in it"},
        {only_an_end, -E_PARSE, "nothing in it"},
        {noise, -E_PARSE, ""},
        {cut, -E_PARSE, ""},
        {no_root, -E_PARSE, "nor a root file system"},
        {attack_in_layer, -E_DENIED, "layer 2 of 2: \"../../../../escaped\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct maker m;
        struct err e = {0};
        json_t *record = NULL;
        maker_init(&m);
        rows[i].make(&m);
        struct image_import in = import_of("bad", -1);
        int r = import_bytes(&in, &m.tar, &record, &e);
        maker_done(&m);
        if (r != rows[i].code || !e.msg[0] || !strstr(e.msg, rows[i].words))
            fail_msg("row %zu (%s): %s (%s)", i, rows[i].words, err_name(r), e.msg);
        assert_null(record);
        check_store(""); /* nothing is left */
    }
}

/* ---- several images in one archive ---- */

static void test_choice(void **state)
{
    (void)state;
    struct maker m;
    struct err e = {0};
    AUTO_JSON json_t *record = NULL;
    char digest[2][DIGEST_SHA256_HEX];
    size_t size[2];
    maker_init(&m);
    add_manifest(&m, "amd64", "{\"User\":\"one\"}", OCI_LAYER, digest[0], &size[0]);
    add_manifest(&m, "amd64", "{\"User\":\"two\"}", OCI_LAYER, digest[1], &size[1]);
    char *one = descriptor("manifest", digest[0], size[0], PLATFORM("amd64") REF("v1")),
         *two = descriptor("manifest", digest[1], size[1], PLATFORM("amd64") REF("v2")),
         *arm = descriptor("manifest", digest[1], size[1], PLATFORM("arm64") REF("v1")),
         *signature = descriptor("manifest", m.layer[0], 7,
                                 PLATFORM("unknown") ",\"annotations\":{\"vnd.docker.reference."
                                                     "type\":\"attestation-manifest\"}");
    char *all = mem_printf("%s,%s,%s,%s", arm, signature, one, two);
    end_oci(&m, index_of(all));
    free(one);
    free(two);
    free(arm);
    free(signature);
    struct image_import in = import_of("x", -1);
    assert_int_equal(import_bytes(&in, &m.tar, &record, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "2 images; choose one with --image: v1, v2"));
    in.choice.reference = "v3";
    assert_int_equal(import_bytes(&in, &m.tar, &record, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "it holds: v1, v2"));
    in.choice.reference = "v2";
    assert_int_equal(import_bytes(&in, &m.tar, &record, &e), 0);
    assert_string_equal(json_get_str(record, "user"), "two");
    maker_done(&m);

    /* docker save of two images */
    maker_init(&m);
    char *text = config_text(&m, "amd64", "{}");
    add_text(&m.tar, "c.json", text);
    add_text(&m.tar, "d.json", text);
    free(text);
    tar_entry(&m.tar, "l1/layer.tar", '0', 0644, "", m.layers[0].data, m.layers[0].len);
    tar_entry(&m.tar, "l2/layer.tar", '0', 0644, "", m.layers[1].data, m.layers[1].len);
    /* As older versions store a layer that two images share. */
    tar_entry(&m.tar, "l3/layer.tar", '2', 0777, "../l1/layer.tar", "", 0);
    add_text(&m.tar, "manifest.json",
             "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"l1/layer.tar\",\"l2/"
             "layer.tar\"]},{\"Config\":\"d.json\",\"RepoTags\":[\"b:1\",\"b:2\"],\"Layers\":["
             "\"l3/layer.tar\",\"./l2/layer.tar\"]}]");
    tar_end(&m.tar);
    AUTO_JSON json_t *second = NULL;
    in = import_of("y", -1);
    assert_int_equal(import_bytes(&in, &m.tar, &second, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "2 images; choose one with --image: a:1, b:1, b:2"));
    in.choice.reference = "b:2";
    assert_int_equal(import_bytes(&in, &m.tar, &second, &e), 0);
    assert_string_equal(json_get_str(json_object_get(second, "source"), "reference"), "b:2");
    check_tree("y", both_layers);
    in = import_of("z", -1);
    in.choice.format = IMAGE_FORMAT_ROOTFS; /* the archive itself, if somebody insists */
    AUTO_JSON json_t *third = NULL;
    assert_int_equal(import_bytes(&in, &m.tar, &third, &e), 0);
    maker_done(&m);
}

/* ---- the directory of images ---- */

static int import_small(const char *name, const char *text, bool replace, struct err *e)
{
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    AUTO_JSON json_t *record = NULL;
    tar_file(&tar, "usr/f", text);
    tar_end(&tar);
    struct image_import in = import_of(name, -1);
    in.replace = replace;
    return import_bytes(&in, &tar, &record, e);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "a/b",
        "../a",
        "A",
        ".a",
        "-a",
        "_a",
        "a b",
        "a\n",
        "\xc3\xa9",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const good[] = {
        "a", "0", "python-3.12_slim",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct image image;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        assert_false(image_name_ok(bad[i]));
        assert_int_equal(import_small(bad[i], "1", false, &e), -EINVAL);
        assert_int_equal(image_find(data_dir, bad[i], &image, &e), -EINVAL);
        assert_int_equal(image_remove(data_dir, bad[i], &e), -EINVAL);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(image_name_ok(good[i]));
}

static void test_replace_and_use(void **state)
{
    (void)state;
    struct err e = {0};
    struct image image;
    assert_int_equal(image_find(data_dir, "a", &image, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "rootfs import"));
    assert_int_equal(image_remove(data_dir, "a", &e), -ENOENT);
    assert_int_equal(import_small("a", "1", false, &e), 0);
    assert_int_equal(import_small("a", "2", false, &e), -EEXIST);
    assert_non_null(strstr(e.msg, "--replace"));
    check_tree("a", "d755 usr\nf644 usr/f=1\n");
    assert_int_equal(import_small("a", "2", true, &e), 0);
    check_tree("a", "d755 usr\nf644 usr/f=2\n");
    check_store("a\n");
    assert_int_equal(import_small("new", "1", true, &e), 0); /* nothing to replace is fine */

    struct image second;
    assert_int_equal(image_find(data_dir, "a", &image, &e), 0);
    assert_int_equal(image_find(data_dir, "a", &second, &e), 0); /* any number of users */
    image_done(&second);
    assert_int_equal(import_small("a", "3", true, &e), -EBUSY);
    assert_non_null(strstr(e.msg, "in use"));
    assert_int_equal(image_remove(data_dir, "a", &e), -EBUSY);
    check_tree("a", "d755 usr\nf644 usr/f=2\n");
    image_done(&image);
    image_done(&image); /* twice is harmless */
    assert_int_equal(image_remove(data_dir, "a", &e), 0);
    assert_int_equal(image_find(data_dir, "a", &image, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "there is: new"));
    check_store("new\n");
}

static void test_damaged(void **state)
{
    (void)state;
    struct err e = {0};
    struct image image;
    AUTO_JSON json_t *all = NULL;
    size_t damaged;
    assert_int_equal(import_small("a", "1", false, &e), 0);
    char *record = mem_printf("%s/rootfs/a/image.json", data_dir);
    int fd = open(record, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, "{\"na", 4), 4);
    close(fd);
    free(record);
    assert_int_equal(image_find(data_dir, "a", &image, &e), -E_CORRUPT);
    assert_non_null(strstr(e.msg, "import it again"));
    assert_int_equal(image_list(data_dir, &all, &damaged, &e), 0);
    assert_int_equal(json_array_size(all), 0);
    assert_int_equal(damaged, 1);
    assert_int_equal(image_remove(data_dir, "a", &e), 0);
    check_store("");
}

/* A child that imports `name` from a pipe; ends with 0 when that succeeded, else 1. */
static pid_t importer(const char *name, int *ret_pipe)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = {0};
        json_t *record = NULL;
        struct image_import in = import_of(name, fds[0]);
        close(fds[1]);
        _exit(image_import(&in, &record, &e) < 0);
    }
    close(fds[0]);
    *ret_pipe = fds[1];
    return pid;
}

/* Waits until the child has its place: it holds the lock then. */
static void wait_for_place(const char *name)
{
    char *path = mem_printf("%s/rootfs/.import-%s/rootfs", data_dir, name);
    for (int i = 0; i < 20000 && access(path, F_OK) < 0; i++)
        poll(NULL, 0, 1);
    assert_int_equal(access(path, F_OK), 0);
    free(path);
}

static void test_two_at_once(void **state)
{
    (void)state;
    struct err e = {0};
    int in, status;
    pid_t pid = importer("a", &in);
    wait_for_place("a");
    assert_int_equal(import_small("a", "mine", false, &e), -EBUSY);
    assert_non_null(strstr(e.msg, "another import of a is running"));
    assert_int_equal(import_small("b", "mine", false, &e), 0); /* others go on */
    check_store(".import-a\nb\n");
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    tar_file(&tar, "usr/f", "theirs");
    tar_end(&tar);
    assert_int_equal(write(in, tar.data, tar.len), tar.len);
    close(in);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    check_tree("a", "d755 usr\nf644 usr/f=theirs\n");
    check_store("a\nb\n");
}

static void test_killed(void **state)
{
    (void)state;
    struct err e = {0};
    int in, status;
    pid_t pid = importer("a", &in);
    wait_for_place("a");
    assert_int_equal(write(in, "x", 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(in);
    check_store(".import-a\n");
    AUTO_JSON json_t *all = NULL;
    struct image image;
    assert_int_equal(image_list(data_dir, &all, NULL, &e), 0);
    assert_int_equal(json_array_size(all), 0);
    assert_int_equal(image_find(data_dir, "a", &image, &e), -ENOENT);
    /* The next one, of another name even, takes it away. */
    assert_int_equal(import_small("b", "1", false, &e), 0);
    check_store("b\n");
}

/* A file system of 1 MiB, in a mount namespace of its own. */
static int fill_disk(void)
{
    uid_t uid = geteuid();
    if (unshare(CLONE_NEWNS) < 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
            return 10;
        char map[32];
        int n = snprintf(map, sizeof(map), "0 %u 1", uid);
        int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, map, (size_t)n) != n)
            return 11;
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", data_dir, "tmpfs", 0, "size=1m,nr_inodes=100") < 0)
        return 12;
    struct err e = {0};
    AUTO_FREE char *big = mem_array(1, 2u << 20);
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    AUTO_JSON json_t *record = NULL;
    memset(big, 'x', 2u << 20);
    tar_entry(&tar, "usr/big", '0', 0644, "", big, 2u << 20);
    tar_end(&tar);
    struct image_import in = import_of("a", -1);
    if (import_bytes(&in, &tar, &record, &e) != -ENOSPC || !strstr(e.msg, "the disk is full"))
        return 13;
    check_store("");
    buf_reset(&tar);
    for (int i = 0; i < 200; i++) { /* inodes */
        char name[32];
        snprintf(name, sizeof(name), "usr/%d/f", i);
        tar_file(&tar, name, "");
    }
    tar_end(&tar);
    if (import_bytes(&in, &tar, &record, &e) != -ENOSPC || !strstr(e.msg, "the disk is full"))
        return 14;
    check_store("");
    return import_small("a", "fits", false, &e) == 0 ? 0 : 15;
}

static void test_full_disk(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fill_disk());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int stop_at_once(void *arg, const struct image_tally *t)
{
    (void)t;
    return ++*(int *)arg > 1 ? -ECANCELED : 0;
}

static void test_stopped(void **state)
{
    (void)state;
    struct maker m;
    struct err e = {0};
    int ticks = 0;
    json_t *record = NULL;
    maker_init(&m);
    make_oci(&m, "", "amd64", OCI_LAYER);
    struct image_import in = import_of("a", -1);
    in.tick = stop_at_once;
    in.tick_arg = &ticks;
    assert_int_equal(import_bytes(&in, &m.tar, &record, &e), -ECANCELED);
    check_store("");
    maker_done(&m);
}

static void test_not_a_file(void **state)
{
    (void)state;
    struct err e = {0};
    json_t *record = NULL;
    AUTO_CLOSE int fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct image_import in = import_of("a", fd);
    assert_int_equal(image_import(&in, &record, &e), -EISDIR);
    check_store("");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_forms),       TEST(test_bad_archives),    TEST(test_choice),
        TEST(test_names),       TEST(test_replace_and_use), TEST(test_damaged),
        TEST(test_two_at_once), TEST(test_killed),          TEST(test_full_disk),
        TEST(test_stopped),     TEST(test_not_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

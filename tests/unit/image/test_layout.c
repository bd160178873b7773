/* test_layout.c - archives of both forms, and what is wrong with an archive.
 *
 * Archives are written by the test; what a builder of images would never write is the point of most
 * of them. After every refusal nothing is left in the data directory. */
#include "unit/image/image_maker.h"

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

static void all_forms_of_an_archive_are_imported(void **state)
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

static void bad_archives_are_refused_with_words(void **state)
{
    (void)state;
    static const struct {
        void (*make)(struct maker *m);
        int code;
        const char *words;
    } rows[] = {
        {bad_layer_bytes, -E_CORRUPT, "layer 2 of 2: its content has the digest"},
        {bad_config_bytes, -E_CORRUPT, "its digest is"},
        {bad_oci_manifest, -E_CORRUPT, "its digest is"},
        {bad_oci_blob, -E_CORRUPT, "layer 2 of 2: what is stored has the digest"},
        {bad_size, -E_CORRUPT, "its descriptor says"},
        {no_layer, -E_PARSE, "is not in the archive"},
        {no_manifest_blob, -E_CORRUPT, "its descriptor says 5"},
        {artifact, -E_PARSE, "not a file system that sallyport can read"},
        {encrypted, -E_PARSE, "not a file system that sallyport can read"},
        {other_machine, -EINVAL, "no image for linux/amd64, only for linux/arm64"},
        {other_machine_unsaid, -EINVAL, "no image for linux/amd64, only for linux/arm64"},
        {docker_other_machine, -EINVAL, "--architecture"},
        {sha512, -E_PARSE, "not a sha256 digest"},
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
        {empty, -E_PARSE, "it is empty"},
        {only_an_end, -E_PARSE, "it is empty"},
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

static void one_image_of_several_is_chosen(void **state)
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

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(all_forms_of_an_archive_are_imported),
                                       TEST(bad_archives_are_refused_with_words),
                                       TEST(one_image_of_several_is_chosen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* layout.c - from an archive to a plan of layers.
 *
 * Called by image.c once per import, on its thread. All of the archive is untrusted; its
 * members and documents come through members.c.
 *
 * Documents have a ceiling on size and depth, and where a digest names one it is compared before
 * the document is looked into: no other may stand in for it. What they say is copied when it has
 * the type and form it must have, and refused otherwise; sizes and digests of layers are taken down
 * here and verified when the layers are read. Lists have ceilings; indexes in indexes are a list
 * that grows, not a recursion. */
#include "image/layout.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/spec.h"
#include "image/members.h"

#include <stdio.h>
#include <string.h>

#define MANIFESTS_MAX 256
#define TEXTS_MAX     1024 /* environment variables, words of a command */

struct layout {
    const struct image_choice *choice;
    struct image_members members;
    struct image_plan plan;
};

const char *image_architecture(void)
{
#if defined(__x86_64__)
    return "amd64";
#elif defined(__aarch64__)
    return "arm64";
#elif defined(__riscv) && __riscv_xlen == 64
    return "riscv64";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
    return "ppc64le";
#elif defined(__s390x__)
    return "s390x";
#else
    return "unknown";
#endif
}

const char *image_format_name(enum image_format f)
{
    static const char *const names[] = {"auto", "oci", "docker", "rootfs"};
    return names[f];
}

void image_plan_done(struct image_plan *p)
{
    free(TAKE(p->reference));
    free(TAKE(p->architecture));
    free(TAKE(p->workdir));
    free(TAKE(p->user));
    free(TAKE(p->layers));
    json_decref(TAKE(p->env));
    json_decref(TAKE(p->entrypoint));
    json_decref(TAKE(p->cmd));
}

static bool is_hex_sha256(const char *s, size_t n)
{
    return n == DIGEST_SHA256_HEX - 1 && strspn(s, "0123456789abcdef") >= n;
}

bool image_is_sha256(const char *hex)
{
    return is_hex_sha256(hex, strlen(hex));
}

/* "sha256:HEX" */
static int parse_digest(const char *s, char ret[DIGEST_SHA256_HEX], struct err *e)
{
    AUTO(buf) b = BUF_INIT(1024);
    if (!s || !str_starts(s, "sha256:") || !is_hex_sha256(s + 7, strlen(s + 7)))
        return err_set(e, -E_PARSE, "\"%s\" is not a sha256 digest", image_quoted(s ? s : "", &b));
    memcpy(ret, s + 7, DIGEST_SHA256_HEX);
    return 0;
}

/* ---- the config ---- */

bool image_texts_ok(const json_t *a)
{
    if (!json_is_array(a) || json_array_size(a) > TEXTS_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!json_is_string(json_array_get(a, i)))
            return false;
    return true;
}

static int take_texts(const json_t *config, const char *key, json_t **ret, struct err *e)
{
    json_t *a = json_object_get(config, key);
    if (!a || json_is_null(a))
        return 0;
    if (!image_texts_ok(a))
        return err_set(e, -E_PARSE, "%s is not a list of at most %d strings", key, TEXTS_MAX);
    json_decref(*ret);
    *ret = json_incref(a);
    return 0;
}

bool image_env_ok(const json_t *texts)
{
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const char *s = json_string_value(json_array_get(texts, i));
        const char *eq = strchr(s, '=');
        if (!eq || eq == s)
            return false;
    }
    return true;
}

/* Reads what a sandbox needs from the image's config; the layers' digests go into the plan's
 * layers, of which there are as many. */
static int take_config(struct layout *l, const json_t *o, struct err *e)
{
    struct image_plan *p = &l->plan;
    const char *os = json_get_str(o, "os"), *arch = json_get_str(o, "architecture");
    AUTO(buf) b = BUF_INIT(1024);
    if (os && *os && !str_eq(os, "linux"))
        return err_set(e, -EINVAL, "the image is for %s, not for linux", image_quoted(os, &b));
    if (arch && *arch && !str_eq(arch, l->choice->architecture))
        return err_set(e, -EINVAL,
                       "the image is for %s, this machine is %s; --architecture chooses another",
                       image_quoted(arch, &b), l->choice->architecture);
    p->architecture = arch && *arch ? mem_strdup(arch) : NULL;
    const json_t *diff_ids = json_object_get(json_object_get(o, "rootfs"), "diff_ids");
    if (json_array_size(diff_ids) != p->n_layers)
        return err_set(e, -E_PARSE, "the image's config lists %zu layers, its manifest %zu",
                       json_array_size(diff_ids), p->n_layers);
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->n_layers; i++)
        r = parse_digest(json_string_value(json_array_get(diff_ids, i)), p->layers[i].diff_sha256,
                         e);
    const json_t *config = json_object_get(o, "config");
    if (r == 0)
        r = take_texts(config, "Env", &p->env, e);
    if (r == 0 && !image_env_ok(p->env))
        r = err_set(e, -E_PARSE, "a variable of Env has no name or no value");
    if (r == 0)
        r = take_texts(config, "Entrypoint", &p->entrypoint, e);
    if (r == 0)
        r = take_texts(config, "Cmd", &p->cmd, e);
    const char *user = json_get_str(config, "User"), *dir = json_get_str(config, "WorkingDir");
    if (r == 0 && user && *user)
        p->user = mem_strdup(user);
    if (r == 0 && dir && *dir) {
        /* "/app/" is what many a Dockerfile says. */
        size_t n = strlen(dir);
        p->workdir = mem_strndup(dir, n > 1 && dir[n - 1] == '/' ? n - 1 : n);
        if (!sandbox_path_ok(p->workdir))
            r = err_set(e, -E_PARSE, "WorkingDir \"%s\" is not an absolute path without . or ..",
                        image_quoted(dir, &b));
    }
    return r;
}

static int make_layers(struct layout *l, size_t n, struct err *e)
{
    if (n > IMAGE_LAYERS_MAX)
        return err_set(e, -E_LIMIT, "the image has %zu layers, at most %d can be", n,
                       IMAGE_LAYERS_MAX);
    l->plan.layers = mem_array(n ? n : 1, sizeof(*l->plan.layers));
    memset(l->plan.layers, 0, (n ? n : 1) * sizeof(*l->plan.layers));
    l->plan.n_layers = n;
    return 0;
}

/* ---- docker save ---- */

/* The digest a member's name carries ("blobs/sha256/HEX", "HEX.json"), or false. */
static bool digest_in_name(const char *name, char ret[DIGEST_SHA256_HEX])
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    size_t n = strcspn(base, ".");
    bool blob = slash && str_starts(name, "blobs/sha256/") && base[n] == '\0';
    if (!is_hex_sha256(base, n) || !(blob || (!slash && str_eq(base + n, ".json"))))
        return false;
    memcpy(ret, base, n);
    ret[n] = '\0';
    return true;
}

static void list_names(const json_t *images, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *tags = json_object_get(json_array_get(images, i), "RepoTags");
        for (size_t k = 0; k < json_array_size(tags); k++) {
            const char *tag = json_string_value(json_array_get(tags, k));
            if (tag) {
                buf_adds(out, out->len ? ", " : "");
                str_escape(out, tag, strlen(tag), 100);
            }
        }
    }
}

static const char *tag_of(const json_t *image, const char *wanted)
{
    const json_t *tags = json_object_get(image, "RepoTags");
    for (size_t k = 0; k < json_array_size(tags); k++) {
        const char *tag = json_string_value(json_array_get(tags, k));
        if (tag && (!wanted || str_eq(tag, wanted)))
            return tag;
    }
    return NULL;
}

static int choose_docker(struct layout *l, const json_t *images, const json_t **ret, struct err *e)
{
    const char *wanted = l->choice->reference;
    AUTO(buf) names = BUF_INIT(300);
    list_names(images, &names);
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *image = json_array_get(images, i);
        if (wanted && !tag_of(image, wanted))
            continue;
        *ret = image;
        n++;
    }
    const char *known = names.len ? buf_str(&names) : "no image has a name";
    if (n == 0 && wanted)
        return err_set(e, -EINVAL, "it holds no image of the name given with --image; it holds: %s",
                       known);
    if (n != 1)
        return err_set(e, -EINVAL, "it holds %zu images; choose one with --image: %s", n, known);
    return 0;
}

static int plan_docker(struct layout *l, const json_t *images, struct err *e)
{
    const json_t *image = NULL;
    int r = choose_docker(l, images, &image, e);
    if (r < 0)
        return r;
    const char *config_name = json_get_str(image, "Config");
    const json_t *layers = json_object_get(image, "Layers");
    if (!config_name || !json_is_array(layers))
        return err_set(e, -E_PARSE, "manifest.json names no Config or no Layers");
    const char *tag = tag_of(image, l->choice->reference);
    l->plan.reference = tag ? mem_strdup(tag) : NULL;
    r = make_layers(l, json_array_size(layers), e);
    for (size_t i = 0; r == 0 && i < l->plan.n_layers; i++) {
        const char *name = json_string_value(json_array_get(layers, i));
        const struct image_member *m = NULL;
        r = name ? image_members_file(&l->members, name, &m, e)
                 : err_set(e, -E_PARSE, "manifest.json names a layer without a name");
        if (r < 0)
            break;
        l->plan.layers[i].at = m->at;
        if (str_starts(name, "blobs/"))
            (void)digest_in_name(name, l->plan.layers[i].blob_sha256);
    }
    AUTO_JSON json_t *config = NULL;
    char sha256[DIGEST_SHA256_HEX];
    bool named = digest_in_name(config_name, sha256);
    if (r == 0)
        r = image_members_document(&l->members, config_name, named ? sha256 : NULL, l->plan.id,
                                   &config, e);
    return r < 0 ? r : take_config(l, config, e);
}

/* ---- OCI image layout ---- */

struct candidate {
    char digest[DIGEST_SHA256_HEX];
    int64_t size;
    char *name;   /* of the image it belongs to, or NULL */
    bool checked; /* its platform is known to be ours */
    unsigned depth;
};

struct candidates {
    struct candidate of[MANIFESTS_MAX];
    size_t n;
};

static void candidates_free(struct candidates *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->of[i].name);
    free(c);
}

/* A blob of the layout that a descriptor speaks of. */
static int read_blob(const struct layout *l, const char digest[DIGEST_SHA256_HEX], int64_t size,
                     json_t **ret, struct err *e)
{
    char name[IMAGE_MEMBER_NAME_MAX];
    const struct image_member *m;
    snprintf(name, sizeof(name), "blobs/sha256/%s", digest);
    int r = image_members_file(&l->members, name, &m, e);
    if (r == 0 && m->size != size)
        r = err_set(e, -E_CORRUPT, "%s has %lld bytes, its descriptor says %lld", name,
                    (long long)m->size, (long long)size);
    return r < 0 ? r : image_members_document(&l->members, name, digest, NULL, ret, e);
}

static int parse_descriptor(const json_t *o, char ret_digest[DIGEST_SHA256_HEX], int64_t *ret_size,
                            struct err *e)
{
    int64_t size = json_get_int(o, "size", -1);
    if (size < 0)
        return err_set(e, -E_PARSE, "a descriptor has no size");
    *ret_size = size;
    return parse_digest(json_get_str(o, "digest"), ret_digest, e);
}

static const char *annotation(const json_t *descriptor, const char *key)
{
    return json_get_str(json_object_get(descriptor, "annotations"), key);
}

static bool is_index(const char *type)
{
    return str_eq(type, "application/vnd.oci.image.index.v1+json") ||
           str_eq(type, "application/vnd.docker.distribution.manifest.list.v2+json");
}

static bool is_manifest(const char *type)
{
    return str_eq(type, "application/vnd.oci.image.manifest.v1+json") ||
           str_eq(type, "application/vnd.docker.distribution.manifest.v2+json");
}

/* Adds what an index lists and may be ours. */
static int take_index(struct layout *l, const json_t *index, const struct candidate *from,
                      struct candidates *c, struct buf *others, struct err *e)
{
    const json_t *manifests = json_object_get(index, "manifests");
    if (!json_is_array(manifests))
        return err_set(e, -E_PARSE, "an index lists no manifests");
    for (size_t i = 0; i < json_array_size(manifests); i++) {
        const json_t *d = json_array_get(manifests, i);
        const char *type = json_get_str(d, "mediaType");
        const json_t *platform = json_object_get(d, "platform");
        const char *os = json_get_str(platform, "os"),
                   *arch = json_get_str(platform, "architecture");
        /* Signatures and attestations travel beside images. */
        if ((type && !is_index(type) && !is_manifest(type)) ||
            annotation(d, "vnd.docker.reference.type"))
            continue;
        if ((os && !str_eq(os, "linux")) || (arch && !str_eq(arch, l->choice->architecture))) {
            buf_addf(others, "%s%.20s/%.20s", others->len ? ", " : "", os ? os : "?",
                     arch ? arch : "?");
            continue;
        }
        if (c->n == MANIFESTS_MAX)
            return err_set(e, -E_LIMIT, "it lists more than %d manifests", MANIFESTS_MAX);
        struct candidate *n = &c->of[c->n];
        int r = parse_descriptor(d, n->digest, &n->size, e);
        if (r < 0)
            return r;
        const char *name = annotation(d, "io.containerd.image.name");
        if (!name)
            name = annotation(d, "org.opencontainers.image.ref.name");
        if (!name && from)
            name = from->name;
        n->name = name ? mem_strdup(name) : NULL;
        n->checked = os && arch;
        n->depth = from ? from->depth + 1 : 1;
        c->n++;
    }
    return 0;
}

static bool name_matches(const char *name, const char *wanted)
{
    return !wanted || (name && (str_eq(name, wanted) ||
                                (str_starts(name, "docker.io/library/") &&
                                 str_eq(name + strlen("docker.io/library/"), wanted))));
}

/* Reads the document a candidate speaks of: an index adds to the candidates, a manifest is kept in
 * *ret. */
static int open_candidate(struct layout *l, size_t i, struct candidates *c, struct buf *others,
                          json_t **ret, struct err *e)
{
    AUTO_JSON json_t *o = NULL;
    const struct candidate *it = &c->of[i];
    int r = read_blob(l, it->digest, it->size, &o, e);
    if (r < 0)
        return r;
    const char *type = json_get_str(o, "mediaType");
    if (json_object_get(o, "manifests") || is_index(type)) {
        if (it->depth > 4)
            return err_set(e, -E_LIMIT, "indexes lie more than 4 deep in each other");
        return take_index(l, o, it, c, others, e);
    }
    if (!it->checked) {
        /* Nothing but its config says what it is for. */
        char digest[DIGEST_SHA256_HEX];
        int64_t size;
        AUTO_JSON json_t *config = NULL;
        r = parse_descriptor(json_object_get(o, "config"), digest, &size, e);
        if (r == 0)
            r = read_blob(l, digest, size, &config, e);
        if (r < 0)
            return r;
        const char *arch = json_get_str(config, "architecture");
        if (arch && *arch && !str_eq(arch, l->choice->architecture)) {
            buf_addf(others, "%slinux/%.20s", others->len ? ", " : "", arch);
            return 0;
        }
    }
    *ret = TAKE(o);
    return 1;
}

static int choose_oci(struct layout *l, const json_t *index, json_t **ret, struct err *e)
{
    struct candidates *c = mem_new(struct candidates);
    AUTO(buf) others = BUF_INIT(200);
    AUTO(buf) names = BUF_INIT(300);
    AUTO_JSON json_t *chosen = NULL;
    char chosen_digest[DIGEST_SHA256_HEX] = "";
    size_t n = 0;
    int r = take_index(l, index, NULL, c, &others, e);
    for (size_t i = 0; r >= 0 && i < c->n; i++) { /* grows meanwhile */
        AUTO_JSON json_t *manifest = NULL;
        r = open_candidate(l, i, c, &others, &manifest, e);
        if (r <= 0)
            continue;
        const char *name = c->of[i].name;
        if (!name_matches(name, l->choice->reference) || str_eq(chosen_digest, c->of[i].digest)) {
            buf_addf(&names, "%s%.100s", names.len ? ", " : "", name ? name : "(no name)");
            continue;
        }
        buf_addf(&names, "%s%.100s", names.len ? ", " : "", name ? name : "(no name)");
        n++;
        if (chosen)
            continue;
        chosen = TAKE(manifest);
        memcpy(chosen_digest, c->of[i].digest, sizeof(chosen_digest));
        l->plan.reference = name ? mem_strdup(name) : NULL;
    }
    candidates_free(c);
    AUTO(buf) b = BUF_INIT(2048);
    str_escape(&b, buf_str(&names), names.len, 300);
    if (r < 0)
        return r;
    if (n == 0 && names.len)
        return err_set(e, -EINVAL, "it holds no image of the name given with --image; it holds: %s",
                       buf_str(&b));
    if (n == 0) {
        buf_reset(&b);
        str_escape(&b, buf_str(&others), others.len, 200);
        return err_set(e, -EINVAL, "it holds no image for linux/%s%s%s", l->choice->architecture,
                       others.len ? ", only for " : "", buf_str(&b));
    }
    if (n > 1)
        return err_set(e, -EINVAL, "it holds %zu images; choose one with --image: %s", n,
                       buf_str(&b));
    *ret = TAKE(chosen);
    return 0;
}

static int take_oci_layer(struct layout *l, const json_t *d, struct image_layer_ref *ret,
                          struct err *e)
{
    const char *type = json_get_str(d, "mediaType");
    AUTO(buf) b = BUF_INIT(1024);
    if (!type || !strstr(type, "tar") || strstr(type, "encrypted"))
        return err_set(e, -E_PARSE,
                       "a layer of type \"%s\" is not a file system that sallyport can read",
                       image_quoted(type ? type : "", &b));
    int64_t size;
    const struct image_member *m;
    char name[IMAGE_MEMBER_NAME_MAX];
    int r = parse_descriptor(d, ret->blob_sha256, &size, e);
    if (r < 0)
        return r;
    snprintf(name, sizeof(name), "blobs/sha256/%s", ret->blob_sha256);
    r = image_members_file(&l->members, name, &m, e);
    if (r == 0 && m->size != size)
        r = err_set(e, -E_CORRUPT, "%s has %lld bytes, its descriptor says %lld", name,
                    (long long)m->size, (long long)size);
    if (r == 0)
        ret->at = m->at;
    return r;
}

static int plan_oci(struct layout *l, struct err *e)
{
    AUTO_JSON json_t *layout = NULL, *index = NULL, *manifest = NULL, *config = NULL;
    int r = image_members_document(&l->members, "oci-layout", NULL, NULL, &layout, e);
    if (r < 0)
        return r;
    const char *version = json_get_str(layout, "imageLayoutVersion");
    if (!version || !str_starts(version, "1."))
        return err_set(e, -E_PARSE, "oci-layout is not of version 1");
    r = image_members_document(&l->members, "index.json", NULL, NULL, &index, e);
    if (r == 0)
        r = choose_oci(l, index, &manifest, e);
    if (r < 0)
        return r;
    const json_t *layers = json_object_get(manifest, "layers");
    char digest[DIGEST_SHA256_HEX];
    int64_t size;
    r = json_is_array(layers) ? make_layers(l, json_array_size(layers), e)
                              : err_set(e, -E_PARSE, "the image's manifest names no layers");
    for (size_t i = 0; r == 0 && i < l->plan.n_layers; i++)
        r = take_oci_layer(l, json_array_get(layers, i), &l->plan.layers[i], e);
    if (r == 0)
        r = parse_descriptor(json_object_get(manifest, "config"), digest, &size, e);
    if (r == 0)
        r = read_blob(l, digest, size, &config, e);
    if (r < 0)
        return r;
    memcpy(l->plan.id, digest, sizeof(digest));
    return take_config(l, config, e);
}

/* ---- which form ---- */

static int plan_rootfs(struct layout *l, struct err *e)
{
    if (l->choice->reference)
        return err_set(e, -EINVAL,
                       "it is a plain root file system: there is nothing to choose with --image");
    int r = make_layers(l, 1, e);
    if (r == 0)
        l->plan.layers[0].whole = true;
    return r;
}

/* True for a list of objects as docker save writes. */
static bool is_docker_manifest(const json_t *o)
{
    return json_is_array(o) && json_array_size(o) > 0 &&
           json_object_get(json_array_get(o, 0), "Layers");
}

static int make_plan(struct layout *l, struct err *e)
{
    enum image_format f = l->choice->format;
    bool docker = image_members_find(&l->members, "manifest.json") != NULL,
         oci = image_members_find(&l->members, "oci-layout") &&
               image_members_find(&l->members, "index.json");
    if (f == IMAGE_FORMAT_AUTO && (docker || oci) && l->members.has_root)
        return err_set(e, -EINVAL,
                       "it looks like an image (%s) and like a root file system (there are "
                       "directories such as usr); say which with --format %s or --format rootfs",
                       docker ? "manifest.json" : "oci-layout", docker ? "docker" : "oci");
    /* Perhaps the first half of an image, whose manifest was at its end; or no image at all. */
    if (f == IMAGE_FORMAT_AUTO && !docker && !oci && !l->members.has_root)
        return err_set(
            e, -E_PARSE,
            "it is neither an image (no manifest.json, no oci-layout with an index.json) "
            "nor a root file system (no bin, etc, lib, sbin, usr); if it is one "
            "nevertheless, say --format rootfs");
    if (f == IMAGE_FORMAT_AUTO)
        /* docker save writes both since version 25; its own form has the names people know. */
        f = docker ? IMAGE_FORMAT_DOCKER : oci ? IMAGE_FORMAT_OCI : IMAGE_FORMAT_ROOTFS;
    l->plan.format = f;
    if (f == IMAGE_FORMAT_ROOTFS)
        return plan_rootfs(l, e);
    if (f == IMAGE_FORMAT_OCI)
        return plan_oci(l, e);
    AUTO_JSON json_t *images = NULL;
    int r = image_members_document(&l->members, "manifest.json", NULL, NULL, &images, e);
    if (r == 0 && !is_docker_manifest(images))
        r = err_set(e, -E_PARSE,
                    "manifest.json is not what docker save writes; if the archive is a root file "
                    "system, say --format rootfs");
    return r < 0 ? r : plan_docker(l, images, e);
}

int image_layout_read(int fd, const struct image_choice *choice, struct image_plan *ret,
                      struct err *e)
{
    struct layout l = {.choice = choice};
    l.plan.env = json_array();
    MUST(l.plan.env);
    int r = image_members_read(fd, &l.members, e);
    if (r == 0)
        r = make_plan(&l, e);
    image_members_done(&l.members);
    if (r < 0) {
        image_plan_done(&l.plan);
        return r;
    }
    *ret = l.plan;
    return 0;
}

/* face.c - reads the files on a thread, and tells when they have changed.
 *
 * Files of the operator's, possibly mounted (Kubernetes swaps a link): so links are followed, and a change is
 * any change of what stat says. It is asked before a file is read: what changes in between is read again. A
 * set that does not fit together, because only one half has been replaced so far, is an error, and who asked
 * keeps what it has. Certificate and key in one file are read at once, and are never halves of two. */
#include "tunnel/gateway/face.h"

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/cert.h"
#include "crypto/digest.h"
#include "io/file.h"
#include "io/pool.h"
#include "io/tls.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST (128u << 10)

struct job {
    const char *config_path;
    struct gateway_face *ret;
    struct err err;
};

/* ---- marks ---- */

#define MARK_EMPTY 1

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * UINT64_C(0x9e3779b97f4a7c15) + (h >> 29);
}

static void mark_file(uint64_t *mark, const char *path)
{
    struct stat st = {0};
    if (stat(path, &st) < 0)
        memset(&st, 0, sizeof(st));
    *mark = mix(*mark, (uint64_t)st.st_ino);
    *mark = mix(*mark, (uint64_t)st.st_size);
    *mark = mix(*mark, (uint64_t)st.st_mtim.tv_sec);
    *mark = mix(*mark, (uint64_t)st.st_mtim.tv_nsec);
}

/* Those that the configuration names, which is marked before them. */
static void mark_others(uint64_t *mark, const struct gateway_config *c)
{
    mark_file(mark, c->cert_file);
    mark_file(mark, c->key_file);
    if (c->upstream_ca_file)
        mark_file(mark, c->upstream_ca_file);
    if (c->client_ca_file)
        mark_file(mark, c->client_ca_file);
}

/* ---- reading ---- */

static ssize_t read_text(const char *path, bool is_key, char *to, size_t room, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set(e, -errno, "cannot open %s: %s", path, err_text(-errno));
    int r = is_key ? file_is_private(fd, path, e) : 0;
    if (r < 0)
        return r;
    ssize_t n = file_read_small(fd, to, room);
    return n < 0 ? err_set(e, (int)n, "cannot read %s: %s", path, err_text((int)n)) : n;
}

int face_identity(const struct gateway_config *c, struct cert_identity **ret, struct err *e)
{
    AUTO_FREE char *cert = mem_array(FILE_MOST, 1);
    struct secret key = {0};
    int r = secret_room(&key, FILE_MOST);
    if (r < 0)
        return err_set(e, r, "no memory for a private key: %s", err_text(r));
    const bool is_one = str_eq(c->cert_file, c->key_file);
    ssize_t n = is_one ? 0 : read_text(c->cert_file, false, cert, FILE_MOST, e);
    ssize_t k = n < 0 ? n : read_text(c->key_file, true, key.data, FILE_MOST, e);
    r = k < 0 ? (int)k
              : cert_identity_read(is_one ? key.data : cert, (size_t)(is_one ? k : n), c->cert_file,
                                   key.data, (size_t)k, c->key_file, ret, e);
    secret_done(&key);
    secret_wipe(cert, FILE_MOST); /* a link may lead to the key's file */
    return r;
}

static void hash_config(const struct gateway_config *c, char ret[FACE_HASH_MAX])
{
    size_t n;
    AUTO_FREE char *text = json_text(c->document, &n);
    (void)digest_sha256_hex(text, n, ret);
}

/* Whom callers have to be signed by. A file that is replaced between the two readings is read again (mark). */
static int read_client_trust(struct gateway_face *f, struct err *e)
{
    const char *path = f->config->client_ca_file;
    AUTO_FREE char *text = mem_array(FILE_MOST, 1);
    ssize_t n = read_text(path, false, text, FILE_MOST, e);
    if (n < 0)
        return err_wrap(e, (int)n, "tls.client_ca_file");
    (void)digest_sha256_hex(text, (size_t)n, f->client_hash);
    secret_wipe(text, FILE_MOST); /* a link may lead to the key's file */
    f->client_trust = tls_trust_only(path, e);
    return f->client_trust ? 0 : err_wrap(e, -E_TLS, "tls.client_ca_file");
}

static int check_times(const struct gateway_config *c, const struct cert_identity *id,
                       struct err *e)
{
    int64_t begins_s, ends_s, now_s = time_real_us() / US_PER_S;
    cert_identity_times(id, &begins_s, &ends_s);
    if (now_s >= ends_s)
        return err_set(e, -E_DENIED, "the certificate in %s has expired; make a new one",
                       c->cert_file);
    if (now_s < begins_s)
        return err_set(
            e, -E_DENIED,
            "the certificate in %s is not valid yet: is the clock of this machine right?",
            c->cert_file);
    return 0;
}

/* On a thread. */
static int read_all(void *arg)
{
    struct job *j = arg;
    struct gateway_face *f = j->ret;
    f->mark = MARK_EMPTY;
    mark_file(&f->mark, j->config_path);
    int r = gateway_config_read(j->config_path, &f->config, &j->err);
    const struct gateway_config *c = f->config;
    if (r == 0)
        mark_others(&f->mark, c);
    if (r == 0)
        r = face_identity(c, &f->identity, &j->err);
    if (r == 0)
        r = check_times(c, f->identity, &j->err);
    if (r == 0)
        hash_config(c, f->hash);
    if (r == 0 && c->client_ca_file)
        r = read_client_trust(f, &j->err);
    bool https = false;
    for (size_t i = 0; r == 0 && i < c->n_routes; i++)
        https = https || c->routes[i].upstream.scheme == GATEWAY_HTTPS;
    if (r == 0 && https) {
        f->upstream_trust = c->upstream_system_cas ? tls_trust_new(c->upstream_ca_file, &j->err)
                                                   : tls_trust_only(c->upstream_ca_file, &j->err);
        r = f->upstream_trust ? 0 : -E_TLS;
    }
    return r;
}

int face_read(struct pool *pool, struct secret_sources *sources, const char *config_path,
              const struct gateway_face *before, struct gateway_face **ret, struct err *e)
{
    static uint64_t numbers;
    struct gateway_face *f = mem_new(struct gateway_face);
    f->refs = 1;
    (void)snprintf(f->number, sizeof(f->number), "%llu", (unsigned long long)++numbers);
    struct job j = {.config_path = config_path, .ret = f};
    int r = pool_call(pool, read_all, &j);
    if (r < 0)
        *e = j.err;
    else
        r = route_secrets_open(sources, f->config, config_path, &f->secrets, e);
    if (r == 0 && before)
        route_secrets_inherit(f->secrets, f->config, before->secrets, before->config);
    if (r < 0) {
        face_unref(f);
    } else {
        *ret = f;
    }
    return r;
}

struct gateway_face *face_ref(struct gateway_face *f)
{
    f->refs++;
    return f;
}

void face_unref(struct gateway_face *f)
{
    if (!f || --f->refs > 0)
        return;
    route_secrets_free(f->secrets, f->config ? f->config->n_routes : 0);
    gateway_config_unref(f->config);
    cert_identity_unref(f->identity);
    tls_trust_free(f->upstream_trust);
    tls_trust_free(f->client_trust);
    free(f);
}

struct route_secret *face_secret(const struct gateway_face *f, const struct gateway_route *route)
{
    return &f->secrets[route - f->config->routes];
}

/* ---- changes ---- */

struct marking {
    const char *config_path;
    const struct gateway_config *config;
    uint64_t mark;
};

/* On a thread. */
static int mark_all(void *arg)
{
    struct marking *m = arg;
    mark_file(&m->mark, m->config_path);
    mark_others(&m->mark, m->config);
    return 0;
}

uint64_t face_mark(struct pool *pool, const char *config_path, const struct gateway_config *c)
{
    struct marking m = {.config_path = config_path, .config = c, .mark = MARK_EMPTY};
    (void)pool_call(pool, mark_all, &m);
    return m.mark;
}

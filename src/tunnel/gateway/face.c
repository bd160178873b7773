/* face.c - makes what is served out of the files, on a thread.
 *
 * The files are the operator's. The keeper has opened them (tunnel/keeper/files.c), with the configuration's
 * text beside; here they are read and understood. A set that does not fit together, because only one half has been replaced so far, is an error, and who asked
 * keeps what it has. Certificate and key in one file are read at once, and are never halves of two. */
#include "tunnel/gateway/face.h"

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/cert.h"
#include "crypto/digest.h"
#include "fiber/fiber.h"
#include "io/file.h"
#include "io/pool.h"
#include "io/tls.h"
#include "oauth/jwks.h"
#include "tunnel/gateway/caller_keys.h"
#include "tunnel/gateway/supply.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MOST (128u << 10)
#define CA_MOST   (8u << 20)

struct job {
    const char *config_path;
    struct supply_files files;
    struct gateway_face *ret;
    struct err err;
};

/* ---- reading ---- */

int face_file_open(const char *path, bool is_key, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set(e, -errno, "cannot open %s: %s", path, err_text(-errno));
    int r = is_key ? file_is_private(fd, path, e) : 0;
    return r < 0 ? r : TAKE_FD(fd);
}

static ssize_t read_text(int fd, const char *path, char *to, size_t room, struct err *e)
{
    ssize_t n = file_read_small(fd, to, room);
    return n < 0 ? err_set(e, (int)n, "cannot read %s: %s", path, err_text((int)n)) : n;
}

/* Where a certificate and its key are. */
struct pair {
    const char *cert_file, *key_file;
    int cert_fd, key_fd; /* cert: -1: the key's file has it, too */
};

static int read_identity(const struct pair *p, struct cert_identity **ret, struct err *e)
{
    AUTO_FREE char *cert = mem_array(FILE_MOST, 1);
    struct secret key = {0};
    int r = secret_room(&key, FILE_MOST);
    if (r < 0)
        return err_set(e, r, "no memory for a private key: %s", err_text(r));
    const bool is_one = p->cert_fd < 0;
    ssize_t n = is_one ? 0 : read_text(p->cert_fd, p->cert_file, cert, FILE_MOST, e);
    ssize_t k = n < 0 ? n : read_text(p->key_fd, p->key_file, key.data, FILE_MOST, e);
    r = k < 0 ? (int)k
              : cert_identity_read(is_one ? key.data : cert, (size_t)(is_one ? k : n), p->cert_file,
                                   key.data, (size_t)k, p->key_file, ret, e);
    secret_done(&key);
    secret_wipe(cert, FILE_MOST); /* a link may lead to the key's file */
    return r;
}

static int read_files(const char *cert_file, const char *key_file, struct cert_identity **ret,
                      struct err *e)
{
    const bool is_one = str_eq(cert_file, key_file);
    AUTO_CLOSE int cert_fd = is_one ? -1 : face_file_open(cert_file, false, e);
    if (cert_fd < 0 && !is_one)
        return cert_fd;
    AUTO_CLOSE int key_fd = face_file_open(key_file, true, e);
    const struct pair p = {cert_file, key_file, cert_fd, key_fd};
    return key_fd < 0 ? key_fd : read_identity(&p, ret, e);
}

int face_identity(const struct gateway_config *c, struct cert_identity **ret, struct err *e)
{
    return read_files(c->cert_file, c->key_file, ret, e);
}

int face_shown(const struct gateway_config *c, struct cert_identity **ret, struct err *e)
{
    int r = read_files(c->upstream_cert_file, c->upstream_key_file, ret, e);
    return r < 0 ? err_wrap(e, r, "upstream.tls") : 0;
}

static void hash_config(const struct gateway_config *c, char ret[FACE_HASH_MAX])
{
    size_t n;
    AUTO_FREE char *text = json_text(c->document, &n);
    (void)digest_sha256_hex(text, n, ret);
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

static int read_trust(const struct job *j, struct tls_trust **ret, struct err *e)
{
    const struct gateway_config *c = j->ret->config;
    if (j->files.ca_fd < 0) {
        *ret = c->upstream_system_cas ? tls_trust_new(NULL, e) : tls_trust_only(NULL, e);
        return *ret ? 0 : -E_TLS;
    }
    AUTO_FREE char *text = mem_array(CA_MOST, 1);
    ssize_t n = read_text(j->files.ca_fd, c->upstream_ca_file, text, CA_MOST, e);
    if (n < 0)
        return (int)n;
    *ret = tls_trust_text(c->upstream_ca_file, text, (size_t)n, c->upstream_system_cas, e);
    return *ret ? 0 : -E_TLS;
}

/* Whom callers have to be signed by. */
static int read_client_trust(const char *path, int fd, struct tls_trust **ret,
                             char ret_hash[FACE_HASH_MAX], struct err *e)
{
    AUTO_FREE char *text = mem_array(CA_MOST, 1);
    ssize_t n = read_text(fd, path, text, CA_MOST, e);
    if (n < 0)
        return err_wrap(e, (int)n, "tls.client_ca_file");
    (void)digest_sha256_hex(text, (size_t)n, ret_hash);
    *ret = tls_trust_text(path, text, (size_t)n, false, e);
    secret_wipe(text, (size_t)n); /* a link may lead to the key's file */
    return *ret ? 0 : err_wrap(e, -E_TLS, "tls.client_ca_file");
}

/* By which callers' tokens are checked. */
static int read_caller_keys(const char *path, int fd, struct caller_keys **ret, struct err *e)
{
    AUTO_FREE char *text = mem_array(JWKS_BYTES_MAX + 1, 1);
    struct jwks *set;
    ssize_t n = read_text(fd, path, text, JWKS_BYTES_MAX + 1, e);
    int r = n < 0 ? (int)n : jwks_parse(text, (size_t)n, &set, e);
    secret_wipe(text,
                JWKS_BYTES_MAX + 1); /* a link may lead to the key's file, and the set be private */
    if (r < 0)
        return err_wrap(e, r, "callers.jwt.jwks_file %s", path);
    *ret = caller_keys_of_set(set);
    return 0;
}

int face_caller_keys(const struct gateway_config *c, struct caller_keys **ret, struct err *e)
{
    AUTO_CLOSE int fd = face_file_open(c->callers.jwks_file, false, e);
    return fd < 0 ? err_wrap(e, fd, "callers.jwt.jwks_file")
                  : read_caller_keys(c->callers.jwks_file, fd, ret, e);
}

int face_client_trust(const struct gateway_config *c, struct tls_trust **ret, struct err *e)
{
    char ignored[FACE_HASH_MAX];
    AUTO_CLOSE int fd = face_file_open(c->client_ca_file, false, e);
    return fd < 0 ? err_wrap(e, fd, "tls.client_ca_file")
                  : read_client_trust(c->client_ca_file, fd, ret, ignored, e);
}

/* One that has expired is told by the servers that ask for it: others work. */
static int read_shown(const struct job *j, struct cert_identity **ret, struct err *e)
{
    const struct gateway_config *c = j->ret->config;
    const struct pair p = {c->upstream_cert_file, c->upstream_key_file, j->files.show_cert_fd,
                           j->files.show_key_fd};
    int r = read_identity(&p, ret, e);
    return r < 0 ? err_wrap(e, r, "upstream.tls") : 0;
}

/* On a thread, once there may be some. */
static int read_all(void *arg)
{
    struct job *j = arg;
    struct gateway_face *f = j->ret;
    f->mark = j->files.mark;
    f->supplied = j->files.number;
    int r = gateway_config_parse(j->config_path, j->files.text, j->files.n, &f->config, &j->err);
    const struct gateway_config *c = f->config;
    const struct pair own = {c->cert_file, c->key_file, j->files.cert_fd, j->files.key_fd};
    if (r == 0)
        r = read_identity(&own, &f->identity, &j->err);
    if (r == 0)
        r = check_times(c, f->identity, &j->err);
    if (r == 0)
        hash_config(c, f->hash);
    if (r == 0 && c->client_ca_file)
        r = read_client_trust(c->client_ca_file, j->files.client_fd, &f->client_trust,
                              f->client_hash, &j->err);
    if (r == 0 && c->callers.jwks_file)
        r = read_caller_keys(c->callers.jwks_file, j->files.keys_fd, &f->caller_keys, &j->err);
    if (r == 0 && gateway_config_has_https(c))
        r = read_trust(j, &f->upstream_trust, &j->err);
    return r < 0 || j->files.show_key_fd < 0 ? r : read_shown(j, &f->shown, &j->err);
}

static int read_here(struct job *j)
{
    fiber_excuse_hold(); /* at the start, when nobody waits */
    return read_all(j);
}

/* What is known of the issuer's keys outlives the face that has asked for them. */
static void inherit_keys(struct gateway_face *f, const struct gateway_face *before,
                         struct ctl *keeper)
{
    const char *url = f->config->callers.jwks_url;
    if (!url)
        return;
    f->caller_keys = before && before->caller_keys && caller_keys_are_of(before->caller_keys, url)
                         ? caller_keys_ref(before->caller_keys)
                         : caller_keys_of_url(url, supply_keys, keeper);
}

int face_read(struct ctl *keeper, struct pool *pool, struct secret_sources *sources,
              const char *config_path, const struct gateway_face *before, struct gateway_face **ret,
              struct err *e)
{
    static uint64_t numbers;
    struct job j = {.config_path = config_path, .files = SUPPLY_FILES_NONE};
    int r = supply_files(keeper, &j.files, e);
    if (r < 0)
        return r;
    struct gateway_face *f = j.ret = mem_new(struct gateway_face);
    f->refs = 1;
    (void)snprintf(f->number, sizeof(f->number), "%llu", (unsigned long long)++numbers);
    r = pool ? pool_call(pool, read_all, &j) : read_here(&j);
    supply_files_done(&j.files);
    if (r < 0)
        *e = j.err;
    else
        r = route_secrets_open(sources, f->config, config_path, &f->secrets, e);
    if (r == 0 && before)
        route_secrets_inherit(f->secrets, f->config, before->secrets, before->config);
    if (r < 0) {
        face_unref(f);
    } else {
        inherit_keys(f, before, keeper);
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
    cert_identity_unref(f->shown);
    tls_trust_free(f->upstream_trust);
    tls_trust_free(f->client_trust);
    caller_keys_unref(f->caller_keys);
    free(f);
}

struct route_secret *face_secret(const struct gateway_face *f, const struct gateway_route *route)
{
    return &f->secrets[route - f->config->routes];
}

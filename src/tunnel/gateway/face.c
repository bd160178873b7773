/* face.c - reads the files on a thread, and tells when they have changed.
 *
 * Files of the operator's, possibly mounted (Kubernetes swaps a link): so links are followed, and a change is
 * any change of what stat says. A set that does not fit together, because only one half has been replaced so
 * far, is an error, and who asked keeps what it has. */
#include "tunnel/gateway/face.h"

#include "base/err.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/cert.h"
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

static int read_identity(const struct gateway_config *c, struct cert_identity **ret, struct err *e)
{
    AUTO_FREE char *cert = mem_array(FILE_MOST, 1);
    struct secret key = {0};
    int r = secret_room(&key, FILE_MOST);
    if (r < 0)
        return err_set(e, r, "no memory for a private key: %s", err_text(r));
    ssize_t n = read_text(c->cert_file, false, cert, FILE_MOST, e);
    ssize_t k = n < 0 ? n : read_text(c->key_file, true, key.data, FILE_MOST, e);
    r = k < 0 ? (int)k
              : cert_identity_read(cert, (size_t)n, c->cert_file, key.data, (size_t)k, c->key_file,
                                   ret, e);
    secret_done(&key);
    return r;
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
    int r = gateway_config_read(j->config_path, &f->config, &j->err);
    const struct gateway_config *c = f->config;
    if (r == 0 && c->listen.port)
        r = err_set(&j->err, -EOPNOTSUPP,
                    "%s: listen_addr is not built yet: this gateway dials (edge) and waits nowhere",
                    j->config_path);
    if (r == 0)
        r = read_identity(c, &f->identity, &j->err);
    if (r == 0)
        r = check_times(c, f->identity, &j->err);
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
    free(f);
}

struct route_secret *face_secret(const struct gateway_face *f, const struct gateway_route *route)
{
    return &f->secrets[route - f->config->routes];
}

/* ---- changes ---- */

struct marking {
    const char *paths[4];
    size_t n;
    uint64_t mark;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * UINT64_C(0x9e3779b97f4a7c15) + (h >> 29);
}

/* On a thread. */
static int mark_all(void *arg)
{
    struct marking *m = arg;
    for (size_t i = 0; i < m->n; i++) {
        struct stat st = {0};
        if (stat(m->paths[i], &st) < 0)
            memset(&st, 0, sizeof(st));
        m->mark = mix(m->mark, (uint64_t)st.st_ino);
        m->mark = mix(m->mark, (uint64_t)st.st_size);
        m->mark = mix(m->mark, (uint64_t)st.st_mtim.tv_sec);
        m->mark = mix(m->mark, (uint64_t)st.st_mtim.tv_nsec);
    }
    return 0;
}

uint64_t face_mark(struct pool *pool, const char *config_path, const struct gateway_config *c)
{
    struct marking m = {.paths = {config_path, c->cert_file, c->key_file}, .n = 3, .mark = 1};
    if (c->upstream_ca_file)
        m.paths[m.n++] = c->upstream_ca_file;
    (void)pool_call(pool, mark_all, &m);
    return m.mark;
}

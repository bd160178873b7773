/* files.c - opens the files of a gateway on a thread, and tells when they have changed.
 *
 * Files of the operator's, possibly mounted (Kubernetes swaps a link): so links are followed, and a change is
 * any change of what stat says. It is asked before a file is read: what changes in between is read again. The
 * configuration is read here and there, from one text; of the others the gateway gets descriptors, so that no
 * key passes through this process. Which files there are the operator decides, never the gateway. */
#include "tunnel/keeper/files.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "io/pool.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/face.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_EMPTY 1

/* ---- marks ---- */

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
    if (c->callers.jwks_file)
        mark_file(mark, c->callers.jwks_file);
    if (c->upstream_cert_file) {
        mark_file(mark, c->upstream_cert_file);
        mark_file(mark, c->upstream_key_file);
    }
}

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

uint64_t keeper_files_mark(struct pool *pool, const char *config_path,
                           const struct gateway_config *c)
{
    struct marking m = {.config_path = config_path, .config = c, .mark = MARK_EMPTY};
    (void)pool_call(pool, mark_all, &m);
    return m.mark;
}

/* ---- opening ---- */

struct job {
    const char *config_path;
    struct keeper_files *ret;
    struct err err;
};

static int open_ca(const char *path, int *ret, struct err *e)
{
    struct err why = {0};
    *ret = face_file_open(path, false, &why);
    return *ret < 0 ? err_set(e, *ret, "cannot use the certificates in ca_file %s: %s", path,
                              err_text(*ret))
                    : 0;
}

/* What servers are shown, where there is one to show it to. */
static int open_shown(const struct gateway_config *c, struct keeper_files *f, struct err *e)
{
    int r = 0;
    if (!c->upstream_cert_file || !gateway_config_has_https(c))
        return 0;
    if (!str_eq(c->upstream_cert_file, c->upstream_key_file))
        r = f->show_cert_fd = face_file_open(c->upstream_cert_file, false, e);
    if (r >= 0)
        r = f->show_key_fd = face_file_open(c->upstream_key_file, true, e);
    return r < 0 ? err_wrap(e, r, "upstream.tls") : 0;
}

/* On a thread. */
static int open_all(void *arg)
{
    struct job *j = arg;
    struct keeper_files *f = j->ret;
    f->mark = MARK_EMPTY;
    mark_file(&f->mark, j->config_path);
    int r = gateway_config_text(j->config_path, &f->text, &f->n, &j->err);
    if (r == 0)
        r = gateway_config_parse(j->config_path, f->text, f->n, &f->config, &j->err);
    const struct gateway_config *c = f->config;
    if (r < 0)
        return r;
    mark_others(&f->mark, c);
    if (!str_eq(c->cert_file, c->key_file))
        r = f->cert_fd = face_file_open(c->cert_file, false, &j->err);
    if (r >= 0)
        r = f->key_fd = face_file_open(c->key_file, true, &j->err);
    if (r >= 0)
        r = c->upstream_ca_file && gateway_config_has_https(c)
                ? open_ca(c->upstream_ca_file, &f->ca_fd, &j->err)
                : 0;
    if (r >= 0 && c->client_ca_file) {
        r = f->client_fd = face_file_open(c->client_ca_file, false, &j->err);
        if (r < 0)
            r = err_wrap(&j->err, r, "tls.client_ca_file");
    }
    if (r >= 0 && c->callers.jwks_file) {
        r = f->keys_fd = face_file_open(c->callers.jwks_file, false, &j->err);
        if (r < 0)
            r = err_wrap(&j->err, r, "callers.jwt.jwks_file");
    }
    return r < 0 ? r : open_shown(c, f, &j->err);
}

int keeper_files_open(struct pool *pool, const char *config_path, struct keeper_files *ret,
                      struct err *e)
{
    *ret = KEEPER_FILES_NONE;
    struct job j = {.config_path = config_path, .ret = ret};
    int r = pool_call(pool, open_all, &j);
    if (r < 0)
        *e = j.err;
    return r < 0 ? r : 0;
}

void keeper_files_done(struct keeper_files *f)
{
    fd_cleanup_close(&f->cert_fd);
    fd_cleanup_close(&f->key_fd);
    fd_cleanup_close(&f->ca_fd);
    fd_cleanup_close(&f->client_fd);
    fd_cleanup_close(&f->show_cert_fd);
    fd_cleanup_close(&f->show_key_fd);
    fd_cleanup_close(&f->keys_fd);
    gateway_config_unref(f->config);
    free(f->text);
    *f = KEEPER_FILES_NONE;
}

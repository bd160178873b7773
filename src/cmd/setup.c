/* setup.c - `sallyport setup URL DIR`: the part of `up` that speaks to the API. Not for people.
 *
 * Started by up.c with an API key on standard input, or nothing there when it has none to offer.
 * Keeps what DIR/dev.env holds as long as it works (its API key, environment and environment key
 * are each tried), makes what is missing, and writes the file anew. Exit status: 0 done; 1 failed,
 * with words; 3 there is no API key that works. */
#include "base/err.h"
#include "base/str.h"
#include "cmd/client/api_client.h"
#include "cmd/cmd.h"
#include "cmd/client/devenv.h"
#include "cmd/line/start.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NO_KEY 3

struct setup {
    const char *url, *dir;
    struct secret offered;
};

static int client_with(struct api_client *c, const char *url, const struct secret *key,
                       struct err *e)
{
    *c = (struct api_client){.base_url = mem_strdup(url)};
    int r = secret_set(&c->key, secret_borrow(key), key->len);
    c->http = r == 0 ? http_client_new("sallyport-setup/" SALLYPORT_VERSION, e) : NULL;
    if (!c->http) {
        api_client_close(c);
        return r < 0 ? r : -EIO;
    }
    return 0;
}

/* 1 when a GET of `path` with this key is answered, 0 when it is refused, negative on other
 * failures. */
static int works(const char *url, const struct secret *key, const char *path, struct err *e)
{
    struct api_client c;
    if (!key->len)
        return 0;
    int r = client_with(&c, url, key, e);
    if (r < 0)
        return r;
    AUTO_JSON json_t *j = NULL;
    r = api_client_call(&c, "GET", path, NULL, &j, e);
    if (r == 0 && json_is_string(json_object_get(j, "archived_at")))
        r = -ENOENT;
    api_client_close(&c);
    return r == 0 ? 1 : r == -EACCES || r == -ENOENT || r == -E_DENIED ? 0 : r;
}

static int make_environment(struct api_client *c, struct devenv *d, struct err *e)
{
    AUTO_JSON json_t *body =
        json_pack("{s:s,s:{s:s}}", "name", "local", "config", "type", "self_hosted");
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(c, "POST", "/v1/environments", body, &j, e);
    const char *id = json_get_str(j, "id");
    if (r == 0 && !id)
        r = err_set(e, -E_PROTO, "the server's answer names no environment");
    if (r == 0)
        d->environment_id = mem_strdup(id);
    return r;
}

static int make_environment_key(struct api_client *c, struct devenv *d, struct err *e)
{
    AUTO_FREE char *path = mem_printf("/v1/environments/%s/keys", d->environment_id);
    AUTO_JSON json_t *body = json_pack("{s:s}", "name", "sallyport up");
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(c, "POST", path, body, &j, e);
    const char *key = json_get_str(j, "key");
    if (r == 0 && !key)
        r = err_set(e, -E_PROTO, "the server's answer holds no key");
    secret_done(&d->environment_key);
    return r < 0 ? r : secret_set(&d->environment_key, key, strlen(key));
}

static int make(struct setup *s, struct devenv *d, struct err *e)
{
    int r = works(s->url, &d->api_key, "/v1/environments?limit=1", e);
    if (r == 0 && s->offered.len) {
        secret_done(&d->api_key);
        r = secret_set(&d->api_key, secret_borrow(&s->offered), s->offered.len);
        r = r < 0 ? r : 1;
    }
    if (r <= 0)
        return r < 0 ? r : NO_KEY;

    struct api_client c;
    r = client_with(&c, s->url, &d->api_key, e);
    if (r < 0)
        return r;
    AUTO_FREE char *path =
        d->environment_id ? mem_printf("/v1/environments/%s", d->environment_id) : NULL;
    AUTO_FREE char *stats = d->environment_id ? mem_printf("%s/work/stats", path) : NULL;
    bool have = path && (r = works(s->url, &d->api_key, path, e)) > 0;
    if (r == 0 && !have) {
        free(TAKE(d->environment_id));
        r = make_environment(&c, d, e);
    }
    bool have_key = have && (r = works(s->url, &d->environment_key, stats, e)) > 0;
    if (r >= 0 && !have_key)
        r = make_environment_key(&c, d, e);
    api_client_close(&c);
    if (r < 0)
        return r;
    free(d->base_url);
    d->base_url = mem_strdup(s->url);
    return devenv_write(s->dir, d, e);
}

static int run(void *arg)
{
    struct setup *s = arg;
    struct devenv d = {0};
    struct err e = {0};
    int r = devenv_read(s->dir, &d, &e);
    if (r == 0 || r == -ENOENT) {
        e = (struct err){0};
        r = make(s, &d, &e);
    }
    devenv_done(&d);
    if (r < 0)
        fprintf(stderr, "sallyport setup: %s\n", e.msg[0] ? e.msg : err_text(r));
    return r < 0 ? 1 : r;
}

int cmd_setup(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: sallyport setup URL DIR  (run by sallyport up; an API key on "
                        "standard input)\n");
        return 2;
    }
    struct setup s = {.url = argv[1], .dir = argv[2]};
    char key[256];
    ssize_t n = read(STDIN_FILENO, key, sizeof(key));
    int r = n > 0 && (size_t)n < sizeof(key) ? secret_set(&s.offered, key, (size_t)n) : 0;
    secret_wipe(key, sizeof(key));
    cmd_forbid_dumps();
    int code = r < 0 ? 1 : api_client_run(run, &s);
    secret_done(&s.offered);
    return code;
}

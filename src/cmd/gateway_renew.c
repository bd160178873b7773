/* gateway_renew.c - `sallyport gateway renew-cert`: a new certificate before the old one ends.
 *
 * For a timer: when nothing is due it says so and changes nothing. It speaks to nobody; what it needs is
 * the CA's key, which may lie on another disk or machine (--ca-key). A gateway that runs takes the new
 * certificate by itself; callers that are connected keep theirs. Keys are in locked memory and on libcrypto's
 * heap, so the process cannot be dumped. No word of it is secret. Root works on what is root's alone
 * (setup_check_root): the files' owner chooses what is written and which CA signs. */
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_command.h"
#include "cmd/gateway.h"
#include "cmd/line/flags.h"
#include "cmd/line/term.h"
#include "crypto/cert_issue.h"
#include "io/file.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/setup.h"
#include "tunnel/gateway/setup_cert.h"

#include <stdio.h>
#include <unistd.h>

struct renew_command {
    const char *config, *dir, *ca, *ca_key;
    int64_t before_ms, lifetime_ms;
    bool force, json;
};

/* The life of certificates that init was asked for, where it has made the directory. */
static int64_t usual_lifetime_s(const char *folder)
{
    struct setup s = {.lock = -1};
    int64_t usual_s = 0;
    AUTO_FREE char *path = mem_printf("%s/%s", folder, SETUP_STATE);
    if (setup_is_there(path) && setup_open(folder, &s, NULL) == 0)
        usual_s = s.cert_lifetime_s;
    setup_done(&s);
    return usual_s > 0 ? usual_s : GATEWAY_CERT_LIFETIME_S;
}

static void print_path(FILE *out, const char *path)
{
    term_print_word(out, path);
}

static void tell(const char *file, const struct setup_outcome *o)
{
    char until[TIME_RFC3339_MAX], was[TIME_RFC3339_MAX], due[TIME_RFC3339_MAX];
    (void)time_format(until, o->until_s * US_PER_S);
    (void)time_format(was, o->was_until_s * US_PER_S);
    (void)time_format(due, o->due_s * US_PER_S);
    print_path(stdout, file);
    if (!o->why)
        printf(" is good until %.10s and due on %.10s; nothing was changed\n", until, due);
    else if (o->was_there)
        printf(" is a new certificate, until %.10s (before: %.10s), because %s\n", until, was,
               o->why);
    else
        printf(" is a new certificate, until %.10s\n", until);
}

static void tell_json(const char *file, const struct setup_outcome *o)
{
    char text[TIME_RFC3339_MAX];
    AUTO_JSON json_t *j = json_new_object();
    json_put_bool(j, "renewed", o->why != NULL);
    json_put_str(j, "reason", o->why);
    json_put_str(j, "file", file);
    json_put_str(j, "expires_at", time_format(text, o->until_s * US_PER_S));
    json_put_str(j, "renew_at", time_format(text, o->due_s * US_PER_S));
    (void)api_command_print(j);
}

static void warn_of_ca(const char *ca, const struct setup_outcome *o)
{
    char until[TIME_RFC3339_MAX];
    if (!o->why || !o->is_shorter)
        return;
    fputs("sallyport gateway renew-cert: it ends sooner than was wished for, because its CA does (",
          stderr);
    print_path(stderr, ca);
    fprintf(stderr, ", %.10s); docs/tunnel.md, \"Another CA\", says how to take the next one\n",
            time_format(until, o->until_s * US_PER_S));
}

/* A configuration that root may follow can name files of others all the same. */
static int check_files(const struct setup_files *f, struct err *e)
{
    const char *const paths[] = {f->ca, f->ca_key, f->cert, f->key};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(paths); i++)
        r = setup_check_root(paths[i], "gateway renew-cert", e);
    return r;
}

static int renew(const struct renew_command *c, const struct gateway_config *g, const char *folder,
                 struct err *e)
{
    AUTO_FREE char *ca_beside = mem_printf("%s/%s", folder, SETUP_CA);
    AUTO_FREE char *key_beside = mem_printf("%s/%s", folder, SETUP_CA_KEY);
    const struct setup_files files = {.ca = c->ca ? c->ca : ca_beside,
                                      .ca_key = c->ca_key ? c->ca_key : key_beside,
                                      .cert = g->cert_file,
                                      .key = g->key_file};
    const struct setup_wish wish = {
        .domain = g->tunnel_domain.kind == HOST_NAME ? g->tunnel_domain.text : NULL,
        .lifetime_s = c->lifetime_ms > 0 ? c->lifetime_ms / 1000 : usual_lifetime_s(folder),
        .before_s = c->before_ms < 0 ? -1 : c->before_ms / 1000,
        .force = c->force};
    AUTO_FREE char *place = file_folder(files.cert);
    int r = check_files(&files, e);
    if (r < 0)
        return r;
    AUTO_CLOSE int lock = setup_lock(place, e);
    struct cert_issuer *ca = NULL;
    struct setup_outcome o = {0};
    if (lock < 0)
        return lock;
    r = setup_ca_read(&files, &ca, e);
    if (r == -ENOENT)
        r = err_set(e, r, "the CA's certificate is not in %s: name it with --ca FILE", files.ca);
    if (r == 0)
        r = setup_certificate(&files, ca, &wish, &o, e);
    cert_issuer_free(ca);
    if (r < 0)
        return r;
    if (c->json)
        tell_json(files.cert, &o);
    else
        tell(files.cert, &o);
    warn_of_ca(files.ca, &o);
    return 0;
}

static int run(const struct renew_command *c, struct err *e)
{
    AUTO_FREE char *dir = gateway_dir(c->dir);
    AUTO_FREE char *config =
        c->config ? mem_strdup(c->config) : mem_printf("%s/%s", dir, SETUP_CONFIG);
    AUTO_FREE char *folder = file_folder(config);
    struct gateway_config *g = NULL;
    int r = setup_check_root(config, "gateway renew-cert", e);
    if (r == 0)
        r = gateway_config_read(config, &g, e);
    if (r == -ENOENT && !c->config)
        return err_set(e, r,
                       "there is no %s; sallyport gateway init makes one, --config names another",
                       config);
    if (r == 0)
        r = renew(c, g, folder, e);
    gateway_config_unref(g);
    return r;
}

int cmd_gateway_renew(int argc, char **argv)
{
    struct renew_command c = {.before_ms = -1};
    struct flag flags[] = {
        {"dir", "DIR", "what gateway init has filled (gateway in the data directory)", FLAG_DIR,
         .ptr = &c.dir, .line_only = true},
        {"config", "FILE", "the gateway's configuration (gateway.yaml in --dir)", FLAG_FILE,
         .ptr = &c.config, .line_only = true},
        {"renew-before", "TIME",
         "renew when so much is left, or less (720h, or a third of its life when that is less)",
         FLAG_DURATION, .ptr = &c.before_ms, .max = GATEWAY_CERT_MOST_MS, .line_only = true},
        {"cert-duration", "TIME", "life of the new one (as init was told, or 2160h)", FLAG_DURATION,
         .ptr = &c.lifetime_ms, .min = GATEWAY_CERT_LEAST_MS, .max = GATEWAY_CERT_MOST_MS,
         .line_only = true},
        {"ca", "FILE", "certificate of the CA (ca.pem beside the configuration)", FLAG_FILE,
         .ptr = &c.ca, .line_only = true},
        {"ca-key", "FILE", "its private key (ca.key beside the configuration)", FLAG_FILE,
         .ptr = &c.ca_key, .line_only = true},
        {"force", NULL, "renew, due or not", FLAG_BOOL, .ptr = &c.force, .line_only = true},
        {"json", NULL, "print JSON", FLAG_BOOL, .ptr = &c.json, .line_only = true},
    };
    struct flag_set set = {
        .command = "gateway renew-cert",
        .summary = "Makes a new certificate for the gateway when the one it has is due.",
        .details =
            "For a timer, once a day: when nothing is due it says so and changes nothing. Nobody "
            "is\n"
            "asked; what it needs is the CA's key. A gateway that runs takes the new certificate\n"
            "within five seconds, and no caller notices. What the CA has not signed is not "
            "replaced.",
        .flags = flags,
        .n_flags = ARRAY_LEN(flags),
    };
    int code = flags_main(&set, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    struct err e = {0};
    if (c.config && c.dir) {
        fprintf(stderr, "sallyport gateway renew-cert: --config or --dir, not both\n");
        return 2;
    }
    log_init("gateway", LOG_ERROR);
    gateway_guard();
    int r = run(&c, &e);
    if (r < 0)
        fprintf(stderr, "sallyport gateway renew-cert: %s\n", e.msg[0] ? e.msg : err_text(r));
    return r < 0;
}

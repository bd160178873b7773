/* check.c - `sallyport egress check URL`: what the policy says about a request, without making it.
 *
 * Reads the policy file, decides as a proxy would, and prints the rule, the reason and the
 * credentials. With --connect it also goes there: resolves, checks each address, connects and
 * verifies the certificate, from this machine and as this user, and sends no request. No secret is
 * read. Exit code: 0 allowed (and reached), 1 not. */
#include "cmd/egress/egress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/line/term.h"
#include "egress/policy/explain.h"
#include "egress/policy/path.h"
#include "egress/proxy/dial.h"
#include "io/loop.h"
#include "io/resolve.h"
#include "io/tls.h"

#define CONNECT_MS 15000

struct check {
    const char *file, *method;
    bool connect;
    struct policy *policy;
    struct host host;
    uint16_t port;
    bool tls;
    char *path; /* canonical; NULL: ambiguous */
    size_t path_n;
    const char *path_why;
    struct policy_decision d;
};

/* ---- the URL ---- */

static int read_url(struct check *c, const char *url, struct err *e)
{
    const char *rest = str_starts(url, "https://")  ? url + 8
                       : str_starts(url, "http://") ? url + 7
                                                    : NULL;
    if (!rest)
        return err_set(e, -EINVAL, "write a URL: https://HOST[:PORT][/PATH]");
    c->tls = str_starts(url, "https://");
    const size_t n = strcspn(rest, "/?#");
    const char *target = rest[n] == '/' ? rest + n : "/";
    int r = host_parse_authority(rest, n, HOST_LITERALS | HOST_UNICODE, &c->host, &c->port, e);
    if (r < 0)
        return r;
    if (!c->port)
        c->port = c->tls ? 443 : 80;
    const size_t target_n = strcspn(target, "#");
    if (target_n > PATH_TARGET_MAX)
        return err_set(e, -EINVAL, "the path is longer than %u bytes", PATH_TARGET_MAX);
    c->path = mem_array(3 * target_n + 1, 1);
    if (path_canonical(target, target_n, c->path, &c->path_n, &c->path_why) < 0)
        free(TAKE(c->path));
    return 0;
}

/* ---- going there ---- */

static int reach_tls(struct check *c, int fd, struct err *e)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    struct tls_trust *trust = tls_trust_new(policy_settings(c->policy)->ca_file, e);
    struct stream plain, s;
    const char *chosen = NULL;
    int r = trust ? stream_from_fd(&plain, fd) : e->code;
    if (r < 0) {
        close(fd);
        tls_trust_free(trust);
        return r;
    }
    const struct tls_connect_options o = {
        .host = c->host.text, .is_ip = c->host.kind != HOST_NAME, .alpn = alpn};
    r = tls_connect(trust, &o, &plain, &s, &chosen, e);
    if (r >= 0) {
        printf("certificate: good for %s; speaks %s\n", c->host.text, chosen ? chosen : "http/1.1");
        stream_done(&s);
    }
    tls_trust_free(trust);
    return r;
}

static int reach(void *arg)
{
    struct check *c = arg;
    struct err e = {.code = 0};
    struct resolver *resolver = NULL;
    struct dialer *dialer = NULL;
    struct dial_info info = {.resolved = false};
    int fd = -1;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(CONNECT_MS);
    int r =
        resolver_new(&(struct resolver_options){.servers = policy_settings(c->policy)->nameservers},
                     &resolver, &e);
    if (r >= 0)
        r = dialer_new(&(struct dialer_options){.resolver = resolver}, &dialer, &e);
    const struct dial_target t = {
        .policy = c->policy, .decision = &c->d, .host = &c->host, .port = c->port};
    if (r >= 0)
        r = egress_dial(dialer, &t, &fd, &info, &e);
    if (r >= 0) {
        char text[ADDRESS_TEXT_MAX];
        printf("connected: %s%s\n",
               info.has_address ? address_text(&info.address, text) : "by name",
               info.via_proxy ? " through upstream_proxy" : "");
        r = c->tls ? reach_tls(c, fd, &e) : 0;
        if (!c->tls)
            close(fd);
    }
    dialer_free(dialer);
    resolver_free(resolver);
    if (r < 0) {
        fputs("not reached: ", stdout);
        term_print_word(stdout, e.msg[0] ? e.msg : err_text(r));
        fputc('\n', stdout);
    }
    return r < 0;
}

/* ---- the verb ---- */

static int failed(int code, const struct err *e)
{
    fputs("sallyport egress check: ", stderr);
    term_print_word(stderr, e->msg[0] ? e->msg : err_text(code));
    fputc('\n', stderr);
    return code == -EINVAL || code == -E_PARSE ? 2 : 1;
}

static int check(struct check *c, const char *url)
{
    struct err e = {.code = 0};
    int r = c->file ? read_url(c, url, &e)
                    : err_set(&e, -EINVAL, "give the policy's file: --egress FILE");
    if (r >= 0)
        r = policy_read_file(c->file, &c->policy, &e);
    if (r < 0)
        return failed(r, &e);
    const struct policy_query q = {.host = &c->host,
                                   .port = c->port,
                                   .transport = c->tls ? POLICY_TLS : POLICY_PLAIN,
                                   .method = c->method,
                                   .path = c->path,
                                   .path_n = c->path_n,
                                   .path_why = c->path_why};
    policy_decide(c->policy, &q, &c->d);
    AUTO(buf) words = BUF_INIT(64u << 10);
    explain_decision(c->policy, &q, &c->d, &words);
    fputs(buf_str(&words), stdout);
    if (c->d.verdict != POLICY_ALLOW && c->d.verdict != POLICY_OBSERVE)
        return 1;
    if (!c->connect)
        return 0;
    r = loop_init();
    if (r < 0)
        return failed(r, &e);
    r = loop_run(reach, c);
    loop_done();
    return r != 0;
}

int egress_run_check(const struct verb *v, int argc, char **argv)
{
    static struct flag room[FLAG_SET_MAX];
    static char name[64];
    struct check c = {.method = "GET"};
    const struct flag rows[] = {
        {"egress", "FILE", "the policy, alone or under egress: in a configuration file", FLAG_FILE,
         .ptr = &c.file},
        {"method", "METHOD", "of the request (GET)", FLAG_TEXT, .ptr = &c.method},
        {"connect", NULL, "go there: name, addresses, proxy and certificate; no request is sent",
         FLAG_BOOL, .ptr = &c.connect},
    };
    struct flag_set set = verb_flags(&cmd_egress_verbs, v, name, room);
    flags_add(&set, rows, ARRAY_LEN(rows));
    int n_args = 0;
    int code = flags_main(&set, argc, argv, NULL, &n_args);
    if (code >= 0)
        return code;
    code = check(&c, argv[1]);
    free(c.path);
    policy_unref(c.policy);
    return code;
}

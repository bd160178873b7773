/* check.c - `sallyport egress check [URL]`: what the policy says about a request, without making it.
 *
 * Loads the policy file as egress would, sources and formats included, so that what is said here of a
 * policy is what it will do; decides as a proxy would, and prints the rule, the reason, the
 * credentials and what is probably not meant. Without a URL: whether the file can be loaded. With
 * --connect it also goes there (reach.c). No secret of a credential is read. Exit code: 0 allowed
 * (and reached), 1 not, 2 when the policy or the question is none. */
#include "cmd/egress/egress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/egress/reach.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"
#include "egress/keeper/try.h"
#include "egress/policy/explain.h"
#include "egress/policy/path.h"
#include "io/loop.h"
#include "secret/source.h"

struct check {
    const char *file, *method, *url; /* url NULL: the file alone */
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

/* ---- the verb ---- */

static int failed(int code, const struct err *e)
{
    fputs("sallyport egress check: ", stderr);
    term_print_word(stderr, e->msg[0] ? e->msg : err_text(code));
    fputc('\n', stderr);
    return code == -EINVAL || code == -E_PARSE ? 2 : 1;
}

/* RFC 9110 5.6.2 token. */
static int read_method(const char *m, struct err *e)
{
    bool fine = m[0] != '\0';
    for (const char *p = m; fine && *p; p++)
        fine = (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
               strchr("!#$%&'*+-.^_`|~", *p);
    return fine ? 0
                : err_set(e, -EINVAL,
                          "--method: a method is one word without spaces, in upper case as in GET "
                          "or DELETE");
}

static int read_question(struct check *c, struct err *e)
{
    if (!c->file)
        return err_set(e, -EINVAL, "give the policy's file: --egress FILE");
    if (!c->url && c->connect)
        return err_set(e, -EINVAL, "--connect needs a URL to go to");
    int r = c->method ? read_method(c->method, e) : 0;
    if (r >= 0 && !c->url && c->method)
        r = err_set(e, -EINVAL, "--method needs a URL that it is asked for");
    return r >= 0 && c->url ? read_url(c, c->url, e) : r;
}

static void print_warnings(const struct policy *p)
{
    AUTO(buf) words = BUF_INIT(64u << 10);
    policy_warnings(p, &words);
    for (const char *at = buf_str(&words); *at;) {
        const size_t n = strcspn(at, "\n");
        AUTO_FREE char *line = mem_strndup(at, n);
        fputs("warning: ", stdout);
        term_print_word(stdout, line);
        fputc('\n', stdout);
        at += n + (at[n] == '\n');
    }
}

static int check_file(const struct check *c)
{
    const struct policy_credential *const *all;
    const size_t rules = policy_rules(c->policy), n = policy_credentials(c->policy, &all);
    print_warnings(c->policy);
    printf("%zu rule%s, %zu credential%s: fine\n", rules, rules == 1 ? "" : "s", n,
           n == 1 ? "" : "s");
    return 0;
}

static void print_decision(struct check *c, const struct policy_query *q)
{
    AUTO(buf) words = BUF_INIT(64u << 10);
    /* Plain HTTP is looked into on whichever port. */
    c->d.intercept = c->d.intercept || c->d.counted || q->transport == POLICY_PLAIN;
    explain_decision(c->policy, q, &c->d, &words);
    fputs(buf_str(&words), stdout);
    if (c->d.verdict == POLICY_ASK)
        fputs("refused: nothing answers questions yet, so what asks is refused\n", stdout);
    for (const char *p = q->method; *p; p++)
        if (*p >= 'a' && *p <= 'z') {
            fputs("warning: methods are told apart by case: get is another one than GET\n", stdout);
            break;
        }
    print_warnings(c->policy);
}

/* On the loop's fiber. Returns the exit code. */
static int check(void *arg)
{
    struct check *c = arg;
    struct err e = {.code = 0};
    int r = egress_try_file(c->file, &c->policy, &e);
    if (r < 0) {
        (void)failed(r, &e);
        return 2;
    }
    if (!c->url)
        return check_file(c);
    const struct policy_query q = {.host = &c->host,
                                   .port = c->port,
                                   .transport = c->tls ? POLICY_TLS : POLICY_PLAIN,
                                   .method = c->method ? c->method : "GET",
                                   .path = c->path,
                                   .path_n = c->path_n,
                                   .path_why = c->path_why};
    policy_decide(c->policy, &q, &c->d);
    print_decision(c, &q);
    if (c->d.verdict != POLICY_ALLOW && c->d.verdict != POLICY_OBSERVE)
        return 1;
    const struct reach there = {.policy = c->policy,
                                .decision = &c->d,
                                .host = &c->host,
                                .port = c->port,
                                .tls = c->tls,
                                .credentials_directory = getenv("CREDENTIALS_DIRECTORY")};
    return c->connect ? egress_reach(&there) : 0;
}

static int run(struct check *c)
{
    struct err e = {.code = 0};
    int r = read_question(c, &e);
    if (r < 0)
        return failed(r, &e);
    if (c->connect) { /* the password of upstream_proxy is read for it */
        secret_wipe_when_freed();
        cmd_forbid_dumps();
    }
    log_init("check", LOG_ERROR); /* what is only slow is not for whoever reads our errors */
    r = loop_init();
    if (r < 0)
        return failed(r, &e);
    r = loop_run(check, c);
    loop_done();
    return r < 0 ? failed(r, &e) : r;
}

int egress_run_check(const struct verb *v, int argc, char **argv)
{
    static struct flag room[FLAG_SET_MAX];
    static char name[64];
    struct check c = {.method = NULL};
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
    c.url = n_args > 0 ? argv[1] : NULL;
    code = run(&c);
    free(c.path);
    policy_unref(c.policy);
    return code;
}

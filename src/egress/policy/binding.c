/* binding.c - reads names and hosts of credentials, of both schemas.
 *
 * Called at load by credential.c and vault.c. The author of the policy controls the text. A binding
 * is the promise that a secret goes to these hosts only, so a host has one canonical form (host.h)
 * and a port that is not named is 443, the port of TLS. */
#include "egress/policy/binding.h"

#include <string.h>

#include "base/err.h"

static bool is_variable(const char *s)
{
    if (*s >= '0' && *s <= '9')
        return false;
    for (; *s; s++)
        if (!((*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') ||
              *s == '_'))
            return false;
    return true;
}

/* What programs need to be found and to start, and what the boundary itself sets: a placeholder there
 * would break the sandbox, not hold a key. One that ends with "_" is a beginning. */
static const char *const taken[] = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "OLDPWD",
    "TERM",
    "TMPDIR",
    "LANG",
    "LC_",
    "LD_",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "NODE_OPTIONS",
    "PYTHONPATH",
    "PYTHONHOME",
    "PERL5LIB",
    "RUBYOPT",
    "GCONV_PATH",
    "LOCPATH",
    /* trust_env.c */
    "NODE_EXTRA_CA_CERTS",
    "DENO_CERT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "HTTPLIB2_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "UV_NATIVE_TLS",
    "JAVA_TOOL_OPTIONS",
};

static bool is_taken(const char *s)
{
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        const size_t n = strlen(taken[i]);
        if (taken[i][n - 1] == '_' ? strncmp(s, taken[i], n) == 0 : strcmp(s, taken[i]) == 0)
            return true;
    }
    return false;
}

int binding_read_name(const struct place *at, struct policy_credential *c)
{
    const char *s;
    int r = place_text(at, 255, &s);
    if (r < 0)
        return r;
    if (!is_variable(s))
        return place_fail(at, "the name of an environment variable is expected");
    if (is_taken(s))
        return place_fail(at,
                          "%s means something to programs in the sandbox; give the credential "
                          "another name",
                          s);
    c->name = mem_strdup(s);
    return 0;
}

int binding_read_host(const struct place *at, bool ports, struct policy_binding *ret)
{
    const char *s;
    struct err why = {0};
    struct policy_binding b = {0};
    int r = place_text(at, 1000, &s);
    if (r < 0)
        return r;
    size_t n = strlen(s);
    const char *colon = memrchr(s, ':', n), *bracket = memrchr(s, ']', n);
    if (ports && colon && (!bracket || colon > bracket)) {
        r = host_parse_port(colon + 1, n - (size_t)(colon - s) - 1, &b.port, &why);
        n = (size_t)(colon - s);
    }
    if (r == 0)
        r = host_pattern_parse(s, n, &b.host, &why);
    if (r < 0)
        return place_wrap(at, &why);
    *ret = b;
    return 0;
}

bool binding_has_port(const struct policy_credential *c, const struct policy_binding *b,
                      uint16_t port)
{
    if (b->port)
        return b->port == port;
    return port == 443 || (port == 80 && c->plaintext);
}

/* trust_env.c - programs that look at none of the system's certificate files.
 *
 * Called by shell.c for the environment of shells and programs. Files do for most (build/trust.c), and
 * a variable is set only where one does not: these programs are built with certificates of their own,
 * and read others only when told. Each variable adds to what a program trusts or names a bundle with
 * everything; none turns a check off. What the specification sets stays as it is set. */
#include "sandbox/init/trust_env.h"

#include <string.h>
#include <sys/stat.h>

#include "sandbox/sandbox.h"

static char *const always[] = {
    (char[]){"NODE_EXTRA_CA_CERTS=" SANDBOX_CA}, /* Node from nodejs.org */
    (char[]){"DENO_CERT=" SANDBOX_CA},           /* Deno */
    (char[]){"SSL_CERT_FILE=" SANDBOX_CAS},      /* httpx: OpenAI's, Anthropic's SDK */
    (char[]){"REQUESTS_CA_BUNDLE=" SANDBOX_CAS}, /* requests with certifi, pip */
    (char[]){"AWS_CA_BUNDLE=" SANDBOX_CAS},      /* botocore, the AWS CLI */
    (char[]){"HTTPLIB2_CA_CERTS=" SANDBOX_CAS},  /* Google's Python clients */
    (char[]){"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=" SANDBOX_CAS}, /* gRPC's C core */
    (char[]){"UV_NATIVE_TLS=1"},                               /* uv: the system's, then */
};

/* Every Java says on its standard error that it has picked this up. */
static char java[] = "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=" SANDBOX_CA_JAVA;

static bool there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

size_t trust_env(const struct sandbox_spec *spec, char *ret[TRUST_ENV_MAX])
{
    static bool looked, has_java;
    if (!spec->ca_pem)
        return 0;
    if (!looked) { /* what programs make of these files later does not count */
        has_java = there(SANDBOX_CA_JAVA);
        looked = true;
    }
    size_t n = ARRAY_LEN(always);
    memcpy(ret, always, sizeof(always));
    if (has_java)
        ret[n++] = java;
    return n;
}

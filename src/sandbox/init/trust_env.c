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
    (char[]){"NODE_EXTRA_CA_CERTS=" SANDBOX_CA},               /* Node from nodejs.org */
    (char[]){"DENO_CERT=" SANDBOX_CA},                         /* Deno */
    (char[]){"REQUESTS_CA_BUNDLE=" SANDBOX_CAS},               /* requests with certifi, pip */
    (char[]){"AWS_CA_BUNDLE=" SANDBOX_CAS},                    /* botocore, the AWS CLI */
    (char[]){"HTTPLIB2_CA_CERTS=" SANDBOX_CAS},                /* Google's Python clients */
    (char[]){"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=" SANDBOX_CAS}, /* gRPC's C core */
    (char[]){"UV_NATIVE_TLS=1"},                               /* uv: the system's, then */
};

/* For a root that had no bundle: its OpenSSL may have been built to look somewhere else altogether. */
static char alone[] = "SSL_CERT_FILE=" SANDBOX_CAS;

size_t trust_env(const struct sandbox_spec *spec, char *ret[TRUST_ENV_MAX])
{
    static int is_alone = -1;
    struct stat st;
    if (!spec->ca_pem)
        return 0;
    if (is_alone < 0)
        is_alone = lstat(SANDBOX_CA_ALONE, &st) == 0;
    memcpy(ret, always, sizeof(always));
    if (is_alone)
        ret[ARRAY_LEN(always)] = alone;
    return ARRAY_LEN(always) + (size_t)is_alone;
}

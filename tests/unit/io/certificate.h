/* certificate - what tests of TLS ask the openssl command line for. For use on a loop. */
#pragma once

#include "unit/unit.h"
#include "base/err.h"
#include "io/proc.h"

#define OPENSSL "/usr/bin/openssl"

/* Runs openssl, what it prints goes to `out` (-1: nowhere). Returns its wait status, or an error. */
static inline int openssl_run_to(const char *const *argv, int out)
{
    static const char *const envp[] = {"PATH=/usr/bin:/bin", NULL};
    struct proc_spec spec = {.path = OPENSSL,
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = -1,
                             .stdout_fd = out,
                             .stderr_fd = -1};
    struct proc p;
    struct err e = {0};
    if (proc_start(&p, &spec, &e) < 0) {
        print_message("%s\n", e.msg);
        return -1;
    }
    int status = -1;
    int r = proc_wait(&p, &status);
    proc_done(&p);
    return r < 0 ? r : status;
}

static inline int openssl_run(const char *const *argv)
{
    return openssl_run_to(argv, -1);
}

/* Makes a key and a certificate of its own for `names` ("DNS:localhost"), as files. Returns 0 when
 * it could. */
static inline int certificate_make(const char *key, const char *cert, const char *names)
{
    AUTO_FREE char *alt = mem_printf("subjectAltName=%s", names);
    const char *const argv[] = {"openssl",
                                "req",
                                "-x509",
                                "-newkey",
                                "ec",
                                "-pkeyopt",
                                "ec_paramgen_curve:prime256v1",
                                "-nodes",
                                "-keyout",
                                key,
                                "-out",
                                cert,
                                "-days",
                                "2",
                                "-subj",
                                "/CN=localhost",
                                "-addext",
                                alt,
                                NULL};
    return openssl_run(argv);
}

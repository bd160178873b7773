/* ca.c - an authority in a sealed memory file.
 *
 * Called by the keeper at start and by each proxy when it gets the descriptor. What is in it comes
 * from another process of ours, and is checked as if it did not. Copies of the key lie in locked
 * memory; the file itself is memory of the kernel's that cannot be locked, and the key is worth
 * something to the sandboxes of this worker alone.
 *
 * There are no name constraints: a host that is not allowed is answered with a readable 403, which
 * takes a certificate that the client believes. */
#include "egress/ctl/ca.h"

#include <string.h>

#include "base/err.h"
#include "base/secret.h"
#include "crypto/cert.h"
#include "io/ctl.h"

#define LIFETIME_S (365 * 86400) /* a worker that runs for longer is restarted by then */
#define FILE_MAX   (64u << 10)

static int write_file(const struct cert_ca *ca, int *ret_fd, struct err *e)
{
    const char *pem = cert_ca_pem(ca);
    const size_t n = strlen(pem);
    struct secret key = {0}, all = {0};
    int r = cert_ca_key(ca, &key);
    if (r >= 0)
        r = secret_room(&all, n + 1 + key.len);
    if (r >= 0) {
        memcpy(all.data, pem, n);
        memcpy(all.data + n + 1, secret_borrow(&key), key.len);
        r = ctl_text_fd(all.data, all.len);
    }
    secret_done(&key);
    secret_done(&all);
    if (r < 0)
        return err_set(e, r, "the certificate authority cannot be kept: %s", err_text(r));
    *ret_fd = r;
    return 0;
}

int egress_ca_make(int *ret_fd, char **ret_pem, struct err *e)
{
    const struct cert_ca_options options = {.name = "Sallyport sandbox CA",
                                            .lifetime_s = LIFETIME_S};
    struct cert_ca *ca;
    int r = cert_ca_new(&options, &ca, e);
    if (r < 0)
        return r;
    r = write_file(ca, ret_fd, e);
    if (r >= 0)
        *ret_pem = mem_strdup(cert_ca_pem(ca));
    cert_ca_free(ca);
    return r;
}

int egress_ca_read(int fd, struct cert_ca **ret, struct err *e)
{
    char *text;
    size_t n;
    int r = ctl_fd_text(fd, FILE_MAX, &text, &n);
    if (r < 0)
        return err_set(e, r, "the certificate authority cannot be read: %s", err_text(r));
    const char *nul = memchr(text, '\0', n);
    struct secret key = {0};
    r = nul ? secret_set(&key, nul + 1, n - (size_t)(nul - text) - 1) : -E_PARSE;
    if (r >= 0)
        r = cert_ca_import(text, (size_t)(nul - text), &key, ret, e);
    else
        err_set(e, r, "the certificate authority has no key");
    secret_done(&key);
    secret_wipe(text, n);
    free(text);
    return r;
}

/* setup_cert - the CA and the certificate of a gateway in files: made, looked at, renewed in time.
 *
 * A certificate is replaced only when the CA at hand has signed the one before: what somebody else has put
 * there is nobody's to overwrite. All of it blocks. */
#pragma once

#include "base/base.h"

struct cert_issuer;
struct err;

struct setup_files {
    const char *ca, *ca_key; /* certificate and key of the CA */
    const char *cert, *key;  /* the gateway's; may be one file */
};

/* The CA in the files. -ENOENT without words: there is no certificate. That the key is elsewhere is fine
 * until it is needed. 0, or a negative code with words. */
int setup_ca_read(const struct setup_files *f, struct cert_issuer **ret, struct err *e) WARN_UNUSED;
/* The same, and makes what is missing: a key, a certificate (five years) with this common name. *ret_made:
 * something was. -EEXIST with words: there is a gateway's certificate, and no CA. */
int setup_ca(const struct setup_files *f, const char *name, struct cert_issuer **ret,
             bool *ret_made, struct err *e) WARN_UNUSED;

struct setup_wish {
    const char *domain; /* the certificate is to be for "*.domain"; NULL: for what it was for */
    int64_t lifetime_s; /* of a new one */
    /* Renew when this much is left, or less. Negative: 30 days, or a third of its life when that is less. */
    int64_t before_s;
    bool force; /* renew anyway */
};
struct setup_outcome {
    const char *why;     /* it was made, because; NULL: it was not due */
    bool was_there;      /* another one before it */
    int64_t was_until_s; /* of that one */
    int64_t until_s;     /* of the one that is there now */
    int64_t due_s;       /* when it is to be renewed */
    bool is_shorter;     /* it ends with the CA, sooner than was wished */
};
/* Looks at the gateway's certificate and renews it when it is due. A new one is on disk as a whole before
 * anything takes the place of the old. 0; -EEXIST with words: what is there was not signed by the CA;
 * -ENOENT with words: it is due, and the CA's key is not here; -E_DENIED with words: the CA is not valid
 * now, or ends so soon that a new one would be no better; another negative code with words. */
int setup_certificate(const struct setup_files *f, const struct cert_issuer *ca,
                      const struct setup_wish *w, struct setup_outcome *ret, struct err *e)
    WARN_UNUSED;

/* setup_cert.c - the CA and the certificate of a gateway in files.
 *
 * Called by `gateway init` and `gateway renew-cert`, which may be cut off at any moment and run beside a
 * gateway that looks at the same files every five seconds. With certificate and key in one file a renewal
 * is one rename, and no reader ever sees halves of two. With two files both lie ready before the first is
 * renamed; a gateway that reads between the two renames finds that they do not fit, says so, keeps what it
 * has and looks again. A run that is cut off there leaves such a pair, which the next one takes for due.
 * Private keys pass through locked memory. */
#include "tunnel/gateway/setup_cert.h"

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/cert_issue.h"
#include "io/file.h"
#include "tunnel/gateway/setup.h"

#include <string.h>

#define DAY_S 86400
#define CA_LIFETIME_S                                                                              \
    (5 * 365LL * DAY_S + DAY_S) /* five years; one of them is a leap year, or two */
#define BEFORE_S (30LL * DAY_S)

/* ---- the CA ---- */

static int read_ca(const struct setup_files *f, const struct secret *cert, struct cert_issuer **ret,
                   struct err *e)
{
    struct secret key = {0};
    int r = setup_read(f->ca_key, true, &key, e);
    if (r == 0 || r == -ENOENT)
        r = cert_issuer_read(secret_borrow(cert), cert->len, f->ca, r == 0 ? &key : NULL, f->ca_key,
                             ret, e);
    secret_done(&key);
    return r;
}

int setup_ca_read(const struct setup_files *f, struct cert_issuer **ret, struct err *e)
{
    struct secret cert = {0};
    int r = setup_read(f->ca, false, &cert, e);
    if (r == 0)
        r = read_ca(f, &cert, ret, e);
    secret_done(&cert);
    return r;
}

static int write_key(const struct setup_files *f, const struct cert_issuer *ca, struct err *e)
{
    struct secret text = {0};
    int r = cert_issuer_key(ca, &text);
    r = r < 0 ? err_set(e, r, "no memory for a private key")
              : file_write_new(f->ca_key, 0600, text.data, text.len, e);
    secret_done(&text);
    return r;
}

/* A CA that was lost is not replaced behind the back of what it has signed. */
static int refuse_orphan(const struct setup_files *f, struct err *e)
{
    if (!setup_is_there(f->cert))
        return 0;
    return err_set(
        e, -EEXIST,
        "the CA's certificate is not in %s, and %s was signed by some CA: put it back, or "
        "move that one away, too",
        f->ca, f->cert);
}

/* The key comes first: for a key without a certificate one can be made. */
static int make_ca(const struct setup_files *f, const char *name, struct cert_issuer **ret,
                   struct err *e)
{
    struct secret key = {0};
    int r = setup_read(f->ca_key, true, &key, e);
    bool has_key = r == 0;
    if (has_key || r == -ENOENT)
        r = cert_issuer_new(name, CA_LIFETIME_S, has_key ? &key : NULL, f->ca_key, ret, e);
    secret_done(&key);
    if (r < 0)
        return r;
    if (!has_key)
        r = write_key(f, *ret, e);
    const char *pem = cert_issuer_pem(*ret);
    if (r == 0)
        r = file_write_new(f->ca, 0644, pem, strlen(pem), e);
    if (r < 0)
        cert_issuer_free(*ret);
    return r;
}

int setup_ca(const struct setup_files *f, const char *name, struct cert_issuer **ret,
             bool *ret_made, struct err *e)
{
    struct cert_issuer *ca = NULL;
    file_unstage(f->ca_key); /* of a run that was cut off: perhaps a second name of the key */
    int r = setup_ca_read(f, &ca, e);
    *ret_made = r == -ENOENT;
    if (*ret_made)
        r = refuse_orphan(f, e);
    if (*ret_made && r == 0)
        r = make_ca(f, name, &ca, e);
    if (r == 0)
        *ret = ca;
    return r;
}

/* ---- the certificate ---- */

/* What is in the files now. */
struct present {
    struct cert_identity *cert; /* NULL: none */
    bool fits;                  /* its key is there */
};

static int read_present(const struct setup_files *f, struct present *ret, struct err *e)
{
    struct secret cert = {0}, key = {0};
    struct cert_identity *pair = NULL;
    struct err ignored = {0};
    int r = setup_read(f->cert, false, &cert, e);
    if (r == 0)
        r = cert_identity_read(secret_borrow(&cert), cert.len, f->cert, NULL, 0, "", &ret->cert, e);
    else if (r == -ENOENT)
        r = 0;
    int k = r < 0 || !ret->cert ? 0 : setup_read(f->key, true, &key, e);
    if (k == -ENOENT)
        k = 0;
    if (r == 0 && k == 0 && key.len > 0)
        ret->fits = cert_identity_read(secret_borrow(&cert), cert.len, f->cert, secret_borrow(&key),
                                       key.len, f->key, &pair, &ignored) == 0;
    cert_identity_unref(pair);
    secret_done(&cert);
    secret_done(&key);
    return r < 0 ? r : k;
}

static bool is_for(const struct cert_identity *id, const char *domain)
{
    AUTO_FREE char *one = mem_printf("x.%s", domain);
    return cert_identity_is_for(id, one);
}

/* When the certificate that is there is to be renewed. */
static int64_t due_s(const struct setup_wish *w, int64_t begins_s, int64_t ends_s)
{
    int64_t before_s = w->before_s;
    if (before_s < 0) {
        int64_t third_s = (ends_s - begins_s - CERT_ISSUE_BACKDATE_S) / 3;
        before_s = third_s < BEFORE_S ? third_s : BEFORE_S;
    }
    return ends_s - (before_s > 0 ? before_s : 0);
}

/* Why a new one is needed; NULL: it is not. */
static const char *reason(const struct present *p, const struct setup_wish *w,
                          const struct setup_outcome *o, int64_t begins_s)
{
    int64_t now_s = time_real_us() / US_PER_S;
    if (!p->cert)
        return "there was none";
    if (!p->fits)
        return "its key was missing or another one";
    if (w->domain && !is_for(p->cert, w->domain))
        return "it was for another name";
    if (now_s >= o->was_until_s)
        return "it had expired";
    if (now_s < begins_s)
        return "it was not valid yet";
    if (now_s >= o->due_s)
        return "it was due";
    return w->force ? "it was asked for" : NULL;
}

static int stage_and_publish(const struct setup_files *f, const struct secret *text, size_t n_cert,
                             struct err *e)
{
    if (str_eq(f->cert, f->key)) {
        int r = file_stage(f->cert, 0600, text->data, text->len, e);
        return r < 0 ? r : file_publish(f->cert, e);
    }
    int r = file_stage(f->key, 0600, text->data + n_cert, text->len - n_cert, e);
    if (r == 0)
        r = file_stage(f->cert, 0644, text->data, n_cert, e);
    if (r == 0)
        r = file_publish(f->key, e);
    if (r == 0)
        r = file_publish(f->cert, e);
    if (r < 0) { /* a second name of a key is one too many */
        file_unstage(f->key);
        file_unstage(f->cert);
    }
    return r;
}

/* What stands in the way of a new one. */
static int check_way(const struct setup_files *f, const struct cert_issuer *ca,
                     const struct present *p, const struct setup_wish *w,
                     const struct setup_outcome *o, struct err *e)
{
    char day[TIME_RFC3339_MAX];
    int64_t begins_s, ends_s, now_s = time_real_us() / US_PER_S;
    cert_issuer_times(ca, &begins_s, &ends_s);
    (void)time_format(day, ends_s * US_PER_S);
    if (now_s < begins_s)
        return err_set(e, -E_DENIED,
                       "the CA in %s is not valid yet: is the clock of this machine right?", f->ca);
    if (now_s >= ends_s)
        return err_set(e, -E_DENIED,
                       "the CA in %s has expired (%.10s); docs/tunnel.md, \"Another CA\", says how "
                       "to take the next one",
                       f->ca, day);
    if (p->fits && !w->force && now_s < o->was_until_s && ends_s - o->was_until_s < DAY_S &&
        (!w->domain || is_for(p->cert, w->domain)))
        return err_set(
            e, -E_DENIED,
            "the certificate in %s ends with its CA, on %.10s, and a new one would, too; "
            "docs/tunnel.md, \"Another CA\", says how to take the next CA",
            f->cert, day);
    if (!cert_issuer_has_key(ca))
        return err_set(
            e, -ENOENT,
            "a certificate has to be signed, and the CA's key is not in %s: name it with "
            "--ca-key FILE",
            f->ca_key);
    return 0;
}

static int make(const struct setup_files *f, const struct cert_issuer *ca, const struct present *p,
                const struct setup_wish *w, struct setup_outcome *o, struct err *e)
{
    AUTO_FREE char *name = w->domain ? mem_printf("*.%s", w->domain) : NULL;
    const struct cert_identity *like =
        p->cert && (!w->domain || is_for(p->cert, w->domain)) ? p->cert : NULL;
    struct secret text = {0};
    struct cert_identity *id = NULL;
    int64_t begins_s, now_s = time_real_us() / US_PER_S;
    size_t n_cert = 0;
    if (!name && !like)
        return err_set(e, -EINVAL,
                       "a certificate for which names? The configuration has no "
                       "tunnel_domain");
    int r = cert_issue(ca, name, like, w->lifetime_s, &text, &n_cert, e);
    if (r == 0) /* as the gateway will read it */
        r = cert_identity_read(text.data, n_cert, f->cert, text.data + n_cert, text.len - n_cert,
                               f->key, &id, e);
    if (r == 0)
        r = stage_and_publish(f, &text, n_cert, e);
    if (r == 0) {
        cert_identity_times(id, &begins_s, &o->until_s);
        o->is_shorter = o->until_s < now_s + w->lifetime_s;
        o->due_s = due_s(w, begins_s, o->until_s);
    }
    cert_identity_unref(id);
    secret_done(&text);
    return r;
}

static int look(const struct setup_files *f, const struct cert_issuer *ca,
                const struct setup_wish *w, struct present *p, struct setup_outcome *o,
                struct err *e)
{
    int64_t begins_s = 0;
    int r = read_present(f, p, e);
    if (r < 0)
        return r;
    if (p->cert && !cert_issuer_has_signed(ca, p->cert))
        return err_set(e, -EEXIST,
                       "the certificate in %s was not signed by the CA in %s, so it is left alone: "
                       "move it away, or name its CA",
                       f->cert, f->ca);
    if (p->cert) {
        cert_identity_times(p->cert, &begins_s, &o->was_until_s);
        o->was_there = true;
        o->until_s = o->was_until_s;
        o->due_s = due_s(w, begins_s, o->was_until_s);
    }
    o->why = reason(p, w, o, begins_s);
    if (!o->why)
        return 0;
    r = check_way(f, ca, p, w, o, e);
    return r < 0 ? r : make(f, ca, p, w, o, e);
}

int setup_certificate(const struct setup_files *f, const struct cert_issuer *ca,
                      const struct setup_wish *w, struct setup_outcome *ret, struct err *e)
{
    struct present p = {0};
    struct setup_outcome o = {0};
    file_unstage(f->cert); /* of a run that was cut off */
    file_unstage(f->key);
    int r = look(f, ca, w, &p, &o, e);
    cert_identity_unref(p.cert);
    if (r == 0)
        *ret = o;
    return r;
}

/* authority_usage.c - what the extensions of a certificate say it may be used for (RFC 5280 4.2).
 *
 * Theory of operation. Called by authority_check with a certificate that libcrypto has parsed, of up to
 * 8 KiB: some hundred extensions at most. libcrypto's own readers give the same answer for an extension
 * that is absent, twice there or malformed, and for want of memory. So the three that matter are read
 * from their bytes here; of the others libcrypto says whether it knows them and can read them, as it
 * will when a gateway's certificate is verified. Fails closed. */
#include "crypto/authority_internal.h"

#include "base/cursor.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#define KEY_ID_MAX 64 /* bytes; RFC 7093 has up to 64, RFC 5280 has 20 */

static const struct {
    unsigned char mask;
    const char *name;
} usages[] = {
    /* RFC 5280 4.2.1.3; the first byte alone: decipherOnly is in the second */
    {0x80, "digitalSignature"}, {0x40, "nonRepudiation"}, {0x20, "keyEncipherment"},
    {0x10, "dataEncipherment"}, {0x08, "keyAgreement"},   {0x04, "keyCertSign"},
    {0x02, "cRLSign"},          {0x01, "encipherOnly"},
};
#define KEY_CERT_SIGN 0x04

static const char *name_of(X509_EXTENSION *ext, char ret[DER_OID_TEXT])
{
    const ASN1_OBJECT *o = X509_EXTENSION_get_object(ext);
    switch (OBJ_obj2nid(o)) {
    case NID_basic_constraints:
        return "BasicConstraints";
    case NID_key_usage:
        return "KeyUsage";
    case NID_subject_key_identifier:
        return "SubjectKeyIdentifier";
    case NID_ext_key_usage:
        return "ExtendedKeyUsage";
    default:
        return authority_name(o, ret);
    }
}

static struct cursor value_of(X509_EXTENSION *ext)
{
    const ASN1_OCTET_STRING *s = X509_EXTENSION_get_data(ext);
    return cursor_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static X509_EXTENSION *find(X509 *x, int nid)
{
    for (int i = 0; i < X509_get_ext_count(x); i++) {
        X509_EXTENSION *ext = X509_get_ext(x, i);
        if (OBJ_obj2nid(X509_EXTENSION_get_object(ext)) == nid)
            return ext;
    }
    return NULL;
}

/* RFC 5280 4.2: none stands twice. */
static int check_single(X509 *x, struct err *e)
{
    char text[DER_OID_TEXT];
    for (int i = 0; i < X509_get_ext_count(x); i++) {
        X509_EXTENSION *ext = X509_get_ext(x, i);
        for (int k = 0; k < i; k++) {
            X509_EXTENSION *other = X509_get_ext(x, k);
            if (OBJ_cmp(X509_EXTENSION_get_object(ext), X509_EXTENSION_get_object(other)) == 0)
                return err_set(e, -E_DENIED, "the extension %s is there twice", name_of(ext, text));
        }
    }
    return 0;
}

/* SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER (0..MAX) OPTIONAL } */
static int check_constraints(X509 *x, struct err *e)
{
    X509_EXTENSION *ext = find(x, NID_basic_constraints);
    if (!ext)
        return err_set(e, -E_DENIED,
                       "the extension BasicConstraints is absent; a CA's certificate has it, with "
                       "CA:TRUE and marked critical");
    struct cursor value = value_of(ext), fields, ca = {0}, path = {0};
    size_t behind;
    if (der_check(value.p, cursor_left(&value), &behind) < 0 ||
        der_take(&value, DER_SEQUENCE, &fields) < 0)
        return err_set(e, -E_DENIED, "the extension BasicConstraints is malformed");
    const bool has_ca = der_take(&fields, DER_BOOLEAN, &ca) == 0;
    const bool has_path = der_take(&fields, DER_INTEGER, &path) == 0;
    if (cursor_left(&fields) > 0 || (has_path && (path.p[0] & 0x80)))
        return err_set(e, -E_DENIED, "the extension BasicConstraints is malformed");
    if (!has_ca || ca.p[0] == 0)
        return err_set(e, -E_DENIED,
                       "BasicConstraints says CA:FALSE; this is not the certificate of a CA");
    if (X509_EXTENSION_get_critical(ext) != 1)
        return err_set(e, -E_DENIED, "BasicConstraints is not marked critical");
    return 0;
}

static int check_key_usage(X509 *x, struct err *e)
{
    X509_EXTENSION *ext = find(x, NID_key_usage);
    if (!ext)
        return err_set(
            e, -E_DENIED,
            "the extension KeyUsage is absent; a CA's certificate has it, with keyCertSign");
    struct cursor value = value_of(ext), bits;
    if (der_take(&value, DER_BIT_STRING, &bits) < 0 || cursor_left(&value) > 0 ||
        cursor_left(&bits) < 1 || cursor_left(&bits) > 3 || bits.p[0] > 7)
        return err_set(e, -E_DENIED, "the extension KeyUsage is malformed");
    const unsigned char first = cursor_left(&bits) > 1 ? bits.p[1] : 0;
    if (first & KEY_CERT_SIGN)
        return 0;
    char found[160] = "";
    for (size_t i = 0, n = 0; i < ARRAY_LEN(usages); i++) {
        if (first & usages[i].mask)
            n += (size_t)snprintf(found + n, sizeof(found) - n, "%s%s", n > 0 ? ", " : "",
                                  usages[i].name);
    }
    return err_set(e, -E_DENIED, "KeyUsage is %s, without keyCertSign", found[0] ? found : "empty");
}

static int check_key_id(X509 *x, struct err *e)
{
    X509_EXTENSION *ext = find(x, NID_subject_key_identifier);
    if (!ext)
        return err_set(
            e, -E_DENIED,
            "the extension SubjectKeyIdentifier is absent; the certificates that this CA "
            "signs name it by that");
    struct cursor value = value_of(ext), id;
    if (der_take(&value, DER_OCTET_STRING, &id) < 0 || cursor_left(&value) > 0)
        return err_set(e, -E_DENIED, "the extension SubjectKeyIdentifier is malformed");
    const size_t n = cursor_left(&id);
    if (n == 0)
        return err_set(e, -E_DENIED, "SubjectKeyIdentifier is empty");
    if (n > KEY_ID_MAX)
        return err_set(e, -E_DENIED, "SubjectKeyIdentifier has %zu bytes; %d are the most", n,
                       KEY_ID_MAX);
    return 0;
}

/* Optional in a CA's certificate. RFC 5280 4.2.1.12 does not say what it means there; libcrypto, as most
 * verifiers, takes it as a limit on what the CA signs for, and anyExtendedKeyUsage for no server's. */
static int check_extended_usage(X509 *x, struct err *e)
{
    static const unsigned char server_auth[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01};
    X509_EXTENSION *ext = find(x, NID_ext_key_usage);
    if (!ext)
        return 0;
    struct cursor value = value_of(ext), all, one;
    if (der_take(&value, DER_SEQUENCE, &all) < 0 || cursor_left(&value) > 0)
        return err_set(e, -E_DENIED, "the extension ExtendedKeyUsage is malformed");
    while (der_take(&all, DER_OID, &one) == 0)
        if (cursor_left(&one) == sizeof(server_auth) &&
            memcmp(one.p, server_auth, sizeof(server_auth)) == 0)
            return 0;
    return err_set(e, -E_DENIED,
                   "ExtendedKeyUsage is there without serverAuth; a gateway's certificate is a "
                   "server's");
}

/* Whoever does not understand a critical extension must refuse the certificate (RFC 5280 4.2), and
 * libcrypto will; better to say so now. */
static int check_critical(X509 *x, struct err *e)
{
    char text[DER_OID_TEXT];
    for (int i = 0; i < X509_get_ext_count(x); i++) {
        X509_EXTENSION *ext = X509_get_ext(x, i);
        if (X509_EXTENSION_get_critical(ext) == 1 && X509_supported_extension(ext) != 1)
            return err_set(e, -E_DENIED,
                           "the extension %s is marked critical, and is not understood here",
                           name_of(ext, text));
    }
    return 0;
}

/* What libcrypto cannot read it takes for a certificate that is valid nowhere. */
static int check_others(X509 *x, struct err *e)
{
    char text[DER_OID_TEXT];
    for (int i = 0; i < X509_get_ext_count(x); i++) {
        X509_EXTENSION *ext = X509_get_ext(x, i);
        const X509V3_EXT_METHOD *method = X509V3_EXT_get(ext);
        if (!method || !method->it)
            continue;
        struct cursor value = value_of(ext);
        ASN1_VALUE *v =
            ASN1_item_d2i(NULL, &value.p, (long)cursor_left(&value), ASN1_ITEM_ptr(method->it));
        if (!v || cursor_left(&value) > 0) {
            ASN1_item_free(v, ASN1_ITEM_ptr(method->it));
            return err_set(e, -E_DENIED, "the extension %s is malformed", name_of(ext, text));
        }
        ASN1_item_free(v, ASN1_ITEM_ptr(method->it));
    }
    /* It knows a few ways more in which extensions contradict each other. */
    if (X509_check_ca(x) != 1)
        return err_set(e, -E_DENIED, "the extensions together are those of no CA");
    return 0;
}

int authority_usage(X509 *x, struct err *e)
{
    int r = check_single(x, e);
    if (r == 0)
        r = check_constraints(x, e);
    if (r == 0)
        r = check_key_usage(x, e);
    if (r == 0)
        r = check_extended_usage(x, e);
    if (r == 0)
        r = check_key_id(x, e);
    if (r == 0)
        r = check_critical(x, e);
    if (r == 0)
        r = check_others(x, e);
    return r;
}

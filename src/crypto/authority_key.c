/* authority_key.c - the key of a certificate and the signature on it.
 *
 * Theory of operation. Called by authority_check. Algorithms are looked up in lists of what is good,
 * never of what is bad. Kind, size and exponent of a key are read from its bytes: libcrypto says only
 * that it has no key, also when it has no memory. It is asked whether a point lies on its curve and
 * whether a signature verifies. The parameters of RSASSA-PSS are read here for the hash in them. An
 * intermediate's signature is its issuer's business, and nobody will look at it: the certificate is
 * registered as an anchor; only its hash is held to the rule. */
#include "crypto/authority_internal.h"

#include "base/cursor.h"
#include "base/err.h"

#include <string.h>

#define RSA_BITS_MIN       2048
#define RSA_BITS_MAX       16384 /* OPENSSL_RSA_MAX_MODULUS_BITS: it verifies with no longer one */
#define OFF_CURVE          "the key is EC on %s, and not a point of that curve"
#define EXPONENT_BYTES_MAX 8 /* OPENSSL_RSA_MAX_PUBEXP_BITS, of long moduli */

static const struct curve {
    int nid;
    const char *name;
    size_t field_bytes;
} curves[] = {
    {NID_X9_62_prime256v1, "P-256", 32},
    {NID_secp384r1, "P-384", 48},
    {NID_secp521r1, "P-521", 66},
};

/* Names that people use, where libcrypto's are others. */
static const struct {
    int nid;
    const char *name;
} other_keys[] = {
    {NID_ED25519, "Ed25519"}, {NID_ED448, "Ed448"},       {NID_X25519, "X25519"},
    {NID_X448, "X448"},       {NID_rsassaPss, "RSA-PSS"}, {NID_dsa, "DSA"},
};

#define OID(...)                                                                                   \
    {                                                                                              \
        .n = sizeof((unsigned char[]){__VA_ARGS__}), .oid = { __VA_ARGS__ }                        \
    }
static const struct hash {
    const char *name;
    bool good;
    struct {
        size_t n;
        unsigned char oid[9];
    } id;
} hashes[] = {
    {"SHA-256", true, OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01)},
    {"SHA-384", true, OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02)},
    {"SHA-512", true, OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03)},
    {"SHA-224", false, OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04)},
    {"SHA-1", false, OID(0x2b, 0x0e, 0x03, 0x02, 0x1a)},
    {"MD5", false, OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x05)},
};

/* ---- the key ---- */

static size_t bits_of(const struct cursor *number)
{
    size_t n = cursor_left(number);
    const unsigned char *p = number->p;
    for (; n > 0 && *p == 0; p++)
        n--;
    return n == 0 ? 0 : n * 8 - (size_t)(__builtin_clz(*p) - 24);
}

/* SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 A.1.1) */
static int check_rsa(struct cursor key, int parameter, struct err *e)
{
    struct cursor fields, modulus, exponent;
    size_t behind;
    if (parameter != V_ASN1_NULL || der_check(key.p, cursor_left(&key), &behind) < 0 ||
        der_take(&key, DER_SEQUENCE, &fields) < 0 || der_take(&fields, DER_INTEGER, &modulus) < 0 ||
        der_take(&fields, DER_INTEGER, &exponent) < 0 || cursor_left(&fields) > 0)
        return err_set(e, -E_DENIED, "the RSA key is malformed");
    if ((modulus.p[0] & 0x80) || (exponent.p[0] & 0x80) || !(modulus.end[-1] & 1))
        return err_set(e, -E_DENIED, "the RSA key is malformed");
    const size_t bits = bits_of(&modulus);
    if (bits < RSA_BITS_MIN)
        return err_set(e, -E_DENIED, "the key is RSA with %zu bits; %d are the least", bits,
                       RSA_BITS_MIN);
    if (bits > RSA_BITS_MAX)
        return err_set(e, -E_DENIED, "the key is RSA with %zu bits; %d are the most", bits,
                       RSA_BITS_MAX);
    /* With the exponent 1 everybody can sign. */
    const size_t exponent_bits = bits_of(&exponent);
    if (exponent_bits < 2 || exponent_bits > (size_t)EXPONENT_BYTES_MAX * 8 ||
        !(exponent.end[-1] & 1))
        return err_set(e, -E_DENIED,
                       "the exponent of the RSA key is 1, even, or has more than %d bits",
                       EXPONENT_BYTES_MAX * 8);
    return 0;
}

static int check_ec(const struct cursor *point, int parameter, const void *value,
                    const struct curve **ret, struct err *e)
{
    char text[DER_OID_TEXT];
    if (parameter == V_ASN1_SEQUENCE)
        return err_set(
            e, -E_DENIED,
            "the key is EC with explicit curve parameters; the named curves P-256, P-384 "
            "and P-521 are accepted");
    if (parameter != V_ASN1_OBJECT)
        return err_set(e, -E_DENIED, "the key is EC and names no curve");
    const ASN1_OBJECT *object = value;
    const struct curve *c = NULL;
    for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
        if (OBJ_obj2nid(object) == curves[i].nid)
            c = &curves[i];
    }
    if (!c)
        return err_set(e, -E_DENIED,
                       "the key is EC on the curve %s; P-256, P-384 and P-521 are accepted",
                       authority_name(object, text));
    /* SEC 1, 2.3.3: compressed or not. Neither the hybrid form nor the point at infinity. */
    const size_t n = cursor_left(point);
    if (!(n == 1 + 2 * c->field_bytes && point->p[0] == 4) &&
        !(n == 1 + c->field_bytes && (point->p[0] == 2 || point->p[0] == 3)))
        return err_set(e, -E_DENIED, OFF_CURVE, c->name);
    *ret = c;
    return 0;
}

int authority_key(const X509 *x, struct err *e)
{
    ASN1_OBJECT *kind = NULL;
    const ASN1_OBJECT *again = NULL;
    const unsigned char *p = NULL;
    int n = 0, parameter = V_ASN1_UNDEF, r;
    X509_ALGOR *algorithm = NULL;
    const void *value = NULL;
    const struct curve *curve = NULL;
    char text[DER_OID_TEXT];
    MUST(X509_PUBKEY_get0_param(&kind, &p, &n, &algorithm, X509_get_X509_PUBKEY(x)) == 1);
    X509_ALGOR_get0(&again, &parameter, &value, algorithm);
    const struct cursor key = cursor_of(p, (size_t)n);
    const int nid = OBJ_obj2nid(kind);
    if (nid == NID_rsaEncryption) {
        r = check_rsa(key, parameter, e);
    } else if (nid == NID_X9_62_id_ecPublicKey) {
        r = check_ec(&key, parameter, value, &curve, e);
    } else {
        const char *name = NULL;
        for (size_t i = 0; i < ARRAY_LEN(other_keys); i++) {
            if (nid == other_keys[i].nid)
                name = other_keys[i].name;
        }
        r = err_set(e, -E_DENIED, "the key is %s; RSA and EC are accepted",
                    name ? name : authority_name(kind, text));
    }
    if (r < 0 || X509_get0_pubkey(x))
        return r;
    return curve ? err_set(e, -E_DENIED, OFF_CURVE, curve->name)
                 : err_set(e, -E_DENIED, "the RSA key is malformed");
}

/* ---- the signature ---- */

static const struct hash *hash_of(const struct cursor *oid)
{
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        if (cursor_left(oid) == hashes[i].id.n &&
            memcmp(oid->p, hashes[i].id.oid, hashes[i].id.n) == 0)
            return &hashes[i];
    }
    return NULL;
}

/* The object identifier of an AlgorithmIdentifier; what follows it is left in `c`. */
static int take_algorithm(struct cursor *c, struct cursor *ret_oid, struct cursor *ret_rest)
{
    if (der_take(c, DER_SEQUENCE, ret_rest) < 0)
        return -E_PARSE;
    return der_take(ret_rest, DER_OID, ret_oid);
}

static int check_hash(const struct cursor *oid, const char *use, struct err *e)
{
    char text[DER_OID_TEXT];
    const struct hash *h = hash_of(oid);
    if (h && h->good)
        return 0;
    return err_set(e, -E_DENIED,
                   "the signature is RSA-PSS with %s%s; SHA-256, SHA-384 and SHA-512 are accepted",
                   use, h ? h->name : der_oid_text(oid->p, cursor_left(oid), text));
}

/* RSASSA-PSS-params (RFC 4055 3.1): hash [0] DEFAULT SHA-1, mask generation [1] DEFAULT MGF1 with
 * SHA-1, and two numbers, which matter to who verifies. */
static int check_pss(int parameter, const void *value, struct err *e)
{
    static const unsigned char sha1_oid[] = {0x2b, 0x0e, 0x03, 0x02, 0x1a};
    static const unsigned char mgf1[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08};
    const ASN1_STRING *s = value;
    struct cursor all, fields, tagged, rest, oid;
    if (parameter != V_ASN1_SEQUENCE)
        return err_set(e, -E_DENIED, "the signature is RSA-PSS without parameters");
    all = cursor_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    if (der_take(&all, DER_SEQUENCE, &fields) < 0)
        return err_set(e, -E_DENIED, "the parameters of the RSA-PSS signature are malformed");
    const struct cursor sha1 = cursor_of(sha1_oid, sizeof(sha1_oid));
    if (der_take(&fields, DER_CONTEXT_0, &tagged) < 0)
        return check_hash(&sha1, "", e);
    if (take_algorithm(&tagged, &oid, &rest) < 0)
        return err_set(e, -E_DENIED, "the parameters of the RSA-PSS signature are malformed");
    int r = check_hash(&oid, "", e);
    if (r < 0)
        return r;
    if (der_take(&fields, DER_CONTEXT_0 + 1, &tagged) < 0)
        return check_hash(&sha1, "a mask by ", e);
    if (take_algorithm(&tagged, &oid, &rest) < 0 || cursor_left(&oid) != sizeof(mgf1) ||
        memcmp(oid.p, mgf1, sizeof(mgf1)) != 0 || take_algorithm(&rest, &oid, &tagged) < 0)
        return err_set(e, -E_DENIED, "the parameters of the RSA-PSS signature are malformed");
    return check_hash(&oid, "a mask by ", e);
}

static int check_algorithm(const X509_ALGOR *algorithm, struct err *e)
{
    const ASN1_OBJECT *kind = NULL;
    int parameter = V_ASN1_UNDEF;
    const void *value = NULL;
    char text[DER_OID_TEXT];
    X509_ALGOR_get0(&kind, &parameter, &value, algorithm);
    switch (OBJ_obj2nid(kind)) {
    case NID_sha256WithRSAEncryption:
    case NID_sha384WithRSAEncryption:
    case NID_sha512WithRSAEncryption:
    case NID_ecdsa_with_SHA256:
    case NID_ecdsa_with_SHA384:
    case NID_ecdsa_with_SHA512:
        return 0;
    case NID_rsassaPss:
        return check_pss(parameter, value, e);
    default:
        return err_set(
            e, -E_DENIED,
            "the signature is %s; RSA and ECDSA with SHA-256, SHA-384 or SHA-512 are accepted",
            authority_name(kind, text));
    }
}

int authority_signature(X509 *x, struct err *e)
{
    const ASN1_BIT_STRING *bits = NULL;
    const X509_ALGOR *algorithm = NULL;
    X509_get0_signature(&bits, &algorithm, x);
    int r = check_algorithm(algorithm, e);
    if (r < 0)
        return r;
    if (X509_ALGOR_cmp(algorithm, X509_get0_tbs_sigalg(x)) != 0)
        return err_set(e, -E_DENIED,
                       "what is signed names another signature algorithm than the signature does");
    if (X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(x)) != 0)
        return 0;
    if (X509_verify(x, X509_get0_pubkey(x)) == 1)
        return 0;
    return err_set(e, -E_DENIED,
                   "issuer and subject are one, and the signature is not that of its own key");
}

/* cert_internal - what the files cert*.c share. Not for others. */
#pragma once

#include "crypto/cert.h"
#include "crypto/cert_lib.h"

struct buf;

#define CERT_KEY_ID_BYTES 20
#define CERT_DAY_S        86400

struct cert_ca {
    X509 *cert;
    EVP_PKEY *key;      /* signs leaves */
    EVP_PKEY *leaf_key; /* of all leaves */
    char *pem;
    int64_t ends_s;
    /* What all leaves have in common: usages, key identifiers. */
    X509_EXTENSION *common[5];
};

struct cert_identity {
    unsigned refs;
    X509 *leaf;
    EVP_PKEY *key;
    unsigned char *der;
    size_t n_der;
};

/* ---- cert_der.c: the few bytes of DER (X.690) that extensions are made of ---- */

/* A tag, a length and the bytes; up to 64 KiB. */
void cert_der_put(struct buf *out, unsigned char tag, const void *p, size_t n);
/* The extension with this value; NULL when libcrypto fails. */
X509_EXTENSION *cert_extension(int nid, bool critical, const void *der, size_t n);
/* Adds one and forgets it. */
bool cert_add_extension(X509 *x, int nid, bool critical, const void *der, size_t n);
/* The identifier of a key (RFC 7093 2, method 1) as the value of its extension. */
#define CERT_SKI_BYTES (2 + CERT_KEY_ID_BYTES)
#define CERT_AKI_BYTES (4 + CERT_KEY_ID_BYTES)
void cert_key_id(X509 *x, unsigned char ret[CERT_KEY_ID_BYTES]);
void cert_ski(const unsigned char id[CERT_KEY_ID_BYTES], unsigned char ret[CERT_SKI_BYTES]);
void cert_aki(const unsigned char id[CERT_KEY_ID_BYTES], unsigned char ret[CERT_AKI_BYTES]);
/* nameConstraints of the options. -EINVAL with words. */
int cert_name_constraints(const struct cert_ca_options *o, struct buf *out, struct err *e)
    WARN_UNUSED;
/* 4 or 16 bytes of an address literal, 0 when it is none. */
size_t cert_address(const char *text, unsigned char ret[16]);
bool cert_is_name(const char *text);

/* ---- cert_read.c ---- */

/* The certificate that a text begins with, called `name` in words; NULL with words. The caller's to free. */
X509 *cert_first(const char *pem, size_t n, const char *name, struct err *e);

/* ---- cert_key.c ---- */

/* A new P-256 key; NULL when libcrypto fails. */
EVP_PKEY *cert_key_new(void);
EVP_PKEY *cert_key_import(const struct secret *der); /* NULL: it is none */

/* Version, serial number, validity, key: what every certificate has. */
bool cert_begin(X509 *x, EVP_PKEY *key, int64_t now_s, int64_t ends_s);
/* Seconds since 1970; 0 when it is no time. */
int64_t cert_seconds(const ASN1_TIME *t);
/* The common name. */
bool cert_set_name(X509_NAME *name, const char *text);

/* ---- cert_read.c: from files; NULL with words that begin with `name` ---- */

/* The first private key of a text: EC or RSA, or whatever d2i_AutoPrivateKey reads, not encrypted. */
EVP_PKEY *cert_key_read(const char *pem, size_t n, const char *name, struct err *e);

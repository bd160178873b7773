/* pem - certificates as text (RFC 7468), read strictly: one text has one reading here, whatever a
 * laxer reader would make of it. Pure; suspends nowhere; opens no library. */
#pragma once

#include "base/base.h"

struct buf;
struct cursor;
struct err;

#define PEM_CERTIFICATE "CERTIFICATE"

/* What stands between a BEGIN line and its END line; all of it points into the text. */
struct pem_block {
    const char *label;
    size_t n_label;
    const char *body; /* the lines between */
    size_t n_body;
};

/* The next block of `text`, which moves behind it. A BEGIN or END line begins in the first column and
 * ends with its dashes; blanks may follow, and CR LF or LF. Other text outside of blocks is skipped, as
 * RFC 7468 section 2 has it. 1 with the block; 0: there is none; -E_PARSE with words: it does not end,
 * or ends under another label. */
int pem_next(struct cursor *text, struct pem_block *ret, struct err *e) WARN_UNUSED;
bool pem_is(const struct pem_block *b, const char *label);
/* The label for a person: at most 40 bytes of it, what is no printable ASCII as "?". Returns `ret`. */
#define PEM_LABEL_TEXT 44
char *pem_label_text(const struct pem_block *b, char ret[PEM_LABEL_TEXT]);
/* The bytes of a block, appended to `ret`: base64 with its padding, in lines of any length that may
 * end with blanks. -E_PARSE when it is none; -EMSGSIZE or -ENOMEM of `ret`. */
int pem_bytes(const struct pem_block *b, struct buf *ret) WARN_UNUSED;

/* One certificate as text, in lines of 64. NULL: memory is exhausted. The caller's to free. */
char *pem_certificate(const unsigned char *der, size_t n) __attribute__((malloc));

/* jks - certificates as a Java program reads them. */
#pragma once

#include "base/base.h"

struct buf;

/* Appends to `ret` a trust store in Java's own format (JKS, version 2) of all certificates in `pem`; other
 * text, and what is no base64, is left out. Without a password: its place for a digest is zeros, which no
 * program looks at that gives none (JSSE does not). Returns how many there are, or buf's error. */
int jks_from_pem(struct buf *ret, const char *pem, size_t n) WARN_UNUSED;

/* config_load - configurations of a gateway in C source: YAML text in, configuration out. */
#pragma once

#include "unit/unit.h"
#include "base/err.h"
#include "tunnel/gateway/config.h"

#include <string.h>

/* What a file needs, a line each, so that rows say only what they are about. */
#define LISTEN "listen_addr: ':8080'\n"
#define TLS    "tls: {cert_file: c.pem, key_file: k.pem}\n"
#define ROUTES "routes: {a.example: 'http://10.0.0.1:80'}\n"
#define EDGE   "edge: https://edge.example\ntoken_file: token\n"

static inline struct gateway_config *load(const char *yaml)
{
    struct gateway_config *c = NULL;
    struct err e = {0};
    if (gateway_config_parse("gateway.yaml", yaml, strlen(yaml), &c, &e) < 0)
        fail_msg("%s\n%s", yaml, e.msg);
    return c;
}

/* Expects that the text does not load, with exactly these words. */
static inline void refuse(const char *yaml, const char *words)
{
    struct gateway_config *c = NULL;
    struct err e = {0};
    int r = gateway_config_parse("gateway.yaml", yaml, strlen(yaml), &c, &e);
    if (r >= 0)
        fail_msg("loads: %s", yaml);
    assert_null(c);
    assert_int_equal(e.code, r);
    if (strcmp(e.msg, words) != 0)
        fail_msg("%s\ngot  %s\nwant %s", yaml, e.msg, words);
}

static inline struct address address(const char *text)
{
    struct address a;
    struct err e = {0};
    if (address_parse(text, strlen(text), &a, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    return a;
}

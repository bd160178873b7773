/* watch - looking for a session's placeholders and secrets; for the files of this folder. */
#pragma once

#include "base/map.h"
#include "egress/inject/inject.h"
#include "scrub/http/gather.h"

struct watched {
    char *credential, *text; /* text: the placeholder, NUL-terminated */
    size_t n;
};

struct inject_watch {
    unsigned refs;
    struct scrub_table *table; /* pairs: the placeholders, then the secrets */
    struct watched *placeholders;
    size_t n_placeholders;
    struct map by_credential; /* to one of them */
};

/* The placeholder of a credential, or NULL. */
const struct watched *watch_of(const struct inject_watch *w, const char *credential);

/* For a stream on the watch's table, find only. The name of a credential whose secret was found, or
 * NULL. */
const char *watch_secret_found(const struct inject_watch *w, const struct scrub_stream *s);
/* The first placeholder from number `from` on that was found, or n_placeholders. */
size_t watch_placeholder_found(const struct inject_watch *w, const struct scrub_stream *s,
                               size_t from);

/* examine - looks at everything that a gateway needs, from its files to its private servers, and tells what it
 * finds with what to do about it (`sallyport gateway doctor`). It disturbs no gateway that runs. */
#pragma once

#include "tunnel/gateway/config.h"
#include "tunnel/gateway/stdio.h"

enum finding_verdict {
    FINDING_OK,
    FINDING_NOTE,    /* worth knowing, and nothing fails because of it now */
    FINDING_FAIL,    /* callers cannot be served because of it */
    FINDING_UNTRIED, /* could not be looked at: the text says why */
};
struct finding {
    const char *group, *id; /* static; the id is stable, for programs */
    const char *title;      /* lives as long as the configuration */
    enum finding_verdict verdict;
    const char *text; /* what was looked at and what came of it */
    const char *lost; /* what does not work because of it, or NULL */
    const char *fix;  /* what to do, or NULL */
};

struct examine_options {
    const char *config_path;
    const char *const
        *anchors; /* folders of authorities that this machine was given, NULL at the end; NULL:
                                   those of the distributions */
    const char *credentials_directory; /* of systemd; NULL: none */
    /* How programs of routes are started, and the last that one has said (NULL: nothing), with `stdio.arg`. */
    struct stdio_options stdio;
    const char *(*last_words)(void *arg, const char *route);
    void (*found)(void *arg, const struct finding *f); /* in the order of looking */
    void *arg;
};
/* Looks at everything. Suspends; each step is bounded. *ret_config: a reference, or NULL when there is no
 * configuration that can be used; titles are in it. */
void gateway_examine(const struct examine_options *o, struct gateway_config **ret_config);

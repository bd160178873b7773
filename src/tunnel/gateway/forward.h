/* forward - one request of a caller to the private server that its route names, and the answer back. */
#pragma once

#include "tunnel/gateway/inner.h"

struct audit_client;
struct ctl;
struct err;
struct gateway_forward;
struct approvals;
struct health;
struct pins;
struct pins_file;
struct resolver;
struct stdio_bridge;

struct gateway_forward_options {
    struct resolver *resolver;
    struct ctl *keeper;         /* of reach_how */
    struct stdio_bridge *stdio; /* likewise */
    struct health *health;      /* where requests and failures are told */
    struct audit_client *audit; /* NULL: nothing is recorded */
    struct pins *pins;          /* with their file; NULL: no route pins its tools */
    struct pins_file *pins_file;
    struct approvals *approvals; /* NULL: no route has tools that a person approves */
    size_t requests_most;        /* at once; 0: as many as this process may open files for */
};
/* Of the calling fiber, which frees it: it owns the connections to private servers. 0 or a code with
 * words. */
int gateway_forward_new(const struct gateway_forward_options *o, struct gateway_forward **ret,
                        struct err *e) WARN_UNUSED;
/* Suspends. No request may be under way. NULL is fine. */
void gateway_forward_free(struct gateway_forward *f);
/* inner_options.serve, with the forward as `arg`. */
void gateway_forward_serve(void *arg, const struct gateway_face *face,
                           const struct inner_caller *caller, struct http_pipe *p);

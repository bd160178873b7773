/* probe - looks at the routes' servers in the background, as a call would reach them. */
#pragma once

#include "tunnel/gateway/face.h"

struct ctl;
struct health;
struct resolver;
struct stdio_bridge;

struct probes_options {
    struct resolver *resolver;
    struct ctl *keeper;         /* of reach_how */
    struct stdio_bridge *stdio; /* which knows whether a program can be asked; none is started */
    struct health *health;      /* where it is told */
    /* The face of the moment; the reference is the caller's. Does not suspend. */
    struct gateway_face *(*face)(void *arg);
    void *arg;
    int64_t every_ms; /* between two rounds, more or less a quarter; 0: 30 s */
};
struct probes;
struct probes *probes_new(const struct probes_options *o) __attribute__((returns_nonnull));
/* A fiber's body: looks until it is cancelled. Suspends. */
int probes_run(void *probes);
/* The routes are others now: a new round begins. Does not suspend. */
void probes_again(struct probes *p);
void probes_free(struct probes *p); /* after probes_run. NULL is fine */

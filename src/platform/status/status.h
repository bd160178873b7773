/* status - what an operator wants to know of the whole platform: how many of what, who works, what
 * waits and why. For GET /v1/sallyport/status (`sallyport status`) and the gauges of /metrics. */
#pragma once

#include "platform/api/api.h"

/* GET /v1/sallyport/status: the object that docs/internals/api.md describes. */
api_handler status_retrieve;

/* Brings the sallyport_server_ gauges up to date. When the store cannot be read they keep what they
 * have. Suspends. */
void status_refresh_metrics(struct platform *p);

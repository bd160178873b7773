/* redact - what a sandbox wrote, as it may be written down.
 *
 * A sandbox may have a real secret from elsewhere, a file of its workspace say, and put it into a host or
 * a path. What a request may go out with is the watch's business (inject/); it knows the secrets of the
 * hosts that were asked for. The audit log must not hold any other one either, least of all that of a
 * request which was denied before anything was fetched. So before a record is made every secret is known
 * that can be had for nothing: those of files, the environment and systemd. Vaults and programs are not
 * asked because of a record; their secrets are found when this process has used them.
 *
 * One for each proxy: a table of its own, which the sandboxes' tables need not carry. */
#pragma once

#include "audit/record.h"

struct ctl;
struct policy;
struct redact;
struct values;

/* `used`: what requests have brought; borrowed, as the channel is. */
struct redact *redact_new(struct ctl *keeper, struct values *used) __attribute__((returns_nonnull));
void redact_free(struct redact *d); /* NULL is fine */

/* Sees to it that what can be had of the policy's secrets is known. Suspends, for REDACT_WAIT_MS at most,
 * also in a fiber that is cancelled; mostly does nothing. */
#define REDACT_WAIT_MS 2000
void redact_prepare(struct redact *d, struct policy *p);
/* Now and then: wipes what is not remembered any more. */
void redact_forget(struct redact *d);
/* Whether a secret is in it, in any form, or in lower case as a host would have it; also when that cannot
 * be told. Does not suspend. */
bool redact_sees(struct redact *d, const char *p, size_t n);
/* The text, or words instead of it. NULL and empty are fine. */
struct audit_text redact_text(struct redact *d, const char *p, size_t n);

/* former.c - a short list, the latest first.
 *
 * Called when a policy comes, and for every connection and request: a few look-ups of a microsecond each,
 * and none while nothing has changed for an hour. Policies come from the operator alone. One that comes
 * back and goes again, as when two files are tried in turn, has one place. */
#include "egress/proxy/former.h"

#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "egress/ctl/messages.h"

static void drop(struct former *f, size_t at)
{
    policy_unref(f->all[at].policy);
    f->n--;
    memmove(&f->all[at], &f->all[at + 1], (f->n - at) * sizeof(f->all[0]));
}

void former_add(struct former *f, struct policy *p)
{
    const struct policy_credential *const *all;
    if (policy_credentials(p, &all) == 0)
        return;
    for (size_t i = 0; i < f->n; i++)
        if (str_eq(policy_hash(f->all[i].policy), policy_hash(p)))
            drop(f, i--);
    if (f->n == FORMER_MAX)
        drop(f, f->n - 1);
    memmove(&f->all[1], &f->all[0], f->n * sizeof(f->all[0]));
    f->all[0].policy = policy_ref(p);
    f->all[0].until_ns = time_mono_ns() + EGRESS_REMEMBER_MS * NS_PER_MS;
    f->n++;
}

bool former_gave(const struct former *f, const struct policy_query *q)
{
    struct policy_decision d;
    for (size_t i = 0; i < f->n; i++) {
        policy_decide(f->all[i].policy, q, &d);
        if (d.n_candidates > 0)
            return true;
    }
    return false;
}

void former_forget(struct former *f)
{
    const int64_t now_ns = time_mono_ns();
    while (f->n > 0 && f->all[f->n - 1].until_ns <= now_ns)
        drop(f, f->n - 1);
}

void former_done(struct former *f)
{
    while (f->n > 0)
        drop(f, f->n - 1);
}

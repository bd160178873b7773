/* slots.c - slots, and who has to go.
 *
 * Used by the claim loop (worker.c: waits for room, takes) and by session fibers (runner.c: rest,
 * give up), all on one thread. A slot is for work: a session at rest keeps its sandbox and its lease,
 * because its next message may come soon, but the moment another one is claimed at capacity, the
 * session longest at rest is asked to go. It answers as soon as its fiber runs, for it waits for
 * nothing else: it goes, or it was given a call in the same moment and stays, and the next one is
 * asked. */
#include "worker/slots.h"
#include "base/err.h"

void slots_init(struct slots *s, size_t capacity)
{
    *s = (struct slots){.capacity = capacity};
    list_init(&s->resting);
    waitq_init(&s->changed);
}

int slots_wait(struct slots *s)
{
    int r = 0;
    while (r == 0 && s->held - s->n_resting >= s->capacity)
        r = waitq_wait(&s->changed);
    return r;
}

int slots_take(struct slots *s)
{
    int r = 0;
    while (r == 0 && s->held >= s->capacity) {
        if (list_empty(&s->resting))
            return -EBUSY;
        struct slot *t = LIST_ENTRY(s->resting.next, struct slot, node);
        t->asked = true;
        waitq_wake_all(t->wake);
        r = waitq_wait(&s->changed);
    }
    if (r == 0)
        s->held++;
    return r;
}

void slots_give(struct slots *s)
{
    s->held--;
    waitq_wake_all(&s->changed);
}

void slot_init(struct slot *t, struct slots *of, struct waitq *wake)
{
    *t = (struct slot){.of = of, .wake = wake};
    list_init(&t->node);
}

void slot_rest(struct slot *t, bool rests)
{
    if (!t->of || t->rests == rests)
        return;
    t->rests = rests;
    t->asked = false;
    if (rests) {
        list_push_back(&t->of->resting, &t->node);
        t->of->n_resting++;
    } else {
        list_remove(&t->node);
        t->of->n_resting--;
    }
    waitq_wake_all(&t->of->changed);
}

void slot_give_up(struct slot *t)
{
    struct slots *s = t->of;
    if (!s)
        return;
    slot_rest(t, false);
    t->of = NULL;
    slots_give(s);
}

/* list - intrusive doubly linked lists, circular, with a head. */
#pragma once

#include "base/base.h"

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(h) ((struct list){&(h), &(h)})
static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *h)
{
    return h->next == h;
}
/* True for a node on a list. A zeroed node counts as not linked. */
static inline bool list_linked(const struct list *n)
{
    return n->next && n->next != n;
}
static inline void list_insert(struct list *prev, struct list *n)
{
    n->prev = prev;
    n->next = prev->next;
    prev->next->prev = n;
    prev->next = n;
}
static inline void list_push_back(struct list *h, struct list *n)
{
    list_insert(h->prev, n);
}
static inline void list_push_front(struct list *h, struct list *n)
{
    list_insert(h, n);
}
/* Unlinks and re-initialises; harmless on a node that is not linked. */
static inline void list_remove(struct list *n)
{
    if (n->next) {
        n->next->prev = n->prev;
        n->prev->next = n->next;
    }
    list_init(n);
}
static inline struct list *list_pop_front(struct list *h)
{
    if (list_empty(h))
        return NULL;
    struct list *n = h->next;
    list_remove(n);
    return n;
}

#define LIST_ENTRY(n, type, field) CONTAINER_OF(n, type, field)
/* `it` is a struct type pointer; the body must not remove `it` (use _SAFE for that) nor suspend. */
#define LIST_FOREACH(it, h, type, field)                                                           \
    for (type *it = LIST_ENTRY((h)->next, type, field); &it->field != (h);                         \
         it = LIST_ENTRY(it->field.next, type, field))
#define LIST_FOREACH_SAFE(it, h, type, field)                                                      \
    for (type *it = LIST_ENTRY((h)->next, type, field),                                            \
              *it##_next = LIST_ENTRY(it->field.next, type, field);                                \
         &it->field != (h); it = it##_next, it##_next = LIST_ENTRY(it->field.next, type, field))

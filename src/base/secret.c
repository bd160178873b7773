/* secret.c - memory for values that must not be seen.
 *
 * Theory of operation: every secret has an anonymous mapping of its own, so that locking, excluding
 * it from dumps and wiping concern nothing else, and freeing leaves no copy in the heap's lists.
 * mlock may fail under RLIMIT_MEMLOCK; the role that holds secrets asks secret_locked() after
 * loading and decides. MADV_DONTDUMP is required: without it the secret is refused. Any thread;
 * never suspends. What an attacker may influence is the length of a value that the attacker stores,
 * capped at 1 MiB. */
#include "base/secret.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECRET_MAX (1u << 20) /* a private key with its whole chain is far below 1 MiB */

static atomic_bool lock_failed;

int secret_room(struct secret *s, size_t n)
{
    MUST(s->data == NULL);
    if (n > SECRET_MAX)
        return -EMSGSIZE;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (n + 1 + page - 1) / page * page;
    char *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return -ENOMEM;
    if (madvise(m, bytes, MADV_DONTDUMP) < 0) {
        (void)munmap(m, bytes);
        return -ENOMEM;
    }
    if (mlock(m, bytes) < 0)
        atomic_store(&lock_failed, true);
    /* The zeros, and the NUL behind them, come from the kernel. */
    *s = (struct secret){.data = m, .len = n, .map_bytes = bytes};
    return 0;
}

int secret_set(struct secret *s, const void *p, size_t n)
{
    int r = secret_room(s, n);
    if (r == 0 && n)
        memcpy(s->data, p, n);
    return r;
}

void secret_done(struct secret *s)
{
    if (!s)
        return;
    if (s->data) {
        explicit_bzero(s->data, s->map_bytes);
        (void)munmap(s->data, s->map_bytes); /* unlocks as well */
    }
    *s = (struct secret){0};
}

bool secret_locked(void)
{
    return !atomic_load(&lock_failed);
}

bool secret_bytes_eq(const void *a, const void *b, size_t n)
{
    const volatile unsigned char *x = a, *y = b; /* volatile: the loop may not stop early */
    unsigned char diff = 0;
    for (size_t i = 0; i < n; i++)
        diff |= (unsigned char)(x[i] ^ y[i]);
    return diff == 0;
}

bool secret_eq(const struct secret *s, const void *p, size_t n)
{
    if (!s->data || s->len != n)
        return false; /* an unset secret equals nothing, not even "" */
    return secret_bytes_eq(s->data, p, n);
}

const char *secret_borrow(const struct secret *s)
{
    return s->data ? s->data : "";
}

void secret_wipe(void *p, size_t n)
{
    if (p)
        explicit_bzero(p, n);
}

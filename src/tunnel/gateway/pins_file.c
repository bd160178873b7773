/* pins_file.c - reads pins when the gateway opens, and has their file replaced when they have changed.
 *
 * On the gateway's fibers; the file itself is the keeper's (tunnel/keeper/state.c), which replaces it as a whole.
 * Saves come one after another, and one that waited finds its change in the file that the one before has
 * written. Strangers decide how often: at most once for each tool that is pinned, once for each decision of a
 * person, and once in five seconds for what waits. */
#include "tunnel/gateway/pins_file.h"

#include "base/buf.h"
#include "base/err.h"
#include "fiber/sync.h"
#include "tunnel/gateway/supply.h"

struct pins_file {
    struct ctl *keeper;
    char *path;
    struct pins *pins;
    uint64_t saved, kept; /* pins->edits, pins->firsts */
    struct fmutex one;
};

int pins_file_read(struct pins *pins, const char *path, const char *text, size_t n, struct err *e)
{
    int r = pins_read(pins, text, n, e);
    if (r == -E_CORRUPT)
        err_wrap(e, r,
                 "%s is damaged, and the gateway does not start with tools that nobody has "
                 "accepted: put back a copy of it; without it the first list of each route is "
                 "trusted again",
                 path);
    return r;
}

int pins_file_open(struct ctl *keeper, const struct supply_state *given, struct pins *pins,
                   struct pins_file **ret, struct err *e)
{
    int r = given->text ? pins_file_read(pins, given->path, given->text, given->n, e) : 0;
    if (r < 0)
        return r;
    struct pins_file *f = mem_new(struct pins_file);
    f->keeper = keeper;
    f->path = mem_strdup(given->path);
    f->pins = pins;
    f->saved = pins->edits;
    fmutex_init(&f->one);
    *ret = f;
    return 0;
}

void pins_file_free(struct pins_file *f)
{
    if (!f)
        return;
    free(f->path);
    free(f);
}

int pins_file_save(struct pins_file *f, struct err *e)
{
    int r = fmutex_lock(&f->one);
    if (r < 0)
        return err_set(e, r, "could not write %s: %s", f->path, err_text(r));
    AUTO(buf) text = BUF_INIT(SUPPLY_KEPT_MAX);
    const uint64_t edits = f->pins->edits, firsts = f->pins->firsts;
    if (edits != f->saved) {
        r = pins_text(f->pins, &text);
        r = r < 0 ? err_set(e, r, "pins have become too many for %s", f->path)
                  : supply_keep(f->keeper, text.data, text.len, e);
    }
    if (r == 0) {
        f->saved = edits;
        f->kept = firsts;
    }
    fmutex_unlock(&f->one);
    return r;
}

int pins_file_keep(struct pins_file *f, struct err *e)
{
    return f->kept == f->pins->firsts ? 0 : pins_file_save(f, e);
}

/* library - opening a shared library when it is first needed.
 *
 * A large library that most processes never use is not linked: its loading and relocation is
 * most of the start of a short process (`sallyport exec -- true`), and a zygote should not carry it.
 * The wrapper file of the library has a table of the functions it uses and calls through that. Like
 * fd.h this is a place where base touches the outside, because every room needs it. */
#pragma once

#include "base/base.h"

struct err;

struct library_symbol {
    const char *name;
    size_t offset; /* of its pointer in the caller's table */
};

/* Opens shared library `file` for good and fills `table`. The words of a failure name the Debian
 * package. Loading runs the library's constructors; nothing here is controlled by a peer. 0 or a
 * negative code. */
int library_open(const char *file, const char *package, const struct library_symbol *symbols,
                 size_t n, void *table, struct err *e) WARN_UNUSED;
/* Writes the address of a function that not all versions have to *ret, a pointer to a function; NULL
 * when this one has none. After library_open of that file. */
void library_find(const char *file, const char *name, void *ret);

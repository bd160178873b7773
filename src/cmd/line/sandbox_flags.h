/* sandbox_flags - flags that say what a sandbox is made of, for every subcommand that has some:
 * texts to entries of a struct sandbox_spec. Errors name the flag, what was wrong, and the way to
 * write it. */
#pragma once

#include "cmd/line/flags.h"
#include "sandbox/spec.h"

/* What --sandbox-memory and its like hold; 0: not given, the default stays. */
struct sandbox_sizes {
    int64_t memory, processes, workspace_size, tmp_size;
};
void sandbox_flags_sizes(const struct sandbox_sizes *s, struct sandbox_limits *l);

/* --bind: "SOURCE:TARGET[:rw]"; with `plain_too` also "DIR[:rw]", which is seen under the same
 * absolute path inside, and is taken from the working directory when it is relative. The source
 * must exist; links on the way to it are followed here, once. 0 or -EINVAL with words. */
int sandbox_flags_bind(struct sandbox_spec *s, const char *text, bool plain_too, struct err *e)
    WARN_UNUSED;
/* --env: "NAME=VALUE", or "NAME" for the value of the calling environment. */
int sandbox_flags_env(struct sandbox_spec *s, const char *text, struct err *e) WARN_UNUSED;
/* "2", "0.5", "1.25" to thousandths, 0.01 to 1024; `flag` is the flag's name, for the words. */
int sandbox_flags_cpus(const char *flag, const char *text, uint64_t *ret_milli, struct err *e)
    WARN_UNUSED;
/* --rootfs: a directory (anything with a slash in it), or the NAME of one that `sallyport rootfs
 * import` has made below `data_dir`. An image brings its environment along, but for what `s` has
 * already, and can not be removed or replaced as long as this process lives. 0 or -EINVAL. */
int sandbox_flags_rootfs(struct sandbox_spec *s, const char *text, const char *data_dir,
                         struct err *e) WARN_UNUSED;
/* -EINVAL with words for an isolation of "none" that nobody has agreed to. NULL is the default. */
int sandbox_flags_isolation(const char *isolation, bool understood, struct err *e) WARN_UNUSED;
/* Syntax of --allow ("HOST[:PORT]") and of --secret ("NAME=SOURCE@HOST"). 0 or -EINVAL. */
int sandbox_flags_allow(const char *text, struct err *e) WARN_UNUSED;
int sandbox_flags_secret(const char *text, struct err *e) WARN_UNUSED;
/* Where `dir` (absolute, of this host) is to be found inside; NULL when no bind shows it. The
 * caller's. */
char *sandbox_flags_inside(const struct sandbox_spec *s, const char *dir);

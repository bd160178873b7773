/* sandbox_flags - flags that say what a sandbox is made of, for every subcommand that has some: one
 * table of them, and from their texts the entries of a struct sandbox_spec. Errors name the flag,
 * what was wrong, and the way to write it.
 *
 * A new one is a member of sandbox_options, a row for each command that has it (sandbox_flags.c)
 * and a line in sandbox_flags_apply; commands that have its group get it without a change. `up`
 * hands its rows on to the worker it starts. docs/configuration.md lists them: a test compares. */
#pragma once

#include "cmd/line/flags.h"
#include "sandbox/spec.h"

/* What the flags hold. NULL, 0 and false: not given, the default stays. */
struct sandbox_options {
    struct flag_list binds, sockets, env;
    int64_t memory, processes, workspace_size, tmp_size, call_ms, session_ms;
    const char *cpus, *user, *network, *rootfs;
    const char
        *data; /* where imported root file systems are; not for `up`, whose own --data says it */
    const char *isolation, *oci_runtime;
    bool understood;
    int64_t warm;
};

/* Whose flags: they differ in names and wording, because `exec` is about one sandbox only. */
enum sandbox_flags_of { SANDBOX_OF_WORKER = 1, SANDBOX_OF_UP = 2, SANDBOX_OF_EXEC = 4 };
/* What a row is about. A command adds the groups it has, in the order of its help. */
enum sandbox_flags_group {
    SANDBOX_SHOWN,  /* directories and variables of this host */
    SANDBOX_LIMITS, /* how much, how long */
    SANDBOX_INSIDE, /* user, network, root file system */
    SANDBOX_ENGINE, /* what builds it */
};
/* Appends the rows of this command and group to the set; they write to `o`, which outlives it. */
void sandbox_flags_add(struct flag_set *set, enum sandbox_flags_of of,
                       enum sandbox_flags_group group, struct sandbox_options *o);

/* Writes to `s`, which has been initialised, what `o` says of it; not the engine, which is the
 * box's business. 0 or -EINVAL with words. */
int sandbox_flags_apply(const struct sandbox_options *o, enum sandbox_flags_of of,
                        struct sandbox_spec *s, struct err *e) WARN_UNUSED;
/* -EINVAL with words for --isolation none when nobody has agreed to it. */
int sandbox_flags_isolation(const struct sandbox_options *o, struct err *e) WARN_UNUSED;

/* --bind: "SOURCE:TARGET[:rw]"; with `plain_too` also "DIR[:rw]", which is seen under the same
 * absolute path inside, and is taken from the working directory when it is relative. The source
 * must exist; links on the way to it are followed here, once. 0 or -EINVAL with words. */
int sandbox_flags_bind(struct sandbox_spec *s, const char *text, bool plain_too, struct err *e)
    WARN_UNUSED;
/* --socket: "PATH", seen under the same path inside, or "PATH:INSIDE"; with `relative_too` PATH is
 * taken from the working directory. It must be a Unix socket that exists. 0 or -EINVAL. */
int sandbox_flags_socket(struct sandbox_spec *s, const char *text, bool relative_too, struct err *e)
    WARN_UNUSED;
/* --env: "NAME=VALUE", or "NAME" for the value of the calling environment. */
int sandbox_flags_env(struct sandbox_spec *s, const char *text, struct err *e) WARN_UNUSED;
/* "2", "0.5", "1.25" to thousandths, 0.01 to 1024; `flag` is the flag's name, for the words. */
int sandbox_flags_cpus(const char *flag, const char *text, uint64_t *ret_milli, struct err *e)
    WARN_UNUSED;
/* --rootfs: a directory (anything with a slash in it), or the NAME of one that `sallyport rootfs
 * import` has made below `data_dir`. An image brings its environment along, but for what `s` has
 * already, and cannot be removed or replaced as long as this process lives. 0 or -EINVAL. */
int sandbox_flags_rootfs(struct sandbox_spec *s, const char *text, const char *data_dir,
                         struct err *e) WARN_UNUSED;
/* Where `dir` (absolute, of this host) is to be found inside; NULL when no bind shows it. The
 * caller's. */
char *sandbox_flags_inside(const struct sandbox_spec *s, const char *dir);

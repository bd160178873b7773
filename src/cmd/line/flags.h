/* flags - one small parser for every subcommand: a table says what may be given, and from that
 * table come parsing, the configuration file's keys, --help, suggestions for misspelt flags, and
 * shell completion.
 *
 * Precedence: default (the pointed-to value beforehand) < configuration file < command line. In the
 * file a flag's key is its name with "_" for "-". */
#pragma once

#include "base/base.h"
#include "base/json.h"

#include <stdio.h>

struct err;

enum flag_kind {
    FLAG_BOOL,     /* bool *: --name, --no-name; true or false in the file */
    FLAG_TEXT,     /* const char ** */
    FLAG_FILE,     /* likewise; completion offers files */
    FLAG_DIR,      /* likewise; completion offers directories */
    FLAG_CHOICE,   /* likewise; one of `choices` */
    FLAG_INT,      /* int64_t *, within min..max */
    FLAG_DURATION, /* int64_t * of ms: "1500ms", "30s", "5m", "2h"; a bare number is seconds */
    FLAG_SIZE,     /* int64_t * of bytes: "512K", "256M", "2G" (powers of 1024), or bare bytes */
    FLAG_LIST,     /* struct flag_list *: may come several times; an array of strings in the file */
    FLAG_SECTION,  /* struct flag_section *: a mapping in the configuration file; on the line a file
                      with it, alone or under its name */
};
enum flag_source { FLAG_DEFAULT, FLAG_FROM_FILE, FLAG_FROM_LINE };

#define FLAG_LIST_MAX 64
struct flag_list {
    const char *value[FLAG_LIST_MAX];
    size_t n;
};

struct flag_section {
    json_t *json;     /* the caller's to release; NULL: not given */
    const char *file; /* where it was found: to be read again */
};
/* Reads it again. A new reference in *ret. 0, or a negative code with words. */
int flags_section_again(const struct flag_section *s, const char *name, json_t **ret, struct err *e)
    WARN_UNUSED;

struct flag {
    const char *name; /* "listen" for --listen */
    const char *arg;  /* "ADDRESS" in the help; NULL for FLAG_BOOL */
    const char *help; /* one line, no full stop; the default in words where there is one */
    enum flag_kind kind;
    void *ptr;
    const char *const *choices; /* FLAG_CHOICE, NULL-terminated */
    int64_t min, max; /* FLAG_INT, FLAG_DURATION (ms), FLAG_SIZE; both 0: no bounds but >= 0 */
    bool line_only;   /* not a key of the configuration file (--config, --help and the like) */
    bool handed_on;   /* flags_hand_on gives it to another command of ours */
    enum flag_source source; /* set by the parser */
};

struct flag_set {
    const char *command; /* "server", "session send" */
    const char *args;    /* "ID TEXT..." for the usage line; NULL: takes none */
    const char *summary; /* one line */
    const char *details; /* further lines of --help, or NULL */
    struct flag *flags;
    size_t n_flags;
    int min_args, max_args; /* how many arguments that are not flags; max -1: any number */
};

/* Room for the flags of one command, for those that put their set together from several tables. */
#define FLAG_SET_MAX 64
/* Appends rows to set->flags, which has room for FLAG_SET_MAX. */
void flags_add(struct flag_set *set, const struct flag *rows, size_t n);

/* What parsing tells main: go on, or leave with this exit code. */
enum { FLAGS_GO_ON = 0, FLAGS_EXIT_OK = 1 };

/* Parses argv[1..] (argv[0] is the subcommand). "--name value" and "--name=value"; flags and
 * arguments may be mixed; "--" ends the flags. The other arguments are moved to the front of
 * argv, their number goes to *ret_n_args, the first is argv[1]. Returns FLAGS_GO_ON;
 * FLAGS_EXIT_OK when --help or completion data was asked for and printed; -EINVAL with
 * words. Texts point into argv. */
int flags_parse(struct flag_set *set, int argc, char **argv, int *ret_n_args, struct err *e)
    WARN_UNUSED;

/* The YAML file at `path` as JSON, a new reference. 0, or a negative code with words that name it. */
int flags_load(const char *path, json_t **ret, struct err *e) WARN_UNUSED;

/* Reads `path` (YAML) for the flags the command line has not given. Unknown keys and wrong types
 * are errors with words. With `section` not NULL, only the mapping under that key is read (no such
 * key: nothing). Texts live until the process ends. */
int flags_read_file(struct flag_set *set, const char *path, const char *section, struct err *e)
    WARN_UNUSED;

/* Both, for most subcommands: parse, then the file named by *config (a FLAG_FILE of the set) if
 * any. On a usage error prints the words and a hint to --help on stderr. Returns < 0 to go on, else
 * the exit code (0 or 2). */
int flags_main(struct flag_set *set, int argc, char **argv, const char **config, int *ret_n_args);

/* After parsing: the flags that are handed on and were given, by line or file, as words for the
 * other command's argv: "--name=value", one for each value of a list; "--name" or "--no-name" of a
 * switch. Returns how many words `ret` has, at most `max`, malloc'ed. */
size_t flags_hand_on(const struct flag_set *set, char **ret, size_t max) WARN_UNUSED;

void flags_help(const struct flag_set *set, FILE *out);
/* One line per flag, tab separated: "--listen", kind ("text", "file", "dir", "choice:a,b", "none",
 * …), help. */
void flags_completion(const struct flag_set *set, FILE *out);

/* The nearest of `n` names, or NULL when none is near enough to be a slip of the hand. Pure. */
const char *flags_nearest(const char *word, const char *const *names, size_t n);
/* "30s" and the like. 0, -EINVAL, -ERANGE. Pure. */
int flags_duration_ms(const char *text, int64_t *ret) WARN_UNUSED;
int flags_size_bytes(const char *text, int64_t *ret) WARN_UNUSED;

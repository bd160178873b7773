/* backup.c - `sallyport server backup FILE` and `sallyport server restore FILE`.
 *
 * Main thread, no fibers: one call of store/backup, and a sentence. A backup may be made while the
 * server runs; restoring takes the server's lock. Names are the operator's and quoted with escapes
 * where they are printed. */
#include "base/err.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/line/flags.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"
#include "cmd/server.h"
#include "store/backup.h"

#include <stdio.h>
#include <sys/stat.h>

struct backup_command {
    const char *data;
    bool replace;
};

/* Parses one of the two. Negative: go on with argv[1]; otherwise the exit code. */
static int parse(struct backup_command *c, const char *command, const char *summary,
                 const char *details, int argc, char **argv)
{
    struct flag flags[] = {
        {"data", "DIR", "the server's data directory", FLAG_DIR, .ptr = &c->data},
        {"replace", NULL, "use a name that is taken", FLAG_BOOL, .ptr = &c->replace},
    };
    struct flag_set set = {.command = command,
                           .args = "FILE",
                           .summary = summary,
                           .details = details,
                           .flags = flags,
                           .n_flags = ARRAY_LEN(flags),
                           .min_args = 1,
                           .max_args = 1};
    const char *no_config = NULL;
    int n_args = 0;
    return flags_main(&set, argc, argv, &no_config, &n_args);
}

static int complain(const char *command, const struct err *e)
{
    fprintf(stderr, "sallyport %s: %s\n", command, e->msg);
    return 1;
}

int cmd_server_backup(int argc, char **argv)
{
    struct backup_command c = {.data = NULL};
    int code = parse(&c, "server backup", "Writes the database into FILE; the server may run.",
                     "The copy is whole and checked, and has mode 0600: it holds all sessions.\n"
                     "With --replace an older FILE is replaced, as a whole or not at all.",
                     argc, argv);
    if (code >= 0)
        return code;
    AUTO_FREE char *default_dir = cmd_default_data_dir();
    struct err e = {0};
    const char *dir = c.data ? c.data : default_dir;
    if (backup_make(dir, argv[1], c.replace, &e) < 0)
        return complain("server backup", &e);
    struct stat st;
    if (stat(argv[1], &st) == 0) {
        char bytes[32];
        term_print_word(stdout, argv[1]);
        printf(": %s\n", term_bytes(st.st_size, bytes));
    }
    AUTO_FREE char *key = mem_printf("%s/tunnel.key", dir);
    if (stat(key, &st) == 0) {
        term_print_word(stderr, key);
        fputs(" is not in it: copy it apart, with its mode, to show tokens of tunnels after a "
              "restore\n",
              stderr);
    }
    return 0;
}

int cmd_server_restore(int argc, char **argv)
{
    struct backup_command c = {.data = NULL};
    int code = parse(&c, "server restore", "Makes a backup the server's database.",
                     "No server may run in the data directory. With --replace the database that "
                     "is there\nis kept beside the new one, under a name with the time in it.",
                     argc, argv);
    if (code >= 0)
        return code;
    AUTO_FREE char *default_dir = cmd_default_data_dir();
    AUTO_FREE char *kept = NULL;
    struct err e = {0};
    const char *dir = c.data ? c.data : default_dir;
    int r = backup_restore(argv[1], dir, c.replace, &kept, &e);
    if (kept) {
        fputs("the database that was there is now ", stdout);
        term_print_word(stdout, kept);
        putchar('\n');
    }
    if (r < 0)
        return complain("server restore", &e);
    printf("restored into %s\n", dir);
    return 0;
}

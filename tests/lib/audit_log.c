/* audit_log - writes an audit log for tests, through the writer of src/audit: one command a line on
 * standard input, and "ok" on standard output when it is done.
 *
 *     audit_log FILE [ROTATE_BYTES [CHECKPOINT_RECORDS]]
 *
 *     add N NAME=VALUE...   N records with these members; kind=request unless it says otherwise.
 *                           A %20 in a value is a blank, %1b an escape, and so on
 *     checkpoint
 *     die                   ends without closing
 *
 * At the end of its input it closes the log. */
#include "audit/writer.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static size_t decode(char *s)
{
    size_t n = 0;
    for (char *p = s; *p; p++, n++) {
        s[n] = *p;
        if (*p == '%' && enc_hex_decode(p + 1, 2, s + n) == 0)
            p += 2;
    }
    return n;
}

static bool set(struct audit_record *r, char *word)
{
    char *value = strchr(word, '=');
    uint64_t number = 0;
    if (!value)
        return false;
    *value++ = '\0';
    size_t n = decode(value);
    if (str_eq(word, "kind"))
        r->kind = (enum audit_kind)audit_kind_of(value);
#define TEXT_(name, max) else if (str_eq(word, #name)) r->name = (struct audit_text){value, n};
    AUDIT_TEXTS(TEXT_)
#undef TEXT_
#define NUMBER_(name)                                                                              \
    else if (str_eq(word, #name) && str_to_u64(value, n, UINT64_MAX, &number) == 0) r->name =      \
        number;
    AUDIT_NUMBERS(NUMBER_)
#undef NUMBER_
    else return false;
    return true;
}

static int add(struct audit_writer *w, char *words, struct err *e)
{
    struct audit_record r = {.kind = AUDIT_REQUEST};
    char *rest = words, *word = strsep(&rest, " ");
    uint64_t times = 0;
    if (str_to_u64(word, strlen(word), 1000000, &times) < 0)
        return err_set(e, -EINVAL, "add how many?");
    while ((word = strsep(&rest, " ")))
        if (*word && !set(&r, word))
            return err_set(e, -EINVAL, "what is %s?", word);
    int code = 0;
    for (uint64_t i = 0; code == 0 && i < times; i++) {
        code = audit_writer_reserve(w, 1, e);
        if (code == 0)
            code = audit_writer_add(w, "test", NULL, 0, &r, e);
    }
    return code == 0 ? audit_writer_flush(w, e) : code;
}

static int command(struct audit_writer *w, char *line, struct err *e)
{
    line[strcspn(line, "\n")] = '\0';
    if (str_starts(line, "add "))
        return add(w, line + 4, e);
    if (str_eq(line, "checkpoint"))
        return audit_writer_checkpoint(w, "time", e);
    if (str_eq(line, "die"))
        _exit(9);
    return err_set(e, -EINVAL, "no such command: %s", line);
}

static uint64_t number(int argc, char **argv, int i)
{
    uint64_t v = 0;
    return argc > i && str_to_u64(argv[i], strlen(argv[i]), INT32_MAX, &v) == 0 ? v : 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct audit_writer *w = NULL;
    if (argc < 2)
        return 2;
    struct audit_options o = {.path = argv[1],
                              .rotate_bytes = (int64_t)number(argc, argv, 2),
                              .checkpoint_records = (unsigned)number(argc, argv, 3)};
    int r = audit_writer_open(&o, &w, &e);
    static char line[16384];
    while (r == 0 && fgets(line, sizeof(line), stdin)) {
        r = line[0] == '\n' ? 0 : command(w, line, &e);
        if (r == 0) {
            printf("ok\n");
            fflush(stdout);
        }
    }
    if (r == 0)
        r = audit_writer_close(w, &e);
    if (r < 0)
        fprintf(stderr, "%s\n", e.msg);
    return r < 0 ? 1 : 0;
}

/* flags.c - command lines and configuration files from one table.
 *
 * Called at the start of every subcommand, before any fiber or thread exists. argv is the
 * operator's own, a configuration file too, but both are parsed strictly: a flag that is not
 * understood, given twice with a single value, or out of range is refused with words, because a
 * setting that silently does nothing is how boundaries get left open. The file is at most 1 MiB.
 *
 * Texts taken from a file are copied and live as long as the process; there is one configuration
 * per process. */
#include "cmd/line/flags.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "base/yaml.h"
#include "cmd/line/host_path.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX_BYTES (1u << 20)
#define NEAR_WORD        32 /* longest word that is compared for a suggestion */

/* ---- values ---- */

struct unit {
    const char *suffix;
    int64_t factor;
};

static int with_unit(const char *text, const struct unit *units, size_t n_units, int64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t n;
    int r = str_to_u64(text, digits, INT64_MAX, &n);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n_units; i++) {
        int64_t v;
        if (strcmp(text + digits, units[i].suffix) != 0)
            continue;
        if (__builtin_mul_overflow((int64_t)n, units[i].factor, &v))
            return -ERANGE;
        *ret = v;
        return 0;
    }
    return -EINVAL;
}

static const struct unit durations[] = {{"ms", 1},    {"", 1000},     {"s", 1000},
                                        {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit sizes[] = {
    {"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1ll << 40}};

int flags_duration_ms(const char *text, int64_t *ret)
{
    return time_parse_duration_ms(text, ret);
}

int flags_size_bytes(const char *text, int64_t *ret)
{
    return with_unit(text, sizes, ARRAY_LEN(sizes), ret);
}

/* `v` as one would write it on a command line, with the largest unit that leaves no fraction.
 * malloc'ed. */
static char *amount(enum flag_kind kind, int64_t v)
{
    const struct unit *units = kind == FLAG_SIZE ? sizes : durations;
    size_t n = kind == FLAG_SIZE       ? ARRAY_LEN(sizes)
               : kind == FLAG_DURATION ? ARRAY_LEN(durations)
                                       : 0;
    while (n-- > 0)
        if (v >= units[n].factor && v % units[n].factor == 0 && units[n].suffix[0])
            return mem_printf("%" PRId64 "%s", v / units[n].factor, units[n].suffix);
    return mem_printf("%" PRId64, v);
}

static int check_range(const struct flag *f, int64_t v, const char *text, const char *where,
                       struct err *e)
{
    const bool bounded = f->min || f->max;
    const int64_t most = bounded ? f->max : INT64_MAX;
    if (v >= f->min && v <= most) {
        *(int64_t *)f->ptr = v;
        return 0;
    }
    AUTO_FREE char *from = amount(f->kind, f->min);
    AUTO_FREE char *to = amount(f->kind, most);
    return most == INT64_MAX ? err_set(e, -EINVAL, "%s%s: %s is out of range (%s or more)", where,
                                       f->name, text, from)
                             : err_set(e, -EINVAL, "%s%s: %s is out of range (%s to %s)", where,
                                       f->name, text, from, to);
}

int flags_section_again(const struct flag_section *s, const char *name, json_t **ret, struct err *e)
{
    AUTO_JSON json_t *root = NULL;
    int r = flags_load(s->file, &root, e);
    if (r < 0)
        return r;
    json_t *section = json_object_get(root, name);
    section = section ? section : root;
    if (!json_is_object(section))
        return err_set(e, -EINVAL, "%s: must be a mapping", s->file);
    *ret = json_incref(section);
    return 0;
}

static int load_section(struct flag *f, const char *path, struct err *e)
{
    struct flag_section *s = f->ptr, fresh = {.file = path};
    int r = flags_section_again(&fresh, f->name, &fresh.json, e);
    if (r < 0)
        return err_wrap(e, r, "--%s", f->name);
    json_decref(s->json);
    *s = fresh;
    return 0;
}

/* Stores one textual value; `where` is "--" or "FILE: ". */
static int set_text(struct flag *f, const char *text, const char *where, struct err *e)
{
    int64_t v = 0;
    int r = 0;
    switch (f->kind) {
    case FLAG_TEXT:
    case FLAG_FILE:
    case FLAG_DIR:
        *(const char **)f->ptr = text;
        return 0;
    case FLAG_CHOICE: {
        AUTO(buf) list = BUF_INIT(512);
        for (size_t i = 0; f->choices[i]; i++) {
            if (!strcmp(f->choices[i], text)) {
                *(const char **)f->ptr = f->choices[i];
                return 0;
            }
            buf_addf(&list, "%s%s", i ? ", " : "", f->choices[i]);
        }
        return err_set(e, -EINVAL, "%s%s: \"%s\" is not one of %s", where, f->name, text,
                       buf_str(&list));
    }
    case FLAG_INT:
        r = str_to_i64(text, strlen(text), INT64_MIN, INT64_MAX, &v);
        if (r < 0)
            return err_set(e, -EINVAL, "%s%s: \"%s\" is not a whole number", where, f->name, text);
        return check_range(f, v, text, where, e);
    case FLAG_DURATION:
        r = flags_duration_ms(text, &v);
        if (r < 0)
            return err_set(e, -EINVAL,
                           "%s%s: \"%s\" is not a duration; write 1500ms, 30s, 5m or 2h", where,
                           f->name, text);
        return check_range(f, v, text, where, e);
    case FLAG_SIZE:
        r = flags_size_bytes(text, &v);
        if (r < 0)
            return err_set(e, -EINVAL, "%s%s: \"%s\" is not a size; write 4096, 512K, 256M or 2G",
                           where, f->name, text);
        return check_range(f, v, text, where, e);
    case FLAG_LIST: {
        struct flag_list *l = f->ptr;
        if (l->n == FLAG_LIST_MAX)
            return err_set(e, -EINVAL, "%s%s: given more than %d times", where, f->name,
                           FLAG_LIST_MAX);
        l->value[l->n++] = text;
        return 0;
    }
    case FLAG_SECTION:
        return load_section(f, text, e);
    case FLAG_BOOL:
        break;
    }
    MUST(f->kind != FLAG_BOOL); /* it has no text form */
    return -EINVAL;
}

/* ---- suggestions ---- */

/* Edit distance with a swap of neighbours counted as one, for words of at most NEAR_WORD
 * characters. */
static size_t distance(const char *a, const char *b)
{
    size_t an = strlen(a), bn = strlen(b);
    unsigned char d[NEAR_WORD + 1][NEAR_WORD + 1];
    if (an > NEAR_WORD || bn > NEAR_WORD)
        return SIZE_MAX;
    for (size_t i = 0; i <= an; i++)
        d[i][0] = (unsigned char)i;
    for (size_t j = 0; j <= bn; j++)
        d[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= an; i++)
        for (size_t j = 1; j <= bn; j++) {
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1u < best)
                best = d[i - 1][j] + 1u;
            if (d[i][j - 1] + 1u < best)
                best = d[i][j - 1] + 1u;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1u < best)
                best = d[i - 2][j - 2] + 1u;
            d[i][j] = (unsigned char)best;
        }
    return d[an][bn];
}

const char *flags_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2; /* further away is another word, not a slip */
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, names[i]);
        if (d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

static int unknown(const struct flag_set *set, const char *word, size_t n, const char *where,
                   char dash, struct err *e)
{
    const char *names[64];
    char given[NEAR_WORD + 2];
    size_t n_names = 0;
    for (size_t i = 0; i < set->n_flags && n_names < ARRAY_LEN(names); i++)
        names[n_names++] = set->flags[i].name;
    size_t k = n < sizeof(given) ? n : sizeof(given) - 1;
    memcpy(given, word, k);
    given[k] = '\0';
    for (char *p = given; *p; p++)
        if (*p == '_')
            *p = '-';
    const char *near = flags_nearest(given, names, n_names);
    AUTO(buf) shown = BUF_INIT(512);
    str_escape(&shown, word, n, 60);
    if (!near)
        return err_set(e, -EINVAL, "%s%s: there is no such %s", where, buf_str(&shown),
                       dash == '-' ? "flag" : "setting");
    AUTO_FREE char *hint = mem_strdup(near);
    for (char *p = hint; *p; p++)
        if (*p == '-')
            *p = dash;
    return err_set(e, -EINVAL, "%s%s: there is no such %s; did you mean %s%s?", where,
                   buf_str(&shown), dash == '-' ? "flag" : "setting", dash == '-' ? "--" : "",
                   hint);
}

/* ---- command line ---- */

static struct flag *find(const struct flag_set *set, const char *name, size_t n)
{
    for (size_t i = 0; i < set->n_flags; i++)
        if (strlen(set->flags[i].name) == n && !memcmp(set->flags[i].name, name, n))
            return &set->flags[i];
    return NULL;
}

/* One "--…" word; *i may advance over its value. */
static int parse_flag(struct flag_set *set, int argc, char **argv, int *i, struct err *e)
{
    const char *word = argv[*i] + 2, *eq = strchr(word, '=');
    size_t n = eq ? (size_t)(eq - word) : strlen(word);
    bool negated = false;
    struct flag *f = find(set, word, n);
    if (!f && n > 3 && !memcmp(word, "no-", 3)) {
        f = find(set, word + 3, n - 3);
        if (f && f->kind != FLAG_BOOL)
            f = NULL;
        negated = f != NULL;
    }
    if (!f)
        return unknown(set, word, n, "--", '-', e);
    if (f->source == FLAG_FROM_LINE && f->kind != FLAG_LIST)
        return err_set(e, -EINVAL, "--%s: given twice", f->name);
    f->source = FLAG_FROM_LINE;
    if (f->kind == FLAG_BOOL) {
        if (eq)
            return err_set(e, -EINVAL, "--%s: takes no value (use --%s or --no-%s)", f->name,
                           f->name, f->name);
        *(bool *)f->ptr = !negated;
        return 0;
    }
    if (!eq && (*i + 1 >= argc || str_eq(argv[*i + 1], "--")))
        return err_set(e, -EINVAL, "--%s: needs a value (%s)", f->name, f->arg);
    return set_text(f, eq ? eq + 1 : argv[++*i], "--", e);
}

int flags_parse(struct flag_set *set, int argc, char **argv, int *ret_n_args, struct err *e)
{
    int n_args = 0;
    bool flags_over = false;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        if (flags_over || word[0] != '-' || word[1] == '\0') {
            argv[1 + n_args++] = word;
            continue;
        }
        if (!strcmp(word, "--")) {
            flags_over = true;
            continue;
        }
        if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            flags_help(set, stdout);
            return FLAGS_EXIT_OK;
        }
        if (!strcmp(word, "--complete-flags")) {
            flags_completion(set, stdout);
            return FLAGS_EXIT_OK;
        }
        int r = word[1] != '-' ? err_set(e, -EINVAL, "%s: the only one-letter flag is -h", word)
                               : parse_flag(set, argc, argv, &i, e);
        if (r < 0 && n_args > 0 && set->args && str_starts(set->args, "-- ")) {
            AUTO_FREE char *why = mem_strdup(e->msg);
            return err_set(e, r, "%s; write the command's own flags after --", why);
        }
        if (r < 0)
            return r;
    }
    if (n_args < set->min_args)
        return err_set(e, -EINVAL, "an argument is missing: sallyport %s %s", set->command,
                       set->args);
    if (set->max_args >= 0 && n_args > set->max_args)
        return err_set(e, -EINVAL, "\"%s\" is one argument too many", argv[1 + set->max_args]);
    *ret_n_args = n_args;
    return FLAGS_GO_ON;
}

/* ---- configuration file ---- */

/* Texts of configuration files live as long as the program, like argv; the list owns them. */
struct kept_text {
    struct kept_text *next;
    char text[];
};
static struct kept_text *kept_texts;

static const char *keep_text(const char *text)
{
    size_t n = strlen(text) + 1;
    struct kept_text *k = mem_array(sizeof(*k) + n, 1);
    memcpy(k->text, text, n);
    k->next = kept_texts;
    kept_texts = k;
    return k->text;
}

static int set_json(struct flag *f, json_t *j, const char *where, struct err *e)
{
    char number[32];
    if (f->kind == FLAG_SECTION) {
        if (!json_is_object(j))
            return err_set(e, -EINVAL, "%s%s: must be a mapping", where, f->name);
        ((struct flag_section *)f->ptr)->json = json_incref(j); /* flags come from one file */
        return 0;
    }
    if (f->kind == FLAG_BOOL) {
        if (!json_is_boolean(j))
            return err_set(e, -EINVAL, "%s%s: must be true or false", where, f->name);
        *(bool *)f->ptr = json_is_true(j);
        return 0;
    }
    if (f->kind == FLAG_LIST) {
        size_t i;
        json_t *one;
        if (!json_is_array(j))
            return err_set(e, -EINVAL, "%s%s: must be a list", where, f->name);
        json_array_foreach ((json_t *)(uintptr_t)j, i, one) {
            if (!json_is_string(one))
                return err_set(e, -EINVAL, "%s%s: must be a list of texts", where, f->name);
            int r = set_text(f, keep_text(json_string_value(one)), where, e);
            if (r < 0)
                return r;
        }
        return 0;
    }
    if (json_is_integer(j)) {
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(j));
        return set_text(f, keep_text(number), where, e);
    }
    if (json_is_string(j))
        return set_text(f, keep_text(json_string_value(j)), where, e);
    return err_set(e, -EINVAL, "%s%s: must be a text or a whole number", where, f->name);
}

static int read_whole(const char *path, struct buf *out, struct err *e)
{
    AUTO_CLOSE int fd = host_path_read(path, e);
    if (fd < 0)
        return fd;
    for (;;) {
        char *room = buf_room(out, 16384);
        if (!room)
            return err_set(e, -EMSGSIZE, "%s: larger than %u bytes", path, CONFIG_MAX_BYTES);
        ssize_t n = read(fd, room, 16384);
        if (n < 0) {
            int code = -errno;
            if (code == -EINTR)
                continue;
            return err_set(e, code, "%s: cannot be read: %s", path, err_text(code));
        }
        if (n == 0)
            return 0;
        buf_commit(out, (size_t)n);
    }
}

int flags_load(const char *path, json_t **ret, struct err *e)
{
    AUTO(buf) text = BUF_INIT(CONFIG_MAX_BYTES + 16384);
    int r = read_whole(path, &text, e);
    if (r < 0)
        return r;
    r = yaml_parse_json(buf_str(&text), text.len, ret, e);
    return r < 0 ? err_wrap(e, r, "%s", path) : 0;
}

int flags_read_file(struct flag_set *set, const char *path, const char *section, struct err *e)
{
    AUTO_JSON json_t *root = NULL;
    int r = flags_load(path, &root, e);
    if (r < 0)
        return r;
    const json_t *map = root;
    if (section && json_is_object(root))
        map = json_object_get(root, section);
    if (!map || json_is_null(map))
        return 0;
    if (!json_is_object(map))
        return err_set(e, -EINVAL, "%s: must be a mapping of settings (listen: 127.0.0.1:8400)",
                       path);

    AUTO_FREE char *where =
        mem_printf("%s: %s%s", path, section ? section : "", section ? "." : "");
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)map, key, value) {
        AUTO_FREE char *name = mem_strdup(key);
        for (char *p = name; *p; p++)
            if (*p == '_')
                *p = '-';
        struct flag *f = strchr(key, '-') ? NULL : find(set, name, strlen(name));
        if (f && f->line_only)
            return err_set(e, -EINVAL, "%s%s: there is no such setting in a file; give --%s", where,
                           key, name);
        if (!f)
            return unknown(set, key, strlen(key), where, '_', e);
        if (f->source == FLAG_FROM_LINE)
            continue;
        struct flag as_written = *f; /* errors name the setting as the file does */
        as_written.name = key;
        r = set_json(&as_written, value, where, e);
        if (r < 0)
            return r;
        f->source = FLAG_FROM_FILE;
        if (f->kind == FLAG_SECTION)
            ((struct flag_section *)f->ptr)->file = path;
    }
    return 0;
}

int flags_main(struct flag_set *set, int argc, char **argv, const char **config, int *ret_n_args)
{
    struct err e = {0};
    int n_args = 0, r = flags_parse(set, argc, argv, &n_args, &e);
    if (r == FLAGS_EXIT_OK)
        return 0;
    if (r == 0 && config && *config)
        r = flags_read_file(set, *config, NULL, &e);
    if (r < 0) {
        fprintf(stderr, "sallyport %s: %s\n", set->command, e.msg);
        fprintf(stderr, "Try: sallyport %s --help\n", set->command);
        return 2;
    }
    if (ret_n_args)
        *ret_n_args = n_args;
    return -1;
}

/* ---- sets ---- */

void flags_add(struct flag_set *set, const struct flag *rows, size_t n)
{
    MUST(set->n_flags + n <= FLAG_SET_MAX);
    memcpy(set->flags + set->n_flags, rows, n * sizeof(*rows));
    set->n_flags += n;
}

/* A value that is no switch and no list, as it is written on a command line. malloc'ed. */
static char *value_text(const struct flag *f)
{
    switch (f->kind) {
    case FLAG_INT:
    case FLAG_DURATION:
    case FLAG_SIZE:
        return amount(f->kind, *(const int64_t *)f->ptr);
    case FLAG_SECTION:
        return mem_strdup(((const struct flag_section *)f->ptr)->file);
    default:
        return mem_strdup(*(const char *const *)f->ptr);
    }
}

size_t flags_hand_on(const struct flag_set *set, char **ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < set->n_flags; i++) {
        const struct flag *f = &set->flags[i];
        if (!f->handed_on || f->source == FLAG_DEFAULT)
            continue;
        if (f->kind == FLAG_LIST) {
            const struct flag_list *l = f->ptr;
            MUST(n + l->n <= max);
            for (size_t k = 0; k < l->n; k++)
                ret[n++] = mem_printf("--%s=%s", f->name, l->value[k]);
            continue;
        }
        MUST(n < max);
        if (f->kind == FLAG_BOOL) {
            ret[n++] = mem_printf("--%s%s", *(const bool *)f->ptr ? "" : "no-", f->name);
        } else {
            AUTO_FREE char *value = value_text(f);
            ret[n++] = mem_printf("--%s=%s", f->name, value);
        }
    }
    return n;
}

/* ---- help and completion ---- */

void flags_help(const struct flag_set *set, FILE *out)
{
    size_t width = strlen("--help");
    for (size_t i = 0; i < set->n_flags; i++) {
        const struct flag *f = &set->flags[i];
        size_t n = 2 + strlen(f->name) + (f->arg ? 1 + strlen(f->arg) : 0);
        width = n > width ? n : width;
    }
    fprintf(out, "%s\n\nUsage: sallyport %s%s%s%s\n", set->summary, set->command,
            set->n_flags ? " [flags]" : "", set->args ? " " : "", set->args ? set->args : "");
    if (set->details)
        fprintf(out, "\n%s\n", set->details);
    fprintf(out, "\nFlags:\n");
    for (size_t i = 0; i < set->n_flags; i++) {
        const struct flag *f = &set->flags[i];
        AUTO_FREE char *left =
            mem_printf("--%s%s%s", f->name, f->arg ? " " : "", f->arg ? f->arg : "");
        fprintf(out, "  %-*s  %s\n", (int)width, left, f->help);
    }
    fprintf(out, "  %-*s  %s\n", (int)width, "--help", "show this and exit");
}

void flags_completion(const struct flag_set *set, FILE *out)
{
    static const char *const kinds[] = {
        [FLAG_BOOL] = "none", [FLAG_TEXT] = "text", [FLAG_FILE] = "file",
        [FLAG_DIR] = "dir",   [FLAG_INT] = "text",  [FLAG_DURATION] = "text",
        [FLAG_SIZE] = "text", [FLAG_LIST] = "text", [FLAG_SECTION] = "file",
    };
    for (size_t i = 0; i < set->n_flags; i++) {
        const struct flag *f = &set->flags[i];
        fprintf(out, "--%s\t", f->name);
        if (f->kind == FLAG_CHOICE)
            for (size_t k = 0; f->choices[k]; k++)
                fprintf(out, "%s%s", k ? "," : "choice:", f->choices[k]);
        else
            fputs(kinds[f->kind], out);
        fprintf(out, "\t%s\n", f->help);
    }
    fprintf(out, "--help\tnone\tshow this and exit\n");
}

/* test_source_docs.c - what docs/secrets.md shows is what the program reads: every example of a
 * source, and the table of shapes. The page is the program's one argument. */
#include "unit/secret/secret_world.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/yaml.h"
#include "secret/format.h"

#include <stdio.h>

static char *page;

static char *read_page(const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    char *text = mem_zalloc(1u << 18);
    size_t n = fread(text, 1, (1u << 18) - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    return text;
}

/* One document of an example, which may have several of the same member, one below the other. */
static size_t try_document(struct secret_world *w, const char *text, size_t n)
{
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    if (yaml_parse_json(text, n, &j, &e) < 0)
        fail_msg("%.*s: %s", (int)n, text, e.msg);
    const json_t *source = json_object_get(j, "source");
    const char *format = json_get_str(j, "format");
    if (source) {
        struct secret_source *s = NULL;
        if (secret_source_new(w->all, source, 0, &s, &e) < 0)
            fail_msg("%.*s: %s", (int)n, text, e.msg);
        secret_source_unref(s);
    }
    if (format && !str_eq(format, "keep")) {
        struct placeholder_format *f = NULL;
        if (placeholder_format_parse(format, &f, &e) < 0)
            fail_msg("%s: %s", format, e.msg);
        placeholder_format_free(f);
    }
    return source != NULL;
}

static int every_example_of_a_source_is_accepted(void *arg)
{
    (void)arg;
    struct secret_world w;
    size_t n = 0;
    world_begin(&w);
    for (const char *p = page; (p = strstr(p, "```yaml\n"));) {
        p += strlen("```yaml\n");
        const char *end = strstr(p, "```");
        assert_non_null(end);
        while (p < end) {
            const char *next = p;
            do { /* to the next line that begins a member at the left */
                next = strchr(next, '\n') + 1;
            } while (next < end && (*next == ' ' || *next == '\n'));
            n += try_document(&w, p, (size_t)(next - p));
            p = next;
        }
    }
    assert_true(n >= 10);
    world_end(&w);
    return 0;
}
ON_LOOP(every_example_of_a_source_is_accepted)

static void the_table_of_shapes_is_the_programs(void **state)
{
    (void)state;
    size_t n = 0;
    for (const struct placeholder_shape *s = placeholder_shapes; s->name; s++, n++) {
        struct placeholder_format *f = NULL;
        assert_int_equal(placeholder_format_parse(s->name, &f, NULL), 0);
        unsigned bits = placeholder_format_bits(f);
        placeholder_format_free(f);
        AUTO_FREE char *format = mem_printf("`%s`", s->format);
        AUTO_FREE char *row =
            mem_printf(s->small ? "\n| `%s` | %s | **%u** |" : "\n| `%s` | %s | %u |", s->name,
                       str_eq(s->name, "jwt") ? "a header (HS256), a payload that "
                                                "ends in the year 2100, `{bytes:32}`"
                                              : format,
                       bits);
        if (!strstr(page, row))
            fail_msg("not in the page: %s", row + 1);
    }
    const char *table = strstr(page, "| shape | format |");
    assert_non_null(table);
    size_t rows = 0;
    for (const char *p = strchr(table, '\n'); p && p[1] == '|'; p = strchr(p + 1, '\n'))
        rows++;
    assert_int_equal(rows, n + 1); /* and the line below the head */
}

int main(int argc, char **argv)
{
    page = argc == 2 ? read_page(argv[1]) : NULL;
    if (!page) {
        print_message("usage: test_secret_source_docs docs/secrets.md\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        CASE(every_example_of_a_source_is_accepted),
        cmocka_unit_test(the_table_of_shapes_is_the_programs),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(page);
    return failed;
}

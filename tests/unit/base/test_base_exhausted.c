/* What the wrappers of jansson, libyaml and PCRE2 do when memory runs out: an error or our own last
 * words, never a crash. jansson 2.14 alone writes past the end of a block that could not grow. */
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/regex.h"
#include "base/yaml.h"

#include "unit/exhaust.h"

static const char document[] =
    "{\"text\":\"0123456789012345678901234567890123456789012345678901234567890123456789\","
    "\"escapes\":\"\\u00e9\\n\\\"\\ud83d\\ude00\",\"list\":[1,-2.5e3,true,null,[],{}],"
    "\"big\":123456789012345678901234567890,\"deep\":{\"a\":{\"b\":{\"c\":[[[[\"x\"]]]]}}},"
    "\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9}";

static void parse_and_print(void)
{
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    if (json_parse(document, sizeof(document) - 1, &j, &e) < 0)
        return;
    AUTO(buf) out = BUF_INIT(10000);
    (void)json_print(&out, j);
}

static void parse_text(size_t n)
{
    static char text[200000];
    memset(text, 'x', n);
    memcpy(text, "[\"", 2);
    memcpy(text + n - 2, "\"]", 2);
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    (void)!json_parse(text, n, &j, &e);
}

/* The buffer for a string grows with it: where it could not, jansson by itself reads and writes on. */
static void parse_long(void)
{
    parse_text(20000);
}

/* Large enough to be asked for beforehand. */
static void parse_much(void)
{
    parse_text(200000);
}

/* What is stored is not damaged because it cannot be read now: any other code ends the try. */
static void read_stored(void)
{
    static char much[100000];
    memset(much, ' ', sizeof(much));
    memcpy(much, document, sizeof(document) - 1);
    AUTO_JSON json_t *few = NULL, *many = NULL;
    int r = json_parse_stored(document, sizeof(document) - 1, &few);
    if (r == 0)
        r = json_parse_stored(much, sizeof(much), &many);
    if (r != 0 && r != -ENOMEM)
        _exit(2);
}

static void build(void)
{
    AUTO_JSON json_t *o = json_new_object();
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%d", i);
        json_put_str(o, key, i % 2 ? "text" : "not utf-8: \xff");
        json_put(o, key, json_typed("x"));
        json_put_int(o, "n", i);
    }
    free(json_text(o, NULL));
}

static void read_yaml(void)
{
    static const char text[] =
        "a: [1, two, {three: 3.0}]\nb: |\n  some\n  lines\nc: {d: {e: \"f\"}}\n";
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    (void)!yaml_parse_json(text, sizeof(text) - 1, &j, &e);
}

static void match(void)
{
    struct err e = {0};
    struct regex *r = regex_new("^(a|b)*(c+)(?<name>d{1,3})$", REGEX_ICASE, &e);
    if (r)
        (void)!regex_find(r, "ababababcccdd", 13, 0, &(struct regex_match){0});
    regex_free(r);
    size_t steps = 1000;
    r = regex_new("^(a|b)*(c+)$", REGEX_METERED, &e);
    if (r)
        (void)!regex_find_metered(r, "ababababccc", 11, &steps);
    regex_free(r);
}

#define EXHAUST(fn)                                                                                \
    static void fn##_without_memory(void **state)                                                  \
    {                                                                                              \
        (void)state;                                                                               \
        exhaust_each(#fn, fn);                                                                     \
    }
EXHAUST(parse_and_print)
EXHAUST(parse_long)
EXHAUST(parse_much)
EXHAUST(read_stored)
EXHAUST(build)
EXHAUST(read_yaml)
EXHAUST(match)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_and_print_without_memory),
        cmocka_unit_test(parse_long_without_memory),
        cmocka_unit_test(parse_much_without_memory),
        cmocka_unit_test(read_stored_without_memory),
        cmocka_unit_test(build_without_memory),
        cmocka_unit_test(read_yaml_without_memory),
        cmocka_unit_test(match_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

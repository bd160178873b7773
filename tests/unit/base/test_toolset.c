/* test_toolset.c - the table of builtin tools: each row is whole, and what it says is true in the
 * rooms that live by it (the test is linked with all of them). */
#include "unit/unit.h"
#include "base/json.h"
#include "base/str.h"
#include "base/toolset.h"
#include "brain/permissions.h"
#include "brain/tools.h"
#include "sandbox/tools/tool.h"

#include <string.h>

static void rows_are_whole(void **state)
{
    (void)state;
    bool nobody = false;
    for (size_t i = 0; i < TOOLSET_N; i++) {
        const struct toolset_tool *t = &toolset_rows[i];
        if (toolset_find(t->name) != t)
            fail_msg("%s: stands there twice", t->name);
        if (strspn(t->name, "abcdefghijklmnopqrstuvwxyz_") != strlen(t->name) ||
            strlen(t->name) >= 24)
            fail_msg("%s: no name for a tool", t->name);
        if (nobody && t->served != TOOLSET_NOBODY)
            fail_msg("%s: what is served stands first", t->name);
        nobody = t->served == TOOLSET_NOBODY;
        if (nobody) {
            if (t->description || t->schema || t->only_looks)
                fail_msg("%s: nobody serves it, so nothing is known of it", t->name);
            continue;
        }
        if (!t->description || !t->description[0] || !str_ends(t->description, "."))
            fail_msg("%s: no sentence for the model", t->name);
        AUTO_JSON json_t *schema = NULL;
        if (!t->schema || json_parse(t->schema, strlen(t->schema), &schema, NULL) < 0)
            fail_msg("%s: the schema is no JSON", t->name);
        const json_t *properties = json_object_get(schema, "properties");
        if (!str_eq(json_get_str(schema, "type"), "object") || !json_is_object(properties))
            fail_msg("%s: the schema is none of an object", t->name);
        size_t k;
        json_t *key;
        json_array_foreach (json_object_get(schema, "required"), k, key)
            if (!json_object_get(properties, json_string_value(key)))
                fail_msg("%s: requires %s, which it does not describe", t->name,
                         json_string_value(key));
    }
    assert_null(toolset_find(NULL));
    assert_null(toolset_find(""));
    assert_null(toolset_find("Bash"));
}

static void names_are_sorted(void **state)
{
    (void)state;
    const char *names[TOOLSET_N + 1];
    toolset_names(names);
    assert_null(names[TOOLSET_N]);
    for (size_t i = 0; i < TOOLSET_N; i++) {
        assert_non_null(names[i]);
        const struct toolset_tool *t = toolset_find(names[i]);
        const struct toolset_tool *before = i ? toolset_find(names[i - 1]) : NULL;
        assert_non_null(t);
        if (before && (before->served == TOOLSET_NOBODY) == (t->served == TOOLSET_NOBODY) &&
            strcmp(before->name, t->name) >= 0)
            fail_msg("%s before %s", before->name, t->name);
        if (before && before->served == TOOLSET_NOBODY && t->served != TOOLSET_NOBODY)
            fail_msg("%s, which nobody serves, before %s", before->name, t->name);
    }
}

/* The other direction, a function without a row, is the compiler's: it warns of the prototype that
 * is missing. */
static void served_is_what_the_sandbox_has(void **state)
{
    (void)state;
    size_t n = 0;
    for (size_t i = 0; i < TOOLSET_N; i++) {
        assert_int_equal(tool_find(toolset_rows[i].name) != NULL,
                         toolset_rows[i].served == TOOLSET_FILE);
        if (toolset_rows[i].served != TOOLSET_NOBODY)
            assert_string_equal(toolset_served[n++], toolset_rows[i].name);
    }
    assert_null(toolset_served[n]);
}

static void offered_is_what_is_served(void **state)
{
    (void)state;
    AUTO_JSON json_t *agent = NULL;
    static const char all[] = "{\"tools\":[{\"type\":\"agent_toolset_20260401\"}]}";
    assert_int_equal(json_parse(all, strlen(all), &agent, NULL), 0);
    AUTO_JSON json_t *offered = tools_for_model(agent);
    for (size_t i = 0; i < TOOLSET_N; i++) {
        const struct toolset_tool *t = &toolset_rows[i];
        assert_int_equal(tools_find(agent, t->name).kind,
                         t->served == TOOLSET_NOBODY ? TOOL_UNBUILT : TOOL_BUILTIN);
        const json_t *o = json_array_get(offered, i);
        assert_true(t->served == TOOLSET_NOBODY ? !o : str_eq(json_get_str(o, "name"), t->name));
        struct permission p = permission_evaluate("auto", t->name);
        assert_string_equal(p.evaluated, t->only_looks ? "allow" : "ask");
        permission_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_whole),
        cmocka_unit_test(names_are_sorted),
        cmocka_unit_test(served_is_what_the_sandbox_has),
        cmocka_unit_test(offered_is_what_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_placeholder.c - whose a placeholder is, for how long, and that none is two sessions'. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "secret/placeholder.h"

#include <stdio.h>
#include <string.h>

static const struct placeholder *issue(struct placeholders *p, const char *session,
                                       const char *credential, const char *format)
{
    struct placeholder_format *f = NULL;
    const struct placeholder *x = NULL;
    struct err e = {0};
    assert_int_equal(placeholder_format_parse(format, &f, &e), 0);
    if (placeholders_issue(p, session, credential, f, &x, &e) < 0)
        fail_msg("%s", e.msg);
    placeholder_format_free(f);
    return x;
}

static void a_placeholder_is_one_credentials_of_one_session(void **state)
{
    (void)state;
    struct placeholders *p = placeholders_new();
    const struct placeholder *a = issue(p, "sesn_a", "GITHUB", "github");
    const struct placeholder *b = issue(p, "sesn_b", "GITHUB", "github");
    const struct placeholder *c = issue(p, "sesn_a", "OTHER", NULL);
    assert_string_not_equal(a->text, b->text);
    assert_ptr_equal(issue(p, "sesn_a", "GITHUB", "github"), a); /* asked twice, the same */
    assert_ptr_equal(placeholders_find(p, a->text, a->n), a);
    assert_ptr_equal(placeholders_find(p, b->text, b->n), b);
    assert_string_equal(b->session, "sesn_b");
    assert_string_equal(b->credential, "GITHUB");
    assert_true(str_starts(c->text, "sp_ph_"));
    assert_ptr_equal(placeholders_of(p, "sesn_a", "OTHER"), c);
    assert_null(placeholders_of(p, "sesn_b", "OTHER"));
    assert_null(placeholders_of(p, "sesn_c", "OTHER"));

    char text[PLACEHOLDER_MAX];
    assert_true(str_copy(text, sizeof(text), a->text));
    for (size_t i = 0; i < a->n; i++) { /* one character off is nobody's */
        text[i] ^= 1;
        assert_null(placeholders_find(p, text, a->n));
        text[i] ^= 1;
    }
    assert_null(placeholders_find(p, text, a->n - 1));
    assert_null(placeholders_find(p, "", 0));

    const struct placeholder *list[PLACEHOLDERS_OF_SESSION_MAX];
    assert_int_equal(placeholders_list(p, "sesn_a", list), 2);
    assert_int_equal(placeholders_list(p, "sesn_c", list), 0);
    placeholders_forget(p, "sesn_a");
    placeholders_forget(p, "sesn_a");
    assert_null(placeholders_find(p, text, strlen(text)));
    assert_int_equal(placeholders_list(p, "sesn_a", list), 0);
    assert_non_null(placeholders_of(p, "sesn_b", "GITHUB"));
    placeholders_free(p);
    placeholders_free(NULL);
}

static void a_restarted_process_takes_its_placeholders_over(void **state)
{
    (void)state;
    struct placeholders *p = placeholders_new();
    struct err e = {0};
    const struct placeholder *x = NULL, *y = NULL;
    const char *text = "sp_ph_0123456789abcdef0123456789abcdef";
    assert_int_equal(placeholders_adopt(p, "sesn_a", "K", text, &x, &e), 0);
    assert_ptr_equal(placeholders_find(p, text, strlen(text)), x);
    assert_int_equal(placeholders_adopt(p, "sesn_a", "K", text, &y, &e), 0);
    assert_ptr_equal(x, y);
    assert_ptr_equal(issue(p, "sesn_a", "K", NULL), x);
    assert_int_equal(placeholders_adopt(p, "sesn_b", "K", text, &y, &e), -EEXIST);
    assert_int_equal(placeholders_adopt(p, "sesn_a", "L", text, &y, &e), -EEXIST);
    assert_int_equal(placeholders_adopt(p, "sesn_a", "K", "sp_ph_another0another0another0", &y, &e),
                     -EEXIST);
    static const char *const bad[] = {"", "short", "with a space in the middle",
                                      "x\r\nhost: evil00"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(placeholders_adopt(p, "sesn_a", "M", bad[i], &y, &e), -EINVAL);
    placeholders_free(p);
}

/* The same seed brings the same text again: it is taken, and another one is made. */
static void a_text_that_is_taken_is_not_given_twice(void **state)
{
    (void)state;
    struct placeholders *p = placeholders_new();
    rng_test_seed(7);
    const struct placeholder *a = issue(p, "sesn_a", "K", NULL);
    rng_test_seed(7);
    const struct placeholder *b = issue(p, "sesn_b", "K", NULL);
    rng_test_reset();
    assert_string_not_equal(a->text, b->text);
    placeholders_free(p);
}

static void many_sessions_find_their_own(void **state)
{
    (void)state;
    struct placeholders *p = placeholders_new();
    char session[32];
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(session, sizeof(session), "sesn_%d", i);
        (void)issue(p, session, "A", "aws_access_key_id");
        (void)issue(p, session, "B", "gitlab");
    }
    for (int i = 0; i < 2000; i += 2) {
        (void)snprintf(session, sizeof(session), "sesn_%d", i);
        placeholders_forget(p, session);
    }
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(session, sizeof(session), "sesn_%d", i);
        const struct placeholder *x = placeholders_of(p, session, "A");
        assert_int_equal(x != NULL, i % 2);
        if (x)
            assert_ptr_equal(placeholders_find(p, x->text, x->n), x);
    }
    placeholders_free(p);
}

static void a_session_has_a_ceiling(void **state)
{
    (void)state;
    struct placeholders *p = placeholders_new();
    struct placeholder_format *f = NULL;
    const struct placeholder *x = NULL;
    struct err e = {0};
    char name[16];
    assert_int_equal(placeholder_format_parse(NULL, &f, NULL), 0);
    for (int i = 0; i <= PLACEHOLDERS_OF_SESSION_MAX; i++) {
        (void)snprintf(name, sizeof(name), "K%d", i);
        assert_int_equal(placeholders_issue(p, "sesn_a", name, f, &x, &e),
                         i < PLACEHOLDERS_OF_SESSION_MAX ? 0 : -E_LIMIT);
    }
    const struct placeholder *list[PLACEHOLDERS_OF_SESSION_MAX];
    assert_int_equal(placeholders_list(p, "sesn_a", list), PLACEHOLDERS_OF_SESSION_MAX);
    placeholder_format_free(f);
    placeholders_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_placeholder_is_one_credentials_of_one_session),
        cmocka_unit_test(a_restarted_process_takes_its_placeholders_over),
        cmocka_unit_test(a_text_that_is_taken_is_not_given_twice),
        cmocka_unit_test(many_sessions_find_their_own),
        cmocka_unit_test(a_session_has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

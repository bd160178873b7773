/* test_certifi.c - which files are found, and what they become. */
#include "unit/sandbox/build/made_dir.h"

#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "sandbox/build/certifi.h"
#include "sandbox/spec.h"
#include "unit/boundary_ca.h"

static void copies_in_the_usual_places_are_found(void **state)
{
    (void)state;
    char *dir = made_dir(
        "for d in usr/local/lib/python3.12/site-packages usr/local/lib/python3.9/dist-packages "
        "opt/venv/lib/python3.11/site-packages usr/local/lib/python2.7/site-packages "
        "usr/local/lib/node/site-packages; do mkdir -p $d/certifi; echo x >$d/certifi/cacert.pem; "
        "done; mkdir -p opt/conda/ssl usr/local/lib/python3.10/site-packages "
        "usr/local/lib/python3.13/site-packages/certifi/cacert.pem; echo x "
        ">opt/conda/ssl/cacert.pem; "
        "ln -s ../../python3.12/site-packages/certifi "
        "usr/local/lib/python3.10/site-packages/certifi; ln -s python3.12 "
        "usr/local/lib/python3; mkdir -p app elsewhere/lib/python3.1/site-packages/certifi; echo x "
        ">elsewhere/lib/python3.1/site-packages/certifi/cacert.pem; ln -s ../elsewhere app/venv");
    AUTO_CLOSE int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO(certifi) found = {.n = 0};
    certifi_find(root, &found);
    static const char *const wanted[] = {
        "usr/local/lib/python3.12/site-packages/certifi/cacert.pem",
        "usr/local/lib/python3.9/dist-packages/certifi/cacert.pem",
        "opt/venv/lib/python3.11/site-packages/certifi/cacert.pem", "opt/conda/ssl/cacert.pem"};
    assert_int_equal(found.n, ARRAY_LEN(wanted)); /* nothing behind a link, no directory */
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        bool there = false;
        for (size_t k = 0; k < found.n; k++)
            there = there || str_eq(found.path[k], wanted[i]);
        if (!there)
            fail_msg("%s is not found", wanted[i]);
    }
    made_dir_gone(dir);
}

static void there_is_an_end_to_it(void **state)
{
    (void)state;
    char *dir = made_dir("for i in $(seq 40); do d=usr/local/lib/python3.$i/site-packages/certifi; "
                         "mkdir -p $d; echo x >$d/cacert.pem; done");
    AUTO_CLOSE int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO(certifi) found = {.n = 0};
    certifi_find(root, &found);
    assert_int_equal(found.n, CERTIFI_MAX);
    made_dir_gone(dir);
}

/* An OCI engine names them in a file of JSON. */
static void names_that_are_no_text_are_passed_over(void **state)
{
    (void)state;
    char *dir = made_dir("d=usr/local/lib/python3$(printf '\\377')/site-packages/certifi; "
                         "mkdir -p $d; echo x >$d/cacert.pem");
    AUTO_CLOSE int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO(certifi) found = {.n = 0};
    certifi_find(root, &found);
    assert_int_equal(found.n, 0);
    made_dir_gone(dir);
}

/* Nobody inside can read such a file, either: no reason for there to be no sandbox. */
static void files_that_cannot_be_read_are_passed_over(void **state)
{
    (void)state;
    char *dir = made_dir("chmod 755 .; for i in 1 2; do "
                         "d=usr/local/lib/python3.$i/site-packages/certifi; mkdir -p $d; "
                         "echo x >$d/cacert.pem; done; chmod 000 $d/cacert.pem");
    AUTO_CLOSE int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO(certifi) found = {.n = 0};
    const uid_t before = geteuid();
    if (before == 0)
        assert_int_equal(seteuid(65534), 0);
    certifi_find(root, &found);
    assert_int_equal(seteuid(before), 0);
    assert_int_equal(found.n, 1);
    assert_string_equal(found.path[0], "usr/local/lib/python3.1/site-packages/certifi/cacert.pem");
    made_dir_gone(dir);
}

static void the_certificate_is_put_behind(void **state)
{
    (void)state;
    char *dir =
        made_dir("printf 'one\ntwo' >file; ln -s file link; mkfifo pipe; truncate -s 5M big");
    AUTO_CLOSE int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_set_ca(&s, BOUNDARY_CA, NULL, NULL), 0);
    AUTO(buf) text = BUF_INIT(1u << 20);
    assert_int_equal(certifi_text(root, "file", &s, &text), 0);
    assert_string_equal(buf_str(&text), "one\ntwo\n" BOUNDARY_CA);
    static const char *const bad[] = {"link", "pipe", "big", "none"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(buf) b = BUF_INIT(1u << 20);
        assert_true(certifi_text(root, bad[i], &s, &b) < 0);
    }
    sandbox_spec_done(&s);
    made_dir_gone(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_in_the_usual_places_are_found),
        cmocka_unit_test(there_is_an_end_to_it),
        cmocka_unit_test(names_that_are_no_text_are_passed_over),
        cmocka_unit_test(files_that_cannot_be_read_are_passed_over),
        cmocka_unit_test(the_certificate_is_put_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

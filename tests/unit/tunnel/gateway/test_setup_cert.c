/* test_setup_cert.c - when a certificate is renewed, by the clock, and what stands in the way. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/cert_issue.h"
#include "tunnel/gateway/setup.h"
#include "tunnel/gateway/setup_cert.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S INT64_C(86400)

static char dir[] = "/tmp/sallyport-test-XXXXXX";
static char ca[64], ca_key[64], cert[64], key[64], one[64];
static const char *const all[] = {ca, ca_key, cert, key, one};
static int64_t start_us;

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    const char *const names[] = {"ca.pem", "ca.key", "c.pem", "k.pem", "one.pem"};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        (void)snprintf((char *)(uintptr_t)all[i], sizeof(ca), "%s/%s", dir, names[i]);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        (void)unlink(all[i]);
    start_us = time_real_us();
    return 0;
}

static int teardown(void **state)
{
    time_test_reset();
    (void)clean(state);
    return rmdir(dir); /* nothing else was left in it */
}

static void at_day(int64_t day)
{
    time_test_set(time_mono_ns(), start_us + day * DAY_S * US_PER_S);
}

static struct setup_files files(bool halves)
{
    return (struct setup_files){
        .ca = ca, .ca_key = ca_key, .cert = halves ? cert : one, .key = halves ? key : one};
}

static const struct setup_wish usual = {
    .domain = "t.example", .lifetime_s = 90 * DAY_S, .before_s = -1};

static struct cert_issuer *make_ca(const struct setup_files *f)
{
    struct cert_issuer *made = NULL;
    struct err e = {0};
    bool is_new;
    if (setup_ca(f, "CA of tests", &made, &is_new, &e) < 0)
        fail_msg("%s", e.msg);
    return made;
}

/* Expects that it is renewed for this reason (NULL: not at all). */
static struct setup_outcome renewed(const struct setup_files *f, const struct cert_issuer *issuer,
                                    const struct setup_wish *w, const char *why)
{
    struct setup_outcome o = {0};
    struct err e = {0};
    if (setup_certificate(f, issuer, w, &o, &e) < 0)
        fail_msg("%s", e.msg);
    if (why ? !o.why || strcmp(o.why, why) != 0 : o.why != NULL)
        fail_msg("%s, not %s", o.why ? o.why : "(kept)", why ? why : "(kept)");
    return o;
}

static void refused(const struct setup_files *f, const struct cert_issuer *issuer,
                    const struct setup_wish *w, int code, const char *words)
{
    struct setup_outcome o = {0};
    struct err e = {0};
    assert_int_equal(setup_certificate(f, issuer, w, &o, &e), code);
    if (!strstr(e.msg, words))
        fail_msg("no \"%s\" in: %s", words, e.msg);
}

static void put(const char *path, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void a_certificate_is_renewed_when_thirty_days_are_left(void **state)
{
    (void)state;
    for (int halves = 0; halves < 2; halves++) {
        const struct setup_files f = files(halves);
        (void)clean(NULL);
        at_day(0);
        struct cert_issuer *issuer = make_ca(&f);
        struct setup_outcome o = renewed(&f, issuer, &usual, "there was none");
        assert_false(o.was_there);
        assert_int_equal(o.until_s, start_us / US_PER_S + 90 * DAY_S);
        assert_int_equal(o.due_s, o.until_s - 30 * DAY_S);
        at_day(59);
        (void)renewed(&f, issuer, &usual, NULL);
        at_day(60);
        o = renewed(&f, issuer, &usual, "it was due");
        assert_true(o.was_there);
        assert_int_equal(o.until_s, o.was_until_s + 60 * DAY_S);
        (void)renewed(&f, issuer, &usual, NULL);
        at_day(500);
        (void)renewed(&f, issuer, &usual, "it had expired");
        at_day(497);
        (void)renewed(&f, issuer, &usual, "it was not valid yet"); /* a clock that was set right */
        struct setup_wish wish = usual;
        wish.force = true;
        (void)renewed(&f, issuer, &wish, "it was asked for");
        wish = usual;
        wish.before_s = 91 * DAY_S;
        (void)renewed(&f, issuer, &wish, "it was due");
        wish.before_s = 0;
        (void)renewed(&f, issuer, &wish, NULL);
        wish.domain = "u.example";
        (void)renewed(&f, issuer, &wish, "it was for another name");
        cert_issuer_free(issuer);
    }
}

static void a_short_life_is_renewed_when_a_third_is_left(void **state)
{
    const struct setup_files f = files(false);
    struct setup_wish wish = usual;
    (void)state;
    at_day(0);
    struct cert_issuer *issuer = make_ca(&f);
    wish.lifetime_s = 3 * DAY_S;
    struct setup_outcome o = renewed(&f, issuer, &wish, "there was none");
    assert_int_equal(o.due_s, o.until_s - DAY_S);
    at_day(1);
    (void)renewed(&f, issuer, &wish, NULL);
    at_day(2);
    (void)renewed(&f, issuer, &wish, "it was due");
    cert_issuer_free(issuer);
}

static void nothing_outlives_the_ca(void **state)
{
    const struct setup_files f = files(false);
    (void)state;
    at_day(0);
    struct cert_issuer *issuer = make_ca(&f);
    int64_t begins_s, ends_s;
    cert_issuer_times(issuer, &begins_s, &ends_s);
    const int64_t last = (ends_s - start_us / US_PER_S) / DAY_S;
    at_day(last - 40);
    struct setup_outcome o = renewed(&f, issuer, &usual, "there was none");
    assert_true(o.is_shorter);
    assert_int_equal(o.until_s, ends_s);
    at_day(last - 20);
    (void)renewed(&f, issuer, &usual, NULL); /* a third of its forty days is not even fourteen */
    at_day(last - 5);
    refused(&f, issuer, &usual, -E_DENIED, "ends with its CA");
    at_day(last + 1);
    refused(&f, issuer, &usual, -E_DENIED, "has expired");
    at_day(-2);
    refused(&f, issuer, &usual, -E_DENIED, "is the clock of this machine right?");
    cert_issuer_free(issuer);
}

static void halves_of_two_are_replaced(void **state)
{
    const struct setup_files f = files(true),
                             other = {.ca = ca, .ca_key = ca_key, .cert = one, .key = one};
    struct stat st;
    (void)state;
    at_day(0);
    struct cert_issuer *issuer = make_ca(&f);
    (void)renewed(&f, issuer, &usual, "there was none");
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)renewed(&other, issuer, &usual, "there was none");
    assert_int_equal(rename(one, key),
                     0); /* a pair of two makings; the key is found in it all the same */
    (void)renewed(&f, issuer, &usual, "its key was missing or another one");
    (void)renewed(&f, issuer, &usual, NULL);
    assert_int_equal(unlink(key), 0);
    (void)renewed(&f, issuer, &usual, "its key was missing or another one");
    cert_issuer_free(issuer);
}

static void what_is_not_ours_stays(void **state)
{
    const struct setup_files f = files(false);
    struct cert_issuer *foreign = NULL;
    struct err e = {0};
    struct setup_wish wish = usual;
    (void)state;
    at_day(0);
    assert_int_equal(cert_issuer_new("CA of others", 90 * DAY_S, NULL, NULL, &foreign, &e), 0);
    struct cert_issuer *issuer = make_ca(&f);
    (void)renewed(&f, foreign, &usual, "there was none");
    wish.force = true;
    refused(&f, issuer, &wish, -EEXIST, "was not signed by the CA");
    put(one, "hello");
    refused(&f, issuer, &wish, -E_PARSE, "does not begin with a certificate");
    assert_int_equal(unlink(one), 0);
    assert_int_equal(mkdir(one, 0700), 0);
    refused(&f, issuer, &wish, -EINVAL, "is no regular file");
    assert_int_equal(rmdir(one), 0);
    cert_issuer_free(foreign);
    cert_issuer_free(issuer);
}

static void a_ca_is_made_once_and_its_key_first(void **state)
{
    const struct setup_files f = files(false);
    struct cert_issuer *again = NULL;
    struct stat st;
    struct err e = {0};
    bool made;
    (void)state;
    at_day(0);
    struct cert_issuer *issuer = make_ca(&f);
    assert_int_equal(stat(ca_key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(setup_ca(&f, "x", &again, &made, &e), 0);
    assert_false(made);
    assert_string_equal(cert_issuer_pem(again), cert_issuer_pem(issuer));
    cert_issuer_free(again);
    /* cut off behind the key */
    assert_int_equal(unlink(ca), 0);
    assert_int_equal(setup_ca(&f, "CA of tests", &again, &made, &e), 0);
    assert_true(made);
    (void)renewed(&f, again, &usual, "there was none");
    cert_issuer_free(again);
    /* lost behind a certificate */
    assert_int_equal(unlink(ca), 0);
    assert_int_equal(setup_ca(&f, "CA of tests", &again, &made, &e), -EEXIST);
    /* the key elsewhere */
    put(ca, cert_issuer_pem(issuer));
    assert_int_equal(unlink(ca_key), 0);
    assert_int_equal(setup_ca(&f, "x", &again, &made, &e), 0);
    assert_false(made);
    (void)renewed(&f, again, &usual, NULL);
    at_day(80);
    refused(&f, again, &usual, -ENOENT, "name it with --ca-key FILE");
    cert_issuer_free(again);
    put(ca_key, "x");
    assert_int_equal(chmod(ca_key, 0644), 0);
    assert_int_equal(setup_ca(&f, "x", &again, &made, &e), -EPERM);
    cert_issuer_free(issuer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_certificate_is_renewed_when_thirty_days_are_left, clean),
        cmocka_unit_test_setup(a_short_life_is_renewed_when_a_third_is_left, clean),
        cmocka_unit_test_setup(nothing_outlives_the_ca, clean),
        cmocka_unit_test_setup(halves_of_two_are_replaced, clean),
        cmocka_unit_test_setup(what_is_not_ours_stays, clean),
        cmocka_unit_test_setup(a_ca_is_made_once_and_its_key_first, clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* test_own_files.c - what resolves names and whom to trust, on the layouts of distributions: as a layer
 * over a root, and in the root itself. */
#include "unit/sandbox/build/made_dir.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/build/own_files.h"
#include "sandbox/build/trust.h"
#include "sandbox/spec.h"
#include "unit/boundary_ca.h"

static void spec_with(struct sandbox_spec *s, bool names, bool ca)
{
    sandbox_spec_init(s);
    if (names)
        assert_int_equal(sandbox_spec_add_door(s, SANDBOX_DOOR_UDP, "127.0.0.1", 53, NULL), 0);
    if (ca)
        assert_int_equal(sandbox_spec_set_ca(s, BOUNDARY_CA, BOUNDARY_CA_HASH, NULL), 0);
}

/* The text of a file below `dir`, or where a link there leads ("-> ..."); "" when there is none. */
static char *text_of(const char *dir, const char *path)
{
    AUTO_FREE char *whole = mem_printf("%s/%s", dir, path);
    AUTO_FREE char *text = mem_array(65536, 1);
    ssize_t n = readlink(whole, text, 65535);
    if (n >= 0)
        return mem_printf("-> %.*s", (int)n, text);
    AUTO_CLOSE int fd = open(whole, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, text, 65535);
    text[n > 0 ? n : 0] = '\0';
    return TAKE(text);
}

static void expect(const char *dir, const char *path, const char *wanted)
{
    AUTO_FREE char *text = text_of(dir, path);
    if (!str_eq(text, wanted))
        fail_msg("%s\n  is     \"%s\"\n  wanted \"%s\"", path, text, wanted);
}

/* Runs it with `layout` as the root: into a layer, and into a copy of the root; returns both. */
struct made {
    char *lower, *layer, *same;
};

static struct made write_both(const char *layout, const struct sandbox_spec *s)
{
    struct made m = {made_dir(layout), made_dir("true"), made_dir(layout)};
    struct err e = {.code = 0};
    AUTO_CLOSE int lower = open(m.lower, O_PATH | O_DIRECTORY | O_CLOEXEC),
                   layer = open(m.layer, O_PATH | O_DIRECTORY | O_CLOEXEC),
                   same = open(m.same, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mode_t before = umask(077); /* a worker's may be anything */
    int r = own_files_write(lower, lower, layer, s, &e);
    if (r >= 0)
        r = own_files_write(same, same, same, s, &e);
    umask(before);
    if (r < 0)
        fail_msg("%s", e.msg);
    return m;
}

static void made_done(struct made *m)
{
    made_dir_gone(m->lower);
    made_dir_gone(m->layer);
    made_dir_gone(m->same);
}

static void expect_both(const struct made *m, const char *path, const char *wanted)
{
    expect(m->layer, path, wanted);
    expect(m->same, path, wanted);
}

static void names_are_asked_for_next_door(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after; /* of nsswitch.conf; "": it is not in the layer */
    } table[] = {
        {"passwd: files\nhosts: files dns\n", ""},
        {"hosts: files mdns4_minimal [NOTFOUND=return] dns\n", ""},
        {"hosts:\tdns files", ""},
        {"# hosts: files\npasswd: files\n", ""},
        {"hostsx: files\n", ""},
        {"hosts: files\n", "hosts: files dns\n"},
        {"passwd: files\n hosts : files resolve # dns\ngroup: files",
         "passwd: files\nhosts: files dns\ngroup: files\n"},
        {"hosts:\n", "hosts: files dns\n"},
        {"hosts: files mdnsx\nshadow: x\n", "hosts: files dns\nshadow: x\n"},
    };
    struct sandbox_spec s;
    spec_with(&s, true, false);
    assert_true(own_files_wanted(&s));
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_FREE char *layout =
            mem_printf("mkdir etc; printf '%s' >etc/nsswitch.conf; echo other >etc/resolv.conf",
                       table[i].before);
        struct made m = write_both(layout, &s);
        AUTO_FREE char *resolv = text_of(m.layer, "etc/resolv.conf");
        assert_non_null(strstr(resolv, "\nnameserver 127.0.0.1\n"));
        assert_null(strstr(resolv, "search"));
        assert_null(strstr(resolv, "edns0"));
        expect_both(&m, "etc/resolv.conf", resolv);
        expect(m.layer, "etc/nsswitch.conf", table[i].after);
        expect(m.same, "etc/nsswitch.conf", table[i].after[0] ? table[i].after : table[i].before);
        expect(m.layer, "etc/sallyport/ca.pem", "");
        struct stat st;
        AUTO_FREE char *path = mem_printf("%s/etc/resolv.conf", m.layer);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
        AUTO_FREE char *etc = mem_printf("%s/etc", m.layer);
        assert_int_equal(stat(etc, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        made_done(&m);
    }
    sandbox_spec_done(&s);
}

static void links_of_an_image_lead_nowhere(void **state)
{
    (void)state;
    /* The files they lead to stay; in the root itself the links are replaced. */
    static const char layout[] = "mkdir -p etc/ssl/certs run outside; echo victim >outside/victim; "
                                 "ln -s ../outside/victim etc/resolv.conf; "
                                 "ln -s ../outside/victim etc/nsswitch.conf; "
                                 "ln -s /etc/passwd etc/ssl/cert.pem; "
                                 "ln -s ../../../../../../../etc/shadow etc/ssl/ca-bundle.pem; "
                                 "ln -s ../../outside etc/sallyport";
    struct sandbox_spec s;
    spec_with(&s, true, true);
    struct made m = {made_dir(layout), made_dir("true"), made_dir(layout)};
    AUTO_CLOSE int lower = open(m.lower, O_PATH | O_DIRECTORY | O_CLOEXEC),
                   layer = open(m.layer, O_PATH | O_DIRECTORY | O_CLOEXEC),
                   same = open(m.same, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err e = {.code = 0};
    assert_int_equal(own_files_write(lower, lower, layer, &s, &e), 0);
    expect(m.lower, "outside/victim", "victim\n");
    expect(m.layer, "etc/sallyport/ca.pem", BOUNDARY_CA);
    expect(m.layer, "etc/ssl/certs/ca-certificates.crt", BOUNDARY_CA);
    expect(m.layer, "etc/ssl/cert.pem", ""); /* not the host's passwd */
    /* A directory of ours cannot be made where the root itself has a link. */
    assert_true(own_files_write(same, same, same, &s, &e) < 0);
    expect(m.same, "outside/victim", "victim\n");
    AUTO_FREE char *outside = mem_printf("%s/outside", m.same);
    DIR *d = opendir(outside);
    size_t n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    assert_int_equal(n, 3);
    sandbox_spec_done(&s);
    made_done(&m);
}

static void every_bundle_gets_the_certificate(void **state)
{
    (void)state;
    static const struct {
        const char *name, *layout;
        struct {
            const char *path, *wanted; /* of the layer */
        } files[10];
    } table[] = {
        {"debian",
         "mkdir -p etc/ssl/certs; printf 'one\ntwo' >etc/ssl/certs/ca-certificates.crt; "
         "ln -s x etc/ssl/certs/" BOUNDARY_CA_HASH ".0",
         {{"etc/ssl/certs/ca-certificates.crt", "one\ntwo\n" BOUNDARY_CA},
          {"etc/ssl/certs/" BOUNDARY_CA_HASH ".1", "-> /etc/sallyport/ca.pem"},
          {"etc/ssl/certs/" BOUNDARY_CA_HASH ".0", ""},
          {"etc/sallyport/ca.pem", BOUNDARY_CA},
          {"etc/sallyport/bundle.pem", "-> /etc/ssl/certs/ca-certificates.crt"},
          {"etc/ssl/cert.pem", ""},
          {"etc/pki/tls/cert.pem", ""}}},
        {"alpine",
         "mkdir -p etc/ssl/certs; echo one >etc/ssl/certs/ca-certificates.crt; ln -s "
         "certs/ca-certificates.crt etc/ssl/cert.pem",
         {{"etc/ssl/certs/ca-certificates.crt", "one\n" BOUNDARY_CA},
          {"etc/ssl/cert.pem", ""}, /* leads there */
          {"etc/ssl/certs/" BOUNDARY_CA_HASH ".0", "-> /etc/sallyport/ca.pem"}}},
        {"fedora",
         "mkdir -p etc/ssl etc/pki/tls/certs etc/pki/ca-trust/extracted/pem "
         "etc/pki/ca-trust/source/anchors; ln -s ../pki/tls/certs etc/ssl/certs; echo one "
         ">etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem; ln -s "
         "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem etc/pki/tls/certs/ca-bundle.crt; ln -s "
         "certs/ca-bundle.crt etc/pki/tls/cert.pem",
         {{"etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "one\n" BOUNDARY_CA},
          {"etc/pki/tls/certs/ca-bundle.crt", ""},
          {"etc/pki/tls/cert.pem", ""},
          {"etc/ssl/certs/ca-certificates.crt", ""},
          {"etc/pki/tls/certs/" BOUNDARY_CA_HASH ".0", "-> /etc/sallyport/ca.pem"},
          {"etc/pki/ca-trust/source/anchors/sallyport.crt", BOUNDARY_CA},
          {"etc/sallyport/bundle.pem", "-> /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"}}},
        {"suse",
         "mkdir -p etc/ssl/certs var/lib/ca-certificates; echo one "
         ">var/lib/ca-certificates/ca-bundle.pem; ln -s "
         "../../var/lib/ca-certificates/ca-bundle.pem "
         "etc/ssl/ca-bundle.pem",
         {{"etc/ssl/ca-bundle.pem", "one\n" BOUNDARY_CA},
          {"var/lib/ca-certificates/ca-bundle.pem", ""},
          {"etc/sallyport/bundle.pem", "-> /etc/ssl/ca-bundle.pem"}}},
        {"java, and a place for certificates of one's own",
         "mkdir -p etc/ssl/certs usr/bin usr/local/share; ln -s /elsewhere usr/bin/java; echo x "
         ">etc/ssl/certs/ca-certificates.crt",
         {{"usr/local/share/ca-certificates/sallyport.crt", BOUNDARY_CA},
          {"etc/ssl/certs/ca-certificates.crt", "x\n" BOUNDARY_CA}}},
        {"none",
         "mkdir -p etc",
         {{"etc/ssl/certs/ca-certificates.crt", BOUNDARY_CA},
          {"etc/sallyport/bundle.pem", "-> /etc/sallyport/ca.pem"}}},
    };
    struct sandbox_spec s;
    spec_with(&s, false, true);
    s.user = SANDBOX_USER_ROOT; /* or its /usr is the host's */
    assert_true(own_files_wanted(&s));
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        print_message("%s\n", table[i].name);
        struct made m = write_both(table[i].layout, &s);
        for (size_t k = 0; k < ARRAY_LEN(table[i].files) && table[i].files[k].path; k++) {
            expect(m.layer, table[i].files[k].path, table[i].files[k].wanted);
            if (table[i].files[k].wanted[0])
                expect(m.same, table[i].files[k].path, table[i].files[k].wanted);
        }
        expect(m.layer, "etc/resolv.conf", "");
        AUTO_FREE char *store = mem_printf("%s/etc/sallyport/cacerts.jks", m.layer);
        assert_int_equal(access(store, F_OK), str_starts(table[i].name, "java") ? 0 : -1);
        /* Nowhere twice. */
        AUTO_FREE char *count = mem_printf("! grep -rc 'BEGIN CERT' %s | grep -v ':[01]$'", m.same);
        assert_int_equal(system(count), 0);
        made_done(&m);
    }
    sandbox_spec_done(&s);
}

static void a_plain_sandbox_has_none_of_it(void **state)
{
    (void)state;
    struct sandbox_spec s;
    spec_with(&s, false, false);
    assert_false(own_files_wanted(&s));
    assert_int_equal(sandbox_spec_add_door(&s, SANDBOX_DOOR_TCP, NULL, 443, NULL), 0);
    assert_int_equal(sandbox_spec_add_door(&s, SANDBOX_DOOR_TCP, "127.0.0.1", 53, NULL), 0);
    assert_false(own_files_wanted(&s));
    struct made m =
        write_both("mkdir -p etc/ssl/certs; echo x >etc/ssl/certs/ca-certificates.crt", &s);
    AUTO_FREE char *etc = mem_printf("%s/etc", m.layer);
    struct stat st;
    assert_int_equal(stat(etc, &st), -1);
    made_done(&m);
    sandbox_spec_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_asked_for_next_door),
        cmocka_unit_test(links_of_an_image_lead_nowhere),
        cmocka_unit_test(every_bundle_gets_the_certificate),
        cmocka_unit_test(a_plain_sandbox_has_none_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_doors_names.c - through every engine that isolates: names are asked for at the door for them,
 * and the certificate of the boundary is trusted, on the host's system and in an image. */
#include "unit/loop.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "unit/boundary_ca.h"
#include "unit/box/box_harness.h"
#include "fiber/fiber.h"
#include "sandbox/spec.h"

static enum sandbox_user user = SANDBOX_USER_AGENT; /* inside */

static void spec_for(const struct harness_job *j, struct sandbox_spec *s)
{
    sandbox_spec_init(s);
    s->user = user;
    if (geteuid() != 0 && j->engine->isolation == BOX_OCI)
        s->user = SANDBOX_USER_ROOT; /* containers of an ordinary user have no other */
    assert_int_equal(sandbox_spec_add_door(s, SANDBOX_DOOR_UDP, "127.0.0.1", 53, NULL), 0);
    assert_int_equal(sandbox_spec_add_door(s, SANDBOX_DOOR_TCP, "127.0.0.1", 53, NULL), 0);
    assert_int_equal(sandbox_spec_set_ca(s, BOUNDARY_CA, NULL, NULL),
                     0); /* the hash is found out */
}

static struct box *open_box(struct box_host *h, const struct sandbox_spec *s)
{
    const struct box_spec spec = {.sandbox = s};
    return harness_open(h, &spec);
}

static struct box_host *host_for(const struct harness_job *j, const struct sandbox_spec *s)
{
    const struct box_host_config cfg = {.state_dir = j->dir,
                                        .isolation = j->engine->isolation,
                                        .oci_runtime = j->engine->runtime,
                                        .warm_spec = s,
                                        .single = j->engine->single};
    return harness_start(&cfg);
}

/* Answers one question for the address of a name with 198.18.0.77. */
static void answer_one(int door)
{
    unsigned char q[512];
    struct sockaddr_in from;
    socklen_t n = sizeof(from);
    for (int i = 0;; i++) {
        struct pollfd p = {.fd = door, .events = POLLIN};
        if (poll(&p, 1, 0) == 1)
            break;
        if (i == 2000)
            fail_msg("nobody asked");
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
    ssize_t len = recvfrom(door, q, sizeof(q), 0, (struct sockaddr *)&from, &n);
    static const unsigned char name[] = "\5hello\7example\0\0\1\0\1",
                               record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 77};
    assert_true(len >= (ssize_t)(12 + sizeof(name) - 1));
    assert_memory_equal(q + 12, name, sizeof(name) - 1);
    q[2] |= 0x80; /* an answer, with one record and no more */
    q[7] = 1;
    q[10] = q[11] = 0;
    memcpy(q + 12 + sizeof(name) - 1, record, sizeof(record));
    const size_t size = 12 + sizeof(name) - 1 + sizeof(record);
    assert_int_equal(sendto(door, q, size, 0, (struct sockaddr *)&from, n), size);
}

static void names_come_to_the_door(struct box *b)
{
    size_t n;
    const struct box_door *doors = box_doors(b, &n);
    assert_int_equal(n, 2);
    harness_expect(b, "getent ahostsv4 hello.example >/tmp/got 2>&1 & echo begun", "begun");
    answer_one(doors[0].fd);
    harness_expect(b, "wait; grep STREAM /tmp/got | tr -s ' '", "198.18.0.77 STREAM hello.example");
    harness_expect(b,
                   "grep -v '^#' /etc/resolv.conf; getent hosts localhost >/dev/null && echo found",
                   "nameserver 127.0.0.1\noptions timeout:2 attempts:2\nfound");
}

static bool java_is_here(void)
{
    return access("/usr/bin/java", X_OK) == 0;
}

/* Programs inside connect to a server whose certificate the boundary has signed. */
static void the_certificate_is_trusted(struct box *b, bool java)
{
    harness_expect(b,
                   "cat >leaf.pem <<'END'\n" BOUNDARY_LEAF
                   "END\ncat >leaf.key <<'END'\n" BOUNDARY_LEAF_KEY "END\n"
                   "(openssl s_server -accept 4443 -cert leaf.pem -key leaf.key -www >/dev/null "
                   "2>&1 &); for i in $(seq 500); do (exec 3<>/dev/tcp/127.0.0.1/4443) 2>/dev/null "
                   "&& break; sleep 0.01; done; echo up",
                   "up");
    /* A file with everything, the directory, and a program's own. */
    harness_expect(b, "curl -sS -o /dev/null -w '%{http_code}\\n' https://localhost:4443/", "200");
    harness_expect(b, "openssl verify -CApath /etc/ssl/certs leaf.pem", "leaf.pem: OK");
    harness_expect(b,
                   "/usr/bin/python3 -c 'import urllib.request as u; "
                   "print(u.urlopen(\"https://localhost:4443/\").status)'",
                   "200");
    harness_expect(b,
                   "env -i /usr/bin/perl -e 'exit 0'; for v in NODE_EXTRA_CA_CERTS "
                   "REQUESTS_CA_BUNDLE; do openssl verify -CAfile ${!v} leaf.pem; done; echo "
                   "${SSL_CERT_FILE-unset}",
                   "leaf.pem: OK\nleaf.pem: OK\n/etc/sallyport/bundle.pem");
    if (java)
        harness_expect(
            b,
            "cat >Get.java <<'END'\npublic class Get { public static void main(String[] a) "
            "throws Exception { System.out.println(((java.net.HttpURLConnection)"
            "java.net.URI.create(\"https://localhost:4443/\").toURL().openConnection())"
            ".getResponseCode()); } }\nEND\n"
            "for j in $(realpath -q $(command -v java) /usr/lib/jvm/*/bin/java | sort -u); do $j "
            "Get.java 2>&1 | grep -v ^Picked; done | sort | uniq; echo end",
            "200\nend");
    /* The others are trusted as before, and nobody can add one. */
    harness_expect(
        b, "test $(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt) -gt 50 && echo many", "many");
}

/* What one sandbox trusts, another need not, though it is made right after. */
static void another_certificate(struct box_host *h, const struct sandbox_spec *first)
{
    static const char count[] =
        "cat /etc/sallyport/ca.pem | grep -c BEGIN; grep -c "
        "'^MIIBuDCCAV6gAwIBAgIUZ0pNO1lXFX1FR' /etc/sallyport/bundle.pem; true";
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.user = first->user;
    assert_int_equal(sandbox_spec_set_ca(&s, BOUNDARY_CA BOUNDARY_LEAF, NULL, NULL), 0);
    struct box *one = open_box(h, first), *two = open_box(h, &s), *three = open_box(h, first);
    harness_expect(one, count, "1\n0");
    harness_expect(two, count, "2\n1");
    harness_expect(three, count, "1\n0");
    harness_expect(two, "cat /etc/resolv.conf", "# this sandbox has no network");
    harness_expect(three, "grep -c nameserver /etc/resolv.conf", "1");
    box_close(one);
    box_close(two);
    box_close(three);
    sandbox_spec_done(&s);
}

static int system_fiber(void *arg)
{
    const struct harness_job *j = arg;
    struct sandbox_spec s;
    spec_for(j, &s);
    struct box_host *h = host_for(j, &s);
    struct box *b = open_box(h, &s);
    names_come_to_the_door(b);
    /* Starting one takes seconds. */
    the_certificate_is_trusted(b, java_is_here() && geteuid() == 0 && user == SANDBOX_USER_AGENT &&
                                      !j->engine->single);
    if (s.user == SANDBOX_USER_AGENT)
        harness_expect(
            b,
            "for f in /etc/resolv.conf /etc/sallyport/ca.pem /etc/ssl/certs/x; do (echo x "
            ">>$f) 2>/dev/null && echo written; done; echo end",
            "end");
    box_close(b);
    if (!j->engine
             ->single) { /* the same tools do not trust it elsewhere: the test means something */
        struct sandbox_spec plain;
        sandbox_spec_init(&plain);
        plain.user = s.user;
        b = open_box(h, &plain);
        harness_expect(
            b,
            "cat >leaf.pem <<'END'\n" BOUNDARY_LEAF
            "END\nopenssl verify -CApath /etc/ssl/certs leaf.pem >/dev/null 2>&1 || echo "
            "not trusted; ls /etc/sallyport 2>&1 | grep -c 'No such'; cat "
            "/etc/resolv.conf; echo ${NODE_EXTRA_CA_CERTS-unset}",
            "not trusted\n1\n# this sandbox has no network\nunset");
        box_close(b);
        another_certificate(h, &s);
    }
    box_host_stop(h);
    sandbox_spec_done(&s);
    return 0;
}

static void on_the_host_s_system(void **state)
{
    (void)state;
    harness_each_isolating(system_fiber, false);
}

static void on_the_host_s_system_as_an_ordinary_user(void **state)
{
    (void)state;
    if (geteuid() == 0)
        harness_each_isolating(system_fiber, true);
}

static void on_the_host_s_system_for_user_root(void **state)
{
    (void)state;
    user = SANDBOX_USER_ROOT;
    harness_each_isolating(system_fiber, false);
    user = SANDBOX_USER_AGENT;
}

/* ---- an image ---- */

static char *image;

static void make_image(void)
{
    image = outside_dir();
    AUTO_FREE char *make = mem_printf(
        "umask 022; cd %s && chmod 755 . && mkdir -p bin usr/bin etc/ssl/certs etc/deep/er "
        "outside tmp && cp /bin/bash /bin/cat /bin/ls /usr/bin/wc bin/ && for l in $(ldd bin/* | "
        "grep "
        "-o '/[^ ]*' | grep -v :$ | sort -u); do mkdir -p .$(dirname $l) && cp -n $l .$l; done && "
        "ln -s /outside/resolv etc/resolv.conf && echo victim >outside/resolv && printf 'passwd: "
        "files\\nhosts: files\\n' >etc/nsswitch.conf && echo IMAGE "
        ">etc/ssl/certs/ca-certificates.crt "
        "&& ln -s certs/ca-certificates.crt etc/ssl/cert.pem && echo deep >etc/deep/er/file && "
        "mkfifo etc/pipe && mkdir -p usr/local/lib/python3.12/site-packages/certifi "
        "usr/local/lib/python3.9/dist-packages/certifi && echo CERTIFI "
        ">usr/local/lib/python3.12/site-packages/certifi/cacert.pem && ln -s /etc/ssl/cert.pem "
        "usr/local/lib/python3.9/dist-packages/certifi/cacert.pem",
        image);
    assert_int_equal(system(make), 0);
}

static int image_fiber(void *arg)
{
    const struct harness_job *j = arg;
    struct sandbox_spec s;
    spec_for(j, &s);
    s.rootfs_dir = mem_strdup(image);
    struct box_host *h = host_for(j, &s);
    struct box *b = open_box(h, &s);
    harness_expect(b, "cat /etc/resolv.conf /etc/nsswitch.conf",
                   "# names are answered at the boundary of this sandbox\nnameserver 127.0.0.1\n"
                   "options timeout:2 attempts:2\npasswd: files\nhosts: files dns");
    harness_expect(b, "cat /etc/ssl/certs/ca-certificates.crt", "IMAGE\n" BOUNDARY_CA_TRIMMED);
    harness_expect(b, "cat /etc/ssl/cert.pem", "IMAGE\n" BOUNDARY_CA_TRIMMED);
    harness_expect(b, "cat /etc/sallyport/bundle.pem", "IMAGE\n" BOUNDARY_CA_TRIMMED);
    harness_expect(b, "cat /etc/ssl/certs/" BOUNDARY_CA_HASH ".0", BOUNDARY_CA_TRIMMED);
    harness_expect(b, "cat /usr/local/lib/python3.12/site-packages/certifi/cacert.pem",
                   "CERTIFI\n" BOUNDARY_CA_TRIMMED);
    harness_expect(b, "cat /usr/local/lib/python3.9/dist-packages/certifi/cacert.pem",
                   "IMAGE\n" BOUNDARY_CA_TRIMMED);
    harness_expect(b, "cat /etc/deep/er/file /outside/resolv; echo $NODE_EXTRA_CA_CERTS",
                   "deep\nvictim\n/etc/sallyport/ca.pem");
    box_close(b);
    box_host_stop(h);
    sandbox_spec_done(&s);
    return 0;
}

static void in_an_image(void **state)
{
    (void)state;
    make_image();
    harness_each_isolating(image_fiber, false);
    if (geteuid() == 0)
        harness_each_isolating(image_fiber, true);
    /* Nothing was written into it. */
    AUTO_FREE char *check = mem_printf(
        "cd %s && test ! -e etc/sallyport && test \"$(cat "
        "etc/ssl/certs/ca-certificates.crt)\" = IMAGE && test \"$(cat "
        "usr/local/lib/python3.12/site-packages/certifi/cacert.pem)\" = CERTIFI && test -L "
        "etc/resolv.conf && cd / && rm -rf %s/*",
        image, image);
    assert_int_equal(system(check), 0);
    outside_dir_gone(image);
}

int main(int argc, char **argv)
{
    int role = harness_role(argc, argv);
    if (role >= 0)
        return role;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_the_host_s_system),
        cmocka_unit_test(on_the_host_s_system_as_an_ordinary_user),
        cmocka_unit_test(on_the_host_s_system_for_user_root),
        cmocka_unit_test(in_an_image),
    };
    cmocka_set_test_filter(argc == 2 ? argv[1] : NULL); /* by hand: one of them */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

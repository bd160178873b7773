/* test_dns_serve.c - the resolver at its sockets, asked by hand and by the resolvers of real programs:
 * glibc, musl, dig, busybox, Python, and Node's c-ares. */
#include "unit/egress/capture/inside.h"
#include "base/time.h"
#include "egress/capture/front_internal.h"
#include "io/proc.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>

static char dir[64];

/* ---- by hand ---- */

/* A query for A of `name` (labels with their lengths), framed for TCP. */
static size_t framed(unsigned id, const char *name, unsigned char ret[300])
{
    size_t n = strlen(name) + 1;
    memset(ret, 0, 300);
    ret[1] = (unsigned char)(12 + n + 4);
    ret[2] = (unsigned char)(id >> 8);
    ret[3] = (unsigned char)id;
    ret[4] = 1; /* RD */
    ret[7] = 1; /* one question */
    memcpy(ret + 14, name, n);
    ret[14 + n + 1] = 1;
    ret[14 + n + 3] = 1;
    return 14 + n + 4;
}

static void read_exactly(struct io_fd *io, unsigned char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = io_read(io, p, n);
        if (k <= 0)
            fail_msg("read: %zd", k);
        p += k;
        n -= (size_t)k;
    }
}

/* One framed answer: its address in text. */
static void expect_answer(struct io_fd *io, unsigned id, const char *address)
{
    unsigned char a[600];
    char text[INET_ADDRSTRLEN];
    read_exactly(io, a, 2);
    size_t n = (size_t)(a[0] << 8 | a[1]);
    assert_true(n <= sizeof(a));
    read_exactly(io, a, n);
    assert_int_equal(a[0] << 8 | a[1], id);
    assert_int_equal(a[7], 1); /* an answer */
    assert_string_equal(inet_ntop(AF_INET, a + n - 4, text, sizeof(text)), address);
}

static int a_connection_takes_queries_one_after_another(void *arg)
{
    static struct inside in;
    unsigned char q[900];
    struct io_fd io;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, (struct front_options){0});
    inside_connect("127.0.0.1:53", &io);
    size_t n = framed(1, "\3api\6github\3com", q);
    n += framed(2, "\5other\7example", q + n);
    n += framed(3, "\3aPi\6gitHub\3com", q + n);
    assert_int_equal(io_write_all(&io, q, n), 0);
    expect_answer(&io, 1, "198.18.4.10");
    expect_answer(&io, 2, "198.18.4.11");
    expect_answer(&io, 3, "198.18.4.10");
    n = framed(4, "\5other\7example", q);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(io_write_all(&io, q + i, 1), 0);
        assert_int_equal(fiber_yield(), 0);
    }
    expect_answer(&io, 4, "198.18.4.11");
    io_fd_close(&io);
    inside_end(&in);
    return 0;
}
ON_LOOP(a_connection_takes_queries_one_after_another)

static int what_cannot_be_answered_ends_the_connection(void *arg)
{
    static const char *const said[] = {"\0\3abc", "\0",
                                       "\x20\0"}; /* the last: 8,192 bytes to come */
    static const size_t n[] = {5, 2, 2};
    static struct inside in;
    char got[100];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, (struct front_options){0});
    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        assert_true(inside_say("127.0.0.1:53", said[i], n[i], got, sizeof(got)) <= 0);
    inside_end(&in);
    return 0;
}
ON_LOOP(what_cannot_be_answered_ends_the_connection)

static int more_connections_than_a_resolver_takes_are_reset(void *arg)
{
    static struct inside in;
    static struct io_fd io[32];
    char got[100];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, (struct front_options){0});
    for (size_t i = 0; i < ARRAY_LEN(io); i++)
        inside_connect("127.0.0.1:53", &io[i]);
    while (front_connections(in.front) < ARRAY_LEN(io))
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(inside_say("127.0.0.1:53", "", 0, got, sizeof(got)), -ECONNRESET);
    for (size_t i = 0; i < ARRAY_LEN(io); i++)
        io_fd_close(&io[i]);
    inside_end(&in);
    return 0;
}
ON_LOOP(more_connections_than_a_resolver_takes_are_reset)

static int names_over_the_limit_are_refused_and_noted_in_bounds(void *arg)
{
    static struct inside in;
    unsigned char q[300], a[600];
    struct io_fd io;
    unsigned refused = 0;
    (void)arg;
    time_test_set(time_mono_ns(), 0); /* no time passes, so the pace of notes is what is saved up */
    inside_begin(&in, INSIDE_POLICY, (struct front_options){0});
    inside_connect("127.0.0.1:53", &io);
    for (unsigned i = 0; i < 100; i++) {
        char name[40];
        (void)snprintf(name, sizeof(name), "\3n%02u\4pypi\7example", i);
        assert_int_equal(io_write_all(&io, q, framed(i, name, q)), 0);
        read_exactly(&io, a, 2);
        read_exactly(&io, a + 2, (size_t)(a[0] << 8 | a[1]));
        refused += (a[5] & 15) == 5;
    }
    assert_int_equal(refused, 97);
    assert_true(in.n_notes >= 10 && in.n_notes <= 12);
    for (size_t i = 0; i < in.n_notes; i++) {
        assert_int_equal(in.notes[i].why, FRONT_NAMES_TOO_MANY);
        assert_int_equal(in.notes[i].port, 0);
    }
    assert_string_equal(in.notes[0].host, "n03.pypi.example");
    size_t before = in.n_notes;
    time_test_advance(NS_PER_S);
    assert_int_equal(io_write_all(&io, q, framed(0, "\3n99\4pypi\7example", q)), 0);
    read_exactly(&io, a, 2);
    read_exactly(&io, a + 2, (size_t)(a[0] << 8 | a[1]));
    assert_int_equal(in.n_notes, before + 1);
    assert_int_equal(in.notes[before].suppressed, 97 - before);
    static const struct {
        int64_t pause_ns;
        bool new_call, noted;
    } again[] = {
        {0, false, false}, {NS_PER_S, false, false}, {2 * NS_PER_S, false, true}, {0, true, true}};
    for (size_t i = 0; i < ARRAY_LEN(again); i++) { /* the same name, as AAAA and retries are */
        before = in.n_notes;
        time_test_advance(again[i].pause_ns);
        if (again[i].new_call)
            front_binding_new_call(in.binding);
        assert_int_equal(io_write_all(&io, q, framed(0, "\3n99\4pypi\7example", q)), 0);
        read_exactly(&io, a, 2);
        read_exactly(&io, a + 2, (size_t)(a[0] << 8 | a[1]));
        assert_int_equal(in.n_notes - before, again[i].noted);
    }
    io_fd_close(&io);
    inside_end(&in);
    time_test_reset();
    return 0;
}
ON_LOOP(names_over_the_limit_are_refused_and_noted_in_bounds)

static int questions_beyond_the_pace_wait(void *arg)
{
    static struct inside in;
    unsigned char q[300], a[600];
    struct io_fd io;
    (void)arg;
    time_test_set(time_mono_ns(), 0); /* no time passes but by hand */
    inside_begin(&in, INSIDE_POLICY, (struct front_options){0});
    inside_connect("127.0.0.1:53", &io);
    size_t n = framed(1, "\3api\6github\3com", q);
    for (unsigned i = 0; i <= 2000; i++) {
        assert_int_equal(io_write_all(&io, q, n), 0);
        read_exactly(&io, a, 2);
        read_exactly(&io, a + 2, (size_t)(a[0] << 8 | a[1]));
    }
    assert_int_equal(io_write_all(&io, q, n), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(fiber_yield(), 0);
    assert_int_equal(recv(io.fd, a, sizeof(a), MSG_DONTWAIT), -1);
    time_test_advance(NS_PER_S / 2000);
    expect_answer(&io, 1, "198.18.4.10");
    io_fd_close(&io);
    inside_end(&in);
    time_test_reset();
    return 0;
}
ON_LOOP(questions_beyond_the_pace_wait)

static void a_pace_saves_up_one_second(void **state)
{
    struct pace p = {0};
    (void)state;
    time_test_set(time_mono_ns(), 0);
    for (int i = 0; i < 101; i++)
        assert_int_equal(pace_take(&p, 100), 0);
    int64_t wait = pace_take(&p, 100);
    assert_true(wait > 0 && wait <= NS_PER_S / 100);
    time_test_advance(wait);
    assert_int_equal(pace_take(&p, 100), 0);
    assert_true(pace_take(&p, 100) > 0);
    time_test_advance(3600 * NS_PER_S);
    for (int i = 0; i < 101; i++)
        assert_int_equal(pace_take(&p, 100), 0);
    assert_true(pace_take(&p, 100) > 0);
    time_test_reset();
}

/* ---- real resolvers ---- */

/* Runs a shell line; what it writes goes to `ret`. Its exit status. */
static int shell(const char *line, char *ret, size_t room)
{
    static const char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
    const char *argv[] = {"sh", "-c", line, NULL};
    struct proc p;
    struct io_fd out;
    struct err e = {0};
    int fds[2], status = 0;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    const struct proc_spec spec = {.path = "/bin/sh",
                                   .argv = argv,
                                   .envp = envp,
                                   .stdin_fd = -1,
                                   .stdout_fd = fds[1],
                                   .stderr_fd = fds[1],
                                   .die_with_parent = true};
    if (proc_start(&p, &spec, &e) < 0)
        fail_msg("%s", e.msg);
    (void)close(fds[1]);
    assert_int_equal(io_fd_add(&out, fds[0]), 0);
    assert_true(inside_read_all(&out, ret, room) >= 0);
    assert_int_equal(proc_wait(&p, &status), 0);
    io_fd_close(&out);
    proc_done(&p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_output(const char *line, int status, const char *output)
{
    char got[3000];
    int r = shell(line, got, sizeof(got));
    if (r != status || strcmp(got, output) != 0)
        fail_msg("%s\nexit %d\n%s\nwanted %d\n%s", line, r, got, status, output);
}

static int dig_is_answered(void *arg)
{
    static struct inside in;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, (struct front_options){0});
    expect_output("dig +short api.github.com", 0, "198.18.4.10\n");
    expect_output("dig +short AAAA api.github.com", 0, "fd73:616c:6c79::40a\n");
    expect_output("dig +short +tcp api.github.com", 0, "198.18.4.10\n");
    expect_output("dig +short +tcp +keepopen api.github.com A other.example A", 0,
                  "198.18.4.10\n198.18.4.11\n");
    expect_output("dig +short -x 198.18.4.10", 0, "api.github.com.\n");
    expect_output("dig +short -x fd73:616c:6c79::40b", 0, "other.example.\n");
    expect_output("dig +short db.internal", 0, "198.18.0.10\n");
    expect_output(
        "dig +short HTTPS api.github.com; dig +short MX api.github.com; dig +short TXT "
        "api.github.com; dig +short ANY api.github.com; dig +short SRV _x._tcp.example.com",
        0, "");
    expect_output(
        "dig +noall +comments +dnssec api.github.com | grep -o 'status: [A-Z]*\\|flags:[a-z "
        "]*;\\|udp: [0-9]*\\|WARNING.*'",
        0, "status: NOERROR\nflags: qr rd ra;\nflags:;\nudp: 1232\n");
    expect_output("dig +noall +comments x.invalid | grep -o 'status: [A-Z]*\\|AUTHORITY: [0-9]'", 0,
                  "status: NXDOMAIN\nAUTHORITY: 1\n");
    expect_output("dig +noall +comments +noedns +opcode=notify api.github.com | grep -o 'status: "
                  "[A-Z]*'",
                  0, "status: NOTIMP\n");
    expect_output("dig +noall +comments CH TXT version.bind | grep -o 'status: [A-Z]*'", 0,
                  "status: REFUSED\n");
    expect_output(
        "dig +noall +comments +edns=1 +noednsneg api.github.com | grep -o 'status: [A-Z]*'", 0,
        "status: BADVERS\n");
    assert_int_equal(in.n_notes, 0);
    inside_end(&in);
    return 0;
}
ON_LOOP(dig_is_answered)

static int the_c_libraries_are_answered(void *arg)
{
    static struct inside in;
    char line[1500];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY "dns: strict\n", (struct front_options){0});
    expect_output("getent ahosts api.github.com | awk '{ print $1 }' | sort -u", 0,
                  "198.18.4.10\nfd73:616c:6c79::40a\n");
    expect_output("getent hosts 198.18.4.10", 0, "198.18.4.10     api.github.com\n");
    expect_output("getent ahosts other.example", 2, "");
    expect_output("getent ahosts wpad", 2, "");
    /* musl asks for both families at once, and takes the first that fails as the whole answer. */
    static const char program[] =
        "#include <netdb.h>\\n#include <stdio.h>\\nint main(int c, char **v) { struct addrinfo *l "
        "= "
        "0; int r = getaddrinfo(v[c - 1], \"443\", 0, &l); char t[80]; if (r) return 1; for (; l; "
        "l "
        "= l->ai_next) if (l->ai_socktype == 1) { getnameinfo(l->ai_addr, l->ai_addrlen, t, 80, 0, "
        "0, 1); puts(t); } return 0; }\\n";
    (void)snprintf(line, sizeof(line), "printf '%s' >%s/a.c && musl-gcc -static -o %s/a %s/a.c",
                   program, dir, dir, dir);
    expect_output(line, 0, "");
    (void)snprintf(line, sizeof(line), "%s/a api.github.com | sort", dir);
    expect_output(line, 0, "198.18.4.10\nfd73:616c:6c79::40a\n");
    (void)snprintf(line, sizeof(line), "%s/a other.example", dir);
    expect_output(line, 1, "");
    (void)snprintf(line, sizeof(line), "%s/a www.localhost | sort", dir);
    expect_output(line, 0, "127.0.0.1\n::1\n");
    expect_output("busybox nslookup api.github.com 127.0.0.1 | grep '^Address' | sort", 0,
                  "Address:\t127.0.0.1:53\nAddress: 198.18.4.10\nAddress: fd73:616c:6c79::40a\n");
    inside_end(&in);
    return 0;
}
ON_LOOP(the_c_libraries_are_answered)

static int python_and_node_are_answered(void *arg)
{
    static struct inside in;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, (struct front_options){0});
    expect_output("/usr/bin/python3 -c '\n"
                  "import socket\n"
                  "print(sorted({a[4][0] for a in socket.getaddrinfo(\"api.github.com\", 443)}))\n"
                  "print(socket.gethostbyaddr(\"198.18.4.10\")[0])\n'",
                  0, "['198.18.4.10', 'fd73:616c:6c79::40a']\napi.github.com\n");
    /* c-ares: its own resolver, without the C library's. */
    expect_output(
        "node -e '\n"
        "const dns = require(\"dns\").promises;\n"
        "const ask = async (...a) => dns.resolve(...a).then(JSON.stringify, e => e.code);\n"
        "(async () => {\n"
        "  for (const t of [\"A\", \"AAAA\", \"TXT\", \"MX\", \"SRV\", \"CAA\", \"NS\", "
        "\"SOA\", \"NAPTR\", \"CNAME\"])\n"
        "    console.log(t, await ask(\"api.github.com\", t));\n"
        "  console.log(await ask(\"x.invalid\", \"A\"));\n"
        "  console.log(await dns.reverse(\"198.18.4.10\"));\n"
        "  console.log((await dns.lookup(\"api.github.com\", {all: true})).length);\n"
        "})();'",
        0,
        "A [\"198.18.4.10\"]\nAAAA [\"fd73:616c:6c79::40a\"]\nTXT ENODATA\nMX ENODATA\n"
        "SRV ENODATA\nCAA ENODATA\nNS ENODATA\nSOA ENODATA\nNAPTR ENODATA\nCNAME "
        "ENODATA\nENOTFOUND\n[ 'api.github.com' ]\n2\n");
    inside_end(&in);
    return 0;
}
ON_LOOP(python_and_node_are_answered)

/* curl does not like the answer of this handler; what counts is with what it came. */
static void expect_claim(struct inside *in, const char *line, const char *claim)
{
    char got[1000];
    in->last[0] = '\0';
    (void)shell(line, got, sizeof(got));
    if (strncmp(in->last, claim, strlen(claim)) != 0)
        fail_msg("%s\n%s\n%s", line, in->last, got);
}

static int curl_comes_with_the_name_it_resolved(void *arg)
{
    static struct inside in;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, (struct front_options){0});
    expect_claim(
        &in, "curl -s http://api.github.com/",
        "HTTP/1 api.github.com:80 resolved=api.github.com target=- sni=- each=0 disagree=0");
    expect_claim(
        &in, "curl -s --http2-prior-knowledge http://api.github.com/",
        "HTTP/2 api.github.com:80 resolved=api.github.com target=- sni=- each=0 disagree=0");
    expect_claim(
        &in, "curl -s https://api.github.com/",
        "TLS api.github.com:443 resolved=api.github.com target=- sni=api.github.com each=0 "
        "disagree=0");
    expect_claim(
        &in, "curl -s -x http://u:p@127.0.0.1:3128 https://api.github.com/",
        "TLS api.github.com:443 resolved=- target=api.github.com sni=api.github.com each=0 "
        "disagree=0");
    expect_claim(&in, "curl -s -x http://127.0.0.1:3128 http://api.github.com/",
                 "HTTP/1 -:0 resolved=- target=- sni=- each=1 disagree=0");
    expect_claim(&in, "curl -s --resolve api.github.com:443:198.18.4.11 https://api.github.com/",
                 "");
    assert_int_equal(in.n_notes, 1); /* nobody asked for 198.18.4.11 */
    assert_int_equal(in.notes[0].why, FRONT_NO_NAME);
    expect_claim(&in, "curl -s -k --connect-to ::api.github.com: https://other.example/",
                 "TLS api.");
    assert_int_equal(in.n_notes, 2);
    assert_int_equal(in.notes[1].why, FRONT_DISAGREE);
    expect_output("curl -s http://egress.sallyport/ca.pem", 0, "-----BEGIN CERTIFICATE-----\n");
    expect_output("curl -s -x http://127.0.0.1:3128 http://egress.sallyport/ca.pem", 0,
                  "-----BEGIN CERTIFICATE-----\n");
    expect_output("curl -s -o /dev/null -w '%{http_connect}' -x http://u:p@127.0.0.1:3128 "
                  "https://other.example/",
                  56, "403");
    inside_end(&in);
    return 0;
}
ON_LOOP(curl_comes_with_the_name_it_resolved)

/* The resolvers read where to ask from one file; here it is one of our own. */
static int point_at_us(void **state)
{
    char file[96];
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sallyport-dns-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(file, sizeof(file), "%s/resolv.conf", dir);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    static const char text[] = "nameserver 127.0.0.1\noptions edns0\n";
    if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
        return -1;
    (void)close(fd);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(file, "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0)
        return -1;
    return 0;
}

static int clean_up(void **state)
{
    char line[200];
    (void)state;
    static const char *const files[] = {"a", "a.c", "resolv.conf"};
    (void)umount2("/etc/resolv.conf", MNT_DETACH);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        (void)snprintf(line, sizeof(line), "%s/%s", dir, files[i]);
        (void)unlink(line);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_connection_takes_queries_one_after_another),
        CASE(what_cannot_be_answered_ends_the_connection),
        CASE(more_connections_than_a_resolver_takes_are_reset),
        CASE(names_over_the_limit_are_refused_and_noted_in_bounds),
        CASE(questions_beyond_the_pace_wait),
        cmocka_unit_test(a_pace_saves_up_one_second),
        CASE(dig_is_answered),
        CASE(the_c_libraries_are_answered),
        CASE(python_and_node_are_answered),
        CASE(curl_comes_with_the_name_it_resolved),
    };
    if (!inside_network())
        return 77; /* an ordinary user gets no network here: skipped */
    return cmocka_run_group_tests_name("egress/capture/dns_serve", tests, point_at_us, clean_up);
}

/* What programs may connect to and make: through real sandboxes, with a listener of the host below a
 * bind that must hear nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "unit/sandbox/harness.h"

/* A listener of the host in a directory of its own. */
struct door {
    char *dir;
    int listener;
};

static int listen_at(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    assert_true(str_copy(un.sun_path, sizeof(un.sun_path), path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(chmod(path, 0777), 0);
    return fd;
}

static void door_make(struct door *d)
{
    d->dir = outside_dir();
    assert_int_equal(chmod(d->dir, 0777), 0);
    AUTO_FREE char *path = mem_printf("%s/door", d->dir);
    d->listener = listen_at(path);
}

static bool heard(const struct door *d)
{
    AUTO_CLOSE int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC);
    return fd >= 0;
}

static void door_done(struct door *d)
{
    static const char *const names[] = {"door", "other", "file", "writable"};
    close(d->listener);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", d->dir, names[i]);
        (void)!unlink(path);
    }
    outside_dir_gone(d->dir);
}

static void open_with(struct sandbox_spec *s, struct sbx *ret)
{
    AUTO_FREE char *why = sbx_open(&host, s, ret);
    if (why)
        fail_msg("%s", why);
    sandbox_spec_done(s);
}

/* Like expect_bash, without the long script in what it complains. */
static void expect(struct sbx *b, const char *script, const char *want)
{
    struct result r = sbx_bash(b, script);
    if (r.is_error || !str_eq(r.text, want))
        fail_msg("wanted: %s\ngot: %s", want, r.text);
    result_done(&r);
}

/* What every script below begins with. */
#define PY                                                                                         \
    "cat > /tmp/p.py <<'EOF'\n"                                                                    \
    "import socket, os, sys, errno, threading, time, signal, struct, fcntl, ctypes\n"              \
    "U = socket.AF_UNIX\n"                                                                         \
    "def go(a, t=socket.SOCK_STREAM, wait=True):\n"                                                \
    "  s = socket.socket(U, t)\n"                                                                  \
    "  s.setblocking(wait)\n"                                                                      \
    "  try: s.connect(a); return 'connected'\n"                                                    \
    "  except OSError as e: return errno.errorcode[e.errno]\n"
#define END "EOF\npython3 /tmp/p.py"

/* Every way to name it, with a read-only and a writable bind, in a place of the host's name, below
 * /workspace and as user root. */
static void no_socket_of_the_host_is_reached(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        bool write;
        enum sandbox_user user;
    } table[] = {
        {"/srv/p", false, SANDBOX_USER_AGENT},      {"/srv/p", true, SANDBOX_USER_AGENT},
        {"/workspace/p", true, SANDBOX_USER_AGENT}, {"/tmp/p", false, SANDBOX_USER_AGENT},
        {"/srv/p", true, SANDBOX_USER_ROOT},
    };
    struct door d;
    door_make(&d);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sandbox_spec s;
        sandbox_spec_init(&s);
        s.user = table[i].user;
        assert_int_equal(sandbox_spec_add_bind(&s, d.dir, table[i].target, table[i].write, NULL),
                         0);
        struct sbx b;
        open_with(&s, &b);
        AUTO_FREE char *script = mem_printf(
            PY "d = '%s'\n"
               "os.chdir(d)\n"
               "fd = os.open(d, os.O_RDONLY)\n"
               "os.symlink(d + '/door', '/tmp/link'); os.symlink(d, '/tmp/dir')\n"
               "os.symlink('/proc/self/cwd/door', '/tmp/magic')\n"
               "for a in [d + '/door', 'door', './door', '../p/door', '/tmp/link', "
               "'/tmp/dir/door', '/proc/self/cwd/door', '/proc/thread-self/cwd/door',\n"
               "  '/proc/self/fd/%%d/door' %% fd, '/dev/fd/%%d/door' %% fd, '/proc/1/root' + d + "
               "'/door', '/proc/%%d/root/%%s/door' %% (os.getpid(), d), '//proc/self/cwd/door', "
               "'/tmp/magic']:\n"
               "  for t in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):\n"
               "    for w in (True, False):\n"
               "      r = go(a, t, w)\n"
               "      if r not in ('EACCES', 'ENOENT'): print(a, t, w, r)\n"
               "print(go(d + '/door'), go('door'), go('none'))\n"
               "for bad in (socket.SOCK_DGRAM, socket.SOCK_RAW):\n"
               "  for f in (lambda: socket.socket(U, bad), lambda: socket.socketpair(U, bad)):\n"
               "    try: f(); print('made', bad)\n"
               "    except PermissionError: pass\n"
               "s = socket.socket(U)\n"
               "try: print(s.sendto(b'x', d + '/door'))\n"
               "except OSError as e: print(e.errno == errno.EOPNOTSUPP)\n" END,
            table[i].target);
        expect(&b, script, "EACCES EACCES ENOENT\nTrue");
        if (heard(&d))
            fail_msg("somebody came from %s", table[i].target);
        sbx_close(&b);
    }
    door_done(&d);
}

/* A program that swaps what it has named, as fast as it can, between a socket of its own and the
 * host's: address, descriptor and the link on the way. */
static void swapping_does_not_help(void **state)
{
    (void)state;
    struct door d;
    door_make(&d);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, d.dir, "/srv/p", true, NULL), 0);
    struct sbx b;
    open_with(&s, &b);
    expect(
        &b,
        "cat > /tmp/r.c <<'EOF'\n"
        "#include <pthread.h>\n#include <stdio.h>\n#include <string.h>\n#include <unistd.h>\n"
        "#include <sys/socket.h>\n#include <sys/un.h>\n"
        "static struct sockaddr_un at = {.sun_family = AF_UNIX};\n"
        "static volatile int stop; static int fixed;\n"
        "static void *swap(void *x) { for (unsigned i = 0; !stop; i++) {\n"
        "  memcpy(at.sun_path, i & 1 ? \"/srv/p/door\" : \"/tmp/ownown\", 12);\n"
        "  if (i % 16 == 0) { unlink(\"/tmp/l\"); symlink(i & 16 ? \"/srv/p/door\" : "
        "\"/tmp/ownown\", \"/tmp/l\"); }\n"
        "  if (i % 64 == 0) { int s = socket(i & 64 ? AF_UNIX : AF_INET, SOCK_STREAM, 0); dup2(s, "
        "fixed); close(s); } } return x; }\n"
        "int main(void) { struct sockaddr_un own = {AF_UNIX, \"/tmp/ownown\"}, l = {AF_UNIX, "
        "\"/tmp/l\"}; int s = socket(AF_UNIX, SOCK_STREAM, 0);\n"
        "  bind(s, (void *)&own, sizeof(own)); listen(s, 4000); fixed = dup(s);\n"
        "  pthread_t t; pthread_create(&t, 0, swap, 0); int n = 0;\n"
        "  for (int i = 0; i < 1500; i++) { int c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, "
        "0);\n"
        "    n += connect(c, (void *)&at, sizeof(at)) == 0; close(c);\n"
        "    connect(fixed, (void *)&at, sizeof(at));\n"
        "    c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0); connect(c, (void *)&l, "
        "sizeof(l)); close(c); }\n"
        "  stop = 1; pthread_join(t, 0); puts(n ? \"some were its own\" : \"none\"); }\n"
        "EOF\ncc -pthread -O1 -o /tmp/r /tmp/r.c 2>/dev/null && timeout 60 /tmp/r",
        "some were its own");
    assert_false(heard(&d));
    sbx_close(&b);
    door_done(&d);
}

/* What runs in a sandbox notices nothing. */
static void ordinary_servers_work(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect(
        &b,
        PY
        "out = []\n"
        "for a in ('/tmp/s', '/workspace/s', '/dev/shm/s', 'rel', '\\0name', "
        "'/proc/self/cwd/magic'):\n"
        "  l = socket.socket(U); l.bind(a); l.listen(1)\n"
        "  assert a[0] == '\\0' or l.getsockname() == a, l.getsockname()\n"
        "  assert go(a) == 'connected', (a, go(a))\n"
        "  c, _ = l.accept()\n"
        "  out.append(struct.unpack('iii', c.getsockopt(1, 17, 12))[1] == os.getuid())\n"
        "  l.close(); out.append(go(a) == 'ECONNREFUSED')\n"
        "print(out.count(True), out.count(False))\n"
        "os.umask(0o177); l = socket.socket(U); l.bind('/tmp/masked')\n"
        "print(oct(os.stat('/tmp/masked').st_mode & 0o777))\n"
        /* the kernel's own complaints */
        "print(go('/tmp/p.py'), go('/tmp/none'), go('/tmp/p.py/x'), go('/tmp'))\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def raw(fd, a, n): libc.connect(fd, a, n); return errno.errorcode[ctypes.get_errno()]\n"
        "s = socket.socket(U); f = os.open('/tmp/p.py', os.O_RDONLY)\n"
        "print(raw(s.fileno(), b'\\1\\0/tmp/none\\0', 2), raw(s.fileno(), b'\\1\\0' + b'x' * 126, "
        "128), raw(s.fileno(), b'', -1), raw(s.fileno(), None, 16), raw(999, b'', 16), raw(f, "
        "b'\\1\\0/tmp', 6), raw(s.fileno(), b'\\2\\0' + bytes(14), 16))\n" END,
        "12 0\n0o600\nECONNREFUSED ENOENT ENOTDIR ECONNREFUSED\nEINVAL EINVAL EINVAL EFAULT EBADF "
        "ENOTSOCK EINVAL");
    expect(&b,
           PY "l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(9); a = "
              "l.getsockname()\n"
              "c = socket.socket(); c.connect(a); d = socket.create_connection(a, 5)\n"
              "n = socket.socket(); n.setblocking(False)\n"
              "try: n.connect(a)\n"
              "except OSError as e: print(errno.errorcode[e.errno])\n"
              "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(a)\n"
              "x, y = socket.socketpair(); x.send(b'pair'); print(y.recv(9).decode())\n" END,
           "EINPROGRESS\npair");
    sbx_close(&b);
}

/* A full queue: who may wait waits, who may not is told, a signal ends the waiting as its handler
 * asks for, an end of the program ends it, and others are served meanwhile. */
static void waiting_connects_wait_as_ever(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect(&b,
           PY "l = socket.socket(U); l.bind('/tmp/full'); l.listen(0)\n"
              "first = socket.socket(U); first.connect('/tmp/full')\n"
              "print(go('/tmp/full', wait=False))\n"
              "hits = []\n"
              "def note(*a): hits.append(1)\n"
              "libc = ctypes.CDLL(None, use_errno=True)\n"
              "at = struct.pack('H108s', 1, b'/tmp/full')\n"
              "signal.signal(signal.SIGALRM, note); signal.siginterrupt(signal.SIGALRM, True)\n"
              "signal.setitimer(signal.ITIMER_REAL, 0.1)\n"
              "s = socket.socket(U); r = libc.connect(s.fileno(), at, 110)\n"
              "print(r, errno.errorcode[ctypes.get_errno()], len(hits))\n"
              /* restarted: it is still waiting when the place is free */
              "signal.siginterrupt(signal.SIGALRM, False)\n"
              "signal.setitimer(signal.ITIMER_REAL, 0.1)\n"
              "threading.Timer(0.5, lambda: l.accept()).start()\n"
              "s = socket.socket(U); r = libc.connect(s.fileno(), at, 110)\n"
              "time.sleep(0.01); print(r, len(hits))\n"
              /* a child that waits can be killed, and is stopped and continued */
              "pid = os.fork()\n"
              "if pid == 0: c = socket.socket(U); libc.connect(c.fileno(), at, 110); os._exit(9)\n"
              "time.sleep(0.1); os.kill(pid, signal.SIGSTOP)\n"
              "print(os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]))\n"
              "print(go('\\0nobody'))\n"
              "os.kill(pid, signal.SIGKILL); print(os.waitpid(pid, 0)[1])\n" END,
           "EAGAIN\n-1 EINTR 1\n0 2\nTrue\nECONNREFUSED\n9");
    expect(&b,
           PY "l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1000)\n"
              "u = socket.socket(U); u.bind('/tmp/many'); u.listen(3)\n"
              "ok = []\n"
              "def serve():\n"
              "  while True: u.accept()[0].close()\n"
              "threading.Thread(target=serve, daemon=True).start()\n"
              "def one(i):\n"
              "  s = socket.socket(U) if i % 2 else socket.socket()\n"
              "  s.connect('/tmp/many' if i % 2 else l.getsockname()); ok.append(1)\n"
              "t = [threading.Thread(target=one, args=(i,)) for i in range(400)]\n"
              "[x.start() for x in t]; [x.join(60) for x in t]; print(len(ok))\n" END,
           "400");
    sbx_close(&b);
}

/* A program that turns O_NONBLOCK on and off while it connects to a full queue: the guard, who saw
 * that the socket does not wait, must not be the one who waits. A signal lets the program try again
 * each time that it waits itself. */
static void the_guard_itself_never_waits(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect(
        &b,
        "cat > /tmp/r.c <<'EOF'\n"
        "#define _GNU_SOURCE\n#include <pthread.h>\n#include <signal.h>\n#include <stdio.h>\n"
        "#include <fcntl.h>\n#include <unistd.h>\n#include <time.h>\n"
        "#include <sys/socket.h>\n#include <sys/un.h>\n"
        "static struct sockaddr_un full = {AF_UNIX, \"/tmp/f\"}, good = {AF_UNIX, \"/tmp/g\"};\n"
        "static int fd; static void on(int s) { (void)s; }\n"
        "static void *flip(void *x) { for (;;) { fcntl(fd, F_SETFL, O_NONBLOCK); fcntl(fd, "
        "F_SETFL, "
        "0); } return x; }\n"
        "static void *go(void *x) { for (;;) connect(fd, (void *)&full, sizeof(full)); return x; "
        "}\n"
        "static void *probe(void *x) { int c = socket(AF_UNIX, SOCK_STREAM, 0); connect(c, (void "
        "*)&good, sizeof(good)); close(c); return x; }\n"
        "int main(void) { struct sigaction a = {.sa_handler = on}; sigaction(SIGUSR1, &a, 0);\n"
        "  int l = socket(AF_UNIX, SOCK_STREAM, 0), g = socket(AF_UNIX, SOCK_STREAM, 0);\n"
        "  bind(l, (void *)&full, sizeof(full)); listen(l, 0);\n"
        "  bind(g, (void *)&good, sizeof(good)); listen(g, 4000);\n"
        "  for (int c = 0; c >= 0;) { c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);\n"
        "    if (connect(c, (void *)&full, sizeof(full)) < 0) c = -1; }\n"
        "  fd = socket(AF_UNIX, SOCK_STREAM, 0); pthread_t f, c, p;\n"
        "  pthread_create(&f, 0, flip, 0); pthread_create(&c, 0, go, 0);\n"
        "  for (int i = 0; i < 100; i++) { nanosleep(&(struct timespec){0, 20000000}, 0);\n"
        "    pthread_kill(c, SIGUSR1); if (i % 20 < 19) continue;\n"
        "    struct timespec t; clock_gettime(CLOCK_REALTIME, &t); t.tv_sec += 30;\n"
        "    pthread_create(&p, 0, probe, 0);\n"
        "    if (pthread_timedjoin_np(p, 0, &t)) { puts(\"it waits\"); fflush(stdout); _exit(1); } "
        "}\n"
        "  puts(\"served\"); fflush(stdout); _exit(0); }\n"
        "EOF\ncc -pthread -O1 -o /tmp/r /tmp/r.c 2>/dev/null && timeout 100 /tmp/r",
        "served");
    sbx_close(&b);
}

/* A socket that a program leaves in a directory of the host would be a door for whoever connects to
 * it there. */
static void no_socket_is_made_in_a_bind(void **state)
{
    (void)state;
    static const struct {
        const char *target, *want;
        enum sandbox_user user;
    } table[] = {
        {"/srv/p", "EACCES EACCES EACCES True", SANDBOX_USER_AGENT},
        {"/workspace/p", "EACCES EACCES EACCES True", SANDBOX_USER_AGENT},
        {"/srv/p", "EACCES EACCES EACCES True", SANDBOX_USER_ROOT},
    };
    struct door d;
    door_make(&d);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sandbox_spec s;
        sandbox_spec_init(&s);
        s.user = table[i].user;
        assert_int_equal(sandbox_spec_add_bind(&s, d.dir, table[i].target, true, NULL), 0);
        struct sbx b;
        open_with(&s, &b);
        AUTO_FREE char *script = mem_printf(
            PY
            "d = '%s'\n"
            "open(d + '/writable', 'w').close(); os.symlink(d, '/tmp/in')\n"
            "def made(a):\n"
            "  s = socket.socket(U)\n"
            "  try: s.bind(a); return 'made'\n"
            "  except OSError as e: return errno.errorcode[e.errno]\n"
            "os.chdir(d)\n"
            "print(made(d + '/s'), made('s'), made('/tmp/in/s'), end=' ')\n"
            "os.umask(0o077); print(made('/tmp/fine') == 'made' and os.stat('/tmp/fine').st_mode "
            "& 0o777 == 0o700 and go('/tmp/fine') == 'ECONNREFUSED')\n" END,
            table[i].target);
        expect(&b, script, table[i].want);
        struct stat st;
        AUTO_FREE char *path = mem_printf("%s/s", d.dir);
        assert_int_equal(lstat(path, &st), -1);
        sbx_close(&b);
    }
    door_done(&d);
}

/* The exception has a name. */
static void a_socket_that_is_named_is_reached_and_no_other(void **state)
{
    (void)state;
    struct door d;
    door_make(&d);
    AUTO_FREE char *named = mem_printf("%s/door", d.dir);
    AUTO_FREE char *other = mem_printf("%s/other", d.dir);
    AUTO_CLOSE int second = listen_at(other);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, d.dir, "/srv/p", false, NULL), 0);
    assert_int_equal(sandbox_spec_add_socket(&s, named, "/srv/named", NULL), 0);
    assert_int_equal(sandbox_spec_add_socket(&s, named, "/tmp/x/named", NULL), 0);
    struct sbx b;
    open_with(&s, &b);
    expect(&b,
           PY "os.chdir('/srv')\n"
              "print(go('/srv/named'), go('named'), go('/tmp/x/named'), go('/srv/p/door'), "
              "go('/srv/p/other'))\n" END,
           "connected connected connected EACCES EACCES");
    for (int i = 0; i < 3; i++)
        assert_true(heard(&d));
    assert_false(heard(&d));
    assert_int_equal(accept4(second, NULL, NULL, SOCK_CLOEXEC), -1);
    sbx_close(&b);

    /* What is no socket is not let in under that name, and a socket not under another. */
    AUTO_FREE char *file = mem_printf("%s/file", d.dir);
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_socket(&s, file, "/srv/named", NULL), 0);
    AUTO_FREE char *why = sbx_open(&host, &s, &b);
    assert_non_null(why);
    expect_contains(why, "is not a Unix socket");
    sandbox_spec_done(&s);
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, named, "/srv/named", true, NULL), 0);
    AUTO_FREE char *why2 = sbx_open(&host, &s, &b);
    assert_non_null(why2);
    expect_contains(why2, "--socket");
    sandbox_spec_done(&s);
    door_done(&d);
}

/* Locks that a program holds on what it may only read must not make the host wait. */
static void no_lock_reaches_the_host(void **state)
{
    (void)state;
    struct door d;
    door_make(&d);
    AUTO_FREE char *path = mem_printf("%s/file", d.dir);
    AUTO_CLOSE int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    assert_int_equal(write(file, "x", 1), 1);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, d.dir, "/srv/p", false, NULL), 0);
    struct sbx b;
    open_with(&s, &b);
    static const char script[] =
        PY "f = os.open('/srv/p/file', os.O_RDONLY); own = os.open('/tmp/own', os.O_RDWR | "
           "os.O_CREAT)\n"
           "def try_(g, *a):\n"
           "  try: g(*a); return 'ok'\n"
           "  except OSError as e: return errno.errorcode[e.errno]\n"
           "r = struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 0, 0)\n"
           "w = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)\n"
           "u = os.open('/usr/bin/env', os.O_RDONLY)\n"
           "def all(f): return [try_(fcntl.flock, f, 1 | 4), try_(fcntl.flock, f, 2 | 4), "
           "try_(fcntl.fcntl, f, 6, r), try_(fcntl.fcntl, f, 37, r), try_(fcntl.fcntl, f, 6, w), "
           "try_(fcntl.fcntl, f, 1024, 0)]\n"
           "print(*all(f)); print(*all(own)); print(*all(u)[:2])\n"
           "if os.fork() == 0:\n"
           "  g = os.open('/tmp/own', os.O_RDWR)\n"
           "  print(try_(fcntl.flock, g, 1 | 4), try_(fcntl.fcntl, g, 6, w)); os._exit(0)\n"
           "os.wait(); open('/tmp/held', 'w').close()\n"
           "time.sleep(600)\n"
           "EOF\npython3 -u /tmp/p.py >/tmp/out 2>&1 &\n"
           "while ! [ -e /tmp/held ]; do sleep 0.02; done; cat /tmp/out";
    expect(&b, script,
           "ok ENOLCK ok ok EBADF EPERM\nok ok ok ok EAGAIN EPERM\nok ENOLCK\nEAGAIN EAGAIN");
    /* The programs that hold them are still there. */
    assert_int_equal(flock(file, LOCK_EX | LOCK_NB), 0);
    struct flock all = {.l_type = F_WRLCK};
    assert_int_equal(fcntl(file, F_OFD_SETLK, &all), 0);
    /* And now the host holds some: readers are told, and wait. */
    expect(&b,
           PY "f = os.open('/srv/p/file', os.O_RDONLY)\n"
              "r = struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 0, 0)\n"
              "for g, a in ((fcntl.flock, 1 | 4), (lambda f, c: fcntl.fcntl(f, c, r), 6)):\n"
              "  try: g(f, a); print('ok')\n"
              "  except OSError as e: print(errno.errorcode[e.errno])\n" END,
           "EAGAIN\nEAGAIN");
    sbx_close(&b);
    door_done(&d);
}

/* A named pipe below a bind, at whose other end somebody of the host reads. */
static void no_pipe_of_the_host_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        bool write;
        enum sandbox_user user;
    } table[] = {{"/srv/p", false, SANDBOX_USER_AGENT},
                 {"/srv/p", true, SANDBOX_USER_AGENT},
                 {"/workspace/p", false, SANDBOX_USER_AGENT},
                 {"/tmp/p", true, SANDBOX_USER_ROOT}};
    struct door d;
    door_make(&d);
    AUTO_FREE char *sub = mem_printf("%s/sub", d.dir);
    AUTO_FREE char *fifo = mem_printf("%s/sub/file", d.dir);
    assert_int_equal(mkdir(sub, 0777), 0);
    assert_int_equal(chmod(sub, 0777), 0);
    assert_int_equal(mknod(fifo, S_IFIFO | 0666, 0), 0);
    assert_int_equal(chmod(fifo, 0666), 0);
    AUTO_CLOSE int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sandbox_spec s;
        sandbox_spec_init(&s);
        s.user = table[i].user;
        assert_int_equal(sandbox_spec_add_bind(&s, d.dir, table[i].target, table[i].write, NULL),
                         0);
        struct sbx b;
        open_with(&s, &b);
        AUTO_FREE char *script =
            mem_printf("cd %s/sub; (echo out >file) 2>/dev/null && echo written; (echo out >>"
                       "/proc/self/cwd/file) 2>/dev/null && echo written; (rm -f file) 2>/dev/null "
                       "&& echo removed; (mv ../sub/file x) 2>/dev/null && echo moved; (ln file "
                       "/tmp/y) 2>/dev/null && echo linked; [ -f file ] && cat file; echo end",
                       table[i].target);
        expect(&b, script, "end");
        char byte;
        assert_true(read(reader, &byte, 1) <= 0);
        sbx_close(&b);
    }
    unlink(fifo);
    rmdir(sub);
    door_done(&d);
}

#define CASE(f) cmocka_unit_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(no_socket_of_the_host_is_reached),
        CASE(swapping_does_not_help),
        CASE(ordinary_servers_work),
        CASE(waiting_connects_wait_as_ever),
        CASE(the_guard_itself_never_waits),
        CASE(no_socket_is_made_in_a_bind),
        CASE(a_socket_that_is_named_is_reached_and_no_other),
        CASE(no_lock_reaches_the_host),
        CASE(no_pipe_of_the_host_is_written),
    };
    int failed = cmocka_run_group_tests_name("as ourselves", tests, setup_self, teardown);
    if (test_is_root())
        failed += cmocka_run_group_tests_name("as an ordinary user", tests, setup_user, teardown);
    return failed;
}

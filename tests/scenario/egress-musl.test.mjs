// A static program of musl's with a TLS of its own (BearSSL, which speaks 1.2 and verifies) behind the boundary: libc, resolver and TLS
// are none of those that the other clients share. It is compiled here; what it trusts is the file that the sandbox has at its usual place.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, nameServer, origin, rule, scripts } from '../lib/egress.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });

const CLIENT = String.raw`
#include <bearssl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The library was compiled for glibc's checked copies; musl has none. */
void *__memcpy_chk(void *d, const void *s, size_t n, size_t room) { return n > room ? (abort(), d) : memcpy(d, s, n); }
void *__memmove_chk(void *d, const void *s, size_t n, size_t room) { return n > room ? (abort(), d) : memmove(d, s, n); }
void *__memset_chk(void *d, int c, size_t n, size_t room) { return n > room ? (abort(), d) : memset(d, c, n); }

struct bytes { unsigned char *p; size_t n; };
static void add(void *to, const void *p, size_t n)
{
    struct bytes *b = to;
    b->p = realloc(b->p, b->n + n + 1);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}
static void copy(unsigned char **to, size_t n) { unsigned char *p = malloc(n); memcpy(p, *to, n); *to = p; }

static br_x509_trust_anchor anchors[1000];
static size_t n_anchors;

static void anchor(const struct bytes *der)
{
    struct bytes name = {0};
    static br_x509_decoder_context d;
    br_x509_decoder_init(&d, add, &name);
    br_x509_decoder_push(&d, der->p, der->n);
    const br_x509_pkey *key = br_x509_decoder_get_pkey(&d);
    if (!key || n_anchors == sizeof(anchors) / sizeof(anchors[0]))
        return;
    br_x509_trust_anchor *a = &anchors[n_anchors++];
    *a = (br_x509_trust_anchor){{name.p, name.n}, br_x509_decoder_isCA(&d) ? BR_X509_TA_CA : 0, *key};
    if (key->key_type == BR_KEYTYPE_RSA) {
        copy(&a->pkey.key.rsa.n, a->pkey.key.rsa.nlen);
        copy(&a->pkey.key.rsa.e, a->pkey.key.rsa.elen);
    } else {
        copy(&a->pkey.key.ec.q, a->pkey.key.ec.qlen);
    }
}

static void read_anchors(const char *file)
{
    static char text[4 << 20];
    FILE *f = fopen(file, "r");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0, at = 0;
    static br_pem_decoder_context pem;
    br_pem_decoder_init(&pem);
    struct bytes der = {0};
    while (at < n) {
        at += br_pem_decoder_push(&pem, text + at, n - at);
        int event = br_pem_decoder_event(&pem);
        if (event == BR_PEM_BEGIN_OBJ) {
            der.n = 0;
            br_pem_decoder_setdest(&pem, add, &der);
        } else if (event == BR_PEM_END_OBJ) {
            anchor(&der);
        }
    }
}

static int reading(void *fd, unsigned char *p, size_t n) { ssize_t k = read(*(int *)fd, p, n); return k > 0 ? (int)k : -1; }
static int writing(void *fd, const unsigned char *p, size_t n) { ssize_t k = write(*(int *)fd, p, n); return k > 0 ? (int)k : -1; }

static int dial(const char *host, const char *port)
{
    struct addrinfo *a, hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host, port, &hints, &a))
        return -1;
    for (; a; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM, 0);
        if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
            return fd;
        close(fd);
    }
    return -1;
}

int main(int argc, char **argv)
{
    static br_ssl_client_context c;
    static br_x509_minimal_context x;
    static unsigned char room[BR_SSL_BUFSIZE_BIDI];
    static br_sslio_context io;
    if (argc != 5)
        return 2;
    const char *host = argv[2], *port = argv[3];
    read_anchors(argv[1]);
    int fd = dial(host, port);
    if (fd < 0)
        return printf("no connection\n"), 1;
    br_ssl_client_init_full(&c, &x, anchors, n_anchors);
    br_ssl_engine_set_buffer(&c.eng, room, sizeof(room), 1);
    br_ssl_client_reset(&c, host, 0);
    br_sslio_init(&io, &c.eng, reading, &fd, writing, &fd);
    static char q[1000], got[20000];
    int n = snprintf(q, sizeof(q), "GET %s HTTP/1.1\r\nHost: %s:%s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", argv[4], host, port, getenv("TOKEN"));
    br_sslio_write_all(&io, q, (size_t)n);
    br_sslio_flush(&io);
    size_t all = 0;
    for (int k; all < sizeof(got) - 1 && (k = br_sslio_read(&io, got + all, sizeof(got) - 1 - all)) > 0;)
        all += (size_t)k;
    got[all] = '\0';
    const int error = br_ssl_engine_last_error(&c.eng);
    printf("error %d, %.12s, %s\n", error, got, strstr(got, getenv("TOKEN")) ? "the placeholder" : strstr(got, "no rule allows") ? "no rule" : "nothing");
    return 0;
}
`;

test('a static program of musl’s with BearSSL: the secret goes, the placeholder comes, a refusal can be read, a stranger is not trusted', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const dir = scripts({ 'c.c': CLIENT });
  // musl's compiler does not look where Debian's headers are, nor may it: glibc's lie there, too.
  fs.mkdirSync(path.join(dir, 'include'));
  for (const f of fs.readdirSync('/usr/include/bearssl')) fs.copyFileSync(path.join('/usr/include/bearssl', f), path.join(dir, 'include', f));
  const library = execFileSync('gcc', ['-print-file-name=libbearssl.a'], { encoding: 'utf8' }).trim();
  execFileSync('musl-gcc', ['-static', '-O1', '-I', path.join(dir, 'include'), '-o', path.join(dir, 'c'), path.join(dir, 'c.c'), library], { stdio: ['ignore', 'pipe', 'pipe'] });
  fs.writeFileSync(path.join(dir, 'stranger.pem'), fs.readFileSync(ca.file));
  const out = await b.ok(`B=/etc/ssl/certs/ca-certificates.crt
    /s/c $B api.test ${o.port} /musl; /s/c $B other.test 443 /; /s/c /s/stranger.pem api.test ${o.port} /not`, { args: ['--bind', `${dir}:/s`] });
  const [right, refused, stranger] = out.trimEnd().split('\n');
  assert.equal(right, 'error 0, HTTP/1.1 200, the placeholder');
  assert.equal(refused, 'error 0, HTTP/1.1 403, no rule');
  assert.equal(stranger, 'error 62, , nothing');   // BR_ERR_X509_NOT_TRUSTED
  assert.deepEqual(o.seen.map((r) => [r.url, r.headers.authorization]), [['/musl', `Bearer ${SECRET}`]]);
});

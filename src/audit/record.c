/* record.c - a record becomes a line.
 *
 * Called by the writer for each record. An agent decides what many members hold (host, path, method,
 * tool), so a line is ASCII from end to end: everything else is escaped as JSON has it, which keeps
 * it safe to show on a terminal and leaves no second reading of its bytes. Every member has a
 * ceiling, counted after escaping, so a line always fits and a record can never be refused for its
 * contents. The bytes written here are the bytes that are hashed; nobody writes them again. */
#include "audit/record.h"
#include "base/enc.h"
#include "base/str.h"
#include "base/time.h"

#include <stdio.h>
#include <string.h>

#define LATE_US (1 * US_PER_S) /* from then on a line says when its record was made */

static const char *const kinds[] = {[AUDIT_REQUEST] = "request",
                                    [AUDIT_CREDENTIAL] = "credential",
                                    [AUDIT_TOOL_CALL] = "tool_call",
                                    [AUDIT_SESSION] = "session",
                                    [AUDIT_NOTE] = "note",
                                    [AUDIT_START] = "start",
                                    [AUDIT_CHECKPOINT] = "checkpoint"};

const char *audit_kind_name(int kind)
{
    return kind > 0 && (size_t)kind < ARRAY_LEN(kinds) ? kinds[kind] : NULL;
}

int audit_kind_of(const char *name)
{
    for (size_t i = 1; name && i < ARRAY_LEN(kinds); i++)
        if (str_eq(name, kinds[i]))
            return (int)i;
    return 0;
}

struct out {
    char *p, *end;
};

static void put(struct out *o, const char *s, size_t n)
{
    MUST(n <= (size_t)(o->end - o->p));
    memcpy(o->p, s, n);
    o->p += n;
}

static void puts_(struct out *o, const char *s)
{
    put(o, s, strlen(s));
}

static void put_number(struct out *o, uint64_t v)
{
    char digits[20], *p = digits + sizeof(digits);
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    put(o, p, (size_t)(digits + sizeof(digits) - p));
}

static void put_hex(struct out *o, const void *p, size_t n)
{
    char hex[2 * 32 + 1];
    MUST(n <= 32);
    enc_hex(p, n, hex);
    put(o, hex, 2 * n);
}

/* One UTF-16 unit, or two. */
static size_t escape_point(uint32_t c, char ret[13])
{
    if (c < 0x10000)
        return (size_t)snprintf(ret, 13, "\\u%04x", c);
    c -= 0x10000;
    return (size_t)snprintf(ret, 13, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
}

static uint32_t decode(const unsigned char *s, size_t n)
{
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = s[0] & lead[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3f);
    return c;
}

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Escapes into at most `max` bytes. True when all of `t` is there. */
static bool put_escaped(struct out *o, struct audit_text t, size_t max)
{
    for (size_t at = 0; at < t.n;) {
        size_t run = 0;
        while (at + run < t.n && run < max && is_plain(t.p[at + run]))
            run++;
        put(o, t.p + at, run);
        at += run;
        max -= run;
        if (at == t.n)
            return true;
        if (max == 0)
            return false;
        char escaped[13];
        size_t wide = str_utf8_sequence(t.p + at, t.n - at), n;
        if (wide == 1 && t.p[at] == '\0')
            n = escape_point(0xfffd, escaped); /* our own parser refuses NUL */
        else if (wide == 1 && (t.p[at] == '"' || t.p[at] == '\\'))
            n = (size_t)snprintf(escaped, sizeof(escaped), "\\%c", t.p[at]);
        else if (wide > 0)
            n = escape_point(decode((const unsigned char *)t.p + at, wide), escaped);
        else
            n = escape_point(0xfffd, escaped);
        if (n > max)
            return false;
        put(o, escaped, n);
        at += wide > 0 ? wide : 1;
        max -= n;
    }
    return true;
}

size_t audit_record_session(const struct audit_record *r, char ret[AUDIT_SESSION_MAX])
{
    size_t n = r->session.n < AUDIT_SESSION_MAX ? r->session.n : AUDIT_SESSION_MAX;
    for (size_t i = 0; i < n; i++) {
        char c = r->session.p[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  (c && strchr("_.:-", c));
        ret[i] = ok ? c : '_';
    }
    return n;
}

static struct audit_text without_query(struct audit_text path)
{
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '?' || path.p[i] == '#')
            path.n = i;
    return path;
}

struct cut {
    char names[160];
    size_t n;
};

static void put_member(struct out *o, const char *name, struct audit_text t, size_t max,
                       struct cut *cut)
{
    if (t.n == 0)
        return;
    puts_(o, ",\"");
    puts_(o, name);
    puts_(o, "\":\"");
    if (!put_escaped(o, t, max))
        cut->n += (size_t)snprintf(cut->names + cut->n, sizeof(cut->names) - cut->n, "%s%s",
                                   cut->n ? "," : "", name);
    puts_(o, "\"");
}

static void put_head(struct out *o, const struct audit_head *h, int kind)
{
    char time[TIME_RFC3339_MAX];
    puts_(o, "{\"seq\":");
    put_number(o, h->seq);
    puts_(o, ",\"prev\":\"");
    put_hex(o, h->prev, 32);
    puts_(o, "\",\"salt\":\"");
    put_hex(o, h->salt, AUDIT_SALT_BYTES);
    puts_(o, "\",\"time\":\"");
    puts_(o, time_format(time, h->time_us));
    puts_(o, "\",\"kind\":\"");
    puts_(o, audit_kind_name(kind));
    puts_(o, "\",\"by\":\"");
    puts_(o, h->by);
    puts_(o, "\"");
    if (h->id) {
        puts_(o, ",\"id\":\"");
        puts_(o, h->id);
        puts_(o, "\"");
    }
    if (h->at_us && (h->at_us > h->time_us + LATE_US || h->at_us < h->time_us - LATE_US)) {
        puts_(o, ",\"at\":\"");
        puts_(o, time_format(time, h->at_us));
        puts_(o, "\"");
    }
}

size_t audit_record_line(const struct audit_head *h, const struct audit_record *r,
                         char ret[AUDIT_LINE_MAX])
{
    struct out o = {ret, ret + AUDIT_LINE_MAX};
    struct cut cut = {0};
    char session[AUDIT_SESSION_MAX];
    struct audit_record own = *r;
    own.path = without_query(r->path);
    own.session = (struct audit_text){session, audit_record_session(r, session)};
    put_head(&o, h, r->kind);
    if (r->session.n > AUDIT_SESSION_MAX)
        cut.n = (size_t)snprintf(cut.names, sizeof(cut.names), "session");
#define MEMBER_(name, max) put_member(&o, #name, own.name, max, &cut);
    AUDIT_TEXTS(MEMBER_)
#undef MEMBER_
#define MEMBER_(name)                                                                              \
    if (r->name) {                                                                                 \
        puts_(&o, ",\"" #name "\":");                                                              \
        put_number(&o, r->name <= INT64_MAX ? r->name : INT64_MAX);                                \
    }
    AUDIT_NUMBERS(MEMBER_)
#undef MEMBER_
    if (cut.n) {
        puts_(&o, ",\"cut\":\"");
        puts_(&o, cut.names);
        puts_(&o, "\"");
    }
    puts_(&o, "}");
    return (size_t)(o.p - ret);
}

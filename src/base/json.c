/* json.c - the only way from text to jansson values and back.
 *
 * Theory of operation: everything that arrives as JSON passes json_parse. A scan over the bytes
 * counts nesting before jansson, whose parser recurses, sees them: 64 levels fit any fiber stack.
 * It counts values, too: jansson needs up to a hundred times the bytes of a text like [{},{},...].
 * The same scan finds integers beyond 64 bits (legal JSON, which jansson refuses) and hands them
 * over as reals, as JavaScript would read them. Duplicate keys and NUL are refused: two readers
 * must never disagree about what a document says. jansson's error text quotes the input near the
 * mistake; that part is cut off, because the input may hold a credential. Printing is our own loop
 * with an explicit stack: it cannot overflow a fiber stack and prints reals in their shortest exact
 * form. Never suspends. */
#include "base/json.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Parsed documents are at most 64 deep; what the program wraps around them adds a few levels. */
#define PRINT_DEPTH 96

#define PROBE_FROM_BYTES (64u << 10) /* smaller texts are not worth the question */
#define VALUE_BYTES      320         /* an empty object of jansson's */

void json_cleanup(json_t **j)
{
    json_decref(*j);
}

/* jansson 2.14 ignores a failed growth of the buffer it collects a string in, and writes past its
 * end. */
__attribute__((constructor)) static void use_our_memory(void)
{
    json_set_alloc_funcs(mem_for_library, free);
}

static bool wiping;

static void wipe_and_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

void json_wipe_when_freed(void)
{
    json_malloc_t allocate;
    json_free_t unused;
    wiping = true;
    json_get_alloc_funcs(&allocate, &unused);
    json_set_alloc_funcs(allocate, wipe_and_free);
}

/* ---- reading ---- */

struct scan {
    const char *s;
    size_t n, at;
    size_t depth;
    size_t values, max_values; /* names of members count, too */
    size_t line, line_start;
    struct buf patched; /* the text with big integers turned into reals; empty when none was met */
    size_t copied;      /* bytes of s already in `patched` */
};

static int scan_fail(const struct scan *c, struct err *e, const char *what)
{
    return err_set(e, -E_PARSE, "line %zu column %zu: %s", c->line, c->at - c->line_start + 1,
                   what);
}

static void scan_string(struct scan *c)
{
    for (c->at++; c->at < c->n && c->s[c->at] != '"'; c->at++)
        if (c->s[c->at] == '\\' && c->at + 1 < c->n)
            c->at++;
}

/* A number token: when it is an integer outside 64 bits, "e0" behind it makes it a real. */
static void scan_number(struct scan *c)
{
    size_t from = c->at;
    bool integer = true;
    for (; c->at < c->n && strchr("0123456789+-.eE", c->s[c->at]) && c->s[c->at]; c->at++)
        if (strchr(".eE", c->s[c->at]))
            integer = false;
    int64_t v;
    if (integer && c->at - from > 18 &&
        str_to_i64(c->s + from, c->at - from, INT64_MIN, INT64_MAX, &v) == -ERANGE) {
        /* Two bytes for at least nineteen: with so much room it does not move and leave copies. */
        if (c->copied == 0)
            (void)buf_room(&c->patched, c->n + c->n / 9 + 16);
        (void)buf_add(&c->patched, c->s + c->copied, c->at - c->copied);
        (void)buf_adds(&c->patched, "e0");
        c->copied = c->at;
    }
    c->at--; /* the caller's loop steps over the last character */
}

static int scan(struct scan *c, struct err *e)
{
    for (; c->at < c->n; c->at++) {
        switch (c->s[c->at]) {
        case '\0':
            return scan_fail(c, e, "NUL byte");
        case '\n':
            c->line++;
            c->line_start = c->at + 1;
            break;
        case '"':
            c->values++;
            scan_string(c);
            break;
        case 't': /* each of them once in true, false or null */
        case 'f':
        case 'n':
            c->values++;
            break;
        case '[':
        case '{':
            if (++c->depth > LIMIT_JSON_DEPTH)
                return scan_fail(c, e, "nested too deeply; at most 64 levels are allowed");
            c->values++;
            break;
        case ']':
        case '}':
            c->depth -= c->depth > 0; /* an unbalanced bracket is jansson's to refuse */
            break;
        case '-':
        case '0' ... '9':
            c->values++;
            scan_number(c);
            break;
        default:
            break;
        }
        if (c->values > c->max_values)
            return err_set(e, -E_LIMIT, "it has more than %zu values and names", c->max_values);
    }
    return 0;
}

/* Whether so much memory can be had as the values will take, or more. */
static bool have_memory(const struct scan *c)
{
    if (c->n < PROBE_FROM_BYTES)
        return true;
    void *volatile p = malloc(3 * c->n + VALUE_BYTES * c->values);
    free(p);
    return p != NULL;
}

int json_parse(const char *text, size_t n, json_t **ret, struct err *e)
{
    int r = json_parse_few(text, n, LIMIT_JSON_VALUES, ret, e);
    return r == -E_LIMIT ? -E_PARSE : r;
}

int json_parse_stored(const char *text, size_t n, json_t **ret)
{
    int r = text ? json_parse(text, n, ret, NULL) : -E_CORRUPT;
    return r == 0 || r == -ENOMEM ? r : -E_CORRUPT;
}

int json_parse_few(const char *text, size_t n, size_t max_values, json_t **ret, struct err *e)
{
    if (n > LIMIT_BODY_BYTES)
        return err_set(e, -E_PARSE, "JSON text of %zu bytes is longer than %u", n,
                       LIMIT_BODY_BYTES);
    struct scan c = {.s = text,
                     .n = n,
                     .line = 1,
                     .max_values = max_values,
                     .patched = BUF_INIT(2 * (size_t)LIMIT_BODY_BYTES)};
    int r = scan(&c, e);
    if (r == 0 && !have_memory(&c))
        r = err_set(e, -ENOMEM, "JSON text of %zu bytes: %s", n, err_text(-ENOMEM));
    json_t *j = NULL;
    json_error_t why = {0};
    if (r == 0) {
        if (c.copied) {
            (void)buf_add(&c.patched, text + c.copied, n - c.copied);
            text = buf_str(&c.patched);
            n = c.patched.len;
        }
        r = buf_err(&c.patched);
        if (r < 0)
            (void)err_set(e, r, "JSON text of %zu bytes: %s", n, err_text(r));
        else
            j = json_loadb(text ? text : "", n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    }
    if (wiping && c.patched.data)
        explicit_bzero(c.patched.data, c.patched.cap);
    buf_done(&c.patched);
    if (r < 0)
        return r;
    if (!j) {
        char *near = strstr(why.text, " near '");
        if (near)
            *near = '\0';
        bool nul = json_error_code(&why) == json_error_null_character;
        return err_set(e, -E_PARSE, "line %d column %d: %s", why.line, why.column,
                       nul ? "the character \\u0000 is not allowed" : why.text);
    }
    *ret = j;
    return 0;
}

/* ---- printing ---- */

/* The letter of a two-character escape (RFC 8259 section 7), or 0. */
static char short_escape(unsigned char c)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *at = c ? strchr(from, c) : NULL;
    return at ? to[at - from] : '\0';
}

static void print_string(struct buf *out, const char *s, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    (void)buf_addc(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        (void)buf_add(out, s + from, i - from);
        from = i + 1;
        char two = short_escape(c);
        if (two)
            (void)buf_add(out, (char[]){'\\', two}, 2);
        else
            (void)buf_add(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
    (void)buf_add(out, s + from, n - from);
    (void)buf_addc(out, '"');
}

/* The shortest text that reads back as the same double, and still reads back as a real. */
static void print_real(struct buf *out, double v)
{
    char text[40];
    if (!isfinite(v)) { /* jansson refuses to make one; JSON cannot say it */
        (void)buf_adds(out, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    (void)buf_adds(out, text);
    if (!strpbrk(text, ".e"))
        (void)buf_adds(out, ".0");
}

static void print_scalar(struct buf *out, const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_STRING:
        print_string(out, json_string_value(j), json_string_length(j));
        break;
    case JSON_INTEGER:
        (void)buf_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
        break;
    case JSON_REAL:
        print_real(out, json_real_value(j));
        break;
    case JSON_TRUE:
        (void)buf_adds(out, "true");
        break;
    case JSON_FALSE:
        (void)buf_adds(out, "false");
        break;
    case JSON_NULL:
    case JSON_OBJECT: /* containers never come here */
    case JSON_ARRAY:
        (void)buf_adds(out, "null");
        break;
    }
}

struct level {
    json_t *j;
    void *iter;   /* objects: the member to print next */
    size_t index; /* arrays: the element to print next; objects: members printed */
};

/* The next value inside `l`, its separator and key already printed; NULL when the level is
 * complete. */
static json_t *next_value(struct buf *out, struct level *l)
{
    json_t *v;
    if (json_is_array(l->j)) {
        v = json_array_get(l->j, l->index);
        if (v && l->index > 0)
            (void)buf_addc(out, ',');
    } else {
        if (!l->iter)
            return NULL;
        if (l->index > 0)
            (void)buf_addc(out, ',');
        const char *key = json_object_iter_key(l->iter);
        print_string(out, key, strlen(key));
        (void)buf_addc(out, ':');
        v = json_object_iter_value(l->iter);
        l->iter = json_object_iter_next(l->j, l->iter);
    }
    l->index++;
    return v;
}

/* jansson's readers take non-const pointers and change nothing. */
static json_t *unconst(const json_t *j)
{
    json_t *p;
    memcpy(&p, &j, sizeof(p));
    return p;
}

int json_print(struct buf *out, const json_t *j)
{
    struct level stack[PRINT_DEPTH];
    size_t depth = 0;
    for (json_t *v = unconst(j);;) {
        if (v && (json_is_object(v) || json_is_array(v))) {
            /* Input is capped at 64 levels: only the program itself can nest deeper than this. */
            MUST(depth < PRINT_DEPTH);
            stack[depth++] =
                (struct level){.j = v, .iter = json_is_object(v) ? json_object_iter(v) : NULL};
            (void)buf_addc(out, json_is_object(v) ? '{' : '[');
        } else if (v) {
            print_scalar(out, v);
        } else {
            (void)buf_adds(out, "null");
        }
        while (depth > 0 && !(v = next_value(out, &stack[depth - 1]))) {
            depth--;
            (void)buf_addc(out, json_is_object(stack[depth].j) ? '}' : ']');
        }
        if (depth == 0)
            return buf_err(out);
    }
}

/* The next value inside `l`, and the bytes of its key and separators. */
static json_t *next_weighed(struct level *l, size_t *weight)
{
    json_t *v;
    *weight += 2;
    if (json_is_array(l->j))
        return json_array_get(l->j, l->index++);
    if (!l->iter)
        return NULL;
    *weight += strlen(json_object_iter_key(l->iter)) + 2;
    v = json_object_iter_value(l->iter);
    l->iter = json_object_iter_next(l->j, l->iter);
    return v;
}

size_t json_weight(const json_t *j, size_t enough)
{
    struct level stack[PRINT_DEPTH];
    size_t depth = 0, weight = 0;
    for (json_t *v = unconst(j); weight < enough;) {
        if (v && (json_is_object(v) || json_is_array(v))) {
            MUST(depth < PRINT_DEPTH);
            stack[depth++] =
                (struct level){.j = v, .iter = json_is_object(v) ? json_object_iter(v) : NULL};
        } else {
            weight += json_is_string(v) ? json_string_length(v) : 8;
        }
        while (depth > 0 && !(v = next_weighed(&stack[depth - 1], &weight)))
            depth--;
        if (depth == 0)
            break;
    }
    return weight < enough ? weight : enough;
}

char *json_text(const json_t *j, size_t *ret_len)
{
    AUTO(buf) out = BUF_INIT(SIZE_MAX / 2);
    MUST(json_print(&out, j) == 0);
    return buf_take(&out, ret_len);
}

/* ---- objects ---- */

const char *json_get_str(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

int64_t json_get_int(const json_t *o, const char *key, int64_t fallback)
{
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

bool json_get_bool(const json_t *o, const char *key, bool fallback)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

json_t *json_str_lossy(const char *s, size_t n)
{
    AUTO(buf) clean = BUF_INIT(SIZE_MAX / 2);
    if (!str_is_utf8(s, n) || (n && memchr(s, '\0', n))) {
        for (size_t i = 0; i < n;) {
            size_t k = s[i] ? str_utf8_sequence(s + i, n - i) : 0;
            if (k)
                (void)buf_add(&clean, s + i, k);
            else
                (void)buf_adds(&clean, "\xef\xbf\xbd");
            i += k ? k : 1;
        }
        MUST(buf_err(&clean) == 0);
        s = buf_str(&clean);
        n = clean.len;
    }
    json_t *j = json_stringn(s, n);
    MUST(j != NULL);
    return j;
}

void json_put(json_t *o, const char *key, json_t *steals_v)
{
    MUST(json_object_set_new(o, key, steals_v ? steals_v : json_null()) == 0);
}

void json_put_str(json_t *o, const char *key, const char *v)
{
    json_put(o, key, v ? json_str_lossy(v, strlen(v)) : NULL);
}

void json_put_int(json_t *o, const char *key, int64_t v)
{
    json_put(o, key, json_integer(v));
}

void json_put_bool(json_t *o, const char *key, bool v)
{
    json_put(o, key, json_boolean(v));
}

void json_put_null(json_t *o, const char *key)
{
    json_put(o, key, NULL);
}

json_t *json_new_object(void)
{
    json_t *o = json_object();
    MUST(o);
    return o;
}

json_t *json_typed(const char *type)
{
    json_t *o = json_new_object();
    json_put_str(o, "type", type);
    return o;
}

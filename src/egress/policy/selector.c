/* selector.c - ports, methods and paths.
 *
 * Read at load, matched on every decision: methods as bits where they are common, ports in a sorted
 * list, paths one pattern after the other (at most 64). Method names are case-sensitive (RFC 9110
 * 9.1), so "get" is another method than GET and no rule that allows has it; but some servers make it
 * upper case before they look, so a deny rule has it. Path and method are what the sandbox sent. */
#include "egress/policy/selector.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "egress/policy/path.h"

#define PORTS_MAX   64
#define METHODS_MAX 32
#define PATHS_MAX   64

static const char *const common[] = {"GET",    "HEAD",    "POST",    "PUT",  "PATCH",
                                     "DELETE", "OPTIONS", "CONNECT", "TRACE"};

static uint32_t method_bit(const char *m)
{
    for (size_t i = 0; i < ARRAY_LEN(common); i++)
        if (strcmp(common[i], m) == 0)
            return 1u << i;
    return 0;
}

static int compare_ports(const void *a, const void *b)
{
    uint16_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

static int read_ports(const struct place *object, struct policy_selector *s)
{
    struct place one = place_member(object, "port"), many = place_member(object, "ports");
    if (one.value && many.value)
        return place_fail(&one, "give \"port\" or \"ports\", not both");
    if (!one.value && !many.value)
        return 0;
    size_t n = 1;
    int r = many.value ? place_list(&many, PORTS_MAX, &n) : 0;
    if (r < 0)
        return r;
    if (n == 0)
        return place_fail(&many, "is empty; leave it out for the default");
    uint16_t *ports = s->few;
    if (n > POLICY_PORTS_INLINE)
        ports = s->many = mem_array(n, sizeof(*s->many));
    for (size_t i = 0; i < n; i++) {
        struct place at = many.value ? place_item(&many, i) : one;
        int64_t port = 0;
        r = place_number(&at, 1, 65535, &port);
        if (r < 0)
            return r;
        ports[s->n_ports++] = (uint16_t)port;
    }
    qsort(ports, n, sizeof(*ports), compare_ports);
    return 0;
}

/* RFC 9110 5.6.2 token, without lower-case letters: those are a typing error here. */
static bool is_method(const char *m)
{
    for (; *m; m++)
        if (!((*m >= 'A' && *m <= 'Z') || (*m >= '0' && *m <= '9') ||
              strchr("!#$%&'*+-.^_`|~", *m)))
            return false;
    return true;
}

static int read_methods(const struct place *object, struct policy_selector *s)
{
    struct place list = place_member(object, "methods");
    size_t n, others = 0;
    if (!list.value)
        return 0;
    int r = place_list(&list, METHODS_MAX, &n);
    if (r < 0)
        return r;
    if (n == 0)
        return place_fail(&list, "is empty; leave it out for all methods");
    s->other_methods = mem_array(n + 1, sizeof(*s->other_methods));
    s->n_methods = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(&list, i);
        const char *m;
        r = place_text(&at, 32, &m);
        if (r < 0)
            return r;
        if (!is_method(m))
            return place_fail(&at, "a method is expected, in upper case: GET, POST, ...");
        uint32_t bit = method_bit(m);
        if (bit)
            s->methods |= bit == 1 ? 3 : bit; /* HEAD asks for no more than GET does */
        else
            s->other_methods[others++] = mem_strdup(m);
    }
    return 0;
}

static int read_paths(const struct place *object, struct policy_selector *s)
{
    struct place list = place_member(object, "paths");
    size_t n;
    if (!list.value)
        return 0;
    int r = place_list(&list, PATHS_MAX, &n);
    if (r < 0)
        return r;
    if (n == 0)
        return place_fail(&list, "is empty; leave it out for all paths");
    s->paths = mem_array(n, sizeof(*s->paths));
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(&list, i);
        const char *text;
        char canonical[3 * PATH_PATTERN_MAX + 1];
        size_t len;
        struct err why = {0};
        r = place_text(&at, PATH_PATTERN_MAX, &text);
        if (r < 0)
            return r;
        r = path_pattern(text, strlen(text), canonical, &len, &why);
        if (r < 0)
            return place_wrap(&at, &why);
        s->paths[s->n_paths++] = (struct policy_path){
            .text = mem_strndup(canonical, len),
            .n = (uint16_t)len,
            .encoded_slash = memmem(canonical, len, "%2F", 3) != NULL,
        };
    }
    return 0;
}

int selector_read(const struct place *object, bool ports, struct policy_selector *ret)
{
    struct policy_selector s = {0};
    int r = ports ? read_ports(object, &s) : 0;
    if (r == 0)
        r = read_methods(object, &s);
    if (r == 0)
        r = read_paths(object, &s);
    if (r < 0)
        selector_done(&s);
    else
        *ret = s;
    return r;
}

void selector_done(struct policy_selector *s)
{
    for (char **m = s->other_methods; m && *m; m++)
        free(*m);
    free(s->other_methods);
    for (uint32_t i = 0; i < s->n_paths; i++)
        free(s->paths[i].text);
    free(s->paths);
    free(s->many);
    *s = (struct policy_selector){0};
}

bool selector_has_port(const struct policy_selector *s, uint16_t port)
{
    const uint16_t *ports = selector_ports(s);
    for (uint32_t i = 0; i < s->n_ports; i++)
        if (ports[i] == port)
            return true;
    return false;
}

bool selector_has_method(const struct policy_selector *s, const char *method)
{
    if (s->n_methods == 0)
        return true;
    if (s->methods & method_bit(method))
        return true;
    for (char **m = s->other_methods; *m; m++)
        if (strcmp(*m, method) == 0)
            return true;
    return false;
}

bool selector_has_method_in_any_case(const struct policy_selector *s, const char *method)
{
    if (s->n_methods == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(common); i++)
        if (s->methods & 1u << i && str_ieq(common[i], method))
            return true;
    for (char **m = s->other_methods; *m; m++)
        if (str_ieq(*m, method))
            return true;
    return false;
}

bool selector_has_path(const struct policy_selector *s, const char *path, size_t n)
{
    for (uint32_t i = 0; i < s->n_paths; i++)
        if (path_matches(s->paths[i].text, s->paths[i].n, path, n))
            return true;
    return s->n_paths == 0;
}

/* To many routers a slash behind a path is none. */
static bool has_path_broadly(const struct policy_selector *s, const char *path, size_t n)
{
    bool slash = n > 1 && path[n - 1] == '/';
    for (uint32_t i = 0; i < s->n_paths; i++) {
        const struct policy_path *p = &s->paths[i];
        if (path_matches_broadly(p->text, p->n, path, n) ||
            (slash && path_matches_broadly(p->text, p->n, path, n - 1)))
            return true;
    }
    return s->n_paths == 0;
}

bool selector_has_path_in_any_reading(const struct policy_selector *s, const char *path, size_t n)
{
    if (has_path_broadly(s, path, n))
        return true;
    if (!memmem(path, n, "%2F", 3))
        return false;
    AUTO_FREE char *decoded = mem_array(n + 1, 1);
    size_t len = 0;
    for (size_t i = 0; i < n;) {
        bool slash = n - i >= 3 && memcmp(path + i, "%2F", 3) == 0;
        /* Two slashes in a row are one to those who decode and then merge. */
        if (!slash || (len && decoded[len - 1] != '/'))
            decoded[len++] = slash ? '/' : path[i];
        i += slash ? 3 : 1;
    }
    return has_path_broadly(s, decoded, len);
}

static bool methods_meet(const struct policy_selector *a, const struct policy_selector *b)
{
    if (a->n_methods == 0 || b->n_methods == 0 || (a->methods & b->methods))
        return true;
    for (char **m = a->other_methods; *m; m++)
        if (selector_has_method(b, *m))
            return true;
    return false;
}

bool selectors_meet(const struct policy_selector *a, const struct policy_selector *b)
{
    if (!methods_meet(a, b))
        return false;
    for (uint32_t i = 0; i < a->n_paths; i++)
        for (uint32_t k = 0; k < b->n_paths; k++)
            if (path_patterns_meet(a->paths[i].text, a->paths[i].n, b->paths[k].text,
                                   b->paths[k].n))
                return true;
    return a->n_paths == 0 || b->n_paths == 0;
}

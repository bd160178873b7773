/* kind_basic.c - the placeholder as the whole user or the whole password of "Authorization: Basic"
 * (RFC 7617): git over HTTPS, registries, APIs that take a token as either.
 *
 * User and password may be placeholders of two credentials: both are of one site. What is not replaced
 * of the login is looked through decoded. The base64 is strict: what another reader could decode
 * otherwise is refused. */
#include "egress/inject/kind.h"

#include <string.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"

#define LOGIN_MAX (64u << 10)

bool basic_token(struct http_text value, size_t *ret_at, size_t *ret_n)
{
    static const char scheme[] = "basic";
    size_t n = sizeof(scheme) - 1, at = n;
    if (value.n <= n || !str_ieq_n(value.p, n, scheme, n) || value.p[n] != ' ')
        return false;
    while (at < value.n && value.p[at] == ' ')
        at++;
    *ret_at = at;
    *ret_n = value.n - at;
    return *ret_n > 0;
}

int basic_decode(const char *p, size_t n, struct buf *ret, size_t *ret_user_n)
{
    int r = enc_base64_decode(ret, p, n);
    if (r < 0)
        return r;
    const char *colon = ret->len ? memchr(ret->data, ':', ret->len) : NULL;
    if (!colon)
        return -E_PARSE;
    *ret_user_n = (size_t)(colon - ret->data);
    return 0;
}

static int claim(struct planner *pl, const struct part *part, const struct policy_credential *c,
                 const struct policy_place *place, const struct watched *w)
{
    size_t at, n, user_n;
    AUTO(buf) login = BUF_INIT(LOGIN_MAX);
    if (part->kind != PART_VALUE || !http_text_eq(part->name, "authorization") ||
        !basic_token(part->text, &at, &n) ||
        basic_decode(part->text.p + at, n, &login, &user_n) < 0)
        return 0;
    const char *password = login.data + user_n + 1;
    bool user = user_n == w->n && memcmp(login.data, w->text, w->n) == 0;
    bool pass = login.len - user_n - 1 == w->n && memcmp(password, w->text, w->n) == 0;
    if (!user && !pass)
        return 0;
    size_t use = planner_use(pl, c, INJECT_BASIC);
    struct inject_site *there = planner_site_at(pl, part, at);
    if (there && there->kind == INJECT_BASIC) {
        there->user = user && there->user == NO_USE ? use : there->user;
        there->use = pass && there->use == NO_USE ? use : there->use;
        return 0;
    }
    struct inject_site s = {.kind = INJECT_BASIC,
                            .part = PART_VALUE,
                            .field = part->field,
                            .text = part->text,
                            .at = at,
                            .n = n,
                            .use = pass ? use : NO_USE,
                            .user = user ? use : NO_USE,
                            .place = place};
    return planner_site(pl, &s);
}

static int rest(const struct inject_site *s, struct buf *out)
{
    size_t user_n;
    AUTO(buf) login = BUF_INIT(LOGIN_MAX);
    int r = basic_decode(s->text.p + s->at, s->n, &login, &user_n);
    if (r == 0 && s->user == NO_USE)
        r = buf_add(out, login.data, user_n);
    if (r == 0)
        r = buf_addc(out, '\0');
    if (r == 0 && s->use == NO_USE)
        r = buf_add(out, login.data + user_n + 1, login.len - user_n - 1);
    return r;
}

static int add_login(const struct inject_site *s, const struct secret *value,
                     const struct secret *user, const struct buf *was, size_t user_n,
                     struct buf *out)
{
    AUTO(buf) login = BUF_INIT(2 * LOGIN_MAX);
    size_t need = was->len + (user ? user->len : 0) + (value ? value->len : 0);
    if (!buf_room(&login, need)) /* all at once: growing would leave copies behind */
        return -ENOMEM;
    int r =
        user ? buf_add(&login, secret_borrow(user), user->len) : buf_add(&login, was->data, user_n);
    if (r == 0)
        r = buf_addc(&login, ':');
    if (r == 0)
        r = value ? buf_add(&login, secret_borrow(value), value->len)
                  : buf_add(&login, was->data + user_n + 1, was->len - user_n - 1);
    if (r == 0)
        r = enc_base64(out, login.data, login.len);
    secret_wipe(login.data, login.cap);
    (void)s;
    return r;
}

static int render(const struct inject_site *s, const struct secret *value,
                  const struct secret *user, struct buf *out, const char **ret_wrong)
{
    size_t user_n;
    AUTO(buf) was = BUF_INIT(LOGIN_MAX);
    if (user && memchr(secret_borrow(user), ':', user->len)) {
        *ret_wrong = "has a colon, which ends the user of a login";
        return -EINVAL;
    }
    int r = basic_decode(s->text.p + s->at, s->n, &was, &user_n);
    return r < 0 ? r : add_login(s, value, user, &was, user_n, out);
}

const struct inject_kind_ops kind_basic = {.claim = claim, .rest = rest, .render = render};

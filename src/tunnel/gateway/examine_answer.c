/* examine_answer.c - what the edge's answer to `Sallyport-Check` says about clock, token, tunnel and CA.
 *
 * Who answers was verified, but a box in between, or an edge of another version, may say anything: status and
 * fields are read as a stranger's. An edge that does not know the check would let the gateway in (101), which
 * says that the token is good and nothing of the rest; that is told as it is. */
#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/cert.h"
#include "tunnel/gateway/examine_internal.h"

#include <string.h>

#define CLOCK_S    60
#define VALUES_MAX 4096

static void look_at_clock(const struct examine *x, int64_t date_us)
{
    long long ahead = (long long)((time_real_us() - date_us) / US_PER_S);
    if (date_us == 0)
        TELL(x, EXAMINE_EDGE, "clock", "clock", FINDING_UNTRIED, NULL, NULL,
             "the edge's answer has no date");
    else if (ahead > CLOCK_S || ahead < -CLOCK_S)
        TELL(x, EXAMINE_EDGE, "clock", "clock", FINDING_FAIL,
             "certificates count as expired, or as not valid yet, when they are not",
             "set this machine's clock by the network (timedatectl set-ntp true); or the edge's, "
             "if that is wrong",
             "this machine's clock is %lld seconds %s the edge's", ahead < 0 ? -ahead : ahead,
             ahead < 0 ? "behind" : "ahead of");
    else
        TELL(x, EXAMINE_EDGE, "clock", "clock", FINDING_OK, NULL, NULL,
             "as the edge's, to %d seconds (the edge's answer has whole ones)",
             ahead < 0 ? (int)-ahead : (int)ahead);
}

/* True when a gateway would be let in. */
static bool look_at_token(const struct examine *x, int status)
{
    static const char fix[] = "sallyport tunnel show TUNNEL_ID   (archived? another server's?)\n"
                              "(umask 077; sallyport tunnel token show TUNNEL_ID > TOKEN_FILE)";
    static const char lost[] = "the gateway is not let in";
    switch (status) {
    case 200:
    case 101:
        TELL(x, EXAMINE_EDGE, "token", "token", FINDING_OK, NULL, NULL,
             "the edge would let a gateway in with it");
        return true;
    case 401:
        TELL(x, EXAMINE_EDGE, "token", "token", FINDING_FAIL, lost, fix,
             "the edge does not know it (401): it was rotated, the tunnel was archived, or it is "
             "another edge's");
        break;
    case 403:
        TELL(x, EXAMINE_EDGE, "token", "token", FINDING_FAIL, lost, fix,
             "the edge knows it, but it is no tunnel's token (403)");
        break;
    case 404:
        TELL(x, EXAMINE_EDGE, "token", "token", FINDING_FAIL, lost,
             "look at edge: in the configuration",
             "no edge of Sallyport is there, or it was started without tunnels (404)");
        break;
    case 426:
        TELL(x, EXAMINE_EDGE, "token", "token", FINDING_FAIL, lost,
             "whatever ends HTTP in front of the edge has to let `Upgrade: ptth` pass",
             "a proxy in between takes `Upgrade` out of requests (426)");
        break;
    case 429:
    case 503:
        TELL(x, EXAMINE_EDGE, "token", "token", FINDING_UNTRIED, NULL, "try again in a moment",
             "the edge takes nobody now (%d)", status);
        break;
    default:
        TELL(x, EXAMINE_EDGE, "token", "token", FINDING_FAIL, lost,
             "is edge: that of a sallyport server?", "what answers says %d, which no edge does",
             status);
    }
    return false;
}

static void look_at_tunnel(const struct examine *x, const json_t *j)
{
    const char *domain = json_get_str(j, "domain"), *ours = x->config->tunnel_domain.text;
    const char *id = json_get_str(j, "tunnel_id");
    AUTO(buf) shown = BUF_INIT(1024), name = BUF_INIT(1024);
    str_escape(&shown, domain ? domain : "", domain ? strlen(domain) : 0, HOST_TEXT_MAX);
    str_escape(&name, id ? id : "", id ? strlen(id) : 0, 64);
    AUTO_FREE char *fix = mem_printf("tunnel_domain: %s", buf_str(&shown));
    if (!domain)
        TELL(x, EXAMINE_EDGE, "tunnel", "tunnel", FINDING_UNTRIED, NULL, NULL,
             "the edge does not say which tunnel the token is of");
    else if (x->config->tunnel_domain.kind == HOST_NAME && !str_eq(domain, ours))
        TELL(x, EXAMINE_EDGE, "tunnel", "tunnel", FINDING_FAIL,
             "callers are told that there is no such name", fix,
             "the token is that of %s, whose domain is %s, and the configuration says %s",
             buf_str(&name), buf_str(&shown), ours);
    else
        TELL(x, EXAMINE_EDGE, "tunnel", "tunnel", FINDING_OK, NULL, NULL, "%s, %s, not archived",
             buf_str(&name), buf_str(&shown));
}

static bool has_ended(const json_t *certificate)
{
    int64_t us;
    const char *text = json_get_str(certificate, "expires_at");
    return text && time_parse(text, &us) == 0 && us <= time_real_us();
}

static void look_at_authorities(const struct examine *x, const json_t *list)
{
    size_t i, n = json_array_size(list), good = 0, signs = 0;
    json_t *o;
    static const char add[] = "sallyport tunnel cert add TUNNEL_ID CA.pem";
    json_array_foreach (list, i, o) {
        const char *pem = json_get_str(o, "ca_certificate_pem");
        struct err ignored = {0};
        if (has_ended(o))
            continue;
        good++;
        signs += x->identity && pem &&
                 cert_identity_signed_by(x->identity, pem, strlen(pem), &ignored) == 0;
    }
    if (good == 0)
        TELL(x, EXAMINE_EDGE, "authority", "CA", FINDING_FAIL,
             "the edge carries nothing (internal_error)", add,
             n > 0 ? "the tunnel's certificates have all expired"
                   : "the tunnel has no certificate");
    else
        TELL(x, EXAMINE_EDGE, "authority", "CA", FINDING_OK, NULL, NULL, "%zu registered and valid",
             good);
    if (!x->identity || good == 0)
        TELL(x, EXAMINE_EDGE, "signature", "signature", FINDING_UNTRIED, NULL, NULL,
             x->identity ? "there is no CA to compare with" : "the certificate cannot be used");
    else if (signs == 0)
        TELL(x, EXAMINE_EDGE, "signature", "signature", FINDING_FAIL,
             "callers who trust what is registered refuse the gateway",
             "sign the gateway's certificate with the registered CA, or register the one that has "
             "signed it:\n"
             "sallyport tunnel cert add TUNNEL_ID CA.pem",
             "%s was signed by none of them", x->config->cert_file);
    else
        TELL(x, EXAMINE_EDGE, "signature", "signature", FINDING_OK, NULL, NULL,
             "%s was signed by a CA that is registered", x->config->cert_file);
}

static void skip_rest(const struct examine *x, const char *why)
{
    static const char *const rest[][2] = {
        {"tunnel", "tunnel"}, {"authority", "CA"}, {"signature", "signature"}};
    for (size_t i = 0; i < ARRAY_LEN(rest); i++)
        TELL(x, EXAMINE_EDGE, rest[i][0], rest[i][1], FINDING_UNTRIED, NULL, NULL, "%s", why);
}

void examine_no_answer(const struct examine *x, const char *why)
{
    TELL(x, EXAMINE_EDGE, "clock", "clock", FINDING_UNTRIED, NULL, NULL, "%s", why);
    TELL(x, EXAMINE_EDGE, "token", "token", FINDING_UNTRIED, NULL, NULL, "%s", why);
    skip_rest(x, why);
}

void examine_answer(const struct examine *x, int status, int64_t date_us, const char *body,
                    size_t n)
{
    AUTO_JSON json_t *j = NULL;
    struct err ignored = {0};
    look_at_clock(x, date_us);
    if (!x->token_fine)
        TELL(x, EXAMINE_EDGE, "token", "token", FINDING_UNTRIED, NULL, NULL,
             "token_file cannot be used");
    else if (!look_at_token(x, status))
        skip_rest(x, "the edge tells it to gateways that it would let in");
    if (!x->token_fine)
        skip_rest(x, "token_file cannot be used");
    if (!x->token_fine || (status != 200 && status != 101))
        return;
    if (status == 101 || json_parse_few(body, n, VALUES_MAX, &j, &ignored) < 0 ||
        !str_eq(json_get_str(j, "type"), "tunnel_check")) {
        skip_rest(x, "this edge does not answer that question: it is of an older version");
        return;
    }
    look_at_tunnel(x, j);
    look_at_authorities(x, json_object_get(j, "certificates"));
}

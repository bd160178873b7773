/* config_tools.c - reads which tools of a route may be called.
 *
 * Called when a file is loaded. A list that is empty, or an object without one, would say nothing or close
 * everything by accident: `allow: []` closes everything, and is taken because it can mean nothing else; an
 * object without any list is refused. Patterns hold what names of tools hold, so that a mistyped one is told
 * here and not found out by a call that goes through. */
#include "tunnel/gateway/config_tools.h"

#include "base/str.h"
#include "tunnel/gateway/config_fields.h"
#include "tunnel/gateway/config_value.h"

#define CONCURRENT_MAX   10000
#define RESULT_BYTES_MAX (16 << 20)
#define DEADLINE_MAX_MS  (24 * 3600 * 1000)
#define CONFIRM_MS       (5 * 60 * 1000)
#define CONFIRM_LEAST_MS 1000

static int read_patterns(const struct place *list, struct tool_patterns *ret)
{
    size_t n;
    if (!list->value)
        return 0;
    int r = place_list(list, TOOL_PATTERNS_MAX, &n);
    if (r < 0)
        return r;
    ret->items = mem_array(n + 1, sizeof(*ret->items));
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(list, i);
        r = place_text(&at, TOOL_PATTERN_MAX, &ret->items[i]);
        if (r < 0)
            return r;
        if (!tool_pattern_is_one(ret->items[i]))
            return place_fail(&at, TOOL_PATTERN_WORDS);
        ret->n++;
    }
    return 0;
}

static int read_tools(const struct place *object, struct gateway_route *route)
{
    struct place tools = place_member(object, "tools");
    struct place allow = place_member(&tools, "allow"), deny = place_member(&tools, "deny");
    struct place arguments = place_member(&tools, "arguments");
    struct place confirm = place_member(&tools, "confirm");
    struct place within = place_member(&tools, "confirm_within");
    if (!tools.value)
        return 0;
    struct tool_policy *p = route->tools = mem_new(struct tool_policy);
    int r = place_object(&tools, FIELD_TOOLS);
    if (r == 0 && !allow.value && !deny.value && !arguments.value && !confirm.value)
        r = place_fail(&tools,
                       "says nothing: give \"allow\", \"deny\", \"arguments\" or \"confirm\"");
    if (r == 0 && within.value && !confirm.value)
        r = place_fail(&within, "says how long, and \"confirm\" is missing, which says what");
    p->has_allow = allow.value != NULL;
    if (r == 0)
        r = read_patterns(&allow, &p->allow);
    if (r == 0)
        r = read_patterns(&deny, &p->deny);
    if (r == 0)
        r = read_patterns(&confirm, &p->confirm);
    p->confirm_within_ms = CONFIRM_MS;
    if (r == 0)
        r = config_duration(&within, DEADLINE_MAX_MS, &p->confirm_within_ms);
    if (r == 0 && p->confirm_within_ms < CONFIRM_LEAST_MS)
        r = place_fail(&within, "nobody decides in less than a second");
    return r < 0 ? r : argument_policy_read(&arguments, &p->arguments);
}

static int read_limits(const struct place *at, struct gateway_limits *l)
{
    struct place rate = place_member(at, "rate"), concurrent = place_member(at, "concurrent");
    struct place bytes = place_member(at, "result_bytes");
    struct place deadline = place_member(at, "deadline"), max = place_member(at, "max_deadline");
    int r = place_object(at, FIELD_LIMITS);
    if (r == 0 && json_object_size(at->value) == 0)
        r = place_fail(at, "says nothing");
    if (r == 0)
        r = place_rate(&rate, &l->rate, &l->rate_window_ms);
    if (r == 0)
        r = place_number(&concurrent, 1, CONCURRENT_MAX, &l->concurrent);
    if (r == 0)
        r = config_bytes(&bytes, RESULT_BYTES_MAX, &l->result_bytes);
    if (r == 0)
        r = config_duration(&deadline, DEADLINE_MAX_MS, &l->deadline_ms);
    if (r == 0)
        r = config_duration(&max, DEADLINE_MAX_MS, &l->max_deadline_ms);
    if (r == 0 && ((deadline.value && !l->deadline_ms) || (max.value && !l->max_deadline_ms)))
        r = place_fail(at, "a deadline is more than nothing");
    if (r == 0 && max.value && l->deadline_ms > l->max_deadline_ms)
        r = place_fail(&max, "is less than \"deadline\", which it bounds");
    return r;
}

static int read_server_requests(const struct place *at, unsigned *ret)
{
    static const struct {
        const char *key;
        unsigned kind;
        bool passes;
    } rows[] = {{"sampling", ASK_SAMPLING, false},
                {"elicitation", ASK_ELICITATION, true},
                {"roots", ASK_ROOTS, true}};
    int r = at->value ? place_object(at, FIELD_SERVER_REQUESTS) : 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows); i++) {
        struct place one = place_member(at, rows[i].key);
        bool passes = rows[i].passes;
        r = one.value ? place_bool(&one, &passes) : 0;
        *ret |= passes ? rows[i].kind : 0;
    }
    return r;
}

static int read_pins(const struct place *at, enum pin_mode *ret)
{
    bool first = false;
    if (!at->value)
        return 0;
    const char *text = json_string_value(at->value);
    if (!json_is_boolean(at->value) && !(text && str_eq(text, "ask")))
        return place_fail(at, "true, false or ask is expected");
    int r = text ? 0 : place_bool(at, &first);
    *ret = text ? PIN_ASK : first ? PIN_FIRST : PIN_OFF;
    return r;
}

int config_tools(const struct place *object, struct gateway_route *route)
{
    struct place limits = place_member(object, "limits"), pins = place_member(object, "pin_tools");
    struct place asks = place_member(object, "server_requests");
    int r = read_tools(object, route);
    if (r == 0)
        r = read_pins(&pins, &route->pins);
    if (r == 0 && limits.value)
        r = read_limits(&limits, &route->limits);
    if (r == 0)
        r = read_server_requests(&asks, &route->server_requests);
    const bool rules = route->tools || asks.value || limits.value || route->pins != PIN_OFF;
    if (r == 0 && !rules && route->upstream.stdio) /* its messages are read all the same */
        route->server_requests = ASK_ALL;
    if (!route->tools && (rules || route->upstream.stdio))
        route->tools = mem_new(struct tool_policy); /* messages are read: all are allowed */
    return r;
}

void config_tools_free(struct tool_policy *p)
{
    tool_policy_done(p);
    free(p);
}

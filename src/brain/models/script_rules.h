/* script_rules - the scripted model's file: rules that say what to answer when.
 * docs/script-model.md describes it. */
#pragma once

#include "base/json.h"
#include "base/regex.h"

struct err;

enum script_act { SCRIPT_THINK, SCRIPT_SAY, SCRIPT_TOOL, SCRIPT_DELAY, SCRIPT_FAIL, SCRIPT_STOP };

struct script_action {
    enum script_act act;
    char *text;             /* think, say: what; tool: its name; stop: the stop reason */
    json_t *input;          /* tool */
    int pieces;             /* say: 1.. */
    int delay_ms;           /* say: between pieces; delay: how long */
    int status;             /* fail: HTTP status; 0: the stream is cut */
    int64_t retry_after_ms; /* fail: -1 none */
};

enum script_last { SCRIPT_LAST_ANY, SCRIPT_LAST_USER, SCRIPT_LAST_RESULT };

struct script_rule {
    struct regex *user, *tool_result; /* NULL: any */
    int64_t turn, attempt;            /* 0: any */
    enum script_last last;
    struct script_action *actions;
    size_t n_actions;
};

struct script_rules {
    struct script_rule *rules;
    size_t n;
};

/* Parses the text of a file. `name` stands in front of messages: "name: line 3:
 * rules[0].do[1].pieces: ...". 0 or -E_PARSE / -EMSGSIZE. */
int script_rules_parse(const char *text, size_t n, const char *name, struct script_rules *ret,
                       struct err *e) WARN_UNUSED;
void script_rules_done(struct script_rules *r);

/* Where a conversation stands. */
struct script_scene {
    char *user;        /* text of the last user message that has any; never NULL */
    char *tool_result; /* tool results of the last message, joined by newlines; NULL: none */
    int64_t turn;      /* model requests since that user text, this one counted: 1.. */
    int64_t attempt;   /* how often this very request is made, 1.. */
    enum script_last last;
};
void script_scene_read(const json_t *messages, struct script_scene *ret);
void script_scene_done(struct script_scene *s);

/* What the groups of a rule's patterns matched: $1.. come from tool_result where the rule has one
 * with groups, else from user. */
struct script_groups {
    char *text[REGEX_GROUPS]; /* NULL: no such group; [0] is not used */
};
/* The first rule that fits, or NULL; *ret_groups is filled then. */
const struct script_rule *script_rules_find(const struct script_rules *r,
                                            const struct script_scene *s,
                                            struct script_groups *ret_groups);
void script_groups_done(struct script_groups *g);
/* Text with $1..$9 replaced where the group exists ($$1 stands for a literal $1). malloc'ed. */
char *script_expand(const struct script_groups *g, const char *text);
/* The same for every string inside a JSON value (new reference). */
json_t *script_expand_json(const struct script_groups *g, const json_t *v);

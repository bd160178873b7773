/* gateway.c - `sallyport gateway doctor`: what a gateway needs, what is missing, what to do about it.
 *
 * The looking is tunnel/gateway/examine, the printing that of `sallyport doctor` (doctor/report), so both read
 * alike. It is a process of its own beside a gateway that may be running, reads the same files, and holds the
 * token while it asks the edge: so it cannot be dumped. Nothing is changed anywhere. Exit code 1 when something
 * fails. What could not be looked at is said, and counted in the last line: it is not taken for good. */
#include "base/base.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/str.h"
#include "cmd/client/api_client.h"
#include "cmd/cmd.h"
#include "cmd/doctor/report.h"
#include "cmd/gateway.h"
#include "cmd/line/flags.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/examine.h"
#include "tunnel/keeper/programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct doctor_command {
    const char *config;
    bool json;
    struct doctor_report report;
    struct programs *programs; /* of routes that are stdio servers */
    struct map words;          /* a route -> the last that its program has said */
};

static void found(void *arg, const struct finding *f)
{
    static const enum doctor_verdict verdicts[] = {[FINDING_OK] = DOCTOR_OK,
                                                   [FINDING_NOTE] = DOCTOR_NOTE,
                                                   [FINDING_FAIL] = DOCTOR_FAIL,
                                                   [FINDING_UNTRIED] = DOCTOR_UNTRIED};
    struct doctor_command *c = arg;
    if (c->report.n < DOCTOR_FINDINGS_MAX)
        doctor_add(&c->report, f->group, f->id, f->title, verdicts[f->verdict], mem_strdup(f->text),
                   f->lost ? mem_strdup(f->lost) : NULL, f->fix ? mem_strdup(f->fix) : NULL);
}

/* ---- the one that runs ---- */

/* False only when both are known and differ. */
static bool may_be_same(const char *ours, const char *theirs)
{
    AUTO_FREE char *a = realpath(ours, NULL);
    AUTO_FREE char *b = theirs && theirs[0] == '/' ? realpath(theirs, NULL) : NULL;
    return !a || !b || str_eq(a, b);
}

/* A gateway that does not take a change goes on with what it had, and says so where it is asked. */
static void look_at_running(struct doctor_command *c, const struct gateway_config *config)
{
    AUTO_JSON json_t *status = NULL;
    AUTO_FREE char *admin = gateway_admin_address(config);
    struct err ignored = {0};
    if (gateway_status_ask(admin, &status, &ignored) < 0)
        return;
    const json_t *o = json_object_get(status, "config");
    const char *file = json_get_str(o, "file"), *trouble = json_get_str(o, "trouble");
    if (!trouble || !may_be_same(c->config, file) || c->report.n >= DOCTOR_FINDINGS_MAX)
        return;
    doctor_add(&c->report, "The gateway that runs", "running", "its files", DOCTOR_NOTE,
               mem_printf("the gateway at %s has not taken the changed files (%s): %s", admin,
                          file ? file : "?", trouble),
               mem_strdup("it goes on with what it had; nothing of the change counts"),
               mem_strdup("mend what it names; or start it anew, when that is what it asks for"));
}

static char *summary(const struct doctor_report *r)
{
    size_t fails = doctor_count(r, DOCTOR_FAIL), notes = doctor_count(r, DOCTOR_NOTE);
    size_t untried = doctor_count(r, DOCTOR_UNTRIED);
    AUTO_FREE char *noted =
        notes ? mem_printf("; %zu note%s", notes, notes == 1 ? "" : "s") : mem_strdup("");
    AUTO_FREE char *skipped =
        untried ? mem_printf("; %zu could not be looked at", untried) : mem_strdup("");
    if (fails)
        return mem_printf("%zu thing%s to mend%s%s.", fails, fails == 1 ? "" : "s", noted, skipped);
    return mem_printf("Nothing stands in the way of this gateway%s%s.", noted, skipped);
}

static void print_json(const struct doctor_report *r, const char *last)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_int(o, "failed", (int64_t)doctor_count(r, DOCTOR_FAIL));
    json_put_int(o, "notes", (int64_t)doctor_count(r, DOCTOR_NOTE));
    json_put_int(o, "untried", (int64_t)doctor_count(r, DOCTOR_UNTRIED));
    json_put_str(o, "summary", last);
    json_put(o, "checks", doctor_findings_json(r));
    AUTO_FREE char *text = json_text(o, NULL);
    printf("%s\n", text);
}

/* ---- programs of routes ---- */

static int start_program(void *arg, const struct gateway_stdio *s, int *ret_fd, int *ret_leash,
                         struct err *e)
{
    const struct doctor_command *c = arg;
    return programs_start(c->programs, s, ret_fd, ret_leash, e);
}

static void program_said(void *arg, const char *route, const char *line)
{
    struct doctor_command *c = arg;
    free(map_put(&c->words, route, mem_strdup(line)));
}

static const char *last_words(void *arg, const char *route)
{
    const struct doctor_command *c = arg;
    return map_get(&c->words, route);
}

static void words_done(struct doctor_command *c)
{
    size_t pos = 0;
    void *text;
    while (map_next(&c->words, &pos, NULL, &text))
        free(text);
    map_done(&c->words);
}

static int run(void *arg)
{
    struct doctor_command *c = arg;
    struct gateway_config *config;
    const struct examine_options o = {.config_path = c->config,
                                      .credentials_directory = getenv("CREDENTIALS_DIRECTORY"),
                                      .stdio = {.start = start_program, .arg = c},
                                      .last_words = last_words,
                                      .found = found,
                                      .arg = c};
    c->programs =
        programs_new(&(struct programs_options){.arguments = gateway_stdio_arguments_beside,
                                                .arg = c,
                                                .said = program_said,
                                                .environment = (const char *const *)environ});
    map_init(&c->words);
    gateway_examine(&o, &config);
    programs_close(c->programs);
    words_done(c);
    if (config)
        look_at_running(c, config);
    size_t fails = doctor_count(&c->report, DOCTOR_FAIL);
    AUTO_FREE char *last = summary(&c->report);
    if (c->json) {
        print_json(&c->report, last);
    } else {
        doctor_print_findings(stdout, &c->report);
        printf("\n%s%s%s\n", term_on(stdout, fails ? TERM_RED : TERM_GREEN), last,
               term_off(stdout));
    }
    doctor_report_done(&c->report);
    gateway_config_unref(config);
    return fails > 0;
}

int cmd_gateway_doctor(int argc, char **argv)
{
    AUTO_FREE char *usual = gateway_config_to_look_at();
    struct doctor_command c = {.config = usual};
    struct flag flags[] = {
        {"config", "FILE",
         "the gateway's configuration (gateway.yaml, here or where init or up puts it)", FLAG_FILE,
         .ptr = &c.config, .line_only = true},
        {"json", NULL, "print the findings as JSON", FLAG_BOOL, .ptr = &c.json, .line_only = true},
    };
    struct flag_set set = {
        .command = "gateway doctor",
        .summary = "Tells what a gateway needs, what is missing, and what to do about it.",
        .details = "Looks at the configuration's files, goes to the edge as a gateway would, and "
                   "asks every "
                   "private\nserver whether it speaks MCP. Run it on the gateway's machine, as its "
                   "user. A gateway "
                   "that runs is\nnot disturbed, and nothing is changed.\n\n"
                   "Exit status: 0 nothing fails; 1 something does; 2 wrong usage.",
        .flags = flags,
        .n_flags = ARRAY_LEN(flags),
    };
    int code = flags_main(&set, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    cmd_forbid_dumps();
    struct err e = {0};
    if (gateway_look_around(&e) < 0) {
        fprintf(stderr, "sallyport gateway doctor: %s\n", e.msg);
        return 1;
    }
    return api_client_run(run, &c);
}

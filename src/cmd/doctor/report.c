/* report.c - the list of findings of `sallyport doctor`, and how it is shown.
 *
 * Nothing here looks at the machine. Texts may quote files of the machine (names of groups, of
 * profiles, of runtimes' versions), so they go through term_print_*, which lets no escape sequence
 * reach the terminal. Prose is wrapped at 80 columns; commands never are, because they are there to
 * be copied. Titles of findings that are simply ok share a line with their neighbours. */
#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/doctor/report.h"
#include "cmd/line/term.h"

#include <string.h>

#define WIDTH      80
#define TEXT_AT    25 /* column where a finding's text begins */
#define LOST_AT    14
#define LINE_BYTES 8192

static const char *const words[] = {"ok", "note", "fail", "untried"};

void doctor_report_done(struct doctor_report *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->item[i].text);
        free(r->item[i].lost);
        free(r->item[i].fix);
    }
    free(r->item);
    *r = (struct doctor_report){.n = 0};
}

struct doctor_finding *doctor_add(struct doctor_report *r, const char *group, const char *id,
                                  const char *title, enum doctor_verdict v, char *text, char *lost,
                                  char *fix)
{
    MUST(r->n < DOCTOR_FINDINGS_MAX);
    if (r->n == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        struct doctor_finding *more = mem_array(room, sizeof(*more));
        if (r->n)
            memcpy(more, r->item, r->n * sizeof(*more));
        free(r->item);
        r->item = more;
        r->room = room;
    }
    struct doctor_finding *f = &r->item[r->n++];
    *f = (struct doctor_finding){.group = group,
                                 .id = id,
                                 .title = title,
                                 .verdict = v,
                                 .text = text,
                                 .lost = lost,
                                 .fix = fix};
    return f;
}

void doctor_add_plain(struct doctor_report *r, const char *group, const char *id, const char *title,
                      const char *text)
{
    doctor_add(r, group, id, title, DOCTOR_OK, mem_strdup(text), NULL, NULL)->plain = true;
}

size_t doctor_count(const struct doctor_report *r, enum doctor_verdict v)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += r->item[i].verdict == v;
    return n;
}

void doctor_sandbox_works(struct doctor_report *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->item[i].engine && r->item[i].verdict == DOCTOR_FAIL)
            r->item[i].verdict = DOCTOR_NOTE;
}

char *doctor_summary(const struct doctor_report *r, bool sandbox_works)
{
    size_t notes = doctor_count(r, DOCTOR_NOTE), fails = doctor_count(r, DOCTOR_FAIL);
    fails -= !sandbox_works && fails > 0; /* the failed start is said already */
    AUTO_FREE char *failed =
        fails ? mem_printf("; %zu thing%s to mend", fails, fails == 1 ? "" : "s") : mem_strdup("");
    AUTO_FREE char *noted =
        notes ? mem_printf("; %zu note%s", notes, notes == 1 ? "" : "s") : mem_strdup("");
    return mem_printf("%s%s%s.",
                      sandbox_works ? "A sandbox works here" : "No sandbox can be started here",
                      failed, noted);
}

/* ---- for a person ---- */

/* Prints `text` wrapped between columns `at` and WIDTH; the cursor stands at `at` already. */
static void wrap(FILE *f, const char *text, int at)
{
    int room = WIDTH - at, used = 0;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, " \n");
        int len = (int)str_utf8_len(p, n);
        if (used && used + 1 + len > room) {
            fprintf(f, "\n%*s", at, "");
            used = 0;
        } else if (used) {
            fputc(' ', f);
            used++;
        }
        AUTO_FREE char *word = mem_printf("%.*s", (int)n, p);
        term_print_word(f, word);
        used += len;
        p += n;
        p += strspn(p, " \n");
    }
    fputc('\n', f);
}

static void print_verdict(FILE *f, enum doctor_verdict v)
{
    static const enum term_style styles[] = {TERM_GREEN, TERM_YELLOW, TERM_RED, TERM_DIM};
    static const char *const shown[] = {"ok", "note", "fail", "--"};
    fprintf(f, "  %s%-4s%s  ", term_on(f, styles[v]), shown[v], term_off(f));
}

/* Neighbours that are plainly ok, or could not be tried: their titles on one line. Returns how many
 * were taken, 0 when the first is neither. */
static size_t print_together(FILE *f, const struct doctor_finding *item, size_t n)
{
    bool untried = item[0].verdict == DOCTOR_UNTRIED;
    if (!untried && !item[0].plain)
        return 0;
    AUTO(buf) line = BUF_INIT(LINE_BYTES);
    size_t i = 0;
    for (; i < n && item[i].verdict == item[0].verdict && (untried || item[i].plain) &&
           item[i].group == item[0].group && (!untried || str_eq(item[i].text, item[0].text));
         i++)
        buf_addf(&line, "%s%s", i ? ", " : "", item[i].title);
    if (untried)
        buf_addf(&line, ": %s", item[0].text);
    print_verdict(f, item[0].verdict);
    wrap(f, buf_str(&line), 8);
    return i;
}

/* `previous`: the finding before it in the same group, or NULL; a fix that is the same is not said
 * twice. */
static void print_one(FILE *f, const struct doctor_finding *d,
                      const struct doctor_finding *previous)
{
    print_verdict(f, d->verdict);
    fprintf(f, "%-16s ", d->title);
    wrap(f, d->text, TEXT_AT);
    if (d->lost) {
        fprintf(f, "%8s%slost%s  ", "", term_on(f, TERM_DIM), term_off(f));
        wrap(f, d->lost, LOST_AT);
    }
    const char *label = "do";
    if (d->fix && previous && str_eq(previous->fix, d->fix)) {
        fprintf(f, "%8s%sdo    the same as for %s%s\n", "", term_on(f, TERM_DIM), previous->title,
                term_off(f));
        return;
    }
    for (const char *p = d->fix; p && *p; label = "") {
        size_t n = strcspn(p, "\n");
        fprintf(f, "%8s%s%-4s%s  ", "", term_on(f, TERM_DIM), label, term_off(f));
        AUTO_FREE char *command = mem_printf("%.*s", (int)n, p);
        term_print_word(f, command);
        fputc('\n', f);
        p += n + (p[n] == '\n');
    }
}

void doctor_print_findings(FILE *f, const struct doctor_report *r)
{
    const char *group = NULL;
    for (size_t i = 0; i < r->n;) {
        const struct doctor_finding *d = &r->item[i];
        if (!group || strcmp(group, d->group) != 0) {
            fprintf(f, "%s%s%s%s\n", group ? "\n" : "", term_on(f, TERM_BOLD), d->group,
                    term_off(f));
            group = d->group;
        }
        size_t taken = print_together(f, d, r->n - i);
        if (!taken)
            print_one(f, d, i > 0 && r->item[i - 1].group == d->group ? d - 1 : NULL);
        i += taken ? taken : 1;
    }
}

void doctor_print(FILE *f, const struct doctor_report *r, bool sandbox_works)
{
    doctor_print_findings(f, r);
    AUTO_FREE char *last = doctor_summary(r, sandbox_works);
    fprintf(f, "\n%s%s%s\n",
            term_on(f, !sandbox_works || doctor_count(r, DOCTOR_FAIL) ? TERM_RED : TERM_GREEN),
            last, term_off(f));
}

/* ---- for a program ---- */

json_t *doctor_findings_json(const struct doctor_report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n; i++) {
        const struct doctor_finding *d = &r->item[i];
        json_t *c = json_object();
        json_put_str(c, "id", d->id);
        json_put_str(c, "group", d->group);
        json_put_str(c, "title", d->title);
        json_put_str(c, "verdict", words[d->verdict]);
        json_put(c, "text", json_str_lossy(d->text, strlen(d->text)));
        json_put(c, "lost", d->lost ? json_str_lossy(d->lost, strlen(d->lost)) : json_null());
        json_put(c, "fix", d->fix ? json_str_lossy(d->fix, strlen(d->fix)) : json_null());
        json_array_append_new(list, c);
    }
    return list;
}

void doctor_print_json(FILE *f, const struct doctor_report *r, bool sandbox_works)
{
    AUTO_JSON json_t *o = json_object();
    AUTO_FREE char *summary = doctor_summary(r, sandbox_works);
    json_put_bool(o, "sandbox_works", sandbox_works);
    json_put_int(o, "failed", (int64_t)doctor_count(r, DOCTOR_FAIL));
    json_put_int(o, "notes", (int64_t)doctor_count(r, DOCTOR_NOTE));
    json_put_str(o, "summary", summary);
    json_put(o, "checks", doctor_findings_json(r));
    AUTO_FREE char *text = json_text(o, NULL);
    fprintf(f, "%s\n", text);
}

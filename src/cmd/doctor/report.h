/* report - what `sallyport doctor` finds: a list of findings that the checks fill and that is then
 * printed for a person or as JSON.
 *
 * In this folder doctor.c has the command and the general checks; host reads what the machine says
 * about itself (files only, below a root of the caller's choice); probe tries things in child
 * processes; cgroup looks for control groups; sandbox and limits turn all of it into findings;
 * advice holds the fixes that depend on distribution and container engine; report prints. */
#pragma once

#include "base/json.h"

#include <stdio.h>

enum doctor_verdict {
    DOCTOR_OK,
    DOCTOR_NOTE,    /* something optional is missing */
    DOCTOR_FAIL,    /* something required is missing */
    DOCTOR_UNTRIED, /* could not be looked at, because something it needs is missing */
};

struct doctor_finding {
    const char *group, *id, *title; /* static; id is stable, for programs */
    enum doctor_verdict verdict;
    char *text;  /* what was looked at and what came of it */
    char *lost;  /* what does not work because of it: one sentence, or NULL */
    char *fix;   /* commands or settings, one a line, or NULL */
    bool plain;  /* ok and not worth a line of its own: shown together with its neighbours */
    bool engine; /* the sandbox needs it: a failure is only a note where a sandbox starts anyway */
};

#define DOCTOR_FINDINGS_MAX 4096 /* some fifty of a machine; two of each route of a gateway */
struct doctor_report {
    struct doctor_finding *item;
    size_t n, room;
};
void doctor_report_done(struct doctor_report *r);

/* Appends a finding, whose strings become the report's (malloc'ed, may be NULL), and returns it: good until
 * the next one is appended. */
struct doctor_finding *doctor_add(struct doctor_report *r, const char *group, const char *id,
                                  const char *title, enum doctor_verdict v, char *text, char *lost,
                                  char *fix);
/* An ok that needs no words beyond its title and what was tried. */
void doctor_add_plain(struct doctor_report *r, const char *group, const char *id, const char *title,
                      const char *text);

/* How many findings have verdict `v`. */
size_t doctor_count(const struct doctor_report *r, enum doctor_verdict v);
/* Turns failures of things the engine needs into notes: a sandbox was
 * started, so it does without. */
void doctor_sandbox_works(struct doctor_report *r);

/* The last line: "A sandbox works here; 2 notes." malloc'ed. */
char *doctor_summary(const struct doctor_report *r, bool sandbox_works);
/* Groups, aligned, at most 80 columns wide but for commands, colours only where `f` has them; without a last
 * line. */
void doctor_print_findings(FILE *f, const struct doctor_report *r);
/* The findings as an array of JSON, a new reference. */
json_t *doctor_findings_json(const struct doctor_report *r);
/* Groups, aligned, at most 80 columns wide but for commands, colours only where `f` has them. */
void doctor_print(FILE *f, const struct doctor_report *r, bool sandbox_works);
/* One JSON object; docs/doctor.md has the fields. */
void doctor_print_json(FILE *f, const struct doctor_report *r, bool sandbox_works);

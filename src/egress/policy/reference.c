/* reference.c - prints the table of fields as a page.
 *
 * Called by the test that compares the page in the repository with it, and by who wants the page
 * anew. There is no input and no attacker: everything printed is a constant of the program. A field
 * that is known by name only is listed under what is not built, so the page promises nothing. */
#include "egress/policy/reference.h"

#include "base/buf.h"
#include "egress/policy/field.h"

static void table(enum field_object o, bool unbuilt, struct buf *out)
{
    (void)buf_adds(out, "| field | type | default | meaning |\n|---|---|---|---|\n");
    for (const struct field *f = fields; f->key; f++)
        if (f->object == o && f->unbuilt == unbuilt)
            (void)buf_addf(out, "| `%s` | %s | %s | %s |\n", f->key, f->type, f->fallback,
                           f->meaning);
}

void reference_page(struct buf *out)
{
    (void)buf_adds(out,
                   "# Policy reference\n\n"
                   "Made from `src/egress/policy/fields.def` and `inject_kinds.def`; "
                   "`meson test -C build egress/policy/reference`\nfails until they agree. How "
                   "a decision is made: [internals/policy.md](internals/policy.md).\n");
    for (unsigned o = 0; o < FIELD_OBJECTS; o++) {
        (void)buf_addf(out, "\n## %s\n\n%s\n\n", field_object_title((enum field_object)o),
                       field_object_words((enum field_object)o));
        table((enum field_object)o, false, out);
    }
    (void)buf_adds(out, "\n## Not built yet\n\nKinds of injection that are refused by name.\n\n");
    table(FIELD_INJECT, true, out);
}

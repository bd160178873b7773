/* reference.c - prints the table of fields as a page.
 *
 * Called by the test that compares the page in the repository with it, and by who wants the page
 * anew. There is no input and no attacker: everything printed is a constant of the program. A field
 * that is known by name only is listed under what is not built, so the page promises nothing. */
#include "egress/policy/reference.h"

#include "base/buf.h"
#include "egress/policy/fields.h"

void reference_page(struct buf *out)
{
    (void)buf_adds(out,
                   "# Policy reference\n\n"
                   "Made from `src/egress/policy/fields.def` and `inject_kinds.def`; "
                   "`meson test -C build egress/policy/reference`\nfails until they agree. How "
                   "a decision is made: [internals/policy.md](internals/policy.md).\n");
    field_print_all(&policy_fields, out);
    (void)buf_adds(out, "\n## Not built yet\n\nKinds of injection that are refused by name.\n\n");
    field_print(&policy_fields, FIELD_INJECT, true, out);
}

/* model.c - what all providers share: releasing a result. Called on the fiber that asked. */
#include "brain/model.h"

void model_result_done(struct model_result *r)
{
    if (!r)
        return;
    json_decref(r->content);
    r->content = NULL;
}

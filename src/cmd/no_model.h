/* no_model - a provider that answers every request with what to set. */
#pragma once

#include "brain/model.h"

struct model *no_model(void); /* static; model_free does nothing to it */

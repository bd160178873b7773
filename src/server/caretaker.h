/* caretaker - what the server does to its database while nobody asks for it. */
#pragma once

#include "base/base.h"

struct platform;

struct caretaker {
    struct platform *platform;
    int64_t keep_sessions_ms; /* 0: for ever */
    /* Called, at most once, when the database turns out to be damaged: the server is to end. */
    void (*on_damage)(void *arg);
    void *arg;
};

/* The fiber (arg: struct caretaker, which outlives it). Suspends, until cancelled. */
int caretaker_run(void *arg);

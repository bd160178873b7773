/* unit - what every unit test includes: cmocka with its prerequisites in order. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* 1 in a sanitizer build: its runtime replaces malloc, mlock and a few others, which a test that
 * looks at what the kernel did has to know. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* A case whose function is case_NAME because NAME is what that function runs on a loop. */
#define CASE(f)                                                                                    \
    {                                                                                              \
        .name = #f, .test_func = case_##f                                                          \
    }

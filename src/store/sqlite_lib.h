/* sqlite_lib - the functions of SQLite that the store calls, found at run time.
 *
 * Processes without a database (exec, the zygote) do not load it. A function that is not in the list
 * would be linked, and then every process loads SQLite again: tests/scenario/libraries.test.mjs. */
#pragma once

#include "base/base.h"

#include <sqlite3.h>

struct err;

/* Every function used. */
#define SQLITE_FUNCTIONS(X)                                                                        \
    X(sqlite3_bind_int64)                                                                          \
    X(sqlite3_bind_null)                                                                           \
    X(sqlite3_bind_parameter_index)                                                                \
    X(sqlite3_bind_text)                                                                           \
    X(sqlite3_bind_text64)                                                                         \
    X(sqlite3_busy_timeout)                                                                        \
    X(sqlite3_changes64)                                                                           \
    X(sqlite3_clear_bindings)                                                                      \
    X(sqlite3_close)                                                                               \
    X(sqlite3_column_bytes)                                                                        \
    X(sqlite3_column_int64)                                                                        \
    X(sqlite3_column_text)                                                                         \
    X(sqlite3_column_type)                                                                         \
    X(sqlite3_config)                                                                              \
    X(sqlite3_db_config)                                                                           \
    X(sqlite3_db_filename)                                                                         \
    X(sqlite3_db_readonly)                                                                         \
    X(sqlite3_errmsg)                                                                              \
    X(sqlite3_exec)                                                                                \
    X(sqlite3_extended_errcode)                                                                    \
    X(sqlite3_file_control)                                                                        \
    X(sqlite3_filename_wal)                                                                        \
    X(sqlite3_finalize)                                                                            \
    X(sqlite3_get_autocommit)                                                                      \
    X(sqlite3_limit)                                                                               \
    X(sqlite3_open_v2)                                                                             \
    X(sqlite3_prepare_v2)                                                                          \
    X(sqlite3_prepare_v3)                                                                          \
    X(sqlite3_reset)                                                                               \
    X(sqlite3_step)                                                                                \
    X(sqlite3_system_errno)

struct sqlite_lib {
#define FIELD(f) __typeof__(&f) f##_;
    SQLITE_FUNCTIONS(FIELD)
#undef FIELD
};
extern struct sqlite_lib sqlite_lib;

/* Once before any of them, on any thread; again costs nothing. 0, or a negative code with words. */
int sqlite_lib_open(struct err *e) WARN_UNUSED;

/* Called by their own names. */
#define sqlite3_bind_int64           sqlite_lib.sqlite3_bind_int64_
#define sqlite3_bind_null            sqlite_lib.sqlite3_bind_null_
#define sqlite3_bind_parameter_index sqlite_lib.sqlite3_bind_parameter_index_
#define sqlite3_bind_text            sqlite_lib.sqlite3_bind_text_
#define sqlite3_bind_text64          sqlite_lib.sqlite3_bind_text64_
#define sqlite3_busy_timeout         sqlite_lib.sqlite3_busy_timeout_
#define sqlite3_changes64            sqlite_lib.sqlite3_changes64_
#define sqlite3_clear_bindings       sqlite_lib.sqlite3_clear_bindings_
#define sqlite3_close                sqlite_lib.sqlite3_close_
#define sqlite3_column_bytes         sqlite_lib.sqlite3_column_bytes_
#define sqlite3_column_int64         sqlite_lib.sqlite3_column_int64_
#define sqlite3_column_text          sqlite_lib.sqlite3_column_text_
#define sqlite3_column_type          sqlite_lib.sqlite3_column_type_
#define sqlite3_config               sqlite_lib.sqlite3_config_
#define sqlite3_db_config            sqlite_lib.sqlite3_db_config_
#define sqlite3_db_filename          sqlite_lib.sqlite3_db_filename_
#define sqlite3_db_readonly          sqlite_lib.sqlite3_db_readonly_
#define sqlite3_errmsg               sqlite_lib.sqlite3_errmsg_
#define sqlite3_exec                 sqlite_lib.sqlite3_exec_
#define sqlite3_extended_errcode     sqlite_lib.sqlite3_extended_errcode_
#define sqlite3_file_control         sqlite_lib.sqlite3_file_control_
#define sqlite3_filename_wal         sqlite_lib.sqlite3_filename_wal_
#define sqlite3_finalize             sqlite_lib.sqlite3_finalize_
#define sqlite3_get_autocommit       sqlite_lib.sqlite3_get_autocommit_
#define sqlite3_limit                sqlite_lib.sqlite3_limit_
#define sqlite3_open_v2              sqlite_lib.sqlite3_open_v2_
#define sqlite3_prepare_v2           sqlite_lib.sqlite3_prepare_v2_
#define sqlite3_prepare_v3           sqlite_lib.sqlite3_prepare_v3_
#define sqlite3_reset                sqlite_lib.sqlite3_reset_
#define sqlite3_step                 sqlite_lib.sqlite3_step_
#define sqlite3_system_errno         sqlite_lib.sqlite3_system_errno_

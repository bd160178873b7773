/* schema - the numbered migrations: schema_migrations[k] brings a database from version k to k + 1;
 * each is a NULL-terminated list of statements run in one transaction. */
#pragma once

extern const char *const *const schema_migrations[];

/* schema.c - the tables, as numbered migrations in the dialect SQLite and PostgreSQL share.
 *
 * Migrations are only ever appended. Times are BIGINT microseconds since 1970. JSON is TEXT. Every
 * API object keeps its wire form in `body`; columns beside it exist because a statement selects or
 * orders by them. */
#include "store/schema.h"

#include <stddef.h>

/* Laid out by hand: a column list reads better unbroken. */
/* clang-format off */
static const char *const v1[] = {
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",

    "CREATE TABLE api_keys (id TEXT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,"
    " created_at BIGINT NOT NULL, revoked_at BIGINT)",

    "CREATE TABLE agents (id TEXT PRIMARY KEY, version BIGINT NOT NULL, created_at BIGINT NOT NULL,"
    " updated_at BIGINT NOT NULL, archived_at BIGINT)",
    "CREATE TABLE agent_versions (agent_id TEXT NOT NULL, version BIGINT NOT NULL, body TEXT NOT NULL,"
    " updated_at BIGINT NOT NULL, PRIMARY KEY (agent_id, version))",
    "CREATE INDEX agents_by_time ON agents (created_at, id)",

    "CREATE TABLE environments (id TEXT PRIMARY KEY, type TEXT NOT NULL, body TEXT NOT NULL,"
    " created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, archived_at BIGINT)",
    "CREATE INDEX environments_by_time ON environments (created_at, id)",
    "CREATE TABLE environment_keys (id TEXT PRIMARY KEY, environment_id TEXT NOT NULL, name TEXT NOT NULL,"
    " hash TEXT NOT NULL UNIQUE, created_at BIGINT NOT NULL, last_used_at BIGINT, expires_at BIGINT,"
    " revoked_at BIGINT)",
    "CREATE INDEX environment_keys_by_env ON environment_keys (environment_id, created_at)",

    /* status: idle, running, rescheduling, terminated. stop_reason: JSON of the last idle. next_seq: place of the next
     * event. last_stamp: processed_at of the last event, so that stamps rise strictly. wake: 1 while a turn has work
     * to do, so that a restarted server finds it. */
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, thread_id TEXT NOT NULL UNIQUE, agent_id TEXT NOT NULL,"
    " agent_version BIGINT NOT NULL, environment_id TEXT NOT NULL, status TEXT NOT NULL, stop_reason TEXT,"
    " title TEXT, metadata TEXT NOT NULL, agent TEXT NOT NULL, usage TEXT NOT NULL,"
    " next_seq BIGINT NOT NULL, last_stamp BIGINT NOT NULL, active_us BIGINT NOT NULL, running_since BIGINT,"
    " wake BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, archived_at BIGINT)",
    "CREATE INDEX sessions_by_time ON sessions (created_at, id)",
    "CREATE INDEX sessions_by_agent ON sessions (agent_id, created_at)",
    "CREATE INDEX sessions_by_env ON sessions (environment_id)",
    "CREATE INDEX sessions_to_wake ON sessions (wake) WHERE wake = 1",

    /* The log. body: the event as the API shows it, without id and processed_at. hidden: what only the model request
     * needs (thinking blocks with signatures), never shown. */
    "CREATE TABLE events (session_id TEXT NOT NULL, seq BIGINT NOT NULL, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,"
    " processed_at BIGINT NOT NULL, body TEXT NOT NULL, hidden TEXT, PRIMARY KEY (session_id, seq))",

    /* Accepted but not yet delivered inputs, in order of arrival; delivery moves them into events. */
    "CREATE TABLE inbox (session_id TEXT NOT NULL, n BIGINT NOT NULL, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,"
    " body TEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (session_id, n))",

    /* An index over tool calls in the log. kind: builtin, custom. permission: allow, ask, deny. decision: allow, deny or
     * null while an `ask` waits. answered_by: id of the result event, set exactly once. */
    "CREATE TABLE calls (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, seq BIGINT NOT NULL, kind TEXT NOT NULL,"
    " name TEXT NOT NULL, permission TEXT NOT NULL, decision TEXT, deny_message TEXT, answered_by TEXT)",
    "CREATE INDEX calls_open ON calls (session_id, seq) WHERE answered_by IS NULL",

    /* state: queued, starting, active, stopping, stopped. claimed_at: set by a poll, cleared when the claim lapses.
     * last_heartbeat: the very text the worker must echo. token_hash: of the sessions token in the secret of the
     * latest claim; it is void once the item is stopped or claimed anew. claimed_by: the environment key of that claim,
     * so that revoking a key takes its leases along. requeues: how many items of this session ended one after another
     * without any progress before this one; such an item is held back for a while (queued_at lies in the future). */
    "CREATE TABLE work (id TEXT PRIMARY KEY, environment_id TEXT NOT NULL, session_id TEXT NOT NULL, state TEXT NOT NULL,"
    " metadata TEXT NOT NULL, token_hash TEXT UNIQUE, created_at BIGINT NOT NULL, queued_at BIGINT NOT NULL,"
    " claimed_at BIGINT, acknowledged_at BIGINT, started_at BIGINT, last_heartbeat TEXT, heartbeat_at BIGINT,"
    " ttl_seconds BIGINT NOT NULL, lease_expires_at BIGINT, stop_requested_at BIGINT, stopped_at BIGINT,"
    " claimed_by TEXT, requeues BIGINT NOT NULL DEFAULT 0)",
    "CREATE INDEX work_queue ON work (environment_id, queued_at) WHERE state = 'queued'",
    "CREATE INDEX work_leases ON work (lease_expires_at) WHERE lease_expires_at IS NOT NULL",
    "CREATE UNIQUE INDEX work_live ON work (session_id) WHERE state <> 'stopped'",
    "CREATE INDEX work_by_time ON work (environment_id, created_at, id)",

    /* Answers to POSTs that carried an Idempotency-Key, kept 24 hours. request_hash: SHA-256 of method, path, body. */
    "CREATE TABLE idempotency (scope TEXT NOT NULL, idem_key TEXT NOT NULL, request_hash TEXT NOT NULL,"
    " status BIGINT NOT NULL, body TEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (scope, idem_key))",
    "CREATE INDEX idempotency_by_time ON idempotency (created_at)",
    NULL,
};

/* No statement walks through a table that grows (tests/unit/store/test_schema_plans.c): deleting a session beside many
 * others, and lists that filter, cost what they touch. Most sessions rest; lists leave archived ones out. */
static const char *const v2[] = {
    "DROP INDEX sessions_to_wake",
    "CREATE INDEX sessions_to_wake ON sessions (id) WHERE wake = 1",
    "DROP INDEX sessions_by_agent",
    "CREATE INDEX sessions_live ON sessions (created_at, id) WHERE archived_at IS NULL",
    "CREATE INDEX sessions_live_by_status ON sessions (status, created_at, id) WHERE archived_at IS NULL",
    "CREATE INDEX sessions_live_by_agent ON sessions (agent_id, status, created_at, id) WHERE archived_at IS NULL",
    "DROP INDEX environment_keys_by_env",
    "CREATE INDEX environment_keys_by_env ON environment_keys (environment_id, created_at, id)",
    "CREATE INDEX calls_by_session ON calls (session_id)",
    "DROP INDEX work_queue",
    "CREATE INDEX work_queue ON work (environment_id, queued_at, id) WHERE state = 'queued'",
    "CREATE INDEX work_by_session ON work (session_id)",
    "DELETE FROM work WHERE state = 'stopped' AND session_id NOT IN (SELECT id FROM sessions)",
    "CREATE INDEX work_by_claim ON work (claimed_by) WHERE state <> 'stopped'",
    NULL,
};

static const char *const v3[] = {
    /* rank: how urgently the session wants a worker (enum work_rank); the queue goes by it first. holder: what is known
     * of the worker that has the item (WORK_HOLDER_*). prev_heartbeat: the text that the last accepted beat echoed. */
    "ALTER TABLE work ADD COLUMN rank BIGINT NOT NULL DEFAULT 2",
    "ALTER TABLE work ADD COLUMN holder BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE work ADD COLUMN prev_heartbeat TEXT",
    "DROP INDEX work_queue",
    "CREATE INDEX work_queue ON work (environment_id, rank, queued_at, id) WHERE state = 'queued'",
    "CREATE INDEX work_wanted ON work (environment_id) WHERE state = 'queued' AND rank < 2",
    "CREATE INDEX work_held ON work (environment_id) WHERE state = 'active'",
    "CREATE INDEX work_not_over ON work (environment_id, state, rank) WHERE state <> 'stopped'",
    /* The queue as an older server left it. */
    "UPDATE work SET rank = 0 WHERE state <> 'stopped' AND session_id IN (SELECT session_id FROM calls WHERE answered_by IS NULL AND (permission = 'allow' OR decision = 'allow'))",
    NULL,
};
static const char *const v4[] = {
    "CREATE TABLE tunnels (id TEXT PRIMARY KEY, domain TEXT NOT NULL UNIQUE, display_name TEXT,"
    " created_at BIGINT NOT NULL, archived_at BIGINT)",
    "CREATE INDEX tunnels_by_time ON tunnels (created_at, id)",
    "CREATE INDEX tunnels_live ON tunnels (created_at, id) WHERE archived_at IS NULL",

    /* hash: SHA-256 of the text; the text is nowhere. At most one of a tunnel is not revoked. reason: why the one before
     * was replaced, in the operator's words. */
    "CREATE TABLE tunnel_tokens (id TEXT PRIMARY KEY, tunnel_id TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, reason TEXT,"
    " created_at BIGINT NOT NULL, revoked_at BIGINT)",
    "CREATE UNIQUE INDEX tunnel_tokens_live ON tunnel_tokens (tunnel_id) WHERE revoked_at IS NULL",

    "CREATE TABLE tunnel_certificates (id TEXT PRIMARY KEY, tunnel_id TEXT NOT NULL, fingerprint TEXT NOT NULL,"
    " pem TEXT NOT NULL, expires_at BIGINT, created_at BIGINT NOT NULL, archived_at BIGINT)",
    "CREATE INDEX tunnel_certificates_by_time ON tunnel_certificates (tunnel_id, created_at, id)",
    "CREATE UNIQUE INDEX tunnel_certificates_live ON tunnel_certificates (tunnel_id, fingerprint)"
    " WHERE archived_at IS NULL",
    NULL,
};
/* clang-format on */

const char *const *const schema_migrations[] = {v1, v2, v3, v4, NULL};

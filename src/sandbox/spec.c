/* spec.c - reading and writing sandbox specifications.
 *
 * Called by the worker (writing) and by the zygote (reading, once per create request). The zygote
 * trusts the worker's intentions but not its bytes: every field is checked against a closed list of
 * keys, types and ranges, because a value that slips through here ends up in a mount option or a
 * path of a process that is still privileged. Environment names are limited to what a shell could
 * have exported. */
#include "sandbox/spec.h"

#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

#define MAX_ENV 256

static const struct {
    const char *key;
    size_t offset;
    uint64_t min, max, initial;
} limit_fields[] = {
#define FIELD(name, min, max, initial)                                                             \
    {                                                                                              \
#name, offsetof(struct sandbox_limits, name), min, max, initial                            \
    }
    FIELD(processes, 8, 32768, 512),
    FIELD(open_files, 64, 1048576, 8192),
    FIELD(memory_bytes, 16u << 20, 1ull << 44, 2ull << 30),
    FIELD(file_bytes, 0, 1ull << 50, 0),
    FIELD(tmp_bytes, 1u << 20, 1ull << 44, 512u << 20),
    FIELD(workspace_bytes, 1u << 20, 1ull << 44, 2ull << 30),
    FIELD(output_bytes, 128u << 10, 1ull << 32, 64u << 20),
    FIELD(cpu_milli, 0, 1024000, 0),
    FIELD(call_ms, 0, 7ull * 86400000, 3600000),
    FIELD(session_ms, 0, 365ull * 86400000, 0),
#undef FIELD
};

static uint64_t *field(struct sandbox_limits *l, size_t i)
{
    return (uint64_t *)(void *)((char *)l + limit_fields[i].offset);
}

/* A page for each file, on average; an inode and its name take about 1.1 KiB of kernel memory. */
#define TMPFS_BYTES_PER_FILE 4096u
#define TMPFS_FILE_COST      1280u

uint64_t sandbox_tmpfs_files(uint64_t size_bytes)
{
    return 1024 + size_bytes / TMPFS_BYTES_PER_FILE;
}

uint64_t sandbox_tmpfs_bytes(uint64_t size_bytes)
{
    return size_bytes + sandbox_tmpfs_files(size_bytes) * TMPFS_FILE_COST;
}

void sandbox_spec_init(struct sandbox_spec *s)
{
    *s = (struct sandbox_spec){.env = NULL};
    for (size_t i = 0; i < ARRAY_LEN(limit_fields); i++)
        *field(&s->limits, i) = limit_fields[i].initial;
}

void sandbox_spec_done(struct sandbox_spec *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_env; i++) {
        /* Values may be session tokens for in-sandbox programs; do not leave them on the heap that
         * the next sandbox is cloned from. */
        explicit_bzero(s->env[i], strlen(s->env[i]));
        free(s->env[i]);
    }
    free(s->env);
    for (size_t i = 0; i < s->n_binds; i++) {
        free(s->binds[i].source);
        free(s->binds[i].target);
    }
    free(s->binds);
    free(s->doors);
    free(s->ca_pem);
    free(s->ca_hash);
    free(s->workspace_dir);
    free(s->rootfs_dir);
    *s = (struct sandbox_spec){.env = NULL};
}

bool sandbox_path_ok(const char *p)
{
    size_t n = p ? strlen(p) : 0;
    if (n == 0 || n >= PATH_MAX || p[0] != '/')
        return false;
    for (const char *c = p; n > 1 && *c;) {
        const char *end = strchrnul(c + 1, '/');
        size_t len = (size_t)(end - c) - 1;
        if (len == 0 || len > NAME_MAX || (len == 1 && c[1] == '.') ||
            (len == 2 && c[1] == '.' && c[2] == '.'))
            return false;
        c = end;
    }
    return true;
}

static bool env_name_ok(const char *name)
{
    if (!name[0] || strlen(name) > 128 || (name[0] >= '0' && name[0] <= '9'))
        return false;
    return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] ==
           '\0';
}

int sandbox_spec_add_env(struct sandbox_spec *s, const char *name, const char *value, struct err *e)
{
    if (!env_name_ok(name))
        return err_set(e, -EINVAL, "env: \"%.40s\" is not a name a shell could export", name);
    if (s->n_env >= MAX_ENV)
        return err_set(e, -EINVAL, "env: more than %d variables", MAX_ENV);
    char **grown = mem_array(s->n_env + 1, sizeof(*grown));
    if (s->n_env)
        memcpy(grown, s->env, s->n_env * sizeof(*grown));
    free(s->env);
    s->env = grown;
    /* Not printed: printing moves what it has as it grows, and sandbox_spec_done knows of the last
     * place only. */
    const size_t n = strlen(name), len = strlen(value);
    char *text = mem_array(n + len + 2, 1);
    memcpy(text, name, n);
    text[n] = '=';
    memcpy(text + n + 1, value, len + 1);
    s->env[s->n_env++] = text;
    return 0;
}

int sandbox_spec_add_bind(struct sandbox_spec *s, const char *source, const char *target,
                          bool write, struct err *e)
{
    if (!sandbox_path_ok(source))
        return err_set(e, -EINVAL,
                       "binds: source \"%.200s\" must be an absolute path without . or ..",
                       source ? source : "");
    if (str_eq(target, "/"))
        return err_set(e, -EINVAL, "binds: target \"/\" is the sandbox's own root");
    if (!sandbox_path_ok(target))
        return err_set(e, -EINVAL,
                       "binds: target \"%.200s\" must be an absolute path without . or ..",
                       target ? target : "");
    for (size_t i = 0; i < s->n_binds; i++)
        if (str_eq(s->binds[i].target, target)) {
            if (str_eq(s->binds[i].source, source) && s->binds[i].write == write) {
                const struct sandbox_bind same = s->binds[i];
                for (; i + 1 < s->n_binds; i++)
                    s->binds[i] = s->binds[i + 1];
                s->binds[i] = same; /* the last one, as if it had been added */
                return 0;
            }
            return err_set(e, -EINVAL, "binds: target \"%.200s\" is given twice", target);
        }
    if (s->n_binds >= SANDBOX_BINDS_MAX)
        return err_set(e, -EINVAL, "binds: more than %d entries", SANDBOX_BINDS_MAX);
    struct sandbox_bind *grown = mem_array(s->n_binds + 1, sizeof(*grown));
    if (s->n_binds)
        memcpy(grown, s->binds, s->n_binds * sizeof(*grown));
    free(s->binds);
    s->binds = grown;
    s->binds[s->n_binds++] = (struct sandbox_bind){
        .source = mem_strdup(source), .target = mem_strdup(target), .write = write};
    return 0;
}

bool sandbox_spec_opens(const struct sandbox_spec *s, const char *dir, const char *place)
{
    AUTO_FREE char *path = mem_printf("%s/%s/", dir, place);
    for (size_t i = 0; i < s->n_binds; i++) {
        const struct sandbox_bind *b = &s->binds[i];
        const size_t n = strlen(b->source);
        if (b->write && b->all && str_starts(path, b->source) && path[n] == '/')
            return true;
    }
    return false;
}

bool sandbox_spec_writes_to_host(const struct sandbox_spec *s)
{
    bool writes = s->workspace_dir != NULL;
    for (size_t i = 0; i < s->n_binds; i++)
        writes = writes || s->binds[i].write;
    return writes;
}

void sandbox_spec_sort_binds(struct sandbox_spec *s)
{
    /* A parent's name is shorter. */
    for (size_t i = 1; i < s->n_binds; i++) {
        const struct sandbox_bind b = s->binds[i];
        size_t at = i;
        for (; at > 0 && strlen(s->binds[at - 1].target) > strlen(b.target); at--)
            s->binds[at] = s->binds[at - 1];
        s->binds[at] = b;
    }
}

int sandbox_spec_add_socket(struct sandbox_spec *s, const char *source, const char *target,
                            struct err *e)
{
    int r = sandbox_spec_add_bind(s, source, target, false, e);
    if (r >= 0)
        s->binds[s->n_binds - 1].socket = true;
    return r;
}

int sandbox_spec_add_door(struct sandbox_spec *s, enum sandbox_door_kind kind, const char *address,
                          uint16_t port, struct err *e)
{
    struct sandbox_door d = {.kind = kind, .port = port};
    if (address && (!address[0] || strlen(address) >= sizeof(d.address)))
        return err_set(e, -EINVAL, "doors: \"%.50s\" is not an address", address);
    if (address)
        str_copy(d.address, sizeof(d.address), address);
    if (s->n_doors >= SANDBOX_DOORS_MAX)
        return err_set(e, -EINVAL, "doors: more than %d entries", SANDBOX_DOORS_MAX);
    struct sandbox_door *grown = mem_array(s->n_doors + 1, sizeof(*grown));
    if (s->n_doors)
        memcpy(grown, s->doors, s->n_doors * sizeof(*grown));
    free(s->doors);
    s->doors = grown;
    s->doors[s->n_doors++] = d;
    return 0;
}

/* Certificates and nothing else: what is appended to a bundle must not end one early. */
static bool pem_ok(const char *pem)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----\n",
                      end[] = "-----END CERTIFICATE-----\n";
    size_t n = 0;
    for (; *pem; n++) {
        if (!str_starts(pem, begin))
            return false;
        pem += strlen(begin);
        const size_t body = strspn(pem, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                        "0123456789+/=\n");
        if (body == 0 || pem[body - 1] != '\n' || !str_starts(pem + body, end))
            return false;
        pem += body + strlen(end);
    }
    return n > 0;
}

int sandbox_spec_set_ca(struct sandbox_spec *s, const char *pem, const char *hash, struct err *e)
{
    if (strlen(pem) > SANDBOX_CA_MAX || !pem_ok(pem))
        return err_set(e, -EINVAL,
                       "ca_pem must be one or more certificates in PEM, without other text, of at "
                       "most %d bytes",
                       SANDBOX_CA_MAX);
    if (hash && (strlen(hash) != 8 || hash[strspn(hash, "0123456789abcdef")] != '\0'))
        return err_set(e, -EINVAL, "ca_hash must be eight hexadecimal digits, lower case");
    free(s->ca_pem);
    free(s->ca_hash);
    s->ca_pem = mem_strdup(pem);
    s->ca_hash = hash ? mem_strdup(hash) : NULL;
    return 0;
}

int sandbox_spec_check(const struct sandbox_spec *s, struct err *e)
{
    if (s->n_doors && s->network == SANDBOX_NET_NONE)
        return err_set(e, -EINVAL, "doors: a sandbox without a network cannot have any");
    if (s->ca_hash && !s->ca_pem)
        return err_set(e, -EINVAL, "ca_hash without ca_pem");
    return sandbox_doors_check(s->doors, s->n_doors, e);
}

/* Text of either, checked together when all keys are there. */
static int parse_text(const char *key, json_t *v, char **ret, struct err *e)
{
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
        return err_set(e, -EINVAL, "%s must be a string", key);
    free(*ret);
    *ret = mem_strdup(json_string_value(v));
    return 0;
}

static int check_ca(struct sandbox_spec *s, struct err *e)
{
    if (!s->ca_pem)
        return 0;
    AUTO_FREE char *pem = TAKE(s->ca_pem);
    AUTO_FREE char *hash = TAKE(s->ca_hash);
    return sandbox_spec_set_ca(s, pem, hash, e);
}

static int parse_env(json_t *o, struct sandbox_spec *s, struct err *e)
{
    if (!json_is_object(o))
        return err_set(e, -EINVAL, "env must be an object of strings");
    const char *name;
    json_t *v;
    json_object_foreach (o, name, v) {
        if (!json_is_string(v))
            return err_set(e, -EINVAL, "env.%.40s must be a string", name);
        int r = sandbox_spec_add_env(s, name, json_string_value(v), e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_binds(json_t *a, struct sandbox_spec *s, struct err *e)
{
    if (!json_is_array(a))
        return err_set(e, -EINVAL, "binds must be an array");
    size_t i;
    json_t *b;
    json_array_foreach (a, i, b) {
        const char *source = json_get_str(b, "source"), *target = json_get_str(b, "target");
        const json_t *write = json_object_get(b, "write"), *all = json_object_get(b, "all"),
                     *socket = json_object_get(b, "socket");
        if (!source || !target || (write && !json_is_boolean(write)) ||
            (all && !json_is_boolean(all)) || (socket && !json_is_boolean(socket)) ||
            (json_is_true(write) && json_is_true(socket)))
            return err_set(e, -EINVAL,
                           "binds[%zu] needs source, target and optionally one of write (and all) "
                           "and socket",
                           i);
        int r = json_is_true(socket)
                    ? sandbox_spec_add_socket(s, source, target, e)
                    : sandbox_spec_add_bind(s, source, target, json_is_true(write), e);
        if (r < 0)
            return r;
        s->binds[s->n_binds - 1].all = json_is_true(all);
    }
    return 0;
}

static int parse_limits(json_t *o, struct sandbox_limits *l, struct err *e)
{
    if (!json_is_object(o))
        return err_set(e, -EINVAL, "limits must be an object of integers");
    const char *key;
    json_t *v;
    json_object_foreach (o, key, v) {
        size_t i = 0;
        while (i < ARRAY_LEN(limit_fields) && !str_eq(key, limit_fields[i].key))
            i++;
        if (i == ARRAY_LEN(limit_fields))
            return err_set(e, -EINVAL, "limits.%.40s is not a limit of a sandbox", key);
        json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
        if (n < 0 || (uint64_t)n < limit_fields[i].min || (uint64_t)n > limit_fields[i].max)
            return err_set(e, -EINVAL, "limits.%s must be an integer from %llu to %llu", key,
                           (unsigned long long)limit_fields[i].min,
                           (unsigned long long)limit_fields[i].max);
        *field(l, i) = (uint64_t)n;
    }
    return 0;
}

static const char *const users[] = {[SANDBOX_USER_AGENT] = "agent", [SANDBOX_USER_ROOT] = "root"};
static const char *const networks[] = {
    [SANDBOX_NET_LOOPBACK] = "loopback", [SANDBOX_NET_NONE] = "none"};

static int parse_dir(const char *key, json_t *v, char **ret, struct err *e)
{
    if (json_is_null(v))
        return 0;
    if (!sandbox_path_ok(json_string_value(v)))
        return err_set(e, -EINVAL, "%s must be an absolute path without . or ..", key);
    *ret = mem_strdup(json_string_value(v));
    return 0;
}

static int parse_bool(const char *key, json_t *v, bool *ret, struct err *e)
{
    if (!json_is_boolean(v))
        return err_set(e, -EINVAL, "%s must be true or false", key);
    *ret = json_is_true(v);
    return 0;
}

/* One of two words. */
static int parse_word(const char *key, json_t *v, const char *const words[2], struct err *e)
{
    for (int i = 0; i < 2; i++)
        if (str_eq(json_string_value(v), words[i]))
            return i;
    return err_set(e, -EINVAL, "%s must be \"%s\" or \"%s\"", key, words[0], words[1]);
}

static int parse_key(const char *key, json_t *v, struct sandbox_spec *s, struct err *e)
{
    int r;
    if (str_eq(key, "workspace_dir"))
        return parse_dir(key, v, &s->workspace_dir, e);
    if (str_eq(key, "rootfs_dir"))
        return parse_dir(key, v, &s->rootfs_dir, e);
    if (str_eq(key, "user")) {
        r = parse_word(key, v, users, e);
        s->user = r < 0 ? s->user : (enum sandbox_user)r;
        return r;
    }
    if (str_eq(key, "network")) {
        r = parse_word(key, v, networks, e);
        s->network = r < 0 ? s->network : (enum sandbox_network)r;
        return r;
    }
    if (str_eq(key, "program"))
        return parse_bool(key, v, &s->program, e);
    if (str_eq(key, "report"))
        return parse_bool(key, v, &s->report, e);
    if (str_eq(key, "env"))
        return parse_env(v, s, e);
    if (str_eq(key, "binds"))
        return parse_binds(v, s, e);
    if (str_eq(key, "doors"))
        return sandbox_doors_parse(v, &s->doors, &s->n_doors, e);
    if (str_eq(key, "ca_pem"))
        return parse_text(key, v, &s->ca_pem, e);
    if (str_eq(key, "ca_hash"))
        return parse_text(key, v, &s->ca_hash, e);
    if (str_eq(key, "limits"))
        return parse_limits(v, &s->limits, e);
    return err_set(e, -EINVAL, "\"%.40s\" is not a field of a sandbox specification", key);
}

int sandbox_spec_parse(const json_t *o, struct sandbox_spec *ret, struct err *e)
{
    if (!json_is_object(o))
        return err_set(e, -EINVAL, "a sandbox specification must be an object");
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    const char *key;
    json_t *v;
    json_t *obj = json_incref((json_t *)(uintptr_t)o); /* jansson's iterator takes no const */
    int r = 0;
    json_object_foreach (obj, key, v) {
        r = parse_key(key, v, &s, e);
        if (r < 0)
            break;
    }
    json_decref(obj);
    if (r >= 0)
        r = check_ca(&s, e);
    if (r >= 0)
        r = sandbox_spec_check(&s, e);
    if (r < 0) {
        sandbox_spec_done(&s);
        return r;
    }
    sandbox_spec_sort_binds(&s);
    *ret = s;
    return 0;
}

json_t *sandbox_spec_json(const struct sandbox_spec *s)
{
    json_t *o = json_object();
    json_put_str(o, "workspace_dir", s->workspace_dir);
    json_put_str(o, "rootfs_dir", s->rootfs_dir);
    json_put_str(o, "user", users[s->user]);
    json_put_str(o, "network", networks[s->network]);
    json_t *env = json_object();
    for (size_t i = 0; i < s->n_env; i++) {
        const char *eq = strchr(s->env[i], '=');
        AUTO_FREE char *name = mem_strndup(s->env[i], (size_t)(eq - s->env[i]));
        json_put_str(env, name, eq + 1);
    }
    json_put(o, "env", env);
    json_t *binds = json_array();
    for (size_t i = 0; i < s->n_binds; i++) {
        json_t *b = json_object();
        json_put_str(b, "source", s->binds[i].source);
        json_put_str(b, "target", s->binds[i].target);
        json_put_bool(b, "write", s->binds[i].write);
        if (s->binds[i].all)
            json_put_bool(b, "all", true);
        if (s->binds[i].socket)
            json_put_bool(b, "socket", true);
        json_array_append_new(binds, b);
    }
    json_put(o, "binds", binds);
    if (s->n_doors)
        json_put(o, "doors", sandbox_doors_json(s->doors, s->n_doors));
    if (s->ca_pem)
        json_put_str(o, "ca_pem", s->ca_pem);
    if (s->ca_hash)
        json_put_str(o, "ca_hash", s->ca_hash);
    json_t *limits = json_object();
    struct sandbox_limits l = s->limits;
    for (size_t i = 0; i < ARRAY_LEN(limit_fields); i++)
        json_put_int(limits, limit_fields[i].key, (int64_t)*field(&l, i));
    json_put(o, "limits", limits);
    json_put_bool(o, "program", s->program);
    json_put_bool(o, "report", s->report);
    return o;
}

/* content.c - tools and their answers on a terminal.
 *
 * Called by mcp.c. Everything printed here comes from a server that may be hostile: it goes through
 * term_print_text and term_print_word, so that nothing in it drives the terminal or pretends to be a
 * line of ours. Pictures, sounds and binary resources are named with type and size, not written. */
#include "cmd/mcp/content.h"
#include "base/str.h"
#include "cmd/line/term.h"

#include <stdio.h>
#include <string.h>

static void print_named(const char *kind, const json_t *block, const char *key)
{
    char size[32];
    const json_t *data = json_object_get(block, "data");
    if (!data)
        data = json_object_get(block, "blob");
    const char *name = json_get_str(block, key), *type = json_get_str(block, "mimeType");
    printf("[%s", kind);
    if (name) {
        putchar(' ');
        term_print_word(stdout, name);
    }
    if (type) {
        putchar(' ');
        term_print_word(stdout, type);
    }
    if (json_is_string(data)) /* base64: three bytes in four letters */
        printf(", %s", term_bytes((int64_t)(json_string_length(data) / 4 * 3), size));
    puts("]");
}

static void print_text(const char *text)
{
    term_print_text(stdout, text, strlen(text), "");
}

static void print_block(const json_t *block)
{
    const char *type = json_get_str(block, "type");
    const char *text = json_get_str(block, "text");
    const json_t *resource = json_object_get(block, "resource");
    if (str_eq(type, "text") && text) {
        print_text(text);
    } else if (str_eq(type, "image") || str_eq(type, "audio")) {
        print_named(type, block, "name");
    } else if (str_eq(type, "resource_link")) {
        print_named("resource", block, "uri");
    } else if (str_eq(type, "resource")) {
        print_named("resource", resource, "uri");
        if (json_get_str(resource, "text"))
            print_text(json_get_str(resource, "text"));
    } else {
        print_named("content of an unknown kind", block, "type");
    }
}

void mcp_content_print(const json_t *result)
{
    const json_t *content = json_object_get(result, "content");
    const json_t *structured = json_object_get(result, "structuredContent");
    for (size_t i = 0; i < json_array_size(content); i++)
        print_block(json_array_get(content, i));
    if (json_array_size(content) > 0 || !structured)
        return;
    AUTO_FREE char *text = json_text(structured, NULL);
    term_print_json(stdout, text, strlen(text));
}

void mcp_tools_print(const json_t *tools)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const char *what = json_get_str(tool, "description");
        printf("%s", term_on(stdout, TERM_BOLD));
        term_print_word(stdout, json_get_str(tool, "name"));
        printf("%s", term_off(stdout));
        if (what && *what) {
            AUTO_FREE char *line = mem_strndup(what, strcspn(what, "\r\n"));
            printf("  ");
            term_print_word(stdout, line);
        }
        putchar('\n');
    }
}

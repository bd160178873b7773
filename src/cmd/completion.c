/* completion.c - `sallyport completion bash|zsh|fish`: a script for the shell.
 *
 * The script has the commands and verbs, the latter from the commands' own tables, in place of what
 * stands in {{ }} below; flags it asks the program for (`sallyport CMD --complete-flags` prints one
 * a line: flag, kind, help), so it cannot fall behind. Nothing here is controlled by anybody but
 * the program. */
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/line/verbs.h"

#include <stdio.h>
#include <string.h>

/* main.c's, but for what is not for people; a test compares with --help. */
#define COMMANDS                                                                                   \
    "up server worker exec session status env tunnel identity gateway mcp rootfs audit egress "    \
    "doctor completion"

static const char bash_script[] =
    "# bash completion for sallyport: eval \"$(sallyport completion bash)\"\n"
    "_sallyport() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd=${COMP_WORDS[1]} "
    "path=() words kind\n"
    "    if ((COMP_CWORD == 1)); then\n"
    "        COMPREPLY=($(compgen -W '{{commands}} help --version --help' -- \"$cur\")); return\n"
    "    fi\n"
    "    case $cmd in\n"
    "    session) words='{{session}}' ;;\n"
    "    env) words='{{env}}'; [[ ${COMP_WORDS[2]} == key ]] && ((COMP_CWORD > 2)) && "
    "words='{{env key}}' ;;\n"
    "    tunnel) words='{{tunnel}}'; ((COMP_CWORD > 2)) && case ${COMP_WORDS[2]} in token) "
    "words='{{tunnel token}}' ;; cert) words='{{tunnel cert}}' ;; esac ;;\n"
    "    identity) words='{{identity}}' ;;\n"
    "    mcp) words='{{mcp}}' ;;\n"
    "    rootfs) words='{{rootfs}}' ;;\n"
    "    audit) words='{{audit}}' ;;\n"
    "    completion) words='bash zsh fish' ;;\n"
    "    help) words='{{commands}}' ;;\n"
    "    esac\n"
    "    if [[ $cmd == exec && \" ${COMP_WORDS[*]:2:COMP_CWORD-2} \" == *' -- '* ]]; then\n"
    "        COMPREPLY=($(compgen -c -- \"$cur\") $(compgen -f -- \"$cur\")); return\n"
    "    fi\n"
    "    path=(\"$cmd\")\n"
    "    case $cmd:$COMP_CWORD in\n"
    "    session:2|env:2|tunnel:2|identity:2|mcp:2|rootfs:2|audit:2|completion:2|help:2) "
    "COMPREPLY=($(compgen "
    "-W "
    "\"$words\" "
    "-- "
    "\"$cur\")); return ;;\n"
    "    server:2) if [[ $cur != -* ]]; then COMPREPLY=($(compgen -W 'backup restore' -- "
    "\"$cur\")); return; fi ;;\n"
    "    gateway:2) if [[ $cur != -* ]]; then COMPREPLY=($(compgen -W 'init renew-cert status "
    "doctor pins pending approve deny' -- "
    "\"$cur\")); return; fi ;;\n"
    "    env:3) if [[ ${COMP_WORDS[2]} == key ]]; then COMPREPLY=($(compgen -W \"$words\" -- "
    "\"$cur\")); return; fi ;;\n"
    "    gateway:3) if [[ ${COMP_WORDS[2]} == pins ]]; then COMPREPLY=($(compgen -W 'list accept "
    "forget' -- \"$cur\")); return; fi ;;\n"
    "    tunnel:3) if [[ ${COMP_WORDS[2]} =~ ^(token|cert)$ ]]; then COMPREPLY=($(compgen -W "
    "\"$words\" -- \"$cur\")); return; fi ;;\n"
    "    esac\n"
    "    [[ $cmd =~ ^(session|env|tunnel|identity|mcp|rootfs|audit|egress)$ ]] && "
    "path+=(\"${COMP_WORDS[2]}\")\n"
    "    [[ $cmd == server && ${COMP_WORDS[2]} =~ ^(backup|restore)$ ]] && "
    "path+=(\"${COMP_WORDS[2]}\")\n"
    "    [[ $cmd == gateway && ${COMP_WORDS[2]} =~ "
    "^(init|renew-cert|status|doctor|pins|pending|approve|deny)$ ]] && "
    "path+=(\"${COMP_WORDS[2]}\")\n"
    "    [[ $cmd == gateway && ${COMP_WORDS[2]} == pins ]] && path+=(\"${COMP_WORDS[3]}\")\n"
    "    [[ $cmd == env && ${COMP_WORDS[2]} == key ]] && path+=(\"${COMP_WORDS[3]}\")\n"
    "    [[ $cmd == tunnel && ${COMP_WORDS[2]} =~ ^(token|cert)$ ]] && "
    "path+=(\"${COMP_WORDS[3]}\")\n"
    "    local table; table=$(\"${COMP_WORDS[0]}\" \"${path[@]}\" --complete-flags 2>/dev/null)\n"
    "    kind=$(printf '%s\\n' \"$table\" | while IFS=$'\\t' read -r f k h; do [[ $f == \"$prev\" "
    "]] && echo \"$k\"; done)\n"
    "    case $kind in\n"
    "    file) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
    "    dir) COMPREPLY=($(compgen -d -- \"$cur\")) ;;\n"
    "    choice:*) COMPREPLY=($(compgen -W \"$(tr , ' ' <<<\"${kind#choice:}\")\" -- \"$cur\")) "
    ";;\n"
    "    ''|none) COMPREPLY=($(compgen -W \"$(printf '%s\\n' \"$table\" | cut -f1)\" -- \"$cur\")) "
    ";;\n"
    "    esac\n"
    "}\n"
    "complete -o default -F _sallyport sallyport\n";

static const char zsh_script[] =
    "# zsh completion for sallyport: source <(sallyport completion zsh)\n"
    "autoload -U +X bashcompinit && bashcompinit\n";

static const char fish_script[] =
    "# fish completion for sallyport: sallyport completion fish | source\n"
    "complete -c sallyport -f\n"
    "complete -c sallyport -n __fish_use_subcommand -a '{{commands}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from session; and not "
    "__fish_seen_subcommand_from {{session}}' -a '{{session}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from server; and not "
    "__fish_seen_subcommand_from backup restore' -a 'backup restore'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from gateway; and not "
    "__fish_seen_subcommand_from init renew-cert status doctor pins pending approve deny' -a 'init "
    "renew-cert status "
    "doctor pins pending approve deny'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from env; and not "
    "__fish_seen_subcommand_from {{env}}' -a '{{env}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from tunnel; and not "
    "__fish_seen_subcommand_from {{tunnel}}' -a '{{tunnel}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from identity; and not "
    "__fish_seen_subcommand_from {{identity}}' -a '{{identity}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from tunnel; and "
    "__fish_seen_subcommand_from token; and not "
    "__fish_seen_subcommand_from {{tunnel token}}' -a '{{tunnel token}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from cert; and not "
    "__fish_seen_subcommand_from {{tunnel cert}}' -a '{{tunnel cert}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from mcp; and not "
    "__fish_seen_subcommand_from {{mcp}}' -a '{{mcp}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from rootfs; and not "
    "__fish_seen_subcommand_from {{rootfs}}' -a '{{rootfs}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from audit; and not "
    "__fish_seen_subcommand_from {{audit}}' -a '{{audit}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from key' -a '{{env key}}'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n"
    "function __sallyport_flags\n"
    "    set -l words (commandline -opc)[2..-1]\n"
    "    set -l path\n"
    "    for w in $words\n"
    "        string match -q -- '-*' $w; and break\n"
    "        set -a path $w\n"
    "    end\n"
    "    sallyport $path[1..3] --complete-flags 2>/dev/null | string replace -r '\\t[^\\t]*\\t' "
    "'\\t'\n"
    "end\n"
    "complete -c sallyport -n 'string match -q -- \"-*\" (commandline -ct)' -a "
    "'(__sallyport_flags)'\n";

/* Prints the verbs of `set`: the first words, or with `first` the words that may follow it. */
static void print_verbs(const struct verb_set *set, const char *first)
{
    const char *before = "";
    for (size_t i = 0; i < set->n_verbs; i++) {
        const char *const *words = set->verbs[i].words;
        if (first ? !str_eq(words[0], first)
                  : i > 0 && str_eq(words[0], set->verbs[i - 1].words[0]))
            continue;
        printf("%s%s", before, words[first ? 1 : 0]);
        before = " ";
    }
}

/* Prints what stands for the word in the braces. */
static void print_words(const char *word, size_t n)
{
    const struct {
        const char *word;
        const struct verb_set *set;
        const char *first;
    } all[] = {
        {"session", &cmd_session_verbs, NULL},
        {"env", &cmd_env_verbs, NULL},
        {"env key", &cmd_env_verbs, "key"},
        {"rootfs", &cmd_rootfs_verbs, NULL},
        {"mcp", &cmd_mcp_verbs, NULL},
        {"tunnel", &cmd_tunnel_verbs, NULL},
        {"tunnel token", &cmd_tunnel_verbs, "token"},
        {"tunnel cert", &cmd_tunnel_verbs, "cert"},
        {"identity", &cmd_identity_verbs, NULL},
        {"audit", &cmd_audit_verbs, NULL},
        {"egress", &cmd_egress_verbs, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (strlen(all[i].word) == n && !memcmp(all[i].word, word, n)) {
            print_verbs(all[i].set, all[i].first);
            return;
        }
    MUST(n == strlen("commands"));
    fputs(COMMANDS, stdout);
}

static void print_script(const char *text)
{
    for (const char *open; (open = strstr(text, "{{")) != NULL;) {
        const char *close = strstr(open, "}}");
        MUST(close);
        fwrite(text, 1, (size_t)(open - text), stdout);
        print_words(open + 2, (size_t)(close - open - 2));
        text = close + 2;
    }
    fputs(text, stdout);
}

int cmd_completion(int argc, char **argv)
{
    const char *shell = argc == 2 ? argv[1] : NULL;
    bool help = shell && (str_eq(shell, "--help") || str_eq(shell, "-h"));
    if (str_eq(shell, "bash"))
        print_script(bash_script);
    else if (str_eq(shell, "zsh")) {
        fputs(zsh_script, stdout);
        print_script(bash_script);
    } else if (str_eq(shell, "fish"))
        print_script(fish_script);
    else
        fprintf(help ? stdout : stderr,
                "Prints a completion script.\n\nUsage: sallyport completion bash|zsh|fish\n\n"
                "  bash  eval \"$(sallyport completion bash)\"\n"
                "  zsh   source <(sallyport completion zsh)\n"
                "  fish  sallyport completion fish | source\n");
    return shell && (help || str_eq(shell, "bash") || str_eq(shell, "zsh") || str_eq(shell, "fish"))
               ? 0
               : 2;
}

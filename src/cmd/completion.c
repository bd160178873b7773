/* completion.c - `sallyport completion bash|zsh|fish`: a script for the shell.
 *
 * The script knows the commands and verbs; flags it asks the program for (`sallyport CMD
 * --complete-flags` prints one a line: flag, kind, help), so it can not fall behind. No input from
 * outside the program gets into it. */
#include "base/str.h"
#include "cmd/cmd.h"

#include <stdio.h>

static const char bash_script[] =
    "# bash completion for sallyport: eval \"$(sallyport completion bash)\"\n"
    "_sallyport() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd=${COMP_WORDS[1]} "
    "path=() words kind\n"
    "    if ((COMP_CWORD == 1)); then\n"
    "        COMPREPLY=($(compgen -W 'up server worker exec session env rootfs doctor completion "
    "help "
    "--version --help' -- \"$cur\")); return\n"
    "    fi\n"
    "    case $cmd in\n"
    "    session) words='create send tail list confirm interrupt' ;;\n"
    "    env) words='list create key'; [[ ${COMP_WORDS[2]} == key ]] && ((COMP_CWORD > 2)) && "
    "words='create list revoke' ;;\n"
    "    rootfs) words='import list remove' ;;\n"
    "    completion) words='bash zsh fish' ;;\n"
    "    help) words='up server worker exec session env rootfs doctor completion' ;;\n"
    "    esac\n"
    "    if [[ $cmd == exec && \" ${COMP_WORDS[*]:2:COMP_CWORD-2} \" == *' -- '* ]]; then\n"
    "        COMPREPLY=($(compgen -c -- \"$cur\") $(compgen -f -- \"$cur\")); return\n"
    "    fi\n"
    "    path=(\"$cmd\")\n"
    "    case $cmd:$COMP_CWORD in\n"
    "    session:2|env:2|rootfs:2|completion:2|help:2) COMPREPLY=($(compgen -W \"$words\" -- "
    "\"$cur\")); "
    "return "
    ";;\n"
    "    env:3) if [[ ${COMP_WORDS[2]} == key ]]; then COMPREPLY=($(compgen -W \"$words\" -- "
    "\"$cur\")); return; fi ;;\n"
    "    esac\n"
    "    [[ $cmd == session || $cmd == env || $cmd == rootfs ]] && path+=(\"${COMP_WORDS[2]}\")\n"
    "    [[ $cmd == env && ${COMP_WORDS[2]} == key ]] && path+=(\"${COMP_WORDS[3]}\")\n"
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
    "complete -F _sallyport sallyport\n";

static const char zsh_script[] =
    "# zsh completion for sallyport: source <(sallyport completion zsh)\n"
    "autoload -U +X bashcompinit && bashcompinit\n";

static const char fish_script[] =
    "# fish completion for sallyport: sallyport completion fish | source\n"
    "complete -c sallyport -f\n"
    "complete -c sallyport -n __fish_use_subcommand -a 'up server worker exec session env rootfs "
    "doctor "
    "completion'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from session; and not "
    "__fish_seen_subcommand_from create send tail list confirm interrupt' -a 'create send tail "
    "list confirm interrupt'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from env; and not "
    "__fish_seen_subcommand_from list create key' -a 'list create key'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from rootfs; and not "
    "__fish_seen_subcommand_from import list remove' -a 'import list remove'\n"
    "complete -c sallyport -n '__fish_seen_subcommand_from key' -a 'create list revoke'\n"
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

int cmd_completion(int argc, char **argv)
{
    const char *shell = argc == 2 ? argv[1] : NULL;
    bool help = shell && (str_eq(shell, "--help") || str_eq(shell, "-h"));
    if (str_eq(shell, "bash"))
        fputs(bash_script, stdout);
    else if (str_eq(shell, "zsh"))
        printf("%s%s", zsh_script, bash_script);
    else if (str_eq(shell, "fish"))
        fputs(fish_script, stdout);
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

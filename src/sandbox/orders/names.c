/* names.c - the table. What it takes to be in it: a program of the host does what the file says
 * without being asked to run the project's code, on entering the directory, opening it in an editor
 * or an agent, committing, or logging in. What is run when somebody builds or tests (a Makefile,
 * package.json, conftest.py) is the project, and the reason why an agent may write. */
#include "sandbox/orders/names.h"

#include "base/str.h"

/* clang-format off */
const struct orders_name orders_anywhere[] = {
    /* shells: each start reads one of these, when the directory is a home */
    {".bashrc", "bash"}, {".bash_profile", "bash"}, {".bash_login", "bash"}, {".bash_logout", "bash"},
    {".bash_aliases", "bash, by Debian's .bashrc"}, {".profile", "login shells"}, {".inputrc", "readline: keys that type"},
    {".zshrc", "zsh"}, {".zshenv", "zsh, scripts too"}, {".zprofile", "zsh"}, {".zlogin", "zsh"}, {".zlogout", "zsh"},
    {".kshrc", "ksh"}, {".mkshrc", "mksh"}, {".cshrc", "csh"}, {".tcshrc", "tcsh"}, {".login", "csh"}, {".logout", "csh"},
    {".xprofile", "display managers"}, {".xinitrc", "startx"}, {".xsession", "display managers"}, {".xsessionrc", "display managers"},
    {".pam_environment", "pam"},
    /* entering a directory */
    {".envrc", "direnv"}, {".mise.toml", "mise: hooks and tasks"}, {"mise.toml", "likewise"}, {".mise.local.toml", "likewise"},
    {"mise.local.toml", "likewise"}, {".autoenv", "autoenv"}, {".autoenv.zsh", "autoenv"},
    /* git, beside .git itself */
    {".gitconfig", "git: aliases, pagers, hooks"}, {".gitmodules", "git: where submodules come from"},
    {".githooks", "hooks, by core.hooksPath"}, {".husky", "hooks, by core.hooksPath"},
    {".pre-commit-config.yaml", "pre-commit, by its hook: commands"}, {"lefthook.yml", "lefthook, by its hook: commands"},
    {"lefthook.yaml", "likewise"}, {".lefthook.yml", "likewise"}, {".lefthook.yaml", "likewise"}, {".overcommit.yml", "overcommit, by its hook: commands"},
    /* editors: tasks, extensions and settings that name programs */
    {".vscode", "Visual Studio Code: tasks, settings"}, {".idea", "JetBrains: run configurations, watchers"},
    {".zed", "Zed: tasks"}, {".helix", "Helix: names language servers"}, {".fleet", "Fleet"}, {".devcontainer", "runs initializeCommand on the host"}, {".devcontainer.json", "likewise"},
    {".vim", "vim"}, {".vimrc", "vim"}, {".exrc", "vi, vim with 'exrc'"}, {".nvimrc", "neovim with 'exrc'"}, {".nvim.lua", "likewise"},
    {".emacs", "emacs"}, {".emacs.d", "emacs"}, {".dir-locals.el", "emacs: eval"}, {".dir-locals-2.el", "emacs: eval"},
    /* agents: servers they start, hooks they run, what they may do unasked */
    {".mcp.json", "MCP servers: commands"}, {".claude", "Claude Code: hooks, commands, permissions"}, {".claude.json", "likewise"},
    {".cursor", "Cursor: MCP servers, rules"}, {".codex", "Codex: MCP servers, approvals"}, {".gemini", "Gemini CLI: MCP servers"},
    {".windsurf", "Windsurf"}, {".continue", "Continue"}, {".roo", "Roo Code: MCP servers"}, {".aider.conf.yml", "aider: commands it runs"},
    {".opencode", "opencode: plugins"}, {"opencode.json", "opencode: MCP servers"}, {"opencode.jsonc", "likewise"},
    {".amazonq", "Amazon Q: MCP servers"}, {".kiro", "Kiro: hooks, MCP servers"}, {".qwen", "Qwen Code: MCP servers"},
    {".junie", "Junie: MCP servers"}, {".factory", "Factory: hooks, MCP servers"}, {".crush.json", "Crush: MCP servers"}, {"crush.json", "likewise"},
    /* debuggers and interpreters that load what lies in the directory they are started in */
    {".gdbinit", "gdb"}, {".lldbinit", "lldb"}, {".pdbrc", "Python's debugger"}, {".perldb", "Perl's debugger"},
    {".Rprofile", "R"}, {".octaverc", "Octave"}, {".irbrc", "Ruby's irb"}, {".pryrc", "Ruby's pry"}, {".ghci", "ghci"},
};

const struct orders_name orders_top[] = {
    {".ssh", "who may log in, ProxyCommand"}, {".gnupg", "gpg: programs it starts"},
    {".config/git", "git"}, {".config/fish", "fish"}, {".config/nvim", "neovim"}, {".config/autostart", "desktops"},
    {".config/systemd", "units of the user"}, {".config/environment.d", "units of the user"}, {".config/Code", "Visual Studio Code"},
    {".config/direnv", "direnv"}, {".config/mise", "mise"}, {".local/bin", "in PATH"}, {".local/share/systemd", "units of the user"},
    {".local/share/applications", "desktops: what opens what"}, {".cargo/bin", "in PATH"}, {".cargo/env", "shells, by their start-up files"},
    {".docker", "docker: credential helpers"},
    {".hg/hgrc", "Mercurial: hooks, extensions, aliases"}, {".jj/repo/config.toml", "Jujutsu: programs it starts"},
    {".config/helix", "Helix"}, {".config/zed", "Zed"}, {".config/Cursor", "Cursor"}, {".config/emacs", "emacs"}, {".config/zsh", "zsh"},
    {".tmux.conf", "tmux: run-shell"}, {".config/tmux", "tmux"}, {".screenrc", "screen"}, {".psqlrc", "psql: shell commands"},
    {".config/i3", "i3: exec"}, {".config/sway", "sway: exec"}, {".config/hypr", "Hyprland: exec"}, {".local/share/dbus-1", "services of the session's bus"},
    {".local/lib", "Python: usercustomize"},
    {".kube", "kubectl: exec plugins"}, {".aws", "aws: credential_process"}, {".oh-my-zsh", "zsh, by .zshrc"}, {".nvm", "shells, by their start-up files"},
};

const struct orders_name orders_git[] = {
    {"hooks", "run by git on commit, checkout, push"},
    {"config", "names programs: fsmonitor, sshCommand, pagers, filters, aliases, hooksPath"},
    {"config.worktree", "likewise"},
    {"commondir", "says that hooks and config lie elsewhere"},
};
/* clang-format on */

const size_t orders_n_anywhere = ARRAY_LEN(orders_anywhere);
const size_t orders_n_top = ARRAY_LEN(orders_top);
const size_t orders_n_git = ARRAY_LEN(orders_git);

bool orders_know(const char *name)
{
    for (size_t i = 0; i < orders_n_anywhere; i++)
        if (str_eq(name, orders_anywhere[i].path))
            return true;
    return false;
}

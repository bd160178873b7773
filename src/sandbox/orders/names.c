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
    {".bash_aliases", "bash, by Debian's .bashrc"}, {".bash_completion", "bash, by bash-completion"}, {".profile", "login shells"}, {".inputrc", "readline: keys that type"},
    {".zshrc", "zsh"}, {".zshenv", "zsh, scripts too"}, {".zprofile", "zsh"}, {".zlogin", "zsh"}, {".zlogout", "zsh"},
    {".kshrc", "ksh"}, {".mkshrc", "mksh"}, {".cshrc", "csh"}, {".tcshrc", "tcsh"}, {".login", "csh"}, {".logout", "csh"},
    {".xprofile", "display managers"}, {".xinitrc", "startx"}, {".xsession", "display managers"}, {".xsessionrc", "display managers"},
    {".pam_environment", "pam"}, {".lessfilter", "less, by lesspipe"}, {".selected_editor", "sensible-editor: read by a shell"},
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
    {".trae", "Trae: MCP servers"}, {".windsurf", "Windsurf"}, {".continue", "Continue"}, {".roo", "Roo Code: MCP servers"}, {".aider.conf.yml", "aider: commands it runs"},
    {".opencode", "opencode: plugins"}, {"opencode.json", "opencode: MCP servers"}, {"opencode.jsonc", "likewise"},
    {".amazonq", "Amazon Q: MCP servers"}, {".kiro", "Kiro: hooks, MCP servers"}, {".qwen", "Qwen Code: MCP servers"},
    {".junie", "Junie: MCP servers"}, {".factory", "Factory: hooks, MCP servers"}, {".crush.json", "Crush: MCP servers"}, {"crush.json", "likewise"},
    /* debuggers and interpreters that load what lies in the directory they are started in */
    {".gdbinit", "gdb"}, {".lldbinit", "lldb"}, {".pdbrc", "Python's debugger"}, {".perldb", "Perl's debugger"},
    {".Rprofile", "R"}, {".Renviron", "R: where its profile is"}, {".octaverc", "Octave"}, {".irbrc", "Ruby's irb"}, {".pryrc", "Ruby's pry"},
    {".rdbgrc", "Ruby's debugger"}, {".byebugrc", "Ruby's byebug"}, {".ghci", "ghci"}, {".ocamlinit", "OCaml"}, {".iex.exs", "Elixir's iex"}, {".sqliterc", "sqlite3: shell commands"},
};

const struct orders_name orders_top[] = {
    {".ssh", "who may log in, ProxyCommand"}, {".rhosts", "who may log in"}, {".shosts", "who may log in"}, {".k5login", "who may log in"},
    {".forward", "mail: commands"}, {".procmailrc", "mail: commands"}, {".mailcap", "mail readers: commands"}, {".wgetrc", "wget: use_askpass"}, {".gnupg", "gpg: programs it starts"},
    {".config/git", "git"}, {".config/fish", "fish"}, {".config/nvim", "neovim"}, {".config/autostart", "desktops"},
    {".config/systemd", "units of the user"}, {".config/environment.d", "units of the user"}, {".config/Code", "Visual Studio Code"},
    {".config/direnv", "direnv"}, {".config/mise", "mise"}, {".local/bin", "in PATH"}, {".local/share/systemd", "units of the user"},
    {".local/share/applications", "desktops: what opens what"}, {".cargo/bin", "in PATH"}, {".cargo/env", "shells, by their start-up files"},
    {".docker", "docker: credential helpers"},
    {".hg/hgrc", "Mercurial: hooks, extensions, aliases"}, {".jj/repo/config.toml", "Jujutsu: programs it starts"},
    {".config/helix", "Helix"}, {".config/zed", "Zed"}, {".config/Cursor", "Cursor"}, {".config/emacs", "emacs"}, {".config/zsh", "zsh"},
    {".tmux.conf", "tmux: run-shell"}, {".config/tmux", "tmux"}, {".screenrc", "screen"}, {".psqlrc", "psql: shell commands"},
    {".config/plasma-workspace", "Plasma: scripts at its start"}, {".config/openbox", "Openbox: autostart"}, {".config/awesome", "awesome: rc.lua"},
    {".config/bspwm", "bspwm: bspwmrc"}, {".config/i3", "i3: exec"}, {".config/sway", "sway: exec"}, {".config/hypr", "Hyprland: exec"}, {".local/share/dbus-1", "services of the session's bus"},
    {".local/lib", "Python: usercustomize"}, {".local/share/bash-completion", "bash, by bash-completion"}, {".local/share/fish", "fish"}, {".local/share/nvim", "neovim: plugins"},
    {".config/kitty", "kitty: programs it starts"}, {".config/alacritty", "Alacritty: likewise"}, {".config/wezterm", "WezTerm: likewise"}, {".wezterm.lua", "WezTerm"},
    {".config/nushell", "nushell"}, {".config/powershell", "PowerShell"}, {".config/starship.toml", "starship: commands, at each prompt"}, {".config/gh", "gh: aliases"},
    {".config/gdb", "gdb"}, {".gdbearlyinit", "gdb"}, {".ipython", "IPython"}, {".jupyter", "Jupyter"}, {".julia/config", "Julia"},
    {".vscode-server", "Visual Studio Code: its server"}, {".cursor-server", "Cursor: its server"}, {".config/VSCodium", "VSCodium"}, {".config/Claude", "Claude: MCP servers"},
    {".config/opencode", "opencode: plugins"}, {".config/goose", "Goose: MCP servers"}, {".codeium", "Windsurf: MCP servers"}, {".copilot", "Copilot: MCP servers"},
    {".gradle/init.gradle", "Gradle, in any project"}, {".gradle/init.gradle.kts", "Gradle, in any project"}, {".gradle/init.d", "Gradle, in any project"},
    {".fzf.bash", "bash, by .bashrc"}, {".fzf.zsh", "zsh, by .zshrc"}, {".p10k.zsh", "zsh, by .zshrc"}, {".rbenv", "in PATH"}, {".pyenv", "in PATH"}, {".rvm", "in PATH"}, {".sdkman", "in PATH"},
    {".asdf", "in PATH"}, {".bun/bin", "in PATH"}, {".deno/bin", "in PATH"}, {".npm-global", "in PATH"}, {".dotnet/tools", "in PATH"}, {".local/share/mise", "in PATH"},
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

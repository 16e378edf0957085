"""Scripts for tab completion in bash and zsh: commands, keys, and the values of those that have a few.

A script holds everything: a shell must not wait for Python at each TAB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sp_search.cli.settings.reference import Reference
from sp_search.errors import ConfigError

SHELLS = ("bash", "zsh")

BASH = """# sp-search completion bash > ~/.local/share/bash-completion/completions/sp-search
_sp_search() {
    local line=${COMP_LINE:0:COMP_POINT} words command
    local cur=${line##*[[:space:]]}
    read -ra words <<< "${line%"$cur"}"
    COMPREPLY=()
    if [[ ${#words[@]} -le 1 ]]; then
        COMPREPLY=($(compgen -W "@FIRST@" -- "$cur")); return
    fi
    command=${words[1]}
    if [[ $command == bench ]]; then
        if [[ ${#words[@]} -eq 2 ]]; then
            COMPREPLY=($(compgen -W "@BENCH@" -- "$cur")); return
        fi
        command="bench ${words[2]}"
    fi
    local value=${cur#*=}
    if [[ $cur == *=* ]]; then
        case "$command ${cur%%=*}" in
@VALUES@
            *) COMPREPLY=($(compgen -f -- "$value")) ;;
        esac
    else
        compopt -o nospace 2>/dev/null
        case "$command" in
@KEYS@
        esac
    fi
}
complete -F _sp_search sp-search
"""

ZSH = """#compdef sp-search
# sp-search completion zsh > ~/.zfunc/_sp-search, and ~/.zfunc is in fpath before compinit
_sp_search() {
    local command=${words[2]}
    if (( CURRENT == 2 )); then
        compadd -- @FIRST@; return
    fi
    if [[ $command == bench ]]; then
        if (( CURRENT == 3 )); then
            compadd -- @BENCH@; return
        fi
        command="bench ${words[3]}"
    fi
    local key=${words[CURRENT]%%=*}
    if compset -P '*='; then
        case "$command $key" in
@VALUES@
            *) _files ;;
        esac
    else
        case "$command" in
@KEYS@
        esac
    fi
}
_sp_search "$@"
"""


def completion_script(shell: str, references: Sequence[Reference]) -> str:
    """The script of a shell, for the commands of these references.

    Raises:
        ConfigError: it is neither bash nor zsh.
    """
    if shell not in SHELLS:
        raise ConfigError(f"completion: expected {' or '.join(SHELLS)}, got {shell!r}; say sp-search completion bash")
    template, values, keys = (BASH, _bash_values, _bash_keys) if shell == "bash" else (ZSH, _zsh_values, _zsh_keys)
    commands = [*(reference.command for reference in references), "help", "completion"]
    first = list(dict.fromkeys(command.split()[0] for command in commands))
    bench = [command.split()[1] for command in commands if " " in command]
    known = {reference.command: _keys_of(reference) for reference in references}
    known |= {"help": first, "completion": list(SHELLS)}
    few = [
        (f"{reference.command} {key}", values(words, or_a_path))
        for reference in references
        for key, words, or_a_path in _few_values(reference)
    ]
    plain = {reference.command for reference in references if reference.plain}
    filled = {
        "FIRST": " ".join(first),
        "BENCH": " ".join(bench),
        "VALUES": "\n".join(f'            "{case}") {line} ;;' for case, line in few),
        "KEYS": "\n".join(
            f'            "{command}") {keys(words, command in plain)} ;;' for command, words in known.items()
        ),
    }
    for mark, text in filled.items():
        template = template.replace(f"@{mark}@", text)
    return template


def _keys_of(reference: Reference) -> list[str]:
    """The keys of a command, each with its `=`; short ones where there are."""
    groups = [group.name for group in reference.groups]
    return [f"{key}=" for key in dict.fromkeys([*groups, *(one.short or one.key for one in reference.settings)])]


def _few_values(reference: Reference) -> Iterator[tuple[str, Sequence[str], bool]]:
    """The keys that have a few values, these, and whether a path is one too."""
    yield from ((group.name, group.options, bool(group.path)) for group in reference.groups)
    for setting in reference.settings:
        if setting.choices:
            yield from ((key, setting.choices, False) for key in (setting.key, setting.short) if key)


def _bash_values(words: Iterable[str], or_a_path: bool) -> str:
    paths = ' $(compgen -f -- "$value")' if or_a_path else ""
    return f'COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$value"){paths})'


def _bash_keys(words: Iterable[str], or_a_path: bool) -> str:
    paths = ' $(compgen -f -- "$cur")' if or_a_path else ""
    return f'COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$cur"){paths})'


def _zsh_values(words: Iterable[str], or_a_path: bool) -> str:
    return f"compadd -- {' '.join(words)}{'; _files' if or_a_path else ''}"


def _zsh_keys(words: Iterable[str], or_a_path: bool) -> str:
    return f"compadd -S '' -- {' '.join(words)}{'; _files' if or_a_path else ''}"

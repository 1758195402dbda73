# SPDX-License-Identifier: MIT
"""complete.py SHELL FOLDER: reads command lines from standard input, and prints each as it is after
the shell has completed its last word, once, with the completions in FOLDER. SHELL is bash, zsh (both
with a terminal, as for a person) or fish, which is asked for its candidates."""
import os
import pty
import select
import subprocess
import sys
import tempfile

shell, folder = sys.argv[1:3]
lines = sys.stdin.read().splitlines()
home = tempfile.mkdtemp()
answers = os.path.join(home, "answers")
open(answers, "w", encoding="utf-8").close()

# Control-X control-A writes the line that is being edited to a file, and gives it up.
SETUP = {
    "bash": f"""
unset HISTFILE; set +o history
. /usr/share/bash-completion/bash_completion
for f in {folder}/*; do . $f; done
dump() {{ printf '%s\\n' "$READLINE_LINE" >>{answers}; READLINE_LINE= READLINE_POINT=0; }}
bind -x '"\\C-x\\C-a": dump'
bind 'set bell-style none'; bind 'set page-completions off'; bind 'set completion-query-items 0'
""",
    "zsh": f"""
fpath=({folder} $fpath); unsetopt beep auto_menu auto_list prompt_sp; setopt no_always_last_prompt
autoload -Uz compinit && compinit -u -d {home}/dump
dump() {{ print -r -- "$BUFFER" >>{answers}; BUFFER=; }}
zle -N dump; bindkey '^I' complete-word; bindkey '^X^A' dump
""",
}
COMMAND = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


def with_terminal():
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(HOME=home, TERM="dumb", PS1="", LC_ALL="C.UTF-8", ZDOTDIR=home)
        os.execvp(COMMAND[shell][0], COMMAND[shell])

    def count():
        with open(answers, encoding="utf-8") as file:
            return file.read().count("\n")

    def until(done):
        for _ in range(6000):
            while select.select([terminal], [], [], 0.004)[0]:
                os.read(terminal, 65536)
            if done():
                return
        sys.exit(f"{shell} does not answer")

    setup = os.path.join(home, "setup")
    with open(setup, "w", encoding="utf-8") as file:
        file.write(SETUP[shell])
    os.write(terminal, f". {setup}; echo ready >>{answers}\n".encode())
    until(lambda: count() == 1)
    for number, line in enumerate(lines):
        os.write(terminal, line.encode() + b"\t\x18\x01")
        until(lambda: count() == number + 2)
    os.close(terminal)
    with open(answers, encoding="utf-8") as file:
        return file.read().splitlines()[1:]


def with_fish():
    asked = subprocess.run(
        ["fish", "-c", "set -p fish_complete_path $argv[1]; while read -l line; echo :; complete -C $line; end", folder],
        input="\n".join(lines) + "\n", capture_output=True, check=True, text=True, env={**os.environ, "HOME": home})
    answer = []
    for line, found in zip(lines, asked.stdout.split(":\n")[1:]):
        words = [candidate.split("\t")[0] for candidate in found.splitlines()]
        start = line[: line.rfind(" ") + 1]
        answer.append(start + os.path.commonprefix(words) + (" " if len(words) == 1 else "") if words else line)
    return answer


print("\n".join(with_fish() if shell == "fish" else with_terminal()))

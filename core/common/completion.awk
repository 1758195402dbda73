# SPDX-License-Identifier: MIT
# completion.awk: reads what PROGRAM --help prints, which is made from the program's table of options
# (command_line.h), and writes the completion of that program for a shell.
#
#     PROGRAM --help | awk -v program=PROGRAM -v shell=bash|zsh|fish -f completion.awk
#
# A line of an option is "  -c, --config FILE   help", one of a command "  genpsk NAME [FILE]   help".
# What a value is completed with follows from its name in capitals. A program whose usage ends with
# "PROGRAM [ARGUMENT...]" completes other programs, with their own completion.

/^Usage: / {
    wraps = /PROGRAM \[ARGUMENT\.\.\.\]$/
    next
}

# Splits "what   help" at the first two spaces.
match($0, /[^ ]  +/) {
    what = substr($0, 1, RSTART)
    help = substr($0, RSTART + RLENGTH)
    sub(/^ +/, "", what)
    if (what ~ /^-/)
        add_option(what, help)
    else if (/^  [a-z]/)
        add_command(what, help)
}

function add_option(what, help,    words, n) {
    options++
    letter[options] = value[options] = ""
    if (what ~ /^-[A-Za-z], /) {
        letter[options] = substr(what, 2, 1)
        what = substr(what, 5)
    }
    n = split(what, words, " ")
    name[options] = substr(words[1], 3)
    if (n > 1)
        value[options] = words[2]
    help_of[options] = help
    repeated[options] = value[options] == "URL"
}

function add_command(what, help,    words, n, i, word) {
    commands++
    n = split(what, words, " ")
    command[commands] = words[1]
    command_help[commands] = help
    arguments[commands] = 0
    for (i = 2; i <= n; i++) {
        word = words[i]
        gsub(/[][]/, "", word)
        if (word !~ /^-/)
            argument[commands, ++arguments[commands]] = word
    }
}

# What completes a value of this name: file, url, user, host, or nothing.
function kind_of(name, option) {
    if (name == "FILE") return "file"
    if (name == "HOST") return "host"
    if (name == "NAME" && option == "user") return "user"
    if (name ~ /^(URL|GATEWAY|ADDRESSES)$/) return "url"
    return "nothing"
}

END {
    if (!options) {
        print "completion.awk: no options in the usage of " program >"/dev/stderr"
        exit 1
    }
    comment = "# Completion of " program " for " shell ", made from its table of options."
    if (shell == "bash") bash()
    else if (shell == "zsh") zsh()
    else if (shell == "fish") fish()
    else exit 2
}

function quoted(text) {
    gsub(/'/, "'\\''", text)
    return "'" text "'"
}

# ---- bash ----

function flags_of(i) { return (letter[i] ? "-" letter[i] "|" : "") "--" name[i] }

function bash_action(kind) {
    if (kind == "file") return "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); compopt -o filenames"
    if (kind == "host") return "mapfile -t COMPREPLY < <(compgen -A hostname -- \"$cur\")"
    if (kind == "user") return "mapfile -t COMPREPLY < <(compgen -u -- \"$cur\")"
    if (kind == "url")
        return "mapfile -t COMPREPLY < <(compgen -W 'tls:// tcp:// unix:///' -- \"$cur\"); compopt -o nospace"
}

function bash(    i, j, list, f) {
    f = "_" program
    gsub(/-/, "_", f)
    print comment
    print f "() {"
    print "    local cur=${COMP_WORDS[COMP_CWORD]} wants='' i" (commands ? " command='' count=0" : "")
    print "    COMPREPLY=()"
    print "    for ((i = 1; i < COMP_CWORD; i++)); do"
    print "        if [ -n \"$wants\" ]; then"
    print "            # bash makes three words of --config=FILE."
    print "            [ \"${COMP_WORDS[i]}\" = = ] || wants=''"
    print "            continue"
    print "        fi"
    print "        case ${COMP_WORDS[i]} in"
    for (i = 1; i <= options; i++)
        if (value[i])
            print "        " flags_of(i) ") wants=" name[i] " ;;"
    print "        -*) ;;"
    if (wraps) {
        print "        *)"
        print "            if declare -F _comp_command_offset >/dev/null; then"
        print "                _comp_command_offset $i"
        print "            elif declare -F _command_offset >/dev/null; then"
        print "                _command_offset $i"
        print "            else"
        print "                " bash_action("file")
        print "            fi"
        print "            return"
        print "            ;;"
    } else if (commands)
        print "        *) if [ -z \"$command\" ]; then command=${COMP_WORDS[i]}; else count=$((count + 1)); fi ;;"
    print "        esac"
    print "    done"
    print "    [ \"$cur\" != = ] || cur=''"
    print "    case $wants in"
    for (i = 1; i <= options; i++)
        if (kind_of(value[i], name[i]) != "nothing")
            print "    " name[i] ") " bash_action(kind_of(value[i], name[i])) " ;;"
    print "    esac"
    print "    [ -z \"$wants\" ] || return 0"
    list = ""
    for (i = 1; i <= options; i++)
        list = list (letter[i] ? " -" letter[i] : "") " --" name[i]
    print "    case $cur in"
    print "    -*) mapfile -t COMPREPLY < <(compgen -W '" substr(list, 2) "' -- \"$cur\"); return ;;"
    print "    esac"
    if (wraps)
        print "    mapfile -t COMPREPLY < <(compgen -c -- \"$cur\")"
    if (commands) {
        list = ""
        for (i = 1; i <= commands; i++)
            list = list " " command[i]
        print "    case $command:$count in"
        print "    :*) mapfile -t COMPREPLY < <(compgen -W '" substr(list, 2) "' -- \"$cur\") ;;"
        for (i = 1; i <= commands; i++)
            for (j = 1; j <= arguments[i]; j++)
                if (kind_of(argument[i, j], "") != "nothing")
                    print "    " command[i] ":" j - 1 ") " bash_action(kind_of(argument[i, j], "")) " ;;"
        print "    esac"
    }
    print "}"
    print "complete -F " f " " program
}

# ---- zsh ----

function zsh_action(kind) {
    if (kind == "file") return "_files"
    if (kind == "host") return "_hosts"
    if (kind == "user") return "_users"
    if (kind == "url") return "compadd -S \"\" tls\\:// tcp\\:// unix\\:///"
    return " "
}

function zsh_help(text) {
    gsub(/[][]/, "\\\\&", text)
    gsub(/'/, "'\\''", text)
    return "[" text "]"
}

function zsh_option(i,    text, last, first) {
    last = name[i] ~ /^(help|version)$/
    text = value[i] ? ":" value[i] ":" zsh_action(kind_of(value[i], name[i])) : ""
    if (!letter[i])
        return "'" (repeated[i] ? "*" : "") "--" name[i] (value[i] ? "=" : "") zsh_help(help_of[i]) text "'"
    first = last ? "(- *)" : "(-" letter[i] " --" name[i] ")"
    return "'" first "'{-" letter[i] (value[i] ? "+" : "") ",--" name[i] (value[i] ? "=" : "") "}'" \
        zsh_help(help_of[i]) text "'"
}

function zsh(    i, j) {
    print "#compdef " program
    print comment
    if (commands) {
        print "local -a commands=("
        for (i = 1; i <= commands; i++)
            print "    " quoted(command[i] ":" command_help[i])
        print ")"
        print "local context state state_descr line"
        print "typeset -A opt_args"
    }
    print "_arguments -s -S" (wraps ? " -A '-*'" : "") " \\"
    for (i = 1; i <= options; i++)
        print "    " zsh_option(i) (i < options || wraps || commands ? " \\" : "")
    if (wraps) {
        print "    '(-)1:program:_command_names -e' \\"
        print "    '*::arguments:_normal'"
    }
    if (commands) {
        print "    '1:command:->command' \\"
        print "    '*:argument:->argument'"
        print "case $state in"
        print "command) _describe -t commands command commands ;;"
        print "argument)"
        print "    case $line[1]:$#line in"
        for (i = 1; i <= commands; i++)
            for (j = 1; j <= arguments[i]; j++)
                if (kind_of(argument[i, j], "") != "nothing")
                    print "    " command[i] ":" j + 1 ") " zsh_action(kind_of(argument[i, j], "")) " ;;"
        print "    esac"
        print "    ;;"
        print "esac"
    }
}

# ---- fish ----

function fish_action(kind) {
    if (kind == "file") return " -r -F"
    if (kind == "host") return " -x -a '(__fish_print_hostnames)'"
    if (kind == "user") return " -x -a '(__fish_complete_users)'"
    if (kind == "url") return " -x -a 'tls:// tcp:// unix:///'"
    return " -x"
}

function fish(    i, j, f, list, condition) {
    f = "__" program "_at"
    gsub(/-/, "_", f)
    print comment
    print "complete -c " program " -f"
    if (commands) {
        list = ""
        for (i = 1; i <= options; i++)
            list = list " " (letter[i] ? letter[i] "/" : "") name[i] (value[i] ? "=" : "")
        print "# " f " [COMMAND COUNT]: is it the word behind that many arguments of the command that is"
        print "# completed; without arguments: is it the command?"
        print "function " f
        print "    set -l given $argv"
        print "    set -l words (commandline -opc)"
        print "    set -e words[1]"
        print "    argparse -i" list " -- $words 2>/dev/null"
        print "    if test (count $given) = 0"
        print "        test (count $argv) = 0"
        print "    else"
        print "        test \"$argv[1]\" = $given[1] -a (count $argv) = (math $given[2] + 1)"
        print "    end"
        print "end"
    }
    list = ""
    for (i = 1; i <= options; i++) {
        print "complete -c " program (letter[i] ? " -s " letter[i] : "") " -l " name[i] \
            (value[i] ? fish_action(kind_of(value[i], name[i])) : "") " -d " quoted(help_of[i])
        if (value[i])
            list = list (letter[i] ? " -" letter[i] : "") " --" name[i]
    }
    if (wraps)
        print "complete -c " program " -x -a '(__fish_complete_subcommand" list ")'"
    for (i = 1; i <= commands; i++)
        print "complete -c " program " -n " f " -a " command[i] " -d " quoted(command_help[i])
    for (i = 1; i <= commands; i++)
        for (j = 1; j <= arguments[i]; j++)
            if (kind_of(argument[i, j], "") != "nothing")
                print "complete -c " program " -n '" f " " command[i] " " j - 1 "'" \
                    fish_action(kind_of(argument[i, j], ""))
}

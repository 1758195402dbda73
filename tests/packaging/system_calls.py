# SPDX-License-Identifier: MIT
"""system_calls.py UNIT USER PROGRAM [ARGUMENT...]: runs a program as that user, with the system calls,
the address families and the executable memory that systemd leaves to the unit."""
import ctypes
import os
import pwd
import re
import subprocess
import sys

ALLOW, EPERM = 0x7FFF0000, 0x00050001
MASKED_EQ = 7
PROT_WRITE, PROT_EXEC = 2, 4
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}

unit, user, program = sys.argv[1], pwd.getpwnam(sys.argv[2]), sys.argv[3:]
with open(unit, encoding="utf-8") as file:
    settings = re.findall(r"^(\w+)=(.*)$", file.read(), re.MULTILINE)


def values(key):
    return [value for name, value in settings if name == key]


def groups():
    out = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, check=True, text=True)
    found, name = {}, ""
    for line in out.stdout.splitlines():
        if line.startswith("@"):
            name = line
            found[name] = []
        elif line.startswith("    ") and line.strip()[0] != "#":
            found[name].append(line.strip())
    return found


def expand(name, known):
    if not name.startswith("@"):
        return {name}
    return set().union(*(expand(inner, known) for inner in known[name]))


def allowed():
    calls, known = set(), groups()
    for value in values("SystemCallFilter"):
        named = set().union(*(expand(name, known) for name in value.lstrip("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    return calls


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_init.argtypes = [ctypes.c_uint32]
lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Compare)]
lib.seccomp_load.argtypes = [ctypes.c_void_p]
rules = lib.seccomp_init(EPERM)


def allow(name, *compares):
    number = lib.seccomp_syscall_resolve_name(name.encode())
    array = (Compare * len(compares))(*compares) if compares else None
    if number != -1 and lib.seccomp_rule_add_array(rules, ALLOW, number, len(compares), array) < 0:
        sys.exit(f"cannot allow {name}")


calls = allowed()
assert "execve" in calls, "the unit's list was not understood"
assert values("MemoryDenyWriteExecute") == ["yes"]
for call in sorted(calls):
    if call == "mmap":
        allow(call, Compare(2, MASKED_EQ, PROT_WRITE, 0))
        allow(call, Compare(2, MASKED_EQ, PROT_EXEC, 0))
    elif call in ("mprotect", "pkey_mprotect"):
        allow(call, Compare(2, MASKED_EQ, PROT_EXEC, 0))
    elif call == "socket":
        for family in values("RestrictAddressFamilies")[0].split():
            allow(call, Compare(0, MASKED_EQ, 0xFFFFFFFF, FAMILIES[family]))
    else:
        allow(call)

os.setgroups([])
os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
if lib.seccomp_load(rules) < 0:
    sys.exit("the filter cannot be loaded")
os.execv(program[0], program)

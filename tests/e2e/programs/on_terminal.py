# SPDX-License-Identifier: MIT
"""on_terminal.py COLUMNS ROWS [REGEX KEY]... -- COMMAND...: runs the command on a terminal of this
size, waits for each regex in what it prints and then types the key, and prints all output. The exit
status is the command's; 99 if a regex was waited for in vain, or the terminal was left changed."""
import fcntl, os, pty, re, select, struct, sys, termios, time

separator = sys.argv.index("--")
columns, rows = int(sys.argv[1]), int(sys.argv[2])
steps = list(zip(sys.argv[3:separator:2], sys.argv[4:separator:2]))
main, terminal = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
before = termios.tcgetattr(terminal)
pid = os.fork()
if pid == 0:
    os.close(main)
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(terminal, fd)
    os.execvp(sys.argv[separator + 1], sys.argv[separator + 1:])

output, seen, end = b"", 0, time.monotonic() + 30
status = None
while time.monotonic() < end:
    if select.select([main], [], [], 0.05)[0]:
        output += os.read(main, 65536)
    elif status is not None:
        break
    if steps and (found := re.search(steps[0][0].encode(), output[seen:])):
        seen += found.end()
        os.write(main, steps.pop(0)[1].encode())
    if status is None:
        done, code = os.waitpid(pid, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if done else None
sys.stdout.buffer.write(output.replace(b"\r\n", b"\n"))
sys.stdout.flush()
if status is None:
    os.kill(pid, 9)
changed = termios.tcgetattr(terminal) != before
if steps or status is None or changed:
    print(f"\nwaited for {steps}, status {status}, terminal changed {changed}")
sys.exit(99 if steps or status is None or changed else status)

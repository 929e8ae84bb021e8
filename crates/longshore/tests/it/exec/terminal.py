"""Runs sys.argv, a shell in a container, at a terminal of its own, and uses it as a person does."""

import fcntl, os, pty, re, select, struct, subprocess, sys, termios, time

PATIENCE_SECONDS = 180

ours, theirs = pty.openpty()


def resize(rows, columns):
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


resize(40, 120)
before = termios.tcgetattr(theirs)
child = subprocess.Popen(
    sys.argv[1:], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
seen = b""


def expect(pattern):
    global seen
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := re.search(pattern, seen)):
        left = end - time.monotonic()
        assert left > 0 and select.select([ours], [], [], left)[0], f"no {pattern!r} in {seen!r}"
        seen += os.read(ours, 65536)
    seen = seen[found.end():]
    return found


def send(text):
    os.write(ours, text.encode())


expect(rb"# ")
LOCAL = 3
raw = termios.tcgetattr(theirs)[LOCAL]
assert raw & (termios.ECHO | termios.ICANON | termios.ISIG) == 0, raw
send("stty size\r")
expect(rb"40 120\r")
# The client is not what Ctrl-C interrupts. The quotes tell what is said from what is typed.
send("sh -c \"echo be''gun; exec sleep 1000\"\r")
expect(rb"begun\r")
send("\x03")
send("echo go''es on\r")
expect(rb"goes on\r")
resize(50, 200)
end = time.monotonic() + PATIENCE_SECONDS
while True:
    assert time.monotonic() < end, "the size does not change"
    send("stty size\r")
    if expect(rb"(\d+) (\d+)\r").groups() == (b"50", b"200"):
        break
send("exit 7\r")
code = child.wait(PATIENCE_SECONDS)
assert code == 7, code
assert termios.tcgetattr(theirs) == before

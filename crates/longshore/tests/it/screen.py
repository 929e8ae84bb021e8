"""Runs a program on a terminal of its own and plays a user: sys.argv is steps as JSON, then the program.

Steps: ["expect", TEXT] waits until the screen shows TEXT, ["gone", TEXT] until it does not; ["send",
KEYS], ["size", ROWS, COLUMNS], ["signal", NAME]; ["end", CODE] waits for the end. Prints the last
screen. What the screen shows is worked out from the escape sequences that are used; a full screen in
which something is drawn beyond its edges shows nothing.
"""

import fcntl, json, os, pty, re, select, signal, struct, sys, termios, time

PATIENCE_SECONDS = 240
SEQUENCE = re.compile(rb"\x1b\[(\??)([0-9;]*)([A-Za-z])")


class Screen:
    """The lines that a terminal of a size shows."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.alternate = self.beyond = False
        self.clear()

    def clear(self):
        self.lines, self.row, self.column = [[] for _ in range(self.rows)], 0, 0

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.clear()

    def put(self, character):
        if self.column >= self.columns and self.alternate:
            self.beyond = True
            return
        if self.column >= self.columns:
            self.column = 0
            self.down()
        line = self.lines[self.row]
        line.extend(" " * (self.column + 1 - len(line)))
        line[self.column] = character
        self.column += 1

    def down(self):
        if self.row + 1 < self.rows:
            self.row += 1
        elif self.alternate:
            self.beyond = True
        else:
            self.lines = self.lines[1:] + [[]]

    def sequence(self, private, numbers, letter):
        number = int(numbers.split(b";")[0] or 0)
        if private and numbers == b"1049":
            self.alternate = letter == b"h"
            self.clear()
        elif letter == b"H":
            self.row, self.column, self.beyond = 0, 0, False
        elif letter == b"A":
            self.row = max(0, self.row - max(1, number))
        elif letter == b"B":
            self.row = min(self.rows - 1, self.row + max(1, number))
        elif letter == b"K":
            del self.lines[self.row][0 if number == 2 else self.column :]
        elif letter == b"J":
            del self.lines[self.row][self.column :]
            for row in range(self.row + 1, self.rows):
                self.lines[row] = []

    def shows(self, text):
        return not self.beyond and text in self.text()

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.lines)


def feed(screen, data):
    """Draws data; gives what of it is the begin of something longer."""
    at = 0
    while at < len(data):
        if data[at : at + 1] == b"\x1b":
            found = SEQUENCE.match(data, at)
            if not found:
                return data[at:]
            screen.sequence(*found.groups())
            at = found.end()
            continue
        byte = data[at]
        length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        if at + length > len(data):
            return data[at:]
        if byte == 0x0D:
            screen.column = 0
        elif byte == 0x0A:
            screen.down()
        elif byte >= 0x20:
            screen.put(data[at : at + length].decode())
        at += length
    return b""


def main():
    steps, program = json.loads(sys.argv[1]), sys.argv[2:]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(program[0], program)
    screen, rest, code = Screen(24, 80), b"", None
    size = lambda rows, columns: fcntl.ioctl(
        terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0)
    )
    size(24, 80)
    modes = termios.tcgetattr(terminal)

    def read(until, what):
        nonlocal rest, code
        end = time.monotonic() + PATIENCE_SECONDS
        while not until():
            if time.monotonic() > end:
                raise SystemExit(f"{what} did not come to be:\n{screen.text()}")
            if code is not None:
                raise SystemExit(f"ended with {code} before {what}:\n{screen.text()}")
            ready, _, _ = select.select([terminal], [], [], 1)
            try:
                data = os.read(terminal, 65536) if ready else b""
            except OSError:
                data = None
            if data:
                rest = feed(screen, rest + data)
            elif data is None or ready:
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    for step, *rest_of in steps:
        if step == "expect":
            read(lambda: screen.shows(rest_of[0]), f"'{rest_of[0]}'")
        elif step == "gone":
            read(lambda: not screen.beyond and not screen.shows(rest_of[0]), f"the end of '{rest_of[0]}'")
        elif step == "send":
            os.write(terminal, rest_of[0].encode())
        elif step == "size":
            screen.resize(*rest_of)
            size(*rest_of)
        elif step == "signal":
            os.kill(pid, getattr(signal, rest_of[0]))
        elif step == "end":
            try:
                read(lambda: code is not None, "the end")
            except SystemExit:
                if code is None:
                    raise
            if code != rest_of[0]:
                raise SystemExit(f"ended with {code}, not {rest_of[0]}:\n{screen.text()}")
            if termios.tcgetattr(terminal) != modes:
                raise SystemExit("the terminal is not as it was")
    print(screen.text())


main()

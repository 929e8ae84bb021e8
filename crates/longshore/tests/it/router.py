"""A stand-in for fluentd and fluent-bit: speaks the forward protocol on a socket, prints records."""
import json
import os
import signal
import socket
import struct
import sys
import threading


class Reader:
    """MessagePack, as much of it as drivers write."""

    def __init__(self, stream):
        self.stream = stream

    def take(self, count):
        data = self.stream.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def next(self):
        head = self.number(">B")
        if head <= 0x7F:
            return head
        if head <= 0x8F:
            return self.map(head & 15)
        if head <= 0x9F:
            return [self.next() for _ in range(head & 15)]
        if head <= 0xBF:
            return self.take(head & 31).decode()
        if head in (0xD9, 0xDA, 0xDB):
            return self.take(self.number({0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}[head])).decode()
        if head in (0xCC, 0xCD, 0xCE):
            return self.number({0xCC: ">B", 0xCD: ">H", 0xCE: ">I"}[head])
        if head in (0xDC, 0xDD):
            return [self.next() for _ in range(self.number(">H" if head == 0xDC else ">I"))]
        if head in (0xDE, 0xDF):
            return self.map(self.number(">H" if head == 0xDE else ">I"))
        if head == 0xD7:
            kind = self.number(">b")
            assert kind == 0, kind
            return list(struct.unpack(">II", self.take(8)))
        raise ValueError(hex(head))

    def map(self, count):
        return {self.next(): self.next() for _ in range(count)}


def serve(connection):
    reader = Reader(connection.makefile("rb"))
    try:
        while True:
            message = reader.next()
            for time, record in message[1]:
                line = {"tag": message[0], **record}
                if isinstance(time, list):
                    line["nanos"] = time[1]
                tell(line)
            if len(message) > 2 and "chunk" in message[2]:
                chunk = message[2]["chunk"].encode()
                head = bytes([0xA0 | len(chunk)]) if len(chunk) < 32 else bytes([0xD9, len(chunk)])
                connection.sendall(b"\x81\xa3ack" + head + chunk)
    except EOFError:
        pass


# One write a line: the threads of several containers print at once.
def tell(line):
    os.write(1, (json.dumps(line) + "\n").encode())


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
for path in ("/fluent-bit/etc/fluent-bit.conf", "/fluentd/etc/fluent.conf"):
    if os.path.exists(path):
        tell({"configuration": open(path).read()})
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()

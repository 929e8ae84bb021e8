"""Which shared libraries programs need: read from the ELF files themselves."""

import struct
from pathlib import Path

DT_NEEDED, DT_STRTAB = 1, 5
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
LIBRARY_FOLDERS = ["lib/{}", "usr/lib/{}", "lib64", "usr/lib64", "lib", "usr/lib"]
TRIPLETS = {62: "x86_64-linux-gnu", 183: "aarch64-linux-gnu"}


def read_elf(path):
    """(machine, interpreter, needed libraries) of a 64-bit little-endian ELF file, else None."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    machine = struct.unpack_from("<H", data, 18)[0]
    table, = struct.unpack_from("<Q", data, 32)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    loads, dynamic, interpreter = [], None, None
    for index in range(count):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data, table + index * entry_size)
        if kind == PT_LOAD:
            loads.append((address, offset, size))
        elif kind == PT_DYNAMIC:
            dynamic = (offset, size)
        elif kind == PT_INTERP:
            interpreter = data[offset:offset + size].split(b"\0")[0].decode()
    if dynamic is None:
        return machine, interpreter, []
    tags = [struct.unpack_from("<QQ", data, dynamic[0] + at) for at in range(0, dynamic[1], 16)]
    strings = next((value for tag, value in tags if tag == DT_STRTAB), None)
    base = next(offset + strings - address for address, offset, size in loads if address <= strings < address + size)
    needed = [data[base + value:data.index(b"\0", base + value)].decode() for tag, value in tags if tag == DT_NEEDED]
    return machine, interpreter, needed


def find_library(root, name, machine):
    triplet = TRIPLETS.get(machine, "")
    for folder in LIBRARY_FOLDERS:
        relative = folder.format(triplet) + "/" + name
        if (root / relative).exists():
            return relative
    return None


def needed_files(layer, root):
    """{path in the image: file} of what the layer's programs need and the layer lacks."""
    found, queue = {}, [path for path in sorted(layer.rglob("*")) if path.is_file() and not path.is_symlink()]
    while queue:
        path = queue.pop()
        elf = read_elf(Path(path))
        if elf is None:
            continue
        machine, interpreter, needed = elf
        wanted = [interpreter.lstrip("/")] if interpreter else []
        for name in needed:
            relative = find_library(root, name, machine)
            if relative is None and not (layer / "usr/lib" / name).exists():
                raise SystemExit("build.sh: %s needs %s, which no package brought" % (path, name))
            wanted += [relative] if relative else []
        for relative in wanted:
            if relative not in found:
                source = (root / relative).resolve()
                found[relative] = source
                queue.append(source)
    return found

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check-stack.py OBJECT...    does every chain of calls in a BPF object fit into the stack, as old kernels count it?

512 bytes for a program and all that it calls, each frame rounded up to 32: newer kernels round to 16, or give a program
more, so a chain that loads there may be refused by 5.10 or 6.1 with "combined stack size of N calls is M. Too large".
Functions that a loop calls (bpf_loop, bpf_for_each_map_elem) count as called. Run by make when an object is linked.
"""
import struct
import sys

LIMIT, ROUND = 512, 32
FRAME_POINTER = 10


def sections(data):
    """The ELF's sections: name, type, link, info, bytes."""
    offset, size, count, names = struct.unpack_from("<Q10xHHH", data, 40)[0], *struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, offset + i * size) for i in range(count)]
    text = data[headers[names][4]:]
    return [(text[h[0]:text.index(b"\0", h[0])].decode(), h[1], h[6], h[7], data[h[4]:h[4] + h[5]] if h[1] != 8 else b"")
            for h in headers]


def functions(data):
    """{(section, first instruction): (name, instructions, {instruction: what its relocation names})}"""
    found, all_sections = {}, sections(data)
    table = next(s for s in all_sections if s[1] == 2)
    strings = all_sections[table[2]][4]
    symbols = [struct.unpack_from("<IBBHQQ", table[4], i) for i in range(0, len(table[4]), 24)]
    name = lambda symbol: strings[symbol[0]:strings.index(b"\0", symbol[0])].decode()
    relocations = {}
    for kind, _, info, content in ((s[1], s[2], s[3], s[4]) for s in all_sections):
        if kind == 9:  # SHT_REL
            for i in range(0, len(content), 16):
                where, what = struct.unpack_from("<QQ", content, i)
                relocations[info, where // 8] = symbols[what >> 32]
    for symbol in symbols:
        _, info, _, section, value, size = symbol
        if info & 15 != 2:  # STT_FUNC
            continue
        code = all_sections[section][4][value:value + size]
        named = {i: relocations[section, value // 8 + i] for i in range(size // 8) if (section, value // 8 + i) in relocations}
        found[section, value // 8] = (name(symbol), code, named)
    return found


def frame_and_calls(place, code, named):
    """How deep the function writes below its frame pointer, and the places of the functions that it calls or hands on."""
    depth, calls, copies = 0, set(), set()
    for i in range(len(code) // 8):
        opcode, registers, offset, value = struct.unpack_from("<BBhi", code, i * 8)
        to, source, kind = registers & 15, registers >> 4, opcode & 7
        if kind in (1, 2, 3) and (source if kind == 1 else to) == FRAME_POINTER:
            depth = max(depth, -offset)
        if opcode == 0xbf and source == FRAME_POINTER:
            copies.add(to)
        elif opcode == 0x07 and to in copies:
            depth = max(depth, -value)
            copies.discard(to)
        elif kind in (0, 1, 4, 7):
            copies.discard(to)
        if opcode == 0x85 and source == 1:
            symbol = named.get(i)
            calls.add((symbol[3], symbol[4] // 8 + (value + 1 if symbol[1] & 15 == 3 else 0)) if symbol else (place[0], place[1] + i + 1 + value))
        elif opcode == 0x18 and i in named:
            calls.add((named[i][3], (named[i][4] + (value if named[i][1] & 15 == 3 else 0)) // 8))
    return depth, calls


def deepest(place, frames, known):
    """The bytes of the deepest chain that begins at `place`, and its functions."""
    if place not in known:
        name, depth, calls = frames[place]
        below = max((deepest(call, frames, known) for call in calls if call in frames), default=(0, []))
        known[place] = (-(-max(depth, 1) // ROUND) * ROUND + below[0], [f"{name} {depth}"] + below[1])
    return known[place]


def main():
    failed = False
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            found = functions(file.read())
        frames = {place: (name, *frame_and_calls(place, code, named)) for place, (name, code, named) in found.items()}
        known = {}
        for size, chain in sorted(deepest(place, frames, known) for place in frames):
            if size > LIMIT and not any(chain == other[1][1:] for other in known.values()):
                print(f"{path}: {size} bytes of stack, {LIMIT} are allowed: {' > '.join(chain)}", file=sys.stderr)
                failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())

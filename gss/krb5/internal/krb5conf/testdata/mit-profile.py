#!/usr/bin/env python3
"""Makes mit-profile.json: random configuration files, and what MIT's libkrb5
on this machine answers about them. Run in this folder:

    python3 mit-profile.py > mit-profile.json
"""
import ctypes as c
import json
import os
import random
import tempfile

CASES = 600
PATHS = ["a/a", "a/b", "a/c", "b/a", "b/b", "a/a/b", "a/b/a", "a/c/b", "b/b/b", "a/b/b/b", "b/c/a"]
LINES = {
    "[a]": 8, "[b]": 8, "[a]*": 2, " [b]  ": 2, "# x": 1, " ; y": 1, "b = 1": 8, "b = {": 8, "a = 2": 8, "a = {": 8,
    "c* = {": 2, "c*=3": 2, 'a = "q\\n" z': 2, "  b = z ": 2, "b =": 1, "{ ": 1, "b = { a = 1 }": 1, "}": 10, "}*": 3,
    "} x": 2, "\ta = {  ": 2, "": 2, "c=": 1, "{": 1, 'b = "': 1, "a=\f1\v": 1, "b\r": 0.2, "b = x\r\r": 1,
    'a\t="\\\\""': 1, "a*b = 4": 1, "=": 0.2, "a a = 1": 0.2, "[a": 0.2, "[]": 0.3, "include\n": 0.1, "b = \0c": 0.5,
}

krb5 = c.CDLL("libkrb5.so.3")
message = c.CDLL("libcom_err.so.2").error_message
message.restype = c.c_char_p
krb5.profile_release.restype = None


def strings(items):
    return (c.c_char_p * (len(items) + 1))(*[i.encode() for i in items], None)


def answers(files):
    """The values at each path, None for none; or nothing if the files are refused."""
    profile = c.c_void_p()
    if krb5.profile_init(strings(files), c.byref(profile)):
        return None
    found = []
    for path in PATHS:
        values = c.POINTER(c.c_char_p)()
        error = krb5.profile_get_values(profile, strings(path.split("/")), c.byref(values))
        if error:
            if b"not found" not in message(c.c_long(error)):
                krb5.profile_release(profile)
                return None
            found.append(None)
            continue
        n = 0
        while values[n] is not None:
            n += 1
        found.append([values[i].decode() for i in range(n)])
    krb5.profile_release(profile)
    return found


random.seed(1)
cases = []
with tempfile.TemporaryDirectory() as folder:
    while len(cases) < CASES:
        texts, files = [], []
        for i in range(random.choice([1, 1, 2])):
            lines = random.choices(list(LINES), list(LINES.values()), k=random.randint(1, 12))
            texts.append("[a]\n" + "\n".join(lines) + "\n")
            # The library caches files by name.
            files.append(os.path.join(folder, f"{len(cases)}-{i}-{random.random()}"))
            with open(files[-1], "w", newline="") as f:
                f.write(texts[-1])
        found = answers(files)
        if found is None and random.random() < 0.8:
            continue  # fewer of those that are refused
        cases.append({"Files": texts, "Values": found})
print(json.dumps({"Paths": PATHS, "Cases": cases}, indent=None, separators=(",", ":")).replace('{"Files"', '\n{"Files"'))

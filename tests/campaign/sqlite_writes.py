"""The system calls with which SQLite writes, through its own hook for tests of them."""

import ctypes
import os
import signal
import sqlite3

_FUNCTIONS = "Open Delete Access FullPathname DlOpen DlError DlSym DlClose Randomness Sleep"
_FUNCTIONS += " CurrentTime GetLastError CurrentTimeInt64 SetSystemCall GetSystemCall"


class _FileSystem(ctypes.Structure):
    """The head of `sqlite3_vfs`."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("size", ctypes.c_int),
        ("max_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in _FUNCTIONS.split()),
    ]


_OFFSET, _SIZE, _FILE = ctypes.c_int64, ctypes.c_size_t, ctypes.c_int
_CALLS = {
    b"write": ctypes.CFUNCTYPE(ctypes.c_ssize_t, _FILE, ctypes.c_void_p, _SIZE),
    b"pwrite": ctypes.CFUNCTYPE(ctypes.c_ssize_t, _FILE, ctypes.c_void_p, _SIZE, _OFFSET),
    b"pwrite64": ctypes.CFUNCTYPE(ctypes.c_ssize_t, _FILE, ctypes.c_void_p, _SIZE, _OFFSET),
    b"ftruncate": ctypes.CFUNCTYPE(ctypes.c_int, _FILE, _OFFSET),
    b"unlink": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p),
}
_kept = []
"""What C code points to."""


def hook(before):
    """Call `before(name, arguments, original)` before each write, truncation and removal."""
    library = ctypes.CDLL("libsqlite3.so.0")
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_FileSystem)
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    system = library.sqlite3_vfs_find(None)
    pointer = ctypes.POINTER(_FileSystem)
    get = ctypes.CFUNCTYPE(ctypes.c_void_p, pointer, ctypes.c_char_p)(system.contents.GetSystemCall)
    put = ctypes.CFUNCTYPE(ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_void_p)(
        system.contents.SetSystemCall
    )
    for name, prototype in _CALLS.items():
        address = get(system, name)
        if address:
            callback = prototype(_wrapped(name, prototype(address), before))
            _kept.append(callback)
            put(system, name, ctypes.cast(callback, ctypes.c_void_p))


def _wrapped(name, original, before):
    def call(*arguments):
        before(name, arguments, original)
        return original(*arguments)

    return call


def kill_at(count):
    """End this process with SIGKILL at a write, of which half is made if it is an odd one."""
    left = [count]

    def before(name, arguments, original):
        if name != b"unlink" and os.readlink(f"/proc/self/fd/{arguments[0]}").endswith("-shm"):
            return  # the index of a write-ahead log, which every crash discards
        left[0] -= 1
        if left[0] < 0:
            if b"write" in name and count % 2:
                original(*arguments[:2], arguments[2] // 2, *arguments[3:])
            os.kill(os.getpid(), signal.SIGKILL)

    hook(before)


def are_seen():
    """Return whether Python's sqlite3 is the library whose calls are hooked; hooks this process."""
    seen = []
    try:
        hook(lambda name, *_: seen.append(name))
    except OSError:
        return False
    connection = sqlite3.connect(f"/tmp/{os.getpid()}.sqlite-writes")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    os.unlink(f"/tmp/{os.getpid()}.sqlite-writes")
    return bool(seen)

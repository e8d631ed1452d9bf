"""Runs one program and tells what it took. A small program of its own, so that it measures only the other.

usage: spawn.py CPUS SECONDS STDOUT STDERR PROGRAM [ARGUMENT…]

The kernel counts a process's peak memory from its fork on, at which moment it is a copy of its parent:
started from a large harness even `true` would seem large. This file imports next to nothing, and reports
its own size as the floor below which a peak cannot be told. One line of JSON goes to standard output.
"""

import json
import os
import signal
import sys
import time


def read_so_far():
    """Bytes that this process and its finished children asked the kernel to read, or None."""
    try:
        with open("/proc/self/io", encoding="ascii") as file:
            return int(file.readline().split()[1])
    except OSError:
        return None


def own_peak():
    """The largest size of this process since it is this program, in KiB.

    `getrusage` would not do: it still has the size of the harness, from before this program was loaded.
    """
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def main():
    cpus, limit, stdout, stderr, *command = sys.argv[1:]
    # Everything measured may use as many processors as the peers are told to use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cpus)])
    new_file = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, stdout, new_file, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, stderr, new_file, 0o644),
    ]
    floor = own_peak()
    before = read_so_far()
    started = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=files, setpgroup=0)
    # At the limit the program ends with all that it started.
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(int(limit))
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    signal.alarm(0)
    after = read_so_far()
    report = {
        "seconds": seconds,
        "user": usage.ru_utime,
        "system": usage.ru_stime,
        "peak_kib": usage.ru_maxrss,
        "floor_kib": floor,
        "read_bytes": None if before is None or after is None else after - before,
        "code": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

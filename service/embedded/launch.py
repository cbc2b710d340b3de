"""Becomes a server that ends with its parent.

`launch.py PARENT_PID SIGNAL USER_ID GROUP_ID PROGRAM ARGUMENT...`

A program and not a `preexec_fn`, because a fork of a process with threads may deadlock (Python 3.12
and later warn of it). It starts before the user is changed, so the interpreter may lie where that
user cannot reach it. Little of the standard library and nothing else: each start waits for it.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
KEEP_USER = -1


def main() -> None:
    parent_pid, death_signal, user_id, group_id = map(int, sys.argv[1:5])
    command = sys.argv[5:]
    os.umask(0o077)
    if user_id != KEEP_USER:
        os.setgroups([])
        os.setgid(group_id)
        os.setuid(user_id)
    # After the change of user, which clears it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent_pid:
        sys.exit("the process that wanted this server ended before it could start")
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()

"""Become the given command, and be killed when the process that started it dies.

    python -I -S die_with_parent.py PARENT_PID COMMAND ARGUMENT…

Linux only; elsewhere it just becomes the command. The wish survives exec but not fork, so it covers the command itself
and not what the command starts. A program of its own because the usual way, running Python between fork and exec, may
deadlock in a process with threads. The parent must start it from a thread that lives as long as itself: the kernel
watches the thread.
"""

import os
import signal
import sys

if __name__ == "__main__":
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("The process that started this command is gone.")
    os.execvp(command[0], command)  # noqa: S606 - becoming the command is what this program is for

"""Runs one command as long as the server lives: however the server ends, the command and its family end too.

    python -I -S child.py COMMAND...

Standard input is a pipe from the server into which nobody writes: its end means that the server is gone. This process
leads the process group that the server signals, and only passes on how the command ended (128 + signal, as shells do).
Standard library only and few imports: one of these is started for every instance.
"""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 2.0  # when the server is gone: nobody's request is left to finish


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: None)  # for the command alone; SIG_IGN would be inherited
    try:
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"cannot start {sys.argv[1]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 127
    threading.Thread(target=end_with_server, daemon=True).start()
    code = process.wait()
    return code if code >= 0 else 128 - code


def end_with_server() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())

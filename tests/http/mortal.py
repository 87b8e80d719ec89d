"""A ComfyUI whose start takes a moment: `mortal.py COMFYUI ARGUMENTS`, in a folder from which main.py would be run.

The host and its nodes are loaded once, by main.py's own code, up to where its server begins to listen. For each line
on stdin a process is forked off that goes on from there, as main.py does; its id and then how it ended are told on
stdout. Whoever reads that may kill it.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

# A process that is forked off has none of the threads of its parent, and would wait for them.
os.environ["OMP_NUM_THREADS"] = "1"


def main(comfyui: str) -> None:
    told, sys.stdout = sys.stdout, sys.stderr
    sys.path[0] = comfyui
    del sys.argv[1]
    import main as host  # type: ignore[import-not-found]  # not this one: COMFYUI's

    work, waiting = host.prompt_worker, []
    # Threads do not come along into another process: the one that works through the queue is started there.
    host.prompt_worker = lambda *arguments: waiting.append(arguments)
    loop, _, start_all = host.start_comfyui()
    for _ in sys.stdin:
        if child := os.fork():
            print(child, file=told, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=told, flush=True)
        else:
            live(loop, start_all, work, waiting[0])


def live(loop: Any, start_all: Any, work: Any, arguments: Any) -> None:
    try:
        threading.Thread(target=work, daemon=True, args=arguments).start()
        loop.run_until_complete(start_all())
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])

"""The loop of a peer: one JSON command a line on standard input, one JSON reply a line on standard output."""

import json
import os
import sys
import time
import traceback

from safetensors.numpy import load_file

STEPS_CHECKED = 3
THREADS = int(sys.argv[1])
DEVICE = sys.argv[2]


def limit_cores():
    """For stacks that take every core they see."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def arrays_of(path):
    tensors = load_file(path)

    def part(prefix):
        return {name[len(prefix):]: array for name, array in tensors.items() if name.startswith(prefix)}

    whole = {name: array for name, array in tensors.items() if "/" not in name}
    return {**whole, "parameters": part("parameters/"), "statistics": part("statistics/")}


def serve(versions, variants, make):
    """make(command, arrays, is_checked) gives a function that makes one step and returns its (lazy) result.

    Where is_checked, the function must be the very one that the other peers compute; otherwise it may use what the stack
    prefers (PyTorch's symmetric padding).
    """
    jobs = {}

    def answer(reply):
        print(json.dumps(reply), flush=True)

    answer({"versions": versions, "variants": variants})
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "prepare":
                step = make(command, arrays_of(command["file"]), True)
                results = [float(step()) for _ in range(STEPS_CHECKED)]
                started = time.perf_counter()
                step = make(command, arrays_of(command["file"]), False)
                float(step())
                jobs[command["key"]] = step
                answer({"results": results, "compileSeconds": time.perf_counter() - started})
            elif command["do"] == "run":
                step = jobs[command["key"]]
                for _ in range(command["steps"]):
                    result = step()
                float(result)
                answer({})
            else:
                jobs.clear()
                answer({})
        except Exception:
            answer({"error": traceback.format_exc()})

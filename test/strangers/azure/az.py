"""Runs many command lines of az in one process: each start of it takes seconds of processor time, most of it Python's
imports. Nothing of az is replaced but the pause between two looks at a long operation.

It reads one JSON list of arguments, as typed after "az", from each line of its standard input, hands it to az's own entry
point, and answers with one line: {"code": the exit code, "out": standard output, "err": standard error}.
"""

import io
import json
import logging
import sys
import time

pause = time.sleep
time.sleep = lambda seconds: pause(min(seconds, 0.05))

from azure.cli.core import get_default_cli  # pylint: disable=wrong-import-position


def run(args):
    """Runs one command line and returns its exit code, output and errors."""
    out, err = io.StringIO(), io.StringIO()
    sys.stdout, sys.stderr = out, err
    code = 0
    try:
        cli = get_default_cli()  # anew: it keeps options for the next command
        code = cli.invoke(args, out_file=out)
    except SystemExit as e:
        code = e.code or 0
    except Exception as e:  # pylint: disable=broad-except
        err.write("ERROR: %s: %s" % (type(e).__name__, e))
        code = 1
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        for name in ("cli", "azure", "az_command_data_logger", ""):  # handlers that hold this run's standard error
            logging.getLogger(name or None).handlers.clear()
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)

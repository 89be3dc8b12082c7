"""Runs many command lines of gcloud in one process, as a start of it takes longer than most commands do.

It reads one JSON list of arguments from each line of its standard input, hands it to gcloud's own entry point, and answers
with one line: {"code": the exit code, "out": standard output, "err": standard error}. Its argument is the folder that has
gcloud's own gcloud.py.
"""

import io
import json
import os
import sys

sys.path[:0] = [sys.argv[1], os.path.join(sys.argv[1], "third_party")]

import gcloud  # pylint: disable=wrong-import-position

main = gcloud._import_gcloud_main()  # pylint: disable=protected-access

from googlecloudsdk.core import log  # pylint: disable=wrong-import-position


def run(cli, args):
    """Runs one command line and returns its exit code, output and errors."""
    out, err = io.StringIO(), io.StringIO()
    sys.stdout, sys.stderr = out, err
    log.Reset(out, err)
    code = 0
    try:
        cli.Execute(args)
    except SystemExit as e:
        code = e.code or 0
    except Exception as e:  # gcloud's own main ends like this for what a command lets through
        err.write("ERROR: %s: %s" % (type(e).__name__, e))
        code = 1
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


cli = main.CreateCLI([])
for line in sys.stdin:
    print(json.dumps(run(cli, json.loads(line))), flush=True)

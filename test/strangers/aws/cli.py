"""Runs the AWS command line many times in one process: each start of it takes about a second of processor time, most of it
Python's imports and the reading of the service's model. Nothing of the command line is replaced but the pause between two
looks of a waiter, which is 15 seconds otherwise.

A request is a line of JSON with a "command", as typed after "aws" in a shell, and "queries", JMESPath expressions over what
it prints. The answer is a line with the exit code "rc", "out", "err" and the "values" of the queries."""

import contextlib
import io
import json
import shlex
import sys
import time
import types

import awscli.clidriver
import botocore.waiter
import jmespath

botocore.waiter.time = types.SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.1)))
models = awscli.clidriver.create_clidriver().session.get_component("data_loader")


class Output(io.TextIOWrapper):
    """What a command prints, as text or bytes."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self):
        self.flush()
        return self.buffer.getvalue().decode("utf-8")


def run(args):
    out, err = Output(), Output()
    driver = awscli.clidriver.create_clidriver()  # anew: it keeps options for the next command
    driver.session.register_component("data_loader", models)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = driver.main(args)
        except SystemExit as e:
            code = e.code
    return code, out.text(), err.text()


def value(query, text):
    found = jmespath.search(query, json.loads(text))
    return found if isinstance(found, str) else json.dumps(found, separators=(",", ":"))


for line in sys.stdin:
    request = json.loads(line)
    code, out, err = run(shlex.split(request["command"]))
    values = [value(q, out) for q in request["queries"]] if code == 0 else []
    print(json.dumps({"rc": code, "out": out, "err": err, "values": values}), flush=True)

"""The Kubernetes API machinery as a load: the Go program of tests/kube, on a server that runs already."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from .server import PERF, Failed

SOURCE = PERF.parent / "tests" / "kube"
PROGRAM = PERF / "out" / "kube"
WRITERS = 200
WATCHERS = 20


def build():
    """Builds the program; Go's cache makes a second build short."""
    if not shutil.which("go"):
        raise Failed("no Go for tests/kube: install Go 1.26 or newer from https://go.dev/dl")
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(PROGRAM), "."]
    done = subprocess.run(command, cwd=SOURCE, env={**os.environ, "GOFLAGS": "", "CGO_ENABLED": "0"}, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"go build in {Path('tests/kube')}: {done.stderr.strip()[-500:]}")


def changes(server, _data, settings):
    """Writers make, update and remove objects of an API server while watchers look on through its watch cache."""
    build()
    command = [str(PROGRAM), "-load", f"-endpoint=http://{server.target}", f"-pid={server.pid}",
               f"-writers={WRITERS}", f"-watchers={WATCHERS}", f"-seconds={max(1, round(settings.seconds))}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"tests/kube -load: {(done.stdout + done.stderr).strip()[-500:]}")
    return {"kube": json.loads(done.stdout)}

"""A PostgreSQL server of its own for a test: Debian's programs, a temporary folder, a free port."""

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest


def programs():
    """Return the folder of the newest PostgreSQL server programs, or None."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    found = shutil.which("pg_ctl")
    folders = [*([Path(found).resolve().parent] if found else []), *folders]
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


@contextmanager
def server(folder):
    """Run a server in an empty folder, and give its URL."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'elasticnas[postgres]'")
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    as_user = []
    if os.getuid() == 0:  # initdb refuses root
        if shutil.which("runuser") is None or subprocess.run(["id", "postgres"], capture_output=True).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser or no user postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, secret = folder / "data", "s3cr@t/word"
    (folder / "password").write_text(secret)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"

    def run(program, *arguments):
        command = [*as_user, str(bin_folder / program), "-D", str(data), *arguments]
        with open(folder / "log", "a") as log:
            done = subprocess.run(command, stdout=log, stderr=log, cwd=folder, timeout=60)
        assert done.returncode == 0, (folder / "log").read_text()

    run("initdb", "-U", "nas", "-A", "scram-sha-256", "--pwfile", str(folder / "password"), "-N")
    run("pg_ctl", "-w", "-o", options, "start")
    try:
        yield f"postgresql://nas:s3cr%40t%2Fword@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")

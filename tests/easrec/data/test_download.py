"""Downloads, from a server in this process."""

import hashlib
import io
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from easrec.data import read_interactions
from easrec.data.download import SOURCES, download
from elasticnas.errors import DataError

RATINGS = "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n"


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        content.writestr("ml-1m/ratings.dat", RATINGS)
        content.writestr("ml-1m/README", "x" * 5_000_000)
    return buffer.getvalue()


@pytest.fixture
def server():
    files = {"/ml-1m.zip": archive()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path not in files:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[self.path])))
            self.end_headers()
            self.wfile.write(files[self.path])

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", files
    running.shutdown()


@pytest.fixture
def source(server):
    address, files = server
    md5 = hashlib.md5(files["/ml-1m.zip"]).hexdigest()
    return replace(SOURCES["ml-1m"], url=f"{address}/ml-1m.zip", md5=md5)


def test_the_file_is_there_checked_and_readable(source, tmp_path):
    seen = []
    path = download(source, tmp_path, lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "ml-1m" / "ratings.dat" and path.read_text() == RATINGS
    assert seen[-1][0] == seen[-1][1] and read_interactions(path).height == 3
    before = path.stat().st_mtime_ns
    assert download(replace(source, url="http://127.0.0.1:1/"), tmp_path) == path and path.stat().st_mtime_ns == before


def test_another_file_than_published_is_refused_and_leaves_nothing(source, server, tmp_path):
    server[1]["/ml-1m.zip"] += b"x"
    with pytest.raises(DataError, match=r"the download has the checksum [0-9a-f]{32}, published is [0-9a-f]{32}"):
        download(source, tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_connection_is_one_line(source, server, tmp_path):
    with pytest.raises(DataError, match=r"cannot be downloaded \(.*refused.*\); download it manually"):
        download(replace(source, url="http://127.0.0.1:1/x.zip"), tmp_path)
    with pytest.raises(DataError, match="cannot be downloaded"):
        download(replace(source, url=f"{server[0]}/missing"), tmp_path)


def test_the_command(source, monkeypatch, main, tmp_path):
    monkeypatch.setitem(SOURCES, "ml-1m", source)
    code, said, _ = main("easrec", "download", "ml-1m", "--out", tmp_path)
    assert code == 0 and "research use" in said
    assert f"elasticnas easrec run --data {tmp_path}/ml-1m/ratings.dat --preset ml-1m" in said.replace("\n", "")
    assert main("easrec", "download", "ml-9m") == (1, "", "error: no dataset 'ml-9m'; choose one of ml-1m, gowalla\n")

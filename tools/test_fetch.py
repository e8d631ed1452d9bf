"""Tests of fetch.py against a server on this machine."""

import hashlib
import http.server
import pathlib
import sys
import tempfile
import threading
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import fetch

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    resumes = True
    breaks_after = None
    requests = []

    def do_GET(self):
        wanted = self.headers.get("Range")
        Server.requests.append((self.path, wanted))
        if self.path.startswith("/simple/"):
            page = b'<a href="../../files/other-1.whl">x</a><a href="../../files/thing-1%2B2.whl#sha256=0">y</a>'
            self.answer(200, page, {"Content-Type": "text/html"})
        elif wanted and Server.resumes:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(CONTENT):
                self.answer(416, b"", {})
            else:
                self.answer(206, CONTENT[start:], {})
        else:
            self.answer(200, CONTENT, {})

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if Server.breaks_after is not None and len(body) > Server.breaks_after:
            self.wfile.write(body[: Server.breaks_after])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Downloads(unittest.TestCase):
    def setUp(self):
        Server.resumes, Server.breaks_after, Server.requests = True, None, []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.folder = tempfile.TemporaryDirectory()
        self.target = pathlib.Path(self.folder.name) / "thing.whl"
        self.part = self.target.with_name("thing.whl.part")
        self.connection = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.sleep, fetch.time.sleep = fetch.time.sleep, lambda _: None

    def tearDown(self):
        fetch.time.sleep = self.sleep
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def download(self, sha256=SHA256):
        fetch.download(self.connection, self.address + "/files/thing.whl", self.target, sha256)

    def test_a_whole_download_is_checked_and_named(self):
        self.download()
        self.assertEqual(self.target.read_bytes(), CONTENT)
        self.assertFalse(self.part.exists())

    def test_a_half_file_is_continued(self):
        self.part.write_bytes(CONTENT[:700_000])
        self.download()
        self.assertEqual(self.target.read_bytes(), CONTENT)
        self.assertEqual(Server.requests, [("/files/thing.whl", "bytes=700000-")])

    def test_a_server_that_does_not_resume_sends_the_whole(self):
        Server.resumes = False
        self.part.write_bytes(CONTENT[:700_000])
        self.download()
        self.assertEqual(self.target.read_bytes(), CONTENT)

    def test_a_connection_that_breaks_is_continued(self):
        Server.breaks_after = 400_000
        self.download()
        self.assertEqual(self.target.read_bytes(), CONTENT)
        self.assertGreater(len(Server.requests), 2)

    def test_a_complete_part_is_only_checked(self):
        self.part.write_bytes(CONTENT)
        self.download()
        self.assertEqual(self.target.read_bytes(), CONTENT)

    def test_a_wrong_hash_is_refused_and_nothing_is_kept(self):
        with self.assertRaisesRegex(fetch.FetchError, "expected 0000"):
            self.download("0000")
        self.assertFalse(self.target.exists() or self.part.exists())

    def test_files_are_found_on_the_index_page(self):
        index = self.address + "/simple/"
        found = fetch.find_url(self.connection, index, "thing", "thing-1+2.whl")
        self.assertEqual(found, self.address + "/files/thing-1%2B2.whl")
        with self.assertRaisesRegex(fetch.FetchError, "no file"):
            fetch.find_url(self.connection, index, "thing", "thing-9.whl")


if __name__ == "__main__":
    unittest.main()

"""Tests of fetch.py against a server on this machine."""

import base64
import hashlib
import http.server
import os
import pathlib
import sys
import tempfile
import threading
import unittest
import urllib.parse
import zipfile
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import fetch

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    resumes = True
    breaks_after = None
    requests = []
    authorization = None

    def do_GET(self):
        wanted = self.headers.get("Range")
        Server.requests.append((self.path, wanted))
        Server.authorization = self.headers.get("Authorization")
        if self.path.startswith("/simple/"):
            page = b'<a href="../../files/other-1.whl">x</a><a href="../../files/thing-1%2B2.whl#sha256=0">y</a>'
            if "json" in self.path:
                page = b'{"files": [{"url": "/files/thing-1+2.whl"}]}'
                self.answer(200, page, {"Content-Type": "application/vnd.pypi.simple.v1+json"})
            elif "gone" in self.path:
                self.answer(404, b"", {})
            else:
                self.answer(200, page, {"Content-Type": "text/html"})
        elif wanted and Server.resumes:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(CONTENT):
                self.answer(416, b"", {})
            else:
                whole = len(CONTENT)
                self.answer(206, CONTENT[start:], {"Content-Range": f"bytes {start}-{whole - 1}/{whole}"})
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
        self.connection = fetch.Connection({})
        for patch in (
            mock.patch.object(fetch.time, "sleep", lambda _: None),
            mock.patch.dict(os.environ, {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def tearDown(self):
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
        Server.breaks_after = len(CONTENT) // (2 * fetch.TRIES)
        self.download()
        self.assertEqual(self.target.read_bytes(), CONTENT)
        self.assertGreater(len(Server.requests), fetch.TRIES)

    def test_a_server_that_sends_nothing_is_given_up_and_what_arrived_stays(self):
        self.part.write_bytes(CONTENT[:700_000])
        Server.breaks_after = 0
        with self.assertRaisesRegex(fetch.FetchError, "run again to go on"):
            self.download()
        self.assertEqual(self.part.read_bytes(), CONTENT[:700_000])

    def test_a_complete_part_is_only_checked(self):
        self.part.write_bytes(CONTENT)
        self.download()
        self.assertEqual(self.target.read_bytes(), CONTENT)

    def test_a_wrong_hash_is_refused_and_nothing_is_kept(self):
        with self.assertRaisesRegex(fetch.FetchError, "expected 0000"):
            self.download("0000")
        self.assertFalse(self.target.exists() or self.part.exists())

    def test_a_file_that_is_not_there_is_not_tried_again(self):
        with self.assertRaisesRegex(fetch.FetchError, "404"):
            fetch.download(self.connection, self.address + "/simple/gone/", self.target, SHA256)
        self.assertEqual(len(Server.requests), 1)

    def test_files_are_found_on_the_index_page(self):
        index = self.address + "/simple/"
        for project in ("thing", "json"):
            found = fetch.find_url(self.connection, [index], project, "thing-1+2.whl")
            self.assertEqual(urllib.parse.unquote(found), self.address + "/files/thing-1+2.whl")
        with self.assertRaisesRegex(fetch.FetchError, "no file"):
            fetch.find_url(self.connection, [index], "thing", "thing-9.whl")

    def test_an_index_that_fails_leaves_the_next_one(self):
        good, bad = self.address + "/simple/", self.address + "/simple/gone/"
        self.assertTrue(fetch.find_url(self.connection, [bad, good], "thing", "thing-1+2.whl"))
        with self.assertRaisesRegex(fetch.FetchError, "does not answer: HTTP Error 404"):
            fetch.find_url(self.connection, [bad], "thing", "thing-1+2.whl")

    def test_the_password_of_an_index_goes_to_its_host_as_a_header(self):
        index = self.address.replace("//", "//me:p%40ss@") + "/simple/"
        fetch.find_url(self.connection, [index], "thing", "thing-1+2.whl")
        self.assertEqual(Server.authorization, "Basic " + base64.b64encode(b"me:p@ss").decode())


class Extraction(unittest.TestCase):
    def test_named_files_and_folders_are_copied_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            archive = folder / "thing.whl"
            with zipfile.ZipFile(archive, "w") as wheel:
                for path in ("a/lib/x.so", "a/lib/y.so", "a/include/", "a/include/deep/z.h"):
                    wheel.writestr(path, path)
            fetch.extract(archive, {"a/lib/x.so": "lib/x.so", "a/include/": "include/"}, folder / "out")
            found = sorted(str(path.relative_to(folder)) for path in folder.glob("out/**/*") if path.is_file())
            self.assertEqual(found, ["out/include/deep/z.h", "out/lib/x.so"])
            with self.assertRaisesRegex(fetch.FetchError, "thing.whl holds no a/lib/q.so"):
                fetch.extract(archive, {"a/lib/q.so": "q.so"}, folder / "out")


class Settings(unittest.TestCase):
    def test_the_environment_wins_over_the_files(self):
        listing = ":env:.index-url='https://b/simple/'\nglobal.index-url='https://a/simple'\nglobal.cert='/c'\n"
        settings = fetch.parse_settings(listing)
        self.assertEqual(settings, {"index-url": "https://b/simple/", "cert": "/c"})

    def test_extra_indexes_follow(self):
        settings = fetch.parse_settings("global.extra-index-url='\\nhttps://b\\nhttps://c'\nglobal.index-url='https://a'")
        self.assertEqual(fetch.index_urls(settings), ["https://a/", "https://b/", "https://c/"])

    def test_pip_itself_tells_its_index(self):
        self.assertRegex(fetch.index_urls({})[0], "^https://.*/$")


if __name__ == "__main__":
    unittest.main()

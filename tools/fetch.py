"""Gets files of Python packages: by name from pip's index, checked by hash, resumable, never twice.

Standard library and pip only. pip tells where its index is and which certificates to trust; the
download itself is done here, because pip starts a broken one again from the beginning.
"""

import contextlib
import fcntl
import hashlib
import html.parser
import json
import os
import pathlib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

CHUNK = 1 << 20
TRIES = 5
TIMEOUT_S = 60


class FetchError(Exception):
    """Something that the user can act on."""


def cache_folder():
    """Where downloads are kept: outside of the checkout, for every checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "clinicadl"


def pip_settings():
    """pip's configuration (files and environment) as a dictionary of option names."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise FetchError(f"pip does not work: {result.stderr.strip() or 'no message'}\nhint: install python3-pip")
    settings = {}
    for line in result.stdout.splitlines():
        name, _, value = line.partition("=")
        settings[name.rsplit(".", 1)[-1]] = value.strip().strip("'\"")
    return settings


def index_url(settings):
    """The index that pip uses, its built-in one by default."""
    if "index-url" in settings:
        return settings["index-url"].rstrip("/") + "/"
    code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if result.returncode != 0 or not result.stdout.strip():
        raise FetchError("pip's index is not known\nhint: set PIP_INDEX_URL")
    return result.stdout.strip().rstrip("/") + "/"


def opener(settings):
    """An opener that trusts what pip trusts; proxies come from the environment."""
    environment = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    certificates = next((os.environ[name] for name in environment if os.environ.get(name)), settings.get("cert"))
    context = ssl.create_default_context(cafile=certificates)
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))


class _Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def find_url(connection, index, project, filename):
    """The address of a project's file, from the index's page (JSON or HTML)."""
    page = urllib.parse.urljoin(index, project + "/")
    accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
    request = urllib.request.Request(page, headers={"Accept": accept})
    with connection.open(request, timeout=TIMEOUT_S) as answer:
        base, kind, text = answer.url, answer.headers.get_content_type(), answer.read().decode()
    if kind.endswith("json"):
        links = [file["url"] for file in json.loads(text)["files"]]
    else:
        parser = _Links()
        parser.feed(text)
        links = parser.links
    for link in links:
        address = urllib.parse.urldefrag(urllib.parse.urljoin(base, link)).url
        if urllib.parse.unquote(address.rsplit("/", 1)[-1]) == filename:
            return address
    raise FetchError(f"the index has no file {filename} of {project}")


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(connection, address, target, sha256, say=lambda text: None):
    """Downloads to `target`, going on from `target.part` if there is one.

    A connection that breaks is tried again from where it stopped; what arrived stays for the next call.
    """
    part = target.with_name(target.name + ".part")
    for attempt in range(TRIES):
        try:
            _receive(connection, address, part, say)
            break
        except (OSError, urllib.error.URLError, EOFError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise FetchError(f"{target.name}: the server answers {error.code} {error.reason}") from error
            if attempt + 1 == TRIES:
                raise FetchError(f"{target.name}: {error}\nhint: run again to go on from here") from error
            time.sleep(attempt)
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise FetchError(f"{target.name} has sha256 {found}, expected {sha256}: it was thrown away")
    part.rename(target)


def _receive(connection, address, part, say):
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        answer = connection.open(urllib.request.Request(address, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # Nothing is missing, or the part is longer than the file: the hash tells.
            return
        raise
    with answer:
        if have and answer.status != 206:  # The server does not resume.
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        told = time.monotonic()
        with open(part, "ab" if have else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                if time.monotonic() - told > 2:
                    told = time.monotonic()
                    say(f"  {have >> 20} of {total >> 20} MiB" if total else f"  {have >> 20} MiB")
        if total is not None and have < total:
            raise EOFError(f"the connection ended after {have} of {total} bytes")


@contextlib.contextmanager
def lock(folder):
    """Lets one process at a time fill a folder; others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wheel(project, filename, sha256):
    """The path of a wheel in the cache, downloaded if it is not there yet."""
    folder = cache_folder() / "wheels"
    target = folder / filename
    with lock(folder):
        if not target.exists():
            print(f"getting {filename}", file=sys.stderr)
            settings = pip_settings()
            connection = opener(settings)
            address = find_url(connection, index_url(settings), project, filename)
            download(connection, address, target, sha256, lambda text: print(text, file=sys.stderr))
    return target


def main(run):
    """Runs a script's main function: errors become one message, Ctrl-C leaves what can be resumed."""
    try:
        run()
    except (FetchError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

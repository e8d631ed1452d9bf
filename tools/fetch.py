"""Gets files of Python packages: by name from pip's index, checked by hash, resumable, never twice.

Standard library and pip only. pip tells where its index is and which certificates to trust; the
download itself is done here, because pip starts a broken one again from the beginning.
"""

import base64
import contextlib
import errno
import fcntl
import hashlib
import html.parser
import http.client
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

CHUNK = 1 << 20
# Attempts in a row that bring nothing, before giving up.
TRIES = 5
TIMEOUT_S = 60
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)


class FetchError(Exception):
    """Something that the user can act on."""


def cache_folder():
    """Where downloads are kept: outside of the checkout, for every checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "clinicadl"


def pip_settings():
    """pip's configuration as a dictionary of option names: its environment wins over its files."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise FetchError(f"pip does not work: {result.stderr.strip() or 'no message'}\nhint: install python3-pip")
    return parse_settings(result.stdout)


def parse_settings(listing):
    """What `pip config list` prints, as a dictionary."""
    order = ["global", "install", "download", ":env:"]
    found = []
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in order:
            found.append((order.index(section), name, value.strip().strip("'\"")))
    return {name: value for _, name, value in sorted(found)}


def index_urls(settings):
    """The indexes that pip uses: the configured one or its built-in one, then the extra ones."""
    first = settings.get("index-url")
    if not first:
        code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        first = result.stdout.strip()
        if not first:
            raise FetchError("pip's index is not known\nhint: set PIP_INDEX_URL")
    # pip lists several values with line ends written as backslash and n.
    extra = settings.get("extra-index-url", "").replace("\\n", " ").split()
    return [url.rstrip("/") + "/" for url in [first, *extra]]


class Connection:
    """Opens addresses as pip would: its certificates, its proxy, the password in its index's address."""

    def __init__(self, settings):
        environment = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
        certificates = next((os.environ[name] for name in environment if os.environ.get(name)), settings.get("cert"))
        try:
            if certificates and os.path.isdir(certificates):
                context = ssl.create_default_context(capath=certificates)
            else:
                context = ssl.create_default_context(cafile=certificates)
        except OSError as error:
            raise FetchError(f"certificates `{certificates}`: {error}") from error
        handlers = [urllib.request.HTTPSHandler(context=context)]
        if settings.get("proxy"):
            handlers.append(urllib.request.ProxyHandler(dict.fromkeys(("http", "https"), settings["proxy"])))
        self._opener = urllib.request.build_opener(*handlers)
        self._passwords = {}

    def open(self, address, headers):
        """The answer to a GET request."""
        parts = urllib.parse.urlsplit(address)
        user, at, host = parts.netloc.rpartition("@")
        if at:
            self._passwords[host] = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request = urllib.request.Request(parts._replace(netloc=host).geturl(), headers=headers)
        if host in self._passwords:  # Not for the host that a redirection leads to.
            request.add_unredirected_header("Authorization", f"Basic {self._passwords[host]}")
        return self._opener.open(request, timeout=TIMEOUT_S)


class _Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def find_url(connection, indexes, project, filename):
    """The address of a project's file, from the page (JSON or HTML) of the first index that has it."""
    accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
    failure = None
    for index in indexes:
        try:
            with connection.open(urllib.parse.urljoin(index, project + "/"), {"Accept": accept}) as answer:
                base, kind, text = answer.url, answer.headers.get_content_type(), answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            failure = failure or FetchError(f"{filename}: pip's index does not answer: {error}")
            failure.__cause__ = failure.__cause__ or error
            continue
        for link in _links(kind, text):
            address = urllib.parse.urldefrag(urllib.parse.urljoin(base, link)).url
            if urllib.parse.unquote(address.rsplit("/", 1)[-1]) == filename:
                return address
    raise failure or FetchError(f"pip's index has no file {filename} of {project}")


def _links(kind, text):
    if kind.endswith("json"):
        return [file["url"] for file in json.loads(text)["files"]]
    parser = _Links()
    parser.feed(text)
    return parser.links


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
    failures = 0
    while True:
        before = _size(part)
        try:
            _receive(connection, address, part, say)
            break
        except (OSError, http.client.HTTPException) as error:
            code = getattr(error, "code", None)
            if code is not None and code < 500:
                raise FetchError(f"{target.name}: the server answers {code} {error.reason}") from error
            if getattr(error, "errno", None) in DISK_ERRORS:
                raise
            failures = 0 if _size(part) > before else failures + 1
            if failures == TRIES:
                raise FetchError(f"{target.name}: {error}\nhint: run again to go on from here") from error
            time.sleep(failures)
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise FetchError(f"{target.name} has sha256 {found}, expected {sha256}: it was thrown away")
    part.rename(target)


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _receive(connection, address, part, say):
    have = _size(part)
    try:
        answer = connection.open(address, {"Range": f"bytes={have}-"} if have else {})
    except urllib.error.HTTPError as error:
        if error.code == 416:  # Nothing is missing, or the part is longer than the file: the hash tells.
            return
        raise
    with answer:
        if not (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            have = 0  # The server does not resume and sends the whole.
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
            raise ConnectionError(f"the connection ended after {have} of {total} bytes")


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
            connection = Connection(settings)
            address = find_url(connection, index_urls(settings), project, filename)
            download(connection, address, target, sha256, lambda text: print(text, file=sys.stderr))
    return target


def extract(archive, members, folder):
    """Copies members of a wheel to a folder, by name: `{path in the wheel: path in the folder}`.

    A path that ends with a slash is everything below it.
    """
    with zipfile.ZipFile(archive) as wheel:
        files = [name for name in wheel.namelist() if not name.endswith("/")]
        for source, target in members.items():
            names = [name for name in files if name == source or (source.endswith("/") and name.startswith(source))]
            if not names:
                raise FetchError(f"{archive.name} holds no {source}")
            for name in names:
                path = folder / (target + name[len(source) :])
                path.parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(name) as packed, open(path, "wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, CHUNK)


def main(run):
    """Runs a script's main function: errors become one message, Ctrl-C leaves what can be resumed."""
    try:
        run()
    except (FetchError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

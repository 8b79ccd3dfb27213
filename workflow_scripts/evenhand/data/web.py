"""HTTP for files that may be gone, slow, wrong or hostile: bounded in size, time, redirects and patience."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, ReadTimeoutError
from urllib3.util import Retry

from evenhand.workflow.errors import UserError
from evenhand.workflow.files import atomic_path, sha256_of

MAX_REDIRECTS = 5
PIECE = 1 << 16  # bytes read at a time
# Answers that may be different next time (RFC 9110 and, for 425 and 429, RFC 8470 and 6585).
TRANSIENT_CODES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Policy:
    """How much patience one file gets; times in seconds."""

    connect_timeout: float = 10.0
    read_timeout: float = 20.0  # between two pieces of the answer
    deadline: float = 120.0  # for one attempt, however many pieces keep coming
    attempts: int = 4
    backoff: float = 1.0  # the n-th repetition waits backoff * (2^n + jitter)
    max_wait: float = 120.0  # a server that asks for more patience (Retry-After) is not waited for
    max_bytes: int = 32 * 1024 * 1024
    contact: str = ""  # an address for the owners of the servers

    @property
    def user_agent(self) -> str:
        """What the servers are told: a program, for research, and whom to ask."""
        return "evenhand/0.1 (research on fairness of image models" + (f"; {self.contact})" if self.contact else ")")


TABLE_POLICY = Policy(max_bytes=256 * 1024 * 1024, deadline=600.0)


class FetchError(Exception):
    """A file could not be had: `status` is the machine's word for it, the text is the reader's."""

    def __init__(self, status: str, detail: str, transient: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.status = status
        self.transient = transient  # trying again may help
        self.retry_after = retry_after  # seconds the server asked for


class Host:
    """What the threads that talk to one host share: the pace, a pause it asked for, and whether it is dead."""

    def __init__(self, interval: float = 0.0, give_up_after: int = 8) -> None:
        """`interval`: seconds between the starts of two requests; `give_up_after`: files that fail in a row."""
        self._interval = interval
        self._give_up_after = give_up_after
        self._lock = threading.Lock()
        self._next_start = 0.0
        self._failures = 0

    def wait_for_turn(self) -> None:
        with self._lock:
            start = max(time.monotonic(), self._next_start)
            self._next_start = start + self._interval
        time.sleep(max(0.0, start - time.monotonic()))

    def pause(self, seconds: float) -> None:
        """No request starts within the next `seconds`."""
        with self._lock:
            self._next_start = max(self._next_start, time.monotonic() + seconds)

    def report(self, answered: bool) -> None:
        """Count files that failed in a row for a reason that lies with the host."""
        with self._lock:
            self._failures = 0 if answered else self._failures + 1

    def give_up(self) -> None:
        """Try nothing more."""
        with self._lock:
            self._failures = self._give_up_after

    @property
    def is_down(self) -> bool:
        return self._failures >= self._give_up_after


class _Session(requests.Session):
    """A session that leaves redirects to the caller.

    With `allow_redirects=False` alone, requests still reads the whole body of a redirect, however long it is.
    """

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


def open_session(policy: Policy, connections: int) -> requests.Session:
    """A session that keeps `connections` connections per host open, keeps no cookies and speaks http(s) alone."""
    session = _Session()
    # Set outright: the identity encoding keeps the size limit honest, and no header says more than it has to.
    session.headers.clear()
    session.headers.update({"User-Agent": policy.user_agent, "Accept": "*/*", "Accept-Encoding": "identity"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def fetch(session: requests.Session, url: str, policy: Policy, host: Host) -> bytes:
    """The bytes at `url`; what may pass is tried again, with growing, jittered pauses or those the server asks for.

    Raises:
        FetchError: with status `http-<code>`, `timeout`, `connection-failed`, `incomplete`, `too-large`,
            `redirect-loop`, `refused` (not http or https, also after a redirect), `bad-url` or `host-down`.
    """
    retries = Retry(
        total=policy.attempts - 1,
        backoff_factor=policy.backoff,
        backoff_jitter=policy.backoff,
        backoff_max=policy.max_wait,
    )
    while True:
        if host.is_down:
            raise FetchError("host-down", "not tried: too many files of this host have failed in a row", transient=True)
        host.wait_for_turn()
        try:
            data = _within(policy.deadline + 1, lambda: _attempt(session, url, policy))
        except FetchError as error:
            if not error.transient:
                host.report(answered=True)
                raise
            try:
                retries = retries.increment("GET", url, error=error)
            except MaxRetryError:
                host.report(answered=False)
                raise error from None
            if error.retry_after > policy.max_wait:
                host.report(answered=False)
                detail = f"{error}; the server asks for a pause of {error.retry_after:.0f} s"
                raise FetchError(error.status, detail, transient=True) from None
            if error.retry_after:
                host.pause(error.retry_after)
            else:
                time.sleep(retries.get_backoff_time())
        else:
            host.report(answered=True)
            return data


def fetch_pinned(url: str, folder: str | Path, sha256: str | None) -> Path:
    """The file at `url`, kept in `folder`; not fetched again when it is there with the pinned sum.

    Raises:
        UserError: it cannot be had, or does not have the sum.
    """
    path = Path(folder) / (Path(urlsplit(url).path).name or "metadata.csv")
    if sha256 and path.is_file() and sha256_of(path) == sha256:
        return path
    try:
        data = fetch(open_session(TABLE_POLICY, 1), url, TABLE_POLICY, Host())
    except FetchError as error:
        raise UserError(
            f"{url}: the file cannot be fetched ({error.status}: {error}). Without network, download it elsewhere and "
            "give its path instead of the URL."
        ) from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
        found = sha256_of(temporary)
        if sha256 and found != sha256:
            raise UserError(
                f"{url}: expected SHA-256 {sha256}; found {found}. The file at its source has changed, or something "
                "else was served. Correct the sum in the configuration if the new file is meant."
            )
    return path


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Run `work` in a thread of its own and leave it behind when it takes too long.

    Nothing else bounds a name server that does not answer, or headers that come byte by byte.
    """
    results: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def report() -> None:
        try:
            results.put(work())
        except BaseException as error:  # raised again below, in the thread that asked
            results.put(error)

    threading.Thread(target=report, daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise FetchError("timeout", f"no answer after {seconds:g} s", transient=True) from None
    if isinstance(result, BaseException):
        raise result
    return result


def _attempt(session: requests.Session, url: str, policy: Policy) -> bytes:
    """One try. Redirects are followed by hand: each goes through the same checks, none is read.

    Some servers set a cookie and redirect to the same address until it comes back. Cookies last as long as this try.
    """
    # Without this policy a cookie of a host goes to those below it, too, and one may be set for all of .co.uk.
    strict = DefaultCookiePolicy(strict_domain=True, strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain)
    cookies = RequestsCookieJar(strict)
    deadline = time.monotonic() + policy.deadline
    timeout = (policy.connect_timeout, policy.read_timeout)
    for _ in range(MAX_REDIRECTS + 1):
        with _errors_named():
            if urlsplit(url).scheme.lower() not in ("http", "https"):
                raise FetchError("refused", f"{url[:200]} is neither http nor https")
            headers = {"Cookie": get_cookie_header(cookies, requests.Request("GET", url))}
            with session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=timeout) as response:
                if not response.is_redirect:
                    return _content(response, policy, deadline)
                extract_cookies_to_jar(cookies, response.request, response.raw)
                url = urljoin(url, response.headers["location"])
    raise FetchError("redirect-loop", f"more than {MAX_REDIRECTS} redirects, the last one to {url[:200]}")


def _content(response: requests.Response, policy: Policy, deadline: float) -> bytes:
    """The body of a good answer; the status of any other."""
    code = response.status_code
    if code != requests.codes.ok:
        # Reading the short page that comes with it lets the connection serve the next request.
        with suppress(FetchError):
            _read(response, PIECE, deadline)
        transient = code in TRANSIENT_CODES
        raise FetchError(f"http-{code}", response.reason or "", transient, _retry_after(response) if transient else 0.0)
    announced = response.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) > policy.max_bytes:
        raise FetchError("too-large", f"{announced} bytes announced; the limit is {policy.max_bytes}")
    return _read(response, policy.max_bytes, deadline)


def _read(response: requests.Response, limit: int, deadline: float) -> bytes:
    data = bytearray()
    # read1 returns what has come, so that a trickle cannot keep this loop from looking at the clock.
    while piece := response.raw.read1(PIECE, decode_content=True):
        data += piece
        if len(data) > limit:
            raise FetchError("too-large", f"more than {limit} bytes")
        if time.monotonic() > deadline:
            raise FetchError("timeout", f"not complete in time, after {len(data)} bytes", transient=True)
    return bytes(data)


def _retry_after(response: requests.Response) -> float:
    try:
        return Retry(retry_after_max=1_000_000_000).get_retry_after(response.raw) or 0.0
    except InvalidHeader:
        return 0.0


@contextmanager
def _errors_named() -> Iterator[None]:
    """Turn the exceptions of requests and urllib3 into `FetchError`s."""
    try:
        yield
    except (requests.Timeout, ReadTimeoutError) as error:
        raise FetchError("timeout", _short(error), transient=True) from error
    except ValueError as error:  # the base class of all the ways to say that a URL is none
        raise FetchError("bad-url", _short(error)) from error
    except requests.ConnectionError as error:
        raise FetchError("connection-failed", _short(error), transient=True) from error
    except (requests.RequestException, HTTPError) as error:  # the answer breaks off or contradicts its own headers
        raise FetchError("incomplete", _short(error), transient=True) from error


def _short(error: Exception) -> str:
    """The cause of an error, without the addresses of objects, which differ from run to run."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    text = str(reason).split("object at 0x")[0] if "object at 0x" in str(reason) else str(reason)
    return f"{type(reason).__name__}: {text}"[:200]

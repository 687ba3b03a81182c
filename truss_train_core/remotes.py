"""Where to talk, and with which key.

A remote is named by a section of `.trussrc` (`USER_TRUSSRC_PATH`, or `~/.trussrc`), the file of the truss CLI, or by
an address. A key is only ever used for the server it was given for:

    asked for             what is there                                   server        key
    ────────────────────  ──────────────────────────────────────────────  ────────────  ────────────────────────────
    "baseten", no name    the environment pair                            the pair's    the pair's, as Bearer
    "<environment>"       the environment pair                            the pair's    the pair's, as Bearer
    a name                its section, with api_key                       the section's the section's
    a name                its section, OAuth                              the section's its access token, as Bearer
    a name                its section without key, a server of Baseten's  the section's BASETEN_API_KEY
    a name                its section without key, any other server       error         none
    "baseten", no name    no such section, BASETEN_API_KEY                Baseten       BASETEN_API_KEY
    any other name        no such section                                 error         none
    an address            the environment pair, for that same server      the address   the pair's, as Bearer
    an address            one section for that same server                the address   as for the section's name
    an address            several such sections, with different keys      error         none
    an address            none of these, a server of Baseten's            the address   BASETEN_API_KEY
    an address            none of these                                   error         none

The environment pair is `BASETEN_TRUSS_AUTH_REMOTE_URL` and `BASETEN_TRUSS_AUTH_API_KEY`; one without the other is an
error. It stands in for the default remote; a section asked for by its name is still read. Two addresses are the same
server if scheme, host and port agree, `localhost` and `127.0.0.1` being one host. Baseten's servers are those in
`_API_OF_WEB`. Plain http is for this machine only.

A section's `remote_url` is the address of the web application. The API's follows from it for Baseten's servers; for
any other server they are the same, unless the section says otherwise in `rest_api_url`, a field of ours. (The truss CLI
sends keys of servers it does not know to Baseten.) Fields, names of variables and the mapping: seen in the current
client. Not consulted: the operating system's keyring.
"""

from __future__ import annotations

import configparser
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from truss_train_core.durable import replace_file
from truss_train_core.errors import RemoteError
from truss_train_core.values import Setting

DEFAULT = "baseten"
ENVIRONMENT = "<environment>"

_API_OF_WEB = {
    "https://app.baseten.co": "https://api.baseten.co",
    "https://app.staging.baseten.co": "https://api.staging.baseten.co",
    "https://app.dev.baseten.co": "https://api.mc-dev.baseten.co",
}
_WEB_OF_API = {api: web for web, api in _API_OF_WEB.items()}
_REPLACED = {"auth_type", "oauth_access_token", "oauth_refresh_token", "oauth_expires_at", "rest_api_url"}
_OAUTH_LEEWAY = 60.0  # seconds before its end at which a token is no longer worth sending

Scheme = Literal["Api-Key", "Bearer"]


class Remote(Setting):
    """A server and the key for it.

    Attributes:
        name: the section it came from, or what was asked for.
        api_url: base of the management API, without "/v1", e.g. "https://api.baseten.co".
        web_url: base of the web application, for links and GraphQL, e.g. "https://app.baseten.co".
        key: never shown.
        scheme: how the key is sent.
        team: name of the team that the section sets, or None.
    """

    name: str
    api_url: str
    web_url: str
    key: SecretStr
    scheme: Scheme = "Api-Key"
    team: str | None = None

    @classmethod
    def at(cls, url: str, key: str, *, name: str, team: str | None = None) -> Remote:
        """A remote whose address and key are kept elsewhere, such as in a workflow engine's connection.

        Args:
            url: address of the web application or of the API.
            key: an API key for that server.
            name: what to call it in messages.
            team: name of the team that owns what is created, or None.

        Raises:
            RemoteError: that is not an address a key may be sent to, or not a key.
        """
        return _remote(name, _server_at(url, f"remote {name!r}"), key, f"remote {name!r}", team=team)

    @property
    def authorization(self) -> str:
        """Value of the Authorization header. Holds the key."""
        return f"{self.scheme} {self.key.get_secret_value()}"

    @property
    def graphql_url(self) -> str:
        return f"{self.web_url}/graphql/"

    @property
    def is_local(self) -> bool:
        """Whether the API is served on this machine."""
        return _is_loopback(urlsplit(self.api_url).hostname or "")

    def job_page(self, project_id: str, job_id: str) -> str:
        """Where a person looks at a job."""
        return f"{self.web_url}/training/{project_id}/logs/{job_id}"

    def model_page(self, model_id: str, deployment_id: str) -> str:
        """Where a person looks at a deployment."""
        return f"{self.web_url}/models/{model_id}/logs/{deployment_id}"

    def model_url(self, path: str) -> str:
        """The address for a `path` that starts with "/model-ID/".

        Baseten gives every model a host of its own; other servers, whose subdomains may not resolve, take the path.
        """
        host = urlsplit(self.api_url).netloc
        if self.api_url in _WEB_OF_API:
            model, _, rest = path.removeprefix("/").partition("/")
            return f"https://{model}.{host}/{rest}"
        return self.api_url + path

    def predict_url(self, model_id: str, deployment_id: str, path: str = "predict") -> str:
        """Where a deployment answers; `path` is "predict", or "sync/…" for a path of the model server itself."""
        return self.model_url(f"/model-{model_id}/deployment/{deployment_id}/{path}")


def resolve_remote(
    name: str = DEFAULT, *, environ: Mapping[str, str] = os.environ, now: Callable[[], float] = time.time
) -> Remote:
    """The remote of that name or address, as the table above says.

    Args:
        name: a section of `.trussrc`, or an address starting with "https://" or "http://".
        environ: environment variables.
        now: seconds since the epoch, to tell whether an OAuth token has run out.

    Raises:
        RemoteError: there is no such remote, no key for it, or something about it is malformed.
    """
    pair = _environment_pair(environ)
    if "://" in name:
        return _at_address(name, pair, environ, now)
    if pair and name in (DEFAULT, ENVIRONMENT):
        return pair
    file = trussrc_path(environ)
    sections = _read(file)
    if name in sections:
        return _from_section(sections[name], environ, now)
    if name == DEFAULT and (key := _baseten_key(_BASETEN, environ)):
        return _remote(name, _BASETEN, key, "BASETEN_API_KEY")
    raise RemoteError(
        f"There is no remote {name!r}; {file} has: {', '.join(sections) or 'none'}.",
        hint="Set BASETEN_API_KEY, or run `truss login`." if name == DEFAULT else None,
    )


def _environment_pair(environ: Mapping[str, str]) -> Remote | None:
    names = ("BASETEN_TRUSS_AUTH_REMOTE_URL", "BASETEN_TRUSS_AUTH_API_KEY")
    url, key = (environ.get(name) for name in names)
    if not url and not key:
        return None
    if not url or not key:
        missing, present = names if key else reversed(names)
        raise RemoteError(f"{present} is set and {missing} is not.", hint="Set both or neither.")
    return _remote(ENVIRONMENT, _server_at(url, names[0]), key, names[1], "Bearer")


def _at_address(address: str, pair: Remote | None, environ: Mapping[str, str], now: Callable[[], float]) -> Remote:
    server = _server_at(address, "remote")
    if pair and _origin(pair.api_url) == _origin(server.api_url):
        return pair
    file = trussrc_path(environ)
    fitting = [section for section in _read(file).values() if section.is_at(server)]
    found = [_from_section(section, environ, now) for section in fitting]
    if len({remote.authorization for remote in found}) > 1:
        raise RemoteError(
            f"{file} has several keys for {address}: {', '.join(section.name for section in fitting)}.",
            hint="Ask for one of them by its name.",
        )
    if found:
        return found[0]
    if key := _baseten_key(server, environ):
        return _remote(address, server, key, "BASETEN_API_KEY")
    raise RemoteError(
        f"There is no key for {address}.",
        hint=f"Add a section with `remote_url = {address}` and `api_key` to {file}.",
    )


def _from_section(section: _Section, environ: Mapping[str, str], now: Callable[[], float]) -> Remote:
    server, fields = section.server(), section.fields
    team = fields.get("team") or None
    if fields.get("auth_type") == "oauth" or (fields.get("oauth_access_token") and not fields.get("api_key")):
        token = _oauth_token(section, now)
        return _remote(section.name, server, token, f"oauth_access_token of {section}", "Bearer", team)
    if key := fields.get("api_key"):
        return _remote(section.name, server, key, f"api_key of {section}", team=team)
    if key := _baseten_key(server, environ):
        return _remote(section.name, server, key, "BASETEN_API_KEY", team=team)
    raise RemoteError(
        f"There is no key for remote {section.name!r}: {section} has no api_key.",
        hint="Add it there; a key in the system's keyring is not read"
        + (", but BASETEN_API_KEY is." if server.is_basetens else ", and BASETEN_API_KEY is for Baseten only."),
    )


def _baseten_key(server: _Server, environ: Mapping[str, str]) -> str | None:
    """`BASETEN_API_KEY`, if that is for this server."""
    return environ.get("BASETEN_API_KEY") or None if server.is_basetens else None


def _oauth_token(section: _Section, now: Callable[[], float]) -> str:
    again = f"Run `truss login --remote {section.name}`, or give the section an api_key."
    token, expires_at = section.fields.get("oauth_access_token"), section.fields.get("oauth_expires_at", "")
    if not token:
        raise RemoteError(
            f"{section} uses OAuth and holds no access token; the system's keyring is not read.", hint=again
        )
    if not expires_at.isdigit() or int(expires_at) <= now() + _OAUTH_LEEWAY:
        raise RemoteError(f"The OAuth token of {section} has expired.", hint=again)
    return token


def _remote(
    name: str, server: _Server, key: str, key_from: str, scheme: Scheme = "Api-Key", team: str | None = None
) -> Remote:
    key = _checked_key(key, key_from)
    return Remote(
        name=name, api_url=server.api_url, web_url=server.web_url, key=SecretStr(key), scheme=scheme, team=team
    )


def _checked_key(key: str, key_from: str) -> str:
    key = key.strip()
    if not re.fullmatch(r"[!-~]+", key):
        raise RemoteError(f"{key_from} holds no key: it is empty or has characters that no header can carry.")
    return key


# --- addresses ---


class _Server(NamedTuple):
    web_url: str
    api_url: str

    @property
    def is_basetens(self) -> bool:
        """Whether both ends are: GraphQL goes to the web application, with the same key."""
        return _API_OF_WEB.get(self.web_url) == self.api_url


_BASETEN = _Server("https://app.baseten.co", "https://api.baseten.co")


def _server_at(url: str, where: str) -> _Server:
    """The server of which `url` is either address."""
    url = _checked_url(url, where)
    return _Server(_WEB_OF_API.get(url, url), _API_OF_WEB.get(url, url))


def _checked_url(url: str, where: str) -> str:
    try:
        parts = urlsplit(url.strip())
        parts.port  # noqa: B018 (raises if it is no number)
    except ValueError as error:
        raise RemoteError(f"{where}: {url!r} is not an address: {error}.") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise RemoteError(f"{where}: {url!r} is not an address like https://app.baseten.co.")
    if "@" in parts.netloc:
        raise RemoteError(f"{where}: an address may not contain a name or a password.")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise RemoteError(
            f"{where}: {url!r} would send the key unencrypted.", hint="Plain http is for this machine only."
        )
    return SplitResult(parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", "").geturl()


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, "localhost" if _is_loopback(host) else host, port


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


# --- .trussrc ---


@dataclass(frozen=True)
class _Section:
    name: str
    fields: Mapping[str, str] = field(repr=False)
    file: Path

    def __str__(self) -> str:
        return f"[{self.name}] in {self.file}"

    def server(self) -> _Server:
        provider, url = self.fields.get("remote_provider", "baseten"), self.fields.get("remote_url")
        if provider != "baseten":
            raise RemoteError(f"{self}: remote_provider {provider!r} is not 'baseten'.")
        if not url:
            raise RemoteError(f"{self} has no remote_url.", hint=f"For Baseten it is {_BASETEN.web_url}.")
        server = _server_at(url, f"remote_url of {self}")
        if own := self.fields.get("rest_api_url"):
            return server._replace(api_url=_checked_url(own, f"rest_api_url of {self}"))
        return server

    def is_at(self, server: _Server) -> bool:
        """Whether it is for that server; a malformed section is for none."""
        try:
            return _origin(self.server().api_url) == _origin(server.api_url)
        except RemoteError:
            return False


def trussrc_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The file of remotes; looked up at each call, as tests and workers change it."""
    return Path(environ.get("USER_TRUSSRC_PATH") or "~/.trussrc").expanduser()


def write_remote(name: str, *, url: str, api_key: str, path: Path | None = None) -> None:
    """Add a section to `.trussrc`, or update its address and key, in the form that the truss CLI reads.

    Comments, other sections and other fields of the section stay, but for those that would send another key or send
    this one elsewhere. The file is replaced in one step and is readable by its owner only.

    Args:
        name: of the section.
        url: address of the server; becomes `remote_url`.
        api_key: the key for it.
        path: the file; None for `trussrc_path()`.

    Raises:
        RemoteError: the file cannot be read or written, or `url` is not an address that a key may be sent to.
    """
    path = (path or trussrc_path()).resolve()  # a link, as managers of dotfiles make, stays one
    if not re.fullmatch(r"[^\[\]\s]+", name):
        raise RemoteError(f"{name!r} cannot be the name of a remote.")
    fields = {
        "remote_provider": "baseten",
        "remote_url": _checked_url(url, f"remote {name!r}"),
        "api_key": _checked_key(api_key, "api_key").replace("%", "%%"),
    }
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, _with_section(old, name, fields))
    except OSError as error:
        raise RemoteError(f"Remote {name!r} could not be written to {path}: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise RemoteError(f"Remote {name!r} could not be written to {path}: it is not text.") from None


def _with_section(text: str, name: str, fields: Mapping[str, str]) -> str:
    """`text` with those fields in section `name`, and every other line as it was."""
    lines = text.splitlines()
    new = [f"[{name}]", *(f"{field} = {value}" for field, value in fields.items())]
    headers = [number for number, line in enumerate(lines) if re.match(r"\[[^\]]+\]", line)]
    start = next((number for number in headers if lines[number].startswith(f"[{name}]")), None)
    if start is None:
        return "\n".join([*lines, *([""] if lines else []), *new]) + "\n"
    end = next((number for number in headers if number > start), len(lines))
    kept = _other_fields(lines[start + 1 : end], {*fields, *_REPLACED})
    return "\n".join([*lines[:start], *new, *kept, *lines[end:]]) + "\n"


def _other_fields(lines: list[str], fields: set[str]) -> list[str]:
    """The lines of a section but those that set one of `fields`, with their continuations."""
    kept, dropping = [], False
    for line in lines:
        continues = line[:1].isspace() and line.strip() != ""
        if not continues:
            dropping = re.split(r"[=:]", line, maxsplit=1)[0].strip().lower() in fields
        if not dropping:
            kept.append(line)
    return kept


def _read(file: Path) -> dict[str, _Section]:
    """The sections of `.trussrc` by name; none if there is no such file."""
    parser = configparser.ConfigParser()
    try:
        with file.open(encoding="utf-8") as text:
            parser.read_file(text)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RemoteError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise RemoteError(f"{file} cannot be read: it is not text.") from None
    except configparser.Error as error:
        # The parser's own text quotes the line, which may be one with a key.
        problem, line = type(error).__name__, getattr(error, "lineno", None)
    else:
        return {
            name: _Section(name, {field: _value(parser, name, field) for field in parser[name]}, file)
            for name in parser.sections()
        }
    raise RemoteError(f"{file} is not a file of remotes: {problem}" + (f" in line {line}." if line else "."))


def _value(parser: configparser.ConfigParser, section: str, field: str) -> str:
    """A value as the truss CLI understands it, where `%%` is a percent sign; a lone `%`, an error there, is one too."""
    try:
        return parser.get(section, field)
    except configparser.InterpolationError:
        return parser.get(section, field, raw=True)

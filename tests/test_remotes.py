from __future__ import annotations

import configparser
import pickle
import stat
import traceback
from pathlib import Path

import pytest

from truss_train_core.errors import RemoteError
from truss_train_core.remotes import Remote, resolve_remote, write_remote

NOW = 1_800_000_000.0

TRUSSRC = """
[baseten]
remote_provider = baseten
remote_url = https://app.baseten.co
api_key = section-key
team = research

[keyless]
remote_provider = baseten
remote_url = https://app.baseten.co

[other]
remote_provider = baseten
remote_url = https://train.example.com/
api_key = other-key

[other-keyless]
remote_provider = baseten
remote_url = https://elsewhere.example.com

[local]
remote_provider = baseten
remote_url = http://localhost:8000
api_key = local-key

[signed-in]
remote_provider = baseten
remote_url = https://app.staging.baseten.co
auth_type = oauth
oauth_access_token = token
oauth_refresh_token = refresh
oauth_expires_at = 1800003600

[signed-out]
remote_provider = baseten
remote_url = https://app.dev.baseten.co
auth_type = oauth
oauth_access_token = token
oauth_refresh_token = refresh
oauth_expires_at = 1800000030

[in-keyring]
remote_provider = baseten
remote_url = https://app.dev.baseten.co
auth_type = oauth

[split]
remote_provider = baseten
remote_url = https://web.example.com
rest_api_url = https://api.example.com/base/
api_key = split-key

[bait]
remote_provider = baseten
remote_url = https://bait.example.com
rest_api_url = https://api.baseten.co

[twin]
remote_provider = baseten
remote_url = http://127.0.0.1:9000
api_key = one

[other-twin]
remote_provider = baseten
remote_url = http://localhost:9000
api_key = two

[strange]
remote_provider = sagemaker
remote_url = https://strange.example.com
api_key = strange-key
"""

KEY = {"BASETEN_API_KEY": "baseten-key"}
PAIR = {
    "BASETEN_TRUSS_AUTH_REMOTE_URL": "https://app.baseten.co",
    "BASETEN_TRUSS_AUTH_API_KEY": "pair-key",
}
PAIR_ELSEWHERE = {**PAIR, "BASETEN_TRUSS_AUTH_REMOTE_URL": "https://pair.example.com"}
BASETEN = "https://api.baseten.co"


@pytest.fixture
def trussrc(tmp_path):
    path = tmp_path / "trussrc"
    path.write_text(TRUSSRC)
    return path


def resolve(name, environ, path):
    return resolve_remote(name, environ={**environ, "USER_TRUSSRC_PATH": str(path)}, now=lambda: NOW)


@pytest.mark.parametrize(
    ("name", "environ", "api_url", "authorization"),
    [
        # the environment pair stands in for the default remote, and for nothing else
        ("baseten", PAIR, BASETEN, "Bearer pair-key"),
        ("baseten", {**PAIR, **KEY}, BASETEN, "Bearer pair-key"),
        ("<environment>", PAIR, BASETEN, "Bearer pair-key"),
        ("baseten", PAIR_ELSEWHERE, "https://pair.example.com", "Bearer pair-key"),
        ("local", PAIR, "http://localhost:8000", "Api-Key local-key"),
        # sections
        ("baseten", {}, BASETEN, "Api-Key section-key"),
        ("baseten", KEY, BASETEN, "Api-Key section-key"),
        ("keyless", KEY, BASETEN, "Api-Key baseten-key"),
        ("other", KEY, "https://train.example.com", "Api-Key other-key"),
        ("local", KEY, "http://localhost:8000", "Api-Key local-key"),
        ("signed-in", KEY, "https://api.staging.baseten.co", "Bearer token"),
        ("split", KEY, "https://api.example.com/base", "Api-Key split-key"),
        # addresses
        ("https://app.baseten.co", PAIR, BASETEN, "Bearer pair-key"),
        ("https://api.baseten.co/", PAIR, BASETEN, "Bearer pair-key"),
        ("https://pair.example.com/", PAIR_ELSEWHERE, "https://pair.example.com", "Bearer pair-key"),
        ("https://train.example.com", {**PAIR, **KEY}, "https://train.example.com", "Api-Key other-key"),
        ("HTTPS://Train.Example.com:443", KEY, "https://train.example.com", "Api-Key other-key"),
        ("http://localhost:8000", KEY, "http://localhost:8000", "Api-Key local-key"),
        ("http://127.0.0.1:8000", KEY, "http://localhost:8000", "Api-Key local-key"),
        ("https://api.staging.baseten.co", KEY, "https://api.staging.baseten.co", "Bearer token"),
        ("https://api.example.com", KEY, "https://api.example.com/base", "Api-Key split-key"),
    ],
)
def test_each_key_goes_to_its_own_server(trussrc, name, environ, api_url, authorization):
    remote = resolve(name, environ, trussrc)
    assert (remote.api_url, remote.authorization) == (api_url, authorization)


@pytest.mark.parametrize(
    ("name", "environ", "message"),
    [
        # no key of another server is borrowed
        ("other-keyless", {**PAIR, **KEY}, r"no key for remote 'other-keyless'.*BASETEN_API_KEY is for Baseten only"),
        ("bait", KEY, "no key for remote 'bait'"),
        ("https://nowhere.example.com", {**PAIR, **KEY}, "no key for https://nowhere.example.com"),
        ("https://train.example.com:8443", {**PAIR, **KEY}, "no key for"),
        ("https://api.baseten.co.example.com", {**PAIR, **KEY}, "no key for"),
        ("https://example.com/api.baseten.co", {**PAIR, **KEY}, "no key for"),
        ("https://localhost:8000", {**PAIR, **KEY}, "no key for"),
        ("http://localhost:8001", {**PAIR, **KEY}, "no key for"),
        ("http://localhost:9000", KEY, "several keys for http://localhost:9000: twin, other-twin"),
        # no key at all
        ("keyless", {}, r"\[keyless\] in \S+ has no api_key.*keyring is not read, but BASETEN_API_KEY is"),
        ("signed-out", KEY, r"has expired.*truss login --remote signed-out"),
        ("in-keyring", KEY, "no access token; the system's keyring is not read"),
        # nothing of that name
        ("prod", KEY, r"no remote 'prod'; \S+ has: baseten, keyless"),
        ("<environment>", KEY, "no remote '<environment>'"),
        ("strange", {}, "remote_provider 'sagemaker'"),
        # half a pair
        ("baseten", {"BASETEN_TRUSS_AUTH_API_KEY": "x"}, "AUTH_API_KEY is set and .*REMOTE_URL is not"),
        ("baseten", {"BASETEN_TRUSS_AUTH_REMOTE_URL": BASETEN}, "AUTH_REMOTE_URL is set and .*API_KEY is not"),
        # addresses that are none, or unsafe
        ("http://train.example.com", KEY, "would send the key unencrypted"),
        ("http://192.168.0.10:8000", KEY, "would send the key unencrypted"),
        ("https://user:pass@train.example.com", KEY, "may not contain a name or a password"),
        ("https://train.example.com?x=1", KEY, "is not an address"),
        ("https://train.example.com:port", KEY, "is not an address"),
        ("ftp://train.example.com", KEY, "is not an address"),
        ("https://", KEY, "is not an address"),
    ],
)
def test_everything_else_is_an_error_that_says_why(trussrc, name, environ, message):
    with pytest.raises(RemoteError, match=message):
        resolve(name, environ, trussrc)


@pytest.mark.parametrize("name", ["baseten", "https://api.baseten.co", "https://app.baseten.co"])
def test_the_key_of_the_environment_is_enough_for_baseten(tmp_path, name):
    remote = resolve(name, KEY, tmp_path / "missing")
    assert (remote.api_url, remote.web_url) == (BASETEN, "https://app.baseten.co")
    assert remote.authorization == "Api-Key baseten-key"


def test_nothing_configured_says_what_to_do(tmp_path):
    with pytest.raises(RemoteError, match="Set BASETEN_API_KEY, or run `truss login`"):
        resolve("baseten", {}, tmp_path / "missing")


def test_the_trussrc_is_looked_up_at_each_call_by_default_at_home(trussrc, tmp_path, monkeypatch):
    for name in (*PAIR, *KEY, "USER_TRUSSRC_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    trussrc.rename(tmp_path / ".trussrc")
    assert resolve_remote().authorization == "Api-Key section-key"
    (tmp_path / ".trussrc").rename(tmp_path / "moved")
    monkeypatch.setenv("USER_TRUSSRC_PATH", str(tmp_path / "moved"))
    assert resolve_remote("local").authorization == "Api-Key local-key"


def test_a_section_may_name_a_team(trussrc):
    assert resolve("baseten", {}, trussrc).team == "research"
    assert resolve("other", {}, trussrc).team is None


@pytest.mark.parametrize("section", ["[broken]\napi_key = x", "[broken]\nremote_url = nonsense\napi_key = x"])
def test_a_malformed_section_is_its_own_problem_only(tmp_path, section):
    path = tmp_path / "trussrc"
    path.write_text(f"{section}\n{TRUSSRC}")
    assert resolve("http://localhost:8000", {}, path).name == "local"
    with pytest.raises(RemoteError, match="remote_url"):
        resolve("broken", {}, path)


@pytest.mark.parametrize(
    ("written", "key"), [("a%%b", "a%b"), ("a%b", "a%b"), ("100%", "100%"), ("%(base)s-x", "root-x"), (" k ", "k")]
)
def test_percent_signs_are_read_as_the_truss_cli_does_and_a_lone_one_is_forgiven(tmp_path, written, key):
    path = tmp_path / "trussrc"
    path.write_text(f"[r]\nremote_url = https://app.baseten.co\nbase = root\napi_key = {written}\n")
    assert resolve("r", {}, path).key.get_secret_value() == key


@pytest.mark.parametrize("key", ["two words", "naïve", "a\x00b", "   "])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(tmp_path, key):
    with pytest.raises(RemoteError, match="BASETEN_API_KEY holds no key") as caught:
        resolve("baseten", {"BASETEN_API_KEY": key}, tmp_path / "missing")
    assert key not in str(caught.value) or not key.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("api_key = secret-key\n", "MissingSectionHeaderError in line 1"),
        ("[a]\nsecret-key\n", "ParsingError"),
        ("[a]\napi_key = secret-key\napi_key = secret-key\n", "DuplicateOptionError in line 3"),
    ],
)
def test_a_file_that_is_no_ini_is_refused_without_showing_its_lines(tmp_path, text, message):
    path = tmp_path / "trussrc"
    path.write_text(text)
    with pytest.raises(RemoteError, match=message) as caught:
        resolve("a", {}, path)
    assert "secret-key" not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(RemoteError, match="cannot be read: Is a directory"):
        resolve("a", {}, tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(RemoteError, match="is not text"):
        resolve("a", {}, tmp_path / "binary")


class TestRemote:
    baseten = Remote(name="baseten", api_url=BASETEN, web_url="https://app.baseten.co", key="top-secret")
    local = Remote(name="local", api_url="http://localhost:8000", web_url="http://localhost:8000", key="top-secret")

    def test_the_key_is_in_the_header_and_nowhere_else(self):
        assert self.baseten.authorization == "Api-Key top-secret"
        shown = f"{self.baseten!r} {self.baseten} {self.baseten.model_dump_json()} {self.baseten.model_dump()}"
        assert "top-secret" not in shown

    def test_it_travels_to_other_processes(self):
        assert pickle.loads(pickle.dumps(self.baseten)) == self.baseten

    def test_pages_and_graphql_are_on_the_web_application(self):
        assert self.baseten.graphql_url == "https://app.baseten.co/graphql/"
        assert self.baseten.job_page("p", "j") == "https://app.baseten.co/training/p/logs/j"
        assert self.baseten.model_page("m", "d") == "https://app.baseten.co/models/m/logs/d"

    def test_models_have_hosts_of_their_own_at_baseten_and_paths_elsewhere(self):
        assert self.baseten.predict_url("m", "d") == "https://model-m.api.baseten.co/deployment/d/predict"
        assert self.local.predict_url("m", "d", "sync/v1/x") == ("http://localhost:8000/model-m/deployment/d/sync/v1/x")

    def test_local_is_what_is_served_on_this_machine(self):
        assert self.local.is_local
        assert not self.baseten.is_local


class TestWriteRemote:
    def write(self, path, name="local", url="http://localhost:8000", api_key="new-key"):
        write_remote(name, url=url, api_key=api_key, path=path)

    def test_a_new_file_is_for_its_owner_only_and_as_the_truss_cli_reads_it(self, tmp_path):
        path = tmp_path / "new" / "trussrc"
        self.write(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text() == (
            "[local]\nremote_provider = baseten\nremote_url = http://localhost:8000\napi_key = new-key\n"
        )

    def test_what_is_written_is_what_is_read(self, tmp_path):
        path = tmp_path / "trussrc"
        self.write(path, api_key="a%b=c;d#e:[f]")
        assert resolve("local", {}, path).key.get_secret_value() == "a%b=c;d#e:[f]"
        parser = configparser.ConfigParser()  # as the truss CLI reads it
        parser.read(path)
        assert parser["local"]["api_key"] == "a%b=c;d#e:[f]"

    def test_another_section_is_added_and_all_else_stays(self, tmp_path):
        path = tmp_path / "trussrc"
        path.write_text("# my remotes\n[baseten]\n; the real one\napi_key: x")
        self.write(path)
        assert path.read_text().startswith("# my remotes\n[baseten]\n; the real one\napi_key: x\n\n[local]\n")

    def test_its_own_section_is_updated_in_place_and_comments_and_other_fields_stay(self, tmp_path):
        path = tmp_path / "trussrc"
        path.write_text(
            "[a]\napi_key = a\n\n[local]\n# mine\nRemote_URL = http://localhost:1\napi_key: old\n  continued\n"
            "team = t\n\n[z]\napi_key = z\n"
        )
        self.write(path)
        assert path.read_text() == (
            "[a]\napi_key = a\n\n[local]\nremote_provider = baseten\nremote_url = http://localhost:8000\n"
            "api_key = new-key\n# mine\nteam = t\n\n[z]\napi_key = z\n"
        )
        before = path.read_text()
        self.write(path)
        assert path.read_text() == before

    def test_no_former_key_or_address_of_the_section_outlives_the_update(self, trussrc):
        self.write(trussrc, name="signed-in")
        self.write(trussrc, name="split")
        assert resolve("signed-in", {}, trussrc).authorization == "Api-Key new-key"
        assert resolve("split", {}, trussrc).api_url == "http://localhost:8000"

    def test_a_readable_file_with_keys_becomes_private(self, trussrc):
        trussrc.chmod(0o644)
        self.write(trussrc)
        assert stat.S_IMODE(trussrc.stat().st_mode) == 0o600

    def test_a_link_stays_a_link(self, tmp_path):
        (tmp_path / "dotfiles").mkdir()
        real, link = tmp_path / "dotfiles" / "trussrc", tmp_path / "trussrc"
        real.touch()
        link.symlink_to(real)
        self.write(link)
        assert link.is_symlink()
        assert "new-key" in real.read_text()

    def test_by_default_it_is_the_file_that_is_read(self, tmp_path, monkeypatch):
        monkeypatch.setenv("USER_TRUSSRC_PATH", str(tmp_path / "rc"))
        write_remote("local", url="http://localhost:8000", api_key="k")
        assert resolve_remote("local").authorization == "Api-Key k"

    def test_a_failed_write_leaves_the_file_as_it_was(self, trussrc, monkeypatch):
        def full(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(RemoteError, match="No space left on device"):
            self.write(trussrc)
        assert trussrc.read_text() == TRUSSRC
        assert list(trussrc.parent.iterdir()) == [trussrc]

    @pytest.mark.parametrize(
        "wrong",
        [{"name": "a]b"}, {"name": ""}, {"url": "http://example.com"}, {"url": "x"}, {"api_key": "a\nremote_url = b"}],
    )
    def test_what_would_corrupt_the_file_or_expose_the_key_is_refused(self, tmp_path, wrong):
        with pytest.raises(RemoteError):
            self.write(tmp_path / "trussrc", **wrong)
        assert list(tmp_path.iterdir()) == []


class TestARemoteWhoseKeyIsKeptElsewhere:
    @pytest.mark.parametrize("url", ["https://app.baseten.co", "https://api.baseten.co/"])
    def test_either_address_of_a_server_will_do(self, url):
        remote = Remote.at(url, "k", name="conn", team="research")
        assert (remote.api_url, remote.web_url) == ("https://api.baseten.co", "https://app.baseten.co")
        assert (remote.authorization, remote.team) == ("Api-Key k", "research")
        assert "k" not in remote.model_dump_json(include={"key"}).replace("key", "")

    @pytest.mark.parametrize("url", ["http://example.com", "example", ""])
    def test_an_address_that_a_key_may_not_be_sent_to_is_refused(self, url):
        with pytest.raises(RemoteError, match="'conn'"):
            Remote.at(url, "k", name="conn")

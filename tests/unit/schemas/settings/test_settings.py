"""Settings: where they come from, which wins, and what an error says."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from schemas.settings import Guarantee, InvalidSettingsError, Settings, load_settings

PASSWORD = "correct horse battery staple"


@pytest.fixture
def make_file(tmp_path: Path):
    def make(text: str) -> Path:
        path = tmp_path / "vigie.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def problems_of(path=None, overrides=None, environ=None):
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(path, overrides, environ=environ or {})
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def problem_of(path=None, overrides=None, environ=None):
    (problem,) = problems_of(path, overrides, environ)
    return problem


def test_without_anything_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}) == Settings()
    assert Settings().processing.guarantee is Guarantee.EXACTLY_ONCE


def test_the_file_of_the_working_folder_is_found(make_file, monkeypatch):
    path = make_file("[topics]\npartitions = 8\n")
    monkeypatch.chdir(path.parent)
    assert load_settings(environ={}).topics.partitions == 8


def test_flags_beat_the_environment_and_that_beats_the_file(make_file):
    path = make_file('[kafka]\nbootstrap = "file:1"\ngroup = "file"\n[topics]\npartitions = 2\n')
    settings = load_settings(
        path,
        {"kafka.bootstrap": "flag:1", "kafka.group": None},
        environ={"VIGIE_KAFKA__BOOTSTRAP": "env:1", "VIGIE_KAFKA__GROUP": "env"},
    )
    assert settings.kafka.bootstrap == "flag:1"
    assert settings.kafka.group == "env"
    assert settings.topics.partitions == 2


def test_tables_merge_entry_by_entry(make_file):
    path = make_file('[kafka.client]\na = 1\nb = 2\n[stream.channels]\nflow = "F"\n')
    settings = load_settings(
        path,
        {"stream.channels.Speed": "N"},
        environ={"VIGIE_KAFKA__CLIENT__B": "3", "VIGIE_KAFKA__CLIENT": '{"c": true}'},
    )
    assert settings.kafka.client_options() == {"a": 1, "b": 3, "c": True}
    assert settings.stream.channels == {"flow": "F", "Speed": "N"}


@pytest.mark.parametrize(
    ("variable", "text", "section", "field", "value"),
    [
        ("VIGIE_WORKERS__INGEST", "3", "workers", "ingest", 3),
        ("VIGIE_WORKERS__INGEST", "auto", "workers", "ingest", "auto"),
        ("VIGIE_KAFKA__GROUP", "123", "kafka", "group", "123"),
        ("VIGIE_MODEL__PATH", "models/pump", "model", "path", Path("models/pump")),
        ("VIGIE_PROCESSING__COMMIT_INTERVAL_S", "1e-1", "processing", "commit_interval_s", 0.1),
        (
            "VIGIE_PROCESSING__GUARANTEE",
            "at_least_once",
            "processing",
            "guarantee",
            Guarantee.AT_LEAST_ONCE,
        ),
        ("VIGIE_STREAM__CHANNELS__Flow", "12", "stream", "channels", {"Flow": "12"}),
    ],
)
def test_text_becomes_what_the_field_takes(variable, text, section, field, value):
    for source in ({"environ": {variable: text}}, flag(variable, text)):
        settings = load_settings(**({"environ": {}} | source))
        assert getattr(getattr(settings, section), field) == value


def flag(variable, text):
    section, field, *entry = variable.removeprefix("VIGIE_").split("__")
    return {"overrides": {".".join([section.lower(), field.lower(), *entry]): text}}


@pytest.mark.parametrize(
    "variable", ["VIGIE_TEST_BOOTSTRAP", "VIGIE_PORT", "VIGIE_SERVICE_HOST", "OTHER__KEY"]
)
def test_variables_of_others_are_no_settings(variable):
    assert load_settings(environ={variable: "x"}) == Settings()


def test_an_empty_variable_counts_as_not_given():
    assert load_settings(environ={"VIGIE_RAY__ADDRESS": ""}) == Settings()


def test_settings_travel_to_another_process():
    settings = load_settings(environ={"VIGIE_KAFKA__CLIENT__SASL_PLAIN_PASSWORD": PASSWORD})
    copy = pickle.loads(pickle.dumps(settings))
    assert copy == settings
    assert copy.kafka.client_options() == {"sasl_plain_password": PASSWORD}


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().kafka.group = "x"  # type: ignore[misc]


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[topics]\npartitons = 3", "topics.partitons: no such setting; did you mean partitions?"),
        ("[topics]\nbootstrap = 3", "did you mean kafka.bootstrap?"),
        ("[topcs]\npartitions = 3", "topcs: no such section; did you mean [topics]?"),
        ("partitions = 3", "partitions: no such section; did you mean topics.partitions?"),
        ("topics = 3", "topics: must be a table, [topics]"),
        ("[zzz]", "zzz: no such section. Sections: kafka, topics"),
        ("[kafka]\nsasl_mechanism = 1", "options of the client itself go under [kafka.client]"),
        ('[topics]\npartitions = "4"', "must be an integer in 1..10000, got '4'"),
        ("[topics]\npartitions = true", "must be an integer in 1..10000, got True"),
        ("[topics]\npartitions = 4.5", "must be an integer in 1..10000, got 4.5"),
        ("[topics]\npartitions = 0", "topics.partitions: must be an integer in 1..10000, got 0"),
        ('[topics]\nreadings = "a b"', "topics.readings: must be a string of 1..249"),
        ('[topics]\nreadings = ".."', "a topic cannot be called '..'"),
        (
            '[kafka]\ngroup = "two words"',
            "of 1..180 characters that matches ^[a-zA-Z0-9._-]+$",
        ),
        ('[kafka]\ninstance = "a.b"', "string of 1..60 characters that matches ^[a-zA-Z0-9_-]+$"),
        ("[model]\ndevice = 'gpu'", 'model.device: must be "auto" or "cpu" or "cuda", got'),
        ("[model]\npath = 3", "model.path: must be a path, got 3"),
        ("[workers]\ningest = 0", 'must be "auto" or an integer in 1..1000, got 0'),
        ("[processing]\nflush_timeout_s = 0", "must be a number above 0 and at most 600, got 0"),
        ("[processing]\nflush_timeout_s = nan", "must be a number above 0"),
        ("[stream]\nmax_gap_s = inf", "must be a number in 0..1e+09, got inf"),
        ("[stream]\nchannels = 3", "stream.channels: must be a table"),
        ("[stream.channels]\nflow = 3", "stream.channels.flow: must be a string of 1..249"),
        ("[topics.partitions]\na = 1", "topics.partitions: must be an integer"),
    ],
)
def test_a_wrong_file_names_itself_the_key_and_what_is_allowed(make_file, text, says):
    path = make_file(text)
    problem = problem_of(path)
    assert problem.startswith(f"{path}: ")
    assert says in problem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[kafka\n", "not TOML"),
        ("a = 1\na = 2", "not TOML"),
    ],
)
def test_a_file_that_is_no_toml_says_where(make_file, text, says):
    problem = problem_of(make_file(text))
    assert says in problem
    assert "(at " in problem


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert "No such file" in problem_of(tmp_path / "absent.toml")
    assert "cannot be read" in problem_of(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'a = "\xe9"')
    assert "not UTF-8: byte 5" in problem_of(tmp_path / "latin.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * 1_000_001)
    assert "larger than 1000000 bytes" in problem_of(tmp_path / "large.toml")


def test_a_wrong_variable_is_named():
    problem = problem_of(environ={"VIGIE_TOPICS__PARTITIONS": "four"})
    assert problem == (
        "environment variable VIGIE_TOPICS__PARTITIONS: topics.partitions:"
        " must be an integer in 1..10000, got 'four'"
    )
    assert "did you mean [topics]?" in problem_of(environ={"VIGIE_TOPIC__PARTITIONS": "4"})
    assert "did you mean partitions?" in problem_of(environ={"VIGIE_TOPICS__PARTITION": "4"})
    assert "no entries" in problem_of(environ={"VIGIE_TOPICS__PARTITIONS__X": "4"})


def test_a_wrong_flag_is_named():
    problem = problem_of(overrides={"workers.threads": "many"})
    assert problem.startswith("command line: workers.threads: must be an integer")
    assert "did you mean [workers]" in problem_of(overrides={"worker.threads": "1"})
    assert "is a section" in problem_of(overrides={"workers": "1"})


def test_every_problem_is_told_at_once(make_file):
    path = make_file("[topics]\npartitons = 3\npartitions = 0\n[log]\nlevel = 'loud'\n")
    problems = problems_of(path, {"workers.threads": 0}, {"VIGIE_MODEL__DEVICE": "tpu"})
    assert len(problems) == 5


@pytest.mark.parametrize(
    ("section", "values", "says"),
    [
        ("topics", {"denoised": "vigie.anomalies"}, "must be different topics"),
        ("workers", {"placement": "actors", "scorers": 0}, "needs scorers of at least 1"),
        ("stream", {"channels": {"a": "x", "b": "x"}}, "two model channels read x"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(section, values, says):
    overrides = {f"{section}.{name}": value for name, value in values.items()}
    problem = problem_of(overrides=overrides)
    assert problem.startswith(f"command line: {section}: ")
    assert says in problem


# --- secrets -----------------------------------------------------------------------------------

SECRET_KEYS = [
    "sasl_plain_password",
    "ssl_password",
    "SASL.PASSWORD",
    "sasl_oauth_token",
    "client_secret",
    "sasl.jaas.config",
    "api_key",
    "sasl_plain_pasword",
    "sasl_plain_paswd",
    "proxy_url",
    "anything",
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_a_secret_is_never_printed_but_reaches_the_client(make_file, key):
    path = make_file(f'[kafka.client]\n"{key}" = "{PASSWORD}"\nnested = {{"{key}" = "{PASSWORD}"}}')
    settings = load_settings(path, environ={})

    shown = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())]
    assert not any(PASSWORD in text for text in shown)
    assert settings.kafka.client_options() == {key: PASSWORD, "nested": {key: PASSWORD}}


@pytest.mark.parametrize("key", ["password", "token"])
def test_a_secret_of_the_registry_is_never_printed(key):
    settings = load_settings(environ={f"VIGIE_REGISTRY__{key.upper()}": PASSWORD})
    shown = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())]
    assert not any(PASSWORD in text for text in shown)
    assert getattr(settings.registry, key).get_secret_value() == PASSWORD


def test_a_registry_s_password_of_digits_stays_text():
    settings = load_settings(environ={"VIGIE_REGISTRY__PASSWORD": "0123"})
    assert settings.registry.password.get_secret_value() == "0123"


@pytest.mark.parametrize(
    "url", ["localhost:8081", "ftp://a", "http://a, http://b", "http://a,", "http://u:p@a"]
)
def test_a_registry_s_address_is_one_of_http_without_credentials(url):
    with pytest.raises(InvalidSettingsError, match=r"registry\.url"):
        load_settings(overrides={"registry.url": url}, environ={})


def test_a_registry_is_logged_into_in_one_way():
    with pytest.raises(InvalidSettingsError, match="user and token"):
        load_settings(overrides={"registry.user": "u", "registry.token": "t"}, environ={})


def test_what_is_no_secret_is_shown():
    settings = load_settings(
        overrides={"kafka.client.sasl_mechanism": "PLAIN", "kafka.client.linger_ms": 123},
        environ={},
    )
    assert "PLAIN" in repr(settings)
    assert "123" in repr(settings)


def test_a_harmless_name_below_an_unknown_one_hides_nothing(make_file):
    path = make_file(f'[kafka.client]\nx = {{client_id = "{PASSWORD}", y = ["{PASSWORD}"]}}')
    settings = load_settings(path, environ={})
    assert PASSWORD not in repr(settings) + settings.model_dump_json()
    assert settings.kafka.client_options() == {"x": {"client_id": PASSWORD, "y": [PASSWORD]}}


@pytest.mark.parametrize("key", ["kafka.bootstrap", "ray.address"])
def test_an_address_with_credentials_is_refused_and_not_shown(key):
    with pytest.raises(InvalidSettingsError, match=rf"{key}: .*no user and no password") as caught:
        load_settings(overrides={key: f"x://me:{PASSWORD}@host:1"}, environ={})
    assert not secret_in_chain(caught.value)


@pytest.mark.parametrize("digits", ["1234", "true", "null", '"quoted"', "1e5"])
def test_a_password_of_digits_stays_text(digits):
    settings = load_settings(environ={"VIGIE_KAFKA__CLIENT__SASL_PLAIN_PASSWORD": digits})
    assert settings.kafka.client_options() == {"sasl_plain_password": digits}


@pytest.mark.parametrize(
    "text",
    [
        f'[kafka]\nsasl_plain_password = "{PASSWORD}"',
        f'[kafka]\nclient = "{PASSWORD}"',
        f'[kafka]\nclient = ["{PASSWORD}"]',
        f'[client]\nsasl_plain_password = "{PASSWORD}"',
        f'[kafka.client]\npassword = "{PASSWORD}"\n[topics]\npartitions = 0',
        f'[kafka.client]\npassword = "{PASSWORD}',
        f'[registry]\ntoken = "{PASSWORD}\\n"',
        f'[registry]\npassword = ["{PASSWORD}"]',
        f'[registry]\npasword = "{PASSWORD}"',
        f'[registry]\nurl = "http://user:{PASSWORD}@host"',
        f'[kafka.client]\npassword = "a"\npassword = "{PASSWORD}"',
    ],
)
def test_no_error_shows_a_secret(make_file, text):
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(make_file(text), environ={})
    assert not secret_in_chain(caught.value)


@pytest.mark.parametrize("variable", ["VIGIE_KAFKA__CLIENT", "VIGIE_KAFKA__PASSWORD"])
def test_no_error_shows_a_secret_of_the_environment(variable):
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(environ={variable: json.dumps({"password": PASSWORD})[:-1]})
    assert not secret_in_chain(caught.value)


def secret_in_chain(error):
    """Whether the error, or any that a traceback would show with it, has the secret."""
    while error is not None:
        if PASSWORD in str(error) or PASSWORD in repr(error):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False

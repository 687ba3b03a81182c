"""Loading config.py files: what runs, what it finds around it, what stays behind, and what is said when it fails."""

import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path

import pytest

from truss_train_core import definitions
from truss_train_core.config_file import load_deploy_checkpoints_config, load_training_project
from truss_train_core.errors import ConfigFileError

JOB = "TrainingJob(image=Image(base_image='python:3.11-slim'))"
PROJECT = f"""
from truss_train import Image, TrainingJob, TrainingProject
project = TrainingProject(name="digits", job={JOB})
"""


@pytest.fixture
def write(tmp_path):
    """Write a file below tmp_path and return its path; a plain string of code, indented as it is in the test."""

    def write(code, name="config.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


def refusal(path, load=load_training_project) -> str:
    """The one line that a file is refused with."""
    with pytest.raises(ConfigFileError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


# What loads


def test_a_path_may_be_a_string_or_relative(write, monkeypatch, tmp_path):
    path = write(PROJECT)
    assert load_training_project(str(path)).name == "digits"
    monkeypatch.chdir(tmp_path)
    assert load_training_project("config.py").name == "digits"


@pytest.mark.parametrize(
    "imports",
    [
        "from truss_train import definitions\nfrom truss.base import truss_config",
        "import truss_train.definitions as definitions\nimport truss.base.truss_config as truss_config",
        "from truss.base import truss_config\nimport truss_train\ndefinitions = truss_train.definitions",
        "import truss_train as definitions\nimport truss.base\ntruss_config = truss.base.truss_config",
        "import importlib\ndefinitions = importlib.import_module('truss_train.definitions')\n"
        "truss_config = importlib.import_module('truss.base.truss_config')",
        "from truss_train_core import definitions\ntruss_config = definitions",
    ],
)
def test_every_form_of_import_in_use_works(write, imports):
    path = write(
        f"""{imports}
from truss_train.public_api import push
compute = definitions.Compute(accelerator=truss_config.AcceleratorSpec(accelerator=truss_config.Accelerator.H100))
job = definitions.TrainingJob(image=definitions.Image(base_image="python:3.11-slim"), compute=compute)
_project = definitions.TrainingProject(name="digits", job=job)
"""
    )
    project = load_training_project(path)
    assert type(project) is definitions.TrainingProject
    assert str(project.job.compute.accelerator) == "H100"


def test_one_object_of_two_names_is_one(write):
    assert load_training_project(write(PROJECT + "default = project")).name == "digits"


def test_a_file_may_hold_a_deployment_beside_the_project(write):
    path = write(
        PROJECT + "from truss_train import definitions as d\ndeploy = d.DeployCheckpointsConfig(model_name='m')"
    )
    assert load_training_project(path).name == "digits"
    assert load_deploy_checkpoints_config(path).model_name == "m"


def test_dataclasses_with_postponed_annotations_work(write):
    path = write(
        f"""
        from __future__ import annotations
        import dataclasses, sys, typing
        from truss_train import Image, TrainingJob, TrainingProject

        @dataclasses.dataclass
        class Settings:
            names: typing.ClassVar[list[str]] = []
            name: str = "digits"

        assert sys.modules[__name__].Settings is Settings
        assert typing.get_type_hints(Settings)["name"] is str
        project = TrainingProject(name=Settings().name, job={JOB})
        """
    )
    assert load_training_project(path).name == "digits"


def test_annotations_are_not_postponed_unless_the_file_says_so(write):
    path = write(PROJECT + "def f(x: int): ...\nassert f.__annotations__ == {'x': int}, f.__annotations__")
    assert load_training_project(path).name == "digits"


def test_modules_beside_the_file_can_be_imported_and_may_use_truss_themselves(write):
    write("from truss_train import Image\nimage = Image(base_image='python:3.11-slim')", "images.py")
    write("NAME = 'digits'", "shared/names.py")  # a folder without __init__.py
    path = write(
        """
        from images import image
        from shared.names import NAME
        from truss_train import TrainingJob, TrainingProject
        project = TrainingProject(name=NAME, job=TrainingJob(image=image))
        """
    )
    assert load_training_project(path).name == "digits"


def test_each_project_has_its_own_module_of_a_common_name(write):
    for name in ("one", "two"):
        write(f"NAME = {name!r}", f"{name}/helper.py")
        config = write(f"from helper import NAME\n{PROJECT}project.name = NAME", f"{name}/config.py")
        assert load_training_project(config).name == name


def test_a_module_of_the_same_name_from_elsewhere_is_not_taken_and_is_left_alone(write, monkeypatch):
    elsewhere = types.ModuleType("helper")
    monkeypatch.setitem(sys.modules, "helper", elsewhere)
    write("NAME = 'beside'", "helper.py")
    assert load_training_project(write(f"from helper import NAME\n{PROJECT}project.name = NAME")).name == "beside"
    assert sys.modules["helper"] is elsewhere


@pytest.fixture
def writes_bytecode(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def test_a_rewritten_file_is_read_anew_within_the_same_second(write, writes_bytecode):
    for name in ("lr-1", "lr-2"):
        write(f"NAME = {name!r}", "helper.py")
        assert load_training_project(write(f"from helper import NAME\n{PROJECT}project.name = NAME")).name == name


def test_nothing_is_written_beside_the_file(write, tmp_path, writes_bytecode):
    write("", "helper.py")
    load_training_project(write("import helper\n" + PROJECT))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.py", "helper.py"]


def test_a_file_may_load_another(write):
    write(PROJECT, "base/config.py")
    path = write(
        """
        from pathlib import Path
        from truss_train_core.config_file import load_training_project as load
        project = load(Path(__file__).parent / "base" / "config.py").model_copy(update={"name": "derived"})
        from truss_train import TrainingProject
        assert isinstance(project, TrainingProject) and __name__ in __import__("sys").modules
        """
    )
    assert load_training_project(path).name == "derived"


def test_one_file_loads_at_a_time(write, monkeypatch):
    gate = types.ModuleType("gate")
    gate.entered, gate.released = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "gate", gate)
    paths = []
    for name in ("first", "second"):
        write(f"NAME = {name!r}", f"{name}/helper.py")
        wait = "import gate; gate.entered.set(); assert gate.released.wait(30)" if name == "first" else ""
        code = f"{wait}\nfrom helper import NAME\n{PROJECT}project.name = NAME"
        paths.append(write(code, f"{name}/config.py"))
    names = {}
    first, second = (
        threading.Thread(target=lambda path=path: names.update({path: load_training_project(path).name}))
        for path in paths
    )
    first.start()
    assert gate.entered.wait(30)
    second.start()
    second.join(0.2)
    assert second.is_alive()
    gate.released.set()
    first.join(30)
    second.join(30)
    assert names == dict(zip(paths, ("first", "second"), strict=True))


# What stays behind


@pytest.mark.parametrize("end", ["", "raise SystemExit(2)", "raise KeyError('x')", "raise KeyboardInterrupt"])
def test_modules_and_import_path_are_as_before_however_the_file_ends(write, end):
    write("", "project/helper.py")
    write("", "lib/inner.py")
    path = write(
        f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
        import helper, inner
        {end}
        """,
        "project/config.py",
    )
    modules, search_path, no_bytecode = dict(sys.modules), list(sys.path), sys.dont_write_bytecode
    with pytest.raises((ConfigFileError, KeyboardInterrupt)):
        load_training_project(path)
    assert (dict(sys.modules), list(sys.path), sys.dont_write_bytecode) == (modules, search_path, no_bytecode)


def test_an_imported_truss_is_shadowed_while_loading_and_back_afterwards(write, monkeypatch):
    theirs = {name: types.ModuleType(name) for name in ("truss", "truss.base", "truss.cli", "truss_train")}
    for name, module in theirs.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert type(load_training_project(write(PROJECT))) is definitions.TrainingProject
    assert {name: sys.modules.get(name) for name in theirs} == theirs
    assert "truss.base.truss_config" not in sys.modules


def test_modules_installed_below_the_directory_stay_imported(write, tmp_path, monkeypatch):
    installed = write("", ".venv/lib/site-packages/installed_for_config_test.py").parent
    monkeypatch.syspath_prepend(str(installed))
    load_training_project(write("import installed_for_config_test\n" + PROJECT))
    assert sys.modules.pop("installed_for_config_test").__file__.startswith(str(installed))


def test_this_package_stays_imported_when_the_file_lies_beside_it(write, tmp_path):
    (tmp_path / "truss_train_core").symlink_to(Path(definitions.__file__).parents[1])
    path = write("import truss_train_core.testing.clock\n" + PROJECT)
    code = f"""if True:
        import sys, truss_train_core
        assert truss_train_core.__file__.startswith({str(tmp_path)!r})
        from truss_train_core.config_file import load_training_project
        load_training_project({str(path)!r})
        assert "truss_train_core.testing.clock" in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


# What is refused


def test_no_such_file_a_directory_and_another_suffix_are_told_apart(write, tmp_path):
    assert refusal(tmp_path / "config.py") == f"There is no file {tmp_path / 'config.py'}."
    assert refusal(tmp_path) == f"{tmp_path} is a directory. Name the file in it, such as {tmp_path / 'config.py'}."
    assert "is not a Python file" in refusal(write("name: digits", "config.yaml"))


def test_a_file_without_a_definition_is_told_what_it_has(write):
    path = write(f"{PROJECT}job = {JOB}\nprojects = [project]\ndel project")
    assert refusal(path).startswith(f"{path} defines no TrainingProject, only job (TrainingJob). Bind one to a name")
    assert refusal(write("")).startswith(f"{path} defines no TrainingProject. ")
    assert f"{path} defines no DeployCheckpointsConfig" in refusal(path, load_deploy_checkpoints_config)


def test_a_file_of_several_projects_is_told_their_names(write):
    path = write(PROJECT + "_other = project.model_copy()")
    assert refusal(path).startswith(f"{path} defines 2 objects of class TrainingProject: project, _other.")


@pytest.mark.parametrize("code", ["x = 1\ny = (", "x = 1\nif x:\npass", "x = 1\ny = 'a"])
def test_a_syntax_error_is_reported_with_its_line(write, code):
    path = write(code)
    message = refusal(path)
    assert message.startswith((f"{path}:2: SyntaxError: ", f"{path}:3: SyntaxError: "))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "config.py"
    for content in (b"x = '\xff'", b"x = 1\0"):
        path.write_bytes(content)
        assert refusal(path).startswith(str(path))


def test_an_error_is_reported_with_line_and_cause(write):
    path = write("import json\n\nsettings = json.loads('{}')\nname = settings['name']\n")
    assert refusal(path) == f"{path}:4: KeyError: 'name'"
    with pytest.raises(ConfigFileError) as caught:
        load_training_project(path)
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_error_in_a_module_beside_the_file_is_reported_there(write):
    helper = write("def name():\n    raise RuntimeError('no\\n  name')", "helper.py")
    assert refusal(write("import helper\nhelper.name()")) == f"{helper}:2: RuntimeError: no name"
    write("x = (", "helper.py")
    path = write("\nimport helper")
    assert refusal(path).startswith(f"{path}:2: SyntaxError: ")
    assert "(helper.py, line 1)" in refusal(path)


def test_an_error_below_the_file_is_reported_at_the_files_own_line(write):
    path = write("from truss_train import BasetenCheckpoint\n\nBasetenCheckpoint.from_latest_checkpoint()")
    assert refusal(path) == f"{path}:3: ValueError: from_latest_checkpoint() needs a project_name, a job_id, or both"


def test_a_wrong_field_is_reported_by_its_path_without_what_it_was_given(write):
    path = write(
        """
        from truss_train import Compute, Image, Runtime, TrainingJob
        compute = dict(node_count=0, accelerator="H1000:8")
        runtime = dict(environment_variables={"TOKEN": ["hunter2"]}, start_command="hunter2")
        job = TrainingJob(image=Image(base_image="x"), compute=compute, runtime=runtime)
        """
    )
    message = refusal(path)
    assert message.startswith(f"{path}:5: TrainingJob.compute.node_count: Input should be greater than or equal to 1; ")
    assert "TrainingJob.compute.accelerator.accelerator: 'H1000' is not one of T4, " in message
    assert "TrainingJob.runtime: there is no field 'start_command'; did you mean 'start_commands'?" in message
    assert "hunter2" not in message


def test_ending_the_program_is_an_error_of_the_file(write):
    path = write("import sys\nsys.exit('set SFT_JOB_ID first')")
    assert refusal(path) == f"{path}:2: SystemExit: set SFT_JOB_ID first"


def test_pushing_from_the_file_that_is_loading_is_an_error(write):
    path = write(PROJECT + "from truss_train.public_api import push\npush(project)")
    assert "push() is called by the file that it is to read" in refusal(path)


@pytest.mark.parametrize(
    "wrong", ["from truss_train import AutoSFT", "import truss.cli", "from truss.base import constants"]
)
def test_what_the_aliases_lack_is_an_error_that_says_what_there_is(write, wrong):
    message = refusal(write(wrong))
    assert ":1: " in message
    assert "truss_train.definitions, truss_train.public_api, truss, truss.base, truss.base.truss_config" in message


# The documentation's examples

DYNAMIC_CONFIG = """
import json
from pathlib import Path

from truss.base import truss_config
from truss_train import definitions

config_path = Path(__file__).parent / "runtime_config.json"
runtime_config = json.loads(config_path.read_text())

training_runtime = definitions.Runtime(
    start_commands=["python train.py"],
    environment_variables={
        "MODEL_ID": runtime_config["model_id"],
        "DATASET_ID": runtime_config["dataset_id"],
        "HF_TOKEN": definitions.SecretReference(name="hf_access_token"),
    },
    checkpointing_config=definitions.CheckpointingConfig(enabled=True),
)
training_compute = definitions.Compute(
    accelerator=truss_config.AcceleratorSpec(accelerator=truss_config.Accelerator.H100, count=2),
)
training_job = definitions.TrainingJob(
    image=definitions.Image(base_image="pytorch/pytorch:2.7.0-cuda12.8-cudnn9-runtime"),
    compute=training_compute,
    runtime=training_runtime,
)
training_project = definitions.TrainingProject(
    name=runtime_config.get("project_name", "dynamic-training"), job=training_job
)
"""

PRIVATE_IMAGE = """
from truss.base import truss_config
from truss_train import definitions

image = definitions.Image(
    base_image="123456789.dkr.ecr.us-east-1.amazonaws.com/my-image:latest",
    docker_auth=definitions.DockerAuth(
        auth_method=truss_config.DockerAuthType.AWS_IAM,
        registry="123456789.dkr.ecr.us-east-1.amazonaws.com",
        aws_iam_docker_auth=definitions.AWSIAMDockerAuth(
            access_key_secret_ref=definitions.SecretReference(name="aws_access_key"),
            secret_access_key_secret_ref=definitions.SecretReference(name="aws_secret_key"),
        ),
    ),
)
latest = definitions.BasetenCheckpoint.from_latest_checkpoint(project_name="my-fine-tuning-project")
specific = definitions.BasetenCheckpoint.from_named_checkpoint(checkpoint_name="checkpoint-100", job_id="abc123")
runtime = definitions.Runtime(
    start_commands=["python train.py"],
    load_checkpoint_config=definitions.LoadCheckpointConfig(enabled=True, checkpoints=[latest, specific]),
)
project = definitions.TrainingProject(
    name="llm-fine-tuning", job=definitions.TrainingJob(image=image, runtime=runtime), team_name="my-team"
)
"""

DEPLOYMENT = """
from truss_train import definitions
from truss.base import truss_config

deploy_config = definitions.DeployCheckpointsConfig(
    model_name="fine-tuned-llm",
    checkpoint_details=definitions.CheckpointList(
        base_model_id="meta-llama/Llama-3.1-8B-Instruct",
        checkpoints=[
            definitions.LoRACheckpoint(
                training_job_id="gvpql31",
                checkpoint_name="checkpoint-100",
                lora_details=definitions.LoRADetails(rank=16),
            )
        ],
    ),
    compute=definitions.Compute(
        accelerator=truss_config.AcceleratorSpec(accelerator=truss_config.Accelerator.H100, count=1)
    ),
)
"""


def test_the_documented_dynamic_config_loads(write):
    write(
        '{"dataset_id": "HuggingFaceH4/Multilingual-Thinking", "model_id": "meta-llama/Llama-3.1-8B"}',
        "runtime_config.json",
    )
    project = load_training_project(write(DYNAMIC_CONFIG))
    assert project.name == "dynamic-training"
    assert project.job.runtime.environment_variables["MODEL_ID"] == "meta-llama/Llama-3.1-8B"
    assert str(project.job.compute.accelerator) == "H100:2"


def test_the_documented_private_image_and_checkpoints_load(write):
    project = load_training_project(write(PRIVATE_IMAGE))
    assert project.job.image.docker_auth.auth_method is definitions.DockerAuthType.AWS_IAM
    assert [reference.typ for reference in project.job.runtime.load_checkpoint_config.checkpoints] == [
        "baseten_latest_checkpoint",
        "baseten_named_checkpoint",
    ]


def test_the_documented_deployment_loads(write):
    config = load_deploy_checkpoints_config(write(DEPLOYMENT))
    assert config.checkpoint_details.checkpoints[0].lora_details.rank == 16


def test_loading_needs_no_http_client(write):
    code = f"""if True:
        import sys
        from truss_train_core.config_file import load_training_project
        load_training_project({str(write(PROJECT))!r})
        sys.exit("httpx" in sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


# Parameters in a file beside it

READS_ITS_CONFIG = """
import json
from pathlib import Path
from truss_train import Image, Runtime, TrainingJob, TrainingProject
import helper
config = json.loads((Path(__file__).resolve().parent / "runtime_config.json").read_text())
runtime = Runtime(environment_variables={"MODEL_ID": config["model"]["id"], "HELPED": helper.word})
project = TrainingProject(
    name=config.get("project_name", "digits"),
    job=TrainingJob(image=Image(base_image="python:3.11-slim"), runtime=runtime),
)
"""


def test_a_file_that_reads_its_parameters_is_given_them_and_nothing_is_written(write, tmp_path):
    path = write(READS_ITS_CONFIG, "work/config.py")
    write("word = 'yes'", "work/helper.py")
    before = sorted(tmp_path.rglob("*"))
    config = {"model": {"id": "small"}, "layers": [1, 2], "project_name": "p"}
    project = load_training_project(path, runtime_config=config)
    assert project.name == "p"
    assert project.job.runtime.environment_variables == {"MODEL_ID": "small", "HELPED": "yes"}
    assert project.runtime_config == config
    assert sorted(tmp_path.rglob("*")) == before


def test_given_parameters_stand_in_the_place_of_a_file_that_is_there(write):
    path = write(READS_ITS_CONFIG)
    write("word = 'yes'", "helper.py")
    kept = write('{"model": {"id": "large"}}', "runtime_config.json")
    assert load_training_project(path).job.runtime.environment_variables["MODEL_ID"] == "large"
    given = load_training_project(path, runtime_config={"model": {"id": "small"}})
    assert given.job.runtime.environment_variables["MODEL_ID"] == "small"
    assert "large" in kept.read_text()


def test_two_trials_of_one_directory_at_once_each_see_their_own_parameters(write):
    path = write(READS_ITS_CONFIG)
    write("word = 'yes'", "helper.py")
    seen = {}

    def load(number):
        project = load_training_project(path, runtime_config={"model": {"id": f"m{number}"}})
        seen[number] = project.job.runtime.environment_variables["MODEL_ID"]

    threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {number: f"m{number}" for number in range(8)}


def test_an_error_of_a_file_with_parameters_names_the_file_that_the_user_knows(write):
    path = write("project_name = {}['missing']")

    def load(path):
        load_training_project(path, runtime_config={})

    assert refusal(path, load).startswith(f"{path}:1: KeyError")
    assert refusal(path.with_name("nowhere.py"), load) == f"There is no file {path.with_name('nowhere.py')}."

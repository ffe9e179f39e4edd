"""The described machines: every file is whole and says where its figures are from; and machines that were measured."""

import pandas as pd
import pytest

from harness import child, hardware, preview, record
from harness.errors import UserError
from harness.point import DEVICES
from harness.schema import ITEM_BYTES
from tests.planning import asked, points

every_machine = pytest.mark.parametrize("name", hardware.names())
GOOD = """title: made up
source: a dream
device: cuda
called: [Dream]
memory: 12GB
flops_per_second: {float32: 2e12}
bytes_per_second: 1e11
achieved: {flops: 0.5, bytes: 1}
launch_seconds: 1e-5
graph_launch_seconds: 1e-6
"""


def written(folder, text=GOOD):
    path = folder / "dream.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# Every file ------------------------------------------------------------------------------------------------------


def test_there_are_machines_for_every_kind_of_device():
    found = {hardware.load(name).device for name in hardware.names()}
    assert found == set(DEVICES)
    assert len(hardware.names()) >= 5


@every_machine
def test_a_file_is_whole_and_says_where_its_figures_are_from(name):
    found = hardware.load(name)
    assert len(found.source.split()) >= 10
    assert {"float32", "bfloat16"} <= set(found.flops_per_second) <= set(ITEM_BYTES)
    assert found.flops_per_second["bfloat16"] >= found.flops_per_second["float32"]
    assert found.flops("float32") <= found.flops_per_second["float32"]
    assert found.bandwidth <= found.bytes_per_second
    assert found.graph_launch_seconds <= found.launch_seconds < 1e-3
    assert found.bytes_per_second < found.flops_per_second["float32"], "a device does more than one FLOP a byte"
    assert (hardware.FOLDER / f"{name}.yaml").read_text(encoding="utf-8").startswith("# "), "say what it is"
    assert (found.node_devices > 1) == (found.link is not None)


def test_published_figures():
    """Dense rates, bandwidths and memory of the data sheets; of MI250X half a card."""
    told = {
        "a100": (312e12, 2.039e12, 80e9, 300e9),
        "h100": (989e12, 3.35e12, 80e9, 450e9),
        "h200": (989e12, 4.8e12, 141e9, 450e9),
        "mi250x": (383e12 / 2, 3.2767e12 / 2, 64e9, 50e9),
    }
    for name, figures in told.items():
        found = hardware.load(name)
        held = (found.flops_per_second["bfloat16"], found.bytes_per_second, found.memory, found.link.bytes_per_second)
        assert held == figures


@pytest.mark.parametrize("folder", ["triangle/cpu-intel-xeon-processor-2-cores", "triangle_gpu/nvidia-h200"])
def test_files_and_committed_measurements_agree(folder, committed):
    """The processor's file was read off these rows, the accelerator's peaks bound them; a busy moment may be slower."""
    results, best = record.load(committed / folder), {"bfloat16": 0.0, "bandwidth": 0.0}
    device = results.points["device"].iloc[0]
    for row in results.environments.to_dict("records"):
        told = {key: value for key, value in row.items() if isinstance(value, str | int | float)}
        found = hardware.measured(told, device)
        described = hardware.fitting(device, told["device_name"], told["cores"])
        assert found.flops("bfloat16") == told["peak_flops_bfloat16"]
        assert found.flops("float32") == told["peak_flops"]
        assert found.bandwidth == told["peak_bytes_per_second"]
        assert found.launch_seconds == described.launch_seconds
        best["bfloat16"] = max(best["bfloat16"], found.flops("bfloat16"))
        best["bandwidth"] = max(best["bandwidth"], found.bandwidth)
    assert best["bfloat16"] == pytest.approx(described.flops("bfloat16"), rel=0.1)
    assert best["bandwidth"] == pytest.approx(described.bandwidth, rel=0.25)


@pytest.mark.parametrize("machine", ["cpu-intel-xeon-processor-2-cores", "nvidia-h200"])
def test_files_are_near_the_medians_of_what_was_measured(machine, committed):
    rows = pd.concat([pd.read_csv(path) for path in committed.glob(f"*/{machine}/environments.csv")])
    described = hardware.fitting("cpu" if "cpu" in machine else "cuda", rows["device_name"].iloc[0], 2)
    assert len(rows) > 9
    assert described.flops("bfloat16") == pytest.approx(rows["peak_flops_bfloat16"].median(), rel=0.1)
    assert described.bandwidth == pytest.approx(rows["peak_bytes_per_second"].median(), rel=0.1)


# Which machine ---------------------------------------------------------------------------------------------------


def test_a_device_finds_its_file_by_name_or_the_slowest_of_its_kind():
    assert hardware.fitting("cuda", "NVIDIA H200") == hardware.load("h200")
    assert hardware.fitting("cuda", "NVIDIA A100-SXM4-80GB") == hardware.load("a100")
    slowest = min((hardware.load(n) for n in hardware.names()), key=lambda m: (m.device != "cuda", m.bytes_per_second))
    assert hardware.fitting("cuda", "Accelerator of tomorrow") == hardware.fitting("cuda") == slowest
    assert hardware.fitting("cuda", "NVIDIA GeForce of tomorrow") == hardware.load("a100"), "not another maker's"


def test_a_processor_is_scaled_by_its_cores():
    two, eight = hardware.fitting("cpu", cores=2), hardware.fitting("cpu", cores=8)
    assert eight.flops("float32") == 4 * two.flops("float32")
    assert eight.bandwidth == 2 * two.bandwidth
    assert eight.launch_seconds == two.launch_seconds
    assert hardware.here("cpu") == hardware.fitting("cpu", cores=child.cores())


@pytest.mark.parametrize(
    ("device", "name", "cores", "told"),
    [
        ("cpu", "Intel(R) Xeon(R) Processor", 2, ""),
        ("cpu", "Intel(R) Xeon(R) Processor", 8, "Intel(R) Xeon(R) Processor, 8 cores"),
        ("cpu", "AMD EPYC", 1, "AMD EPYC, 1 core"),
        ("cuda", "NVIDIA H200", 16, ""),
        ("cuda", "NVIDIA GeForce of tomorrow", 16, "NVIDIA GeForce of tomorrow"),
        ("cuda", "", 16, ""),  # no driver tells
    ],
)
def test_predictions_say_where_they_are_of_another_machine_than_this(monkeypatch, capsys, device, name, cores, told):
    for one in (hardware.here, hardware.another):
        monkeypatch.setattr(hardware, one.__name__, one.__wrapped__)
    monkeypatch.setattr(hardware, "_name", lambda _: name)
    monkeypatch.setattr(child, "cores", lambda: cores)
    assert hardware.another(device) == told
    preview.tell(asked(), points(device=device), [2])
    printed = " ".join(capsys.readouterr().out.split())
    title = hardware.here(device).title
    assert f"predictions for: {title}." in printed
    own = f"What is here is another one, {told}: `python -m harness predict --machine measured` takes its rates."
    assert (own in printed) == ("is another one" in printed) == bool(told)


def test_a_row_with_gaps_takes_the_rest_from_the_file():
    found = hardware.measured({"device_name": "NVIDIA H200", "peak_flops_bfloat16": 7e14, "cores": 16}, "cuda")
    assert found.flops("bfloat16") == 7e14
    assert found.flops_per_second["float32"] == hardware.load("h200").flops_per_second["float32"]
    assert found.link == hardware.load("h200").link
    assert found.title == "NVIDIA H200"


# Mistakes --------------------------------------------------------------------------------------------------------


def test_a_file_is_all_that_a_machine_needs(tmp_path, monkeypatch):
    written(tmp_path)
    monkeypatch.setattr(hardware, "FOLDER", tmp_path)
    assert hardware.names() == ["dream"]
    assert hardware.read(tmp_path / "dream.yaml").flops("float32") == 1e12


def test_an_unknown_machine_is_refused():
    told = r"--machine: unknown machine 'h300'; allowed are a100, .*, measured; did you mean 'h[12]00'\?"
    with pytest.raises(UserError, match=told):
        hardware.load("h300")


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("memory", "memroy", 5, "memroy: unknown key 'memroy'"),
        ("device: cuda", "device: cdua", 3, "device: unknown device 'cdua'"),
        ("float32", "float23", 6, "flops_per_second: unknown dtype 'float23'"),
        ("0.5", "1.5", 8, "achieved.flops: 1.5 is out of range; allowed is above 0, at most 1"),
        ("1e11", "-1", 7, "bytes_per_second: -1 is out of range; allowed is above 0"),
        ("1e11", "1e-308", 7, "bytes_per_second: 1e-308 is out of range; allowed is above 0: 1e-24 to 1e+24"),
        ("1e-5", "1e308", 9, "launch_seconds: 1e+308 is out of range; allowed is above 0: 1e-12 to 1e+12"),
        ("{float32: 2e12}", "{}", 6, "flops_per_second: it is empty; give at least one rate"),
        ("12GB", "lots", 5, "memory: 'lots' is not a number"),
        ("source: a dream\n", "", 1, "source: it is missing"),
        ("made up", "5", 1, "title: 5 is not text; put it in quotes if it is a name"),
        ("made up", "", 1, "title: it is empty; give a value"),
        ("called: [Dream]", "called: Dream", 4, "called: 'Dream' is not a list; write it as [Dream]"),
        ("called: [Dream]", "called: []", 4, "called: the list is empty; give at least one value"),
        ("called: [Dream]", "node_devices: 0", 4, "node_devices: 0 is out of range; allowed is 1 or more"),
        ("called: [Dream]", "programs: 1", 4, "programs: 1 is not allowed; allowed is true or false"),
        ("called: [Dream]", "link: {second: 1}", 4, "link.second: unknown key 'second'; allowed are bytes_per_second"),
        ("{float32: 2e12}", "2e12", 6, "flops_per_second: 2000000000000.0 is not a mapping; give at least one rate"),
        ("{flops: 0.5, bytes: 1}", "0.5", 8, "achieved: 0.5 is not a mapping; its keys are flops, bytes"),
    ],
)
def test_a_wrong_file_is_told_by_line(tmp_path, old, new, line, told):
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        hardware.read(path)
    lines = str(caught.value).splitlines()
    assert any(each.startswith((f"{path}:{line}: ", f"{path}: ")) and told in each for each in lines), lines


def test_an_empty_file_is_told(tmp_path):
    with pytest.raises(UserError, match="a machine is a mapping; its keys are title, source"):
        hardware.read(written(tmp_path, "# nothing\n"))


def test_what_is_no_text_file_is_told(tmp_path):
    (tmp_path / "dream.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"dream.yaml: this is not UTF-8 text \(byte 0\)"):
        hardware.read(tmp_path / "dream.yaml")
    with pytest.raises(UserError, match="this is a folder; a machine is one YAML file"):
        hardware.read(tmp_path)

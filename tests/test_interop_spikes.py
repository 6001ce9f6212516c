"""Spikes to and from SONATA, NWB, CSV and npz: the same bits, what is known of the run, and what is refused."""

import pathlib
import subprocess
import sys

import h5py
import numpy as np
import pytest
from test_exports import run

import sparseprop as sp
from sparseprop import cli
from sparseprop.errors import FileFormatError, ParameterError, StorageError
from sparseprop.interop import FORMATS, convert, read_spikes, write_spikes

SUFFIX = {"sonata": ".h5", "sonata-bmtk": ".h5", "sonata-old": ".h5", "nwb": ".nwb", "csv": ".csv", "npz": ".npz"}
EXACT = ("sonata", "csv", "npz")  # with all that is known of the run


def installed(name):
    if name == "nwb":
        pytest.importorskip("pynwb", reason='pynwb: pip install "sparseprop-sim[pynwb]"')
    return name


@pytest.fixture(scope="module")
def res():
    return run().between(0.0, 200.0)


def same_recorded(a, b):
    return all(
        (a[name] is b[name]) if a[name] is True or a[name] is None else np.array_equal(a[name], b[name]) for name in a
    )


def _about(res):
    return [(p.name, p.n, p.first, p.is_source) for p in res.populations]


@pytest.mark.parametrize("name", EXACT)
def test_round_trips_keep_bits_and_what_is_known(res, tmp_path, name):
    path = tmp_path / f"a{SUFFIX[name]}"
    write_spikes(res, path, spikes_only=True)
    back = read_spikes(path)
    assert np.array_equal(back.times, res.times) and np.array_equal(back.ids, res.ids)
    assert _about(back) == _about(res)
    assert (back.t_start, back.t_stop, back.run_id) == (res.t_start, res.t_stop, res.run_id)
    assert same_recorded(res.recorded, back.recorded)


def test_nwb_has_seconds(res, tmp_path):
    pynwb = pytest.importorskip("pynwb")
    write_spikes(res, tmp_path / "a.nwb", spikes_only=True)
    with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "r") as io:
        units = io.read().units
        trains = res.spike_trains()
        assert units.id[:].tolist() == list(trains)
        for k, times in enumerate(trains.values()):
            assert np.array_equal(units["spike_times"][k], times / 1000.0)
            assert np.array_equal(units["obs_intervals"][k], [[0.0, 0.2]])
    back = read_spikes(tmp_path / "a.nwb")
    assert np.abs(back.times - res.times).max() <= np.spacing(200.0)
    assert (back.times != res.times).mean() < 0.25
    by_neuron = {(p.name, i - p.first): t for p in res.populations for i, t in trains.items()
                 if p.first <= i < p.first + p.n}  # fmt: skip
    for info in back.populations:
        for i, t in back[info.name].spike_trains().items():
            assert by_neuron.pop((info.name, i)) == pytest.approx(t, rel=1e-15)
    assert not by_neuron and same_recorded(back.recorded, {"E": True, "I": [1, 2, 7], "silent": True, "source": True})


def test_nwb_of_others(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    import datetime

    file = pynwb.NWBFile("a session", "x1", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    file.add_unit(spike_times=[0.5, 1.25])
    file.add_unit(spike_times=[0.25])
    with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(file)
    back = read_spikes(tmp_path / "a.nwb", t_stop=2000.0)
    assert back.times.tolist() == [250.0, 500.0, 1250.0] and back.ids.tolist() == [1, 0, 0]
    assert [(p.name, p.n) for p in back.populations] == [("units", 2)] and back.t_stop == 2000.0


def test_nwb_warns_of_equal_times(tmp_path):
    pytest.importorskip("pynwb")
    net = sp.Network(seed=1)
    net.add(1, sp.SpikeSource([1.0, 1.0, 2.0], [0, 0, 0]), name="in")
    res = net.run(5.0, record=sp.Record(record_sources=True))
    with pytest.warns(UserWarning, match="1 spikes are at the same time in seconds"):
        write_spikes(res, tmp_path / "a.nwb")


@pytest.mark.parametrize("name", ["sonata", "sonata-bmtk"])
def test_libsonata_reads_what_is_written(res, tmp_path, name):
    import libsonata

    write_spikes(res, tmp_path / "a.h5", name, spikes_only=True)
    back = read_spikes(tmp_path / "a.h5", sizes=None if name == "sonata" else {p.name: p.n for p in res.populations})
    assert np.array_equal(back["E"].times, res["E"].times) and np.array_equal(back["E"].ids, res["E"].ids)
    if name == "sonata":  # which a text for the sorting keeps from reading the other one
        assert len(libsonata.SpikeReader(str(tmp_path / "a.h5"))["E"].get()) == len(res["E"].times)
    else:
        with h5py.File(tmp_path / "a.h5") as file:
            assert file["spikes/E/timestamps"].attrs["units"] == "milliseconds"


def test_the_old_layout(res, tmp_path):
    write_spikes(res["E"], tmp_path / "a.h5", "sonata-old", spikes_only=True)
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file["spikes"]) == ["gids", "timestamps"]
    back = read_spikes(tmp_path / "a.h5")
    assert np.array_equal(back.times, res["E"].times) and back.populations[0].name == "spikes"
    with pytest.raises(ParameterError, match="sonata-old has no populations, and there are 'E', 'I'"):
        write_spikes(res, tmp_path / "b.h5", "sonata-old", spikes_only=True)
    assert not (tmp_path / "b.h5").exists() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "text",
    [
        "timestamps population node_ids\n1.5 E 3\n0.25 I 0\n",  # bmtk
        "time,population,id\n1.5,E,3\n0.25,I,0\n",
        "# comment\n\nTime_ms;Population;Neuron\n1.5;E;3\n0.25;I;0",
        "neuron\tpopulation\ttime_s\n3\tE\t0.0015\n0\tI\t0.00025\n",
        '\ufefftime, population, senders\r\n1.5, "E", 3\r\n0.25, I, 0\r\n',
    ],
)
def test_tables_of_others(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text.encode())
    res = read_spikes(tmp_path / "a.csv", sizes={"I": 5})
    assert res.times.tolist() == [0.25, 1.5] and res["E"].ids.tolist() == [3] and res["I"].ids.tolist() == [0]
    assert [(p.name, p.n) for p in res.populations] == [("E", 4), ("I", 5)]
    assert res.recorded == {"E": None, "I": True} and (res.t_start, res.t_stop) == (0.0, 1.5)


def test_plain_arrays_of_others(tmp_path):
    np.savez(tmp_path / "a.npz", times=[2.0, 1.0], ids=[0, 4])
    res = read_spikes(tmp_path / "a.npz", sizes={"spikes": 10}, t_start=-1.0, t_stop=3.0)
    assert res.times.tolist() == [1.0, 2.0] and res.ids.tolist() == [4, 0] and res.rate == 50.0


@pytest.mark.parametrize("name", FORMATS)
def test_no_spikes(tmp_path, name):
    installed(name)
    net = sp.Network(seed=1)
    net.add(3, sp.LIF(tau_m=10.0), name="E")
    path = tmp_path / f"a{SUFFIX[name]}"
    write_spikes(net.run(10.0), path, name)
    back = read_spikes(path)
    assert len(back.times) == 0
    if name in (*EXACT, "nwb"):
        assert (back.n_neurons, back.t_stop, back.rate) == (3, 10.0, 0.0)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "sonata"])
def test_recordings_are_refused_by_name(tmp_path, name):
    with pytest.raises(ParameterError, match=f"{name} has no place for V, I_syn, counts, .* spikes_only=True"):
        write_spikes(run(), tmp_path / f"a{SUFFIX[name]}", name)
    assert not list(tmp_path.iterdir())


BAD = {
    "csv": [
        ("", "first line must name the columns"),
        ("time,who\n1,2\n", "must name the columns, among them one of neuron"),
        ("time,id\nx,2\n", "times must be numbers"),
        ("time,id\n1,2.5\n", "neurons whole numbers"),
        ("time,id\n1,2\n1\n", "all rows must have as many fields"),
        ("time,id\n1,2,3\n", "rows have 3 fields"),
        ("time,id\n1,-2\n", "ids must not be negative"),
        ("time,id\nnan,2\n", "times must be finite"),
    ]
}


@pytest.mark.parametrize(("text", "message"), BAD["csv"])
def test_bad_tables(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_spikes(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"times": [1.0]}, "no array 'ids'; it has times"),
        ({"times": [1.0], "ids": [1, 2]}, "columns of numbers of one length"),
        ({"times": [1.0], "ids": [1.0]}, "columns of numbers"),
        ({"times": [1.0], "ids": [5], "sizes": [3], "populations": ["E"]}, r"ids must be in \[0, 3\)"),
        ({"times": [1.0], "ids": [5], "sizes": [3, 4], "populations": ["E"]}, "one size for each"),
        ({"times": [1.0], "ids": np.array([None])}, "no npz file of plain arrays"),
    ],
)
def test_bad_arrays(tmp_path, content, message):
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(FileFormatError, match=message):
        read_spikes(tmp_path / "a.npz")


def test_what_else_is_refused(res, tmp_path):
    (tmp_path / "a.csv").write_text("time,id\n1,2\n")
    with pytest.raises(ParameterError, match="unknown format: 'cvs' .*did you mean 'csv'"):
        read_spikes(tmp_path / "a.csv", "cvs")
    with pytest.raises(ParameterError, match=r"format of .*a\.dat cannot be told from its suffix"):
        read_spikes(tmp_path / "a.dat")
    with pytest.raises(ParameterError, match="unknown population in sizes: 'E'"):
        read_spikes(tmp_path / "a.csv", sizes={"E": 4})
    with pytest.raises(ParameterError, match="sizes must be a dict"):
        read_spikes(tmp_path / "a.csv", sizes=4)
    with pytest.raises(ParameterError, match="has a neuron 2, and so not 2 neurons"):
        read_spikes(tmp_path / "a.csv", sizes={"spikes": 2})
    with pytest.raises(ParameterError, match="must enclose the spikes, from 1 to 1 ms, got 0 and 0.5"):
        read_spikes(tmp_path / "a.csv", t_stop=0.5)
    with pytest.raises(StorageError, match="cannot read"):
        read_spikes(tmp_path / "b.csv")
    with pytest.raises(StorageError, match="it exists"):
        write_spikes(res, tmp_path / "a.csv", spikes_only=True)
    with pytest.raises(ParameterError, match="source and target are one file"):
        convert(tmp_path / "a.csv", tmp_path / "a.csv", overwrite=True)
    with pytest.raises(ParameterError, match="result must be a Result, got 3"):
        write_spikes(3, tmp_path / "c.csv")
    write_spikes(res, tmp_path / "a.csv", spikes_only=True, overwrite=True)
    assert read_spikes(tmp_path / "a.csv").n_neurons == res.n_neurons


def test_nwb_files_that_are_none(tmp_path):
    installed("nwb")
    (tmp_path / "a.nwb").write_text("nothing")
    with pytest.raises(FileFormatError, match=r"a\.nwb is no NWB file"):
        read_spikes(tmp_path / "a.nwb")


def test_nwb_without_pynwb(monkeypatch, res, tmp_path):
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(ImportError, match=r"NWB needs pynwb: run `pip install .*\[pynwb\]"):
        write_spikes(res, tmp_path / "a.nwb", spikes_only=True)


# The command --------------------------------------------------------------------------------------------------------


def test_the_command(res, tmp_path, capsys):
    res.save(tmp_path / "a.h5")
    files = [str(tmp_path / name) for name in ("a.h5", "b.csv", "c.npz", "d.h5")]
    assert cli.main(["convert", files[0], files[1]]) == 1
    assert "csv has no place for V, I_syn, counts" in capsys.readouterr().err
    assert cli.main(["convert", files[0], files[1], "--spikes-only"]) == 0
    assert f"{len(res.times):,} spikes (E: 30, I: 10" in capsys.readouterr().out
    assert cli.main(["convert", *files[1:3]]) == cli.main(["convert", *files[2:4]]) == 0
    assert cli.main(["convert", *files[2:4]]) == 1
    assert np.array_equal(sp.load(files[3]).times, res.times)


def test_options_of_the_command(tmp_path, capsys):
    source, target = tmp_path / "a.dat", tmp_path / "b.dat"
    source.write_text("time population id\n1.0 E 2\n")
    command = ["convert", str(source), str(target), "--from", "csv", "--to", "npz", "--size", "E=8", "--start", "-1"]
    assert cli.main([*command, "--stop", "9"]) == 0
    back = read_spikes(target, "npz")
    assert (back.n_neurons, back.t_start, back.t_stop) == (8, -1.0, 9.0)
    assert cli.main([*command, "--size", "8"]) == 2
    assert "must be NAME=N" in capsys.readouterr().err


def test_it_is_a_command(tmp_path):
    pathlib.Path(tmp_path, "a.csv").write_text("time,id\n1,2\n")
    done = subprocess.run(
        [sys.executable, "-m", "sparseprop", "convert", "a.csv", "b.npz"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

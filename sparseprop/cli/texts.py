"""What ``--help`` says of the commands."""

EXIT_CODES = "exit codes: 0 success, 1 error (one line on stderr), 2 wrong usage, 130 interrupted by Ctrl-C"
DEMO_HELP = """\
Simulate the balanced network of the SparseProp paper (Engelken 2023): leaky integrate-and-fire neurons
(tau 10 ms) that inhibit 100 others each (K = 100, j0 = 1) and fire irregularly, although no noise drives
them. Writes raster.h5 (all spikes) and raster.png (a picture; needs matplotlib) into the current folder, in
place of those of an earlier demo; a raster.h5 of anything else is replaced only with --overwrite. Takes some
seconds."""
DEMO_EXAMPLE = """\
examples:
  sparseprop demo
  sparseprop demo --neurons 10000 --duration 5000"""
RUN_HELP = """\
Run the network of a configuration file and stream its spikes into an HDF5 raster (SONATA layout), which
sp.load(), `sparseprop info` and `sparseprop plot` read. Ctrl-C ends the run early; what was recorded stays in
the file. Of a raster instead of a configuration the run that wrote it is repeated, bit for bit. With
--checkpoint the state is saved again and again, and after a crash the same command with --resume ends the run
as if nothing had happened."""
RUN_EXAMPLE = """\
examples:
  sparseprop run network.toml -o raster.h5 --duration 500
  sparseprop run raster.h5 -o again.h5
  sparseprop run network.toml -o raster.h5 --checkpoint state.h5 --every 100
  sparseprop run network.toml -o raster.h5 --checkpoint state.h5 --every 100 --resume

The configuration is TOML: what sp.Network.from_dict takes, and a table [run] that the command line overrules:

  seed = 1

  [[populations]]
  name = "neurons"
  n = 1000
  model = { name = "LIF", tau_m = 10.0, I_e = 1.1 }

  [[projections]]
  pre = "neurons"
  post = "neurons"
  rule = { name = "fixed_outdegree", k = 100 }
  weight = -0.1

  [run]
  duration = 1000.0     # ms; here or on the command line there must be a duration, n_spikes, or both
  n_spikes = 100000     # stop after this many spikes; whichever comes first ends the run
  engine = "heap"
  seed = 2              # of initial states and Poisson input, if they are to differ from the network's own
  # checkpoint = "state.h5"
  # every = 100.0       # ms between two checkpoints"""
SWEEP_HELP = """\
Run the network of a configuration file with many parameters, in several processes, and measure each run: one
row of a CSV file, written as soon as it has finished. A point that fails is a row with an error, and the
others go on. Ctrl-C ends the sweep early; rows that had finished stay in the file, and --resume goes on from
there."""
SWEEP_EXAMPLE = """\
example:
  sparseprop sweep network.toml -o sweep.csv --workers 4

The configuration is that of `sparseprop run` and a table [sweep], of which all combinations are run. Its keys
are paths into the configuration, with populations by name or number and projections by number from 0:

  [sweep]
  "populations.neurons.model.I_e" = [1.05, 1.1, 1.2]
  "projections.0.weight" = [-0.05, -0.1]
  seed = [1, 2, 3]"""
INFO_HELP = """\
Describe a file. Of a raster: populations, spikes, rates, duration, seed, versions, whether the run finished,
and the network. Of a configuration (*.toml): the network that it builds and the memory that takes."""
INFO_EXAMPLE = """\
examples:
  sparseprop info raster.h5
  sparseprop info network.toml"""
PLOT_HELP = """\
Draw the spikes of a raster, or of any SONATA spike file, over a histogram of the population rates. The suffix
of the picture's name is its format (.png, .pdf, .svg, ...)."""
PLOT_EXAMPLE = """\
examples:
  sparseprop plot raster.h5
  sparseprop plot raster.h5 -o raster.pdf --from 200 --to 400 --neurons 1000"""
VIEW_HELP = """\
Write a page to look at a raster in, or at any SONATA spike file: one HTML file that any browser opens,
without a server and without network. In it the raster can be panned and zoomed, populations be hidden and
boxes be selected; histograms of rates and interspike intervals are those of what is in view, or selected.
10^6 spikes take some 8 MB."""
VIEW_EXAMPLE = """\
examples:
  sparseprop view raster.h5
  sparseprop view raster.h5 -o looks.html --from 200 --to 400 --overwrite"""
CONVERT_HELP = """\
Write the spikes of one file into a file of another kind. Formats, by suffix or by --from and --to: sonata (.h5;
of any program and layout when read), sonata-bmtk (units "milliseconds"), sonata-old (/spikes/timestamps and
gids), nwb (.nwb; needs pynwb), csv (.csv, .tsv, .txt), npz (.npz). Times keep their bits, but for NWB, which has
seconds. What the target has no place for is refused; --spikes-only leaves V, I_syn and counts out."""
CONVERT_EXAMPLE = """\
examples:
  sparseprop convert raster.h5 raster.nwb
  sparseprop convert bmtk_spikes.h5 raster.csv --size E=8000 --stop 1000"""
BENCH_HELP = """\
Measure what a synaptic event costs on this machine: with this package, with the algorithm of the SparseProp paper,
with the conventional algorithm, and by the machine's bound, its random memory accesses. All take turns in one process
on the paper's balanced network. Writes bench.json (all figures, and on what they were measured) and bench.png (a
picture; needs matplotlib), and replaces files of these names. Takes about half a minute; with --full some minutes
and 1 GiB."""
BENCH_EXAMPLE = """\
examples:
  sparseprop bench
  sparseprop bench --full -o results"""

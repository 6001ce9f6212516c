"""Random networks of all kinds, for the tests that compare engines."""

import copy
import math

import numpy as np

import sparseprop as sp

# The window is to be tested on small networks too, which would get a heap.
sp.run.simulation.SMALL = 0


def random_model(rng, n, tau_scale, tables=True):
    """A model with random parameters, numbers or one value per neuron; drives above, at and below threshold."""
    model = _random_closed_form(rng, n, tau_scale)
    return another_model(n, model, tables) if isinstance(model, (sp.LIF, sp.QIF)) else model


def another_model(n, model, tables):
    """The LIF or QIF model, or one like it in physical units, with a table or two parts; without a draw from the rng.

    Tables are taken from a few, since each takes a while to make.
    """
    first = [float(np.ravel(value)[0]) for value in (model.tau_m, model.I_e)]
    rng = np.random.default_rng(np.array(first).view(np.uint64))
    if rng.random() < 0.6:
        return model
    if isinstance(model, sp.LIF) and rng.random() < 0.4:
        return piecewise_linear(rng, n, model)
    if isinstance(model, sp.QIF) and np.random.default_rng([1, *np.array(first).view(np.uint64)]).random() < 0.4:
        return rapid(rng, n, model)
    near_zero = isinstance(model, sp.QIF) and np.min(np.abs(model.I_e)) < 1e-2  # which is to stay as near
    if near_zero and not tables:
        return model
    if isinstance(model, sp.QIF) and not near_zero and (not tables or rng.random() < 0.5):
        V_r, D, g_L = rng.uniform(-0.6, -0.1), rng.uniform(0.4, 1.5), rng.uniform(0.5, 5.0)
        return sp.QuadraticIF(
            C_m=model.tau_m * g_L, g_L=g_L, V_r=V_r, V_t=V_r + D, V_peak=model.V_peak, V_reset=model.V_reset,
            I_e=g_L / D * (model.I_e + D * D / 4.0), t_ref=model.t_ref,
        )  # fmt: skip
    if not tables:
        return model
    shared = {"tau_m": model.tau_m, "t_ref": model.t_ref}
    if isinstance(model, sp.QIF):
        drives = [-0.5, 0.375]
        return sp.NumericalIF("V * V", V_th=10.0, V_reset=-5.0, I_e=_one_or_each(rng, n, drives), **shared)
    if rng.random() < 0.3:
        return sp.NumericalIF("-V", V_th=1.0, V_reset=0.0, I_e=_one_or_each(rng, n, [0.75, 1.0, 1.25]), **shared)
    drives = [0.75, 1.0, 1.5]
    V_reset = rng.uniform(-1.0, 0.8, n if rng.random() < 0.3 else None)
    return sp.EIF(Delta_T=0.125, V_peak=2.0, V_reset=V_reset, I_e=_one_or_each(rng, n, drives), **shared)


def piecewise_linear(rng, n, model):
    """A PWLIF neuron like the LIF neuron, whose threshold becomes the kink; reset on both sides of it."""
    slope = np.exp(rng.uniform(math.log(0.02), math.log(10.0), n if rng.random() < 0.3 else None))
    V_th = np.max(model.V_th) + rng.uniform(0.2, 2.0, n if rng.random() < 0.3 else None)
    V_reset = model.V_reset if rng.random() < 0.7 else np.min(V_th) - rng.uniform(0.01, 1.0)
    near = model.V_th + rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-12.0, -3.0)
    return sp.PWLIF(
        tau_m=model.tau_m, V_T=model.V_th, slope=slope, V_th=V_th, V_reset=V_reset,
        I_e=model.I_e if rng.random() < 0.8 else near, t_ref=model.t_ref,
    )  # fmt: skip


def rapid(rng, n, model):
    """RapidTheta neurons with the drives of the QIF neuron, some of them theta neurons."""
    rapidness = np.exp(rng.uniform(math.log(0.2), math.log(100.0), n if rng.random() < 0.5 else None))
    if np.ndim(rapidness):
        rapidness[rng.random(n) < 0.2] = 1.0
    return sp.RapidTheta(tau_m=model.tau_m, rapidness=rapidness, I_e=model.I_e)


def _one_or_each(rng, n, values):
    return rng.choice(values, n) if rng.random() < 0.3 else float(rng.choice(values))


def _random_closed_form(rng, n, tau_scale):

    def parameter(low, high, log=False):
        size = n if rng.random() < 0.3 else None
        value = rng.uniform(math.log(low), math.log(high), size) if log else rng.uniform(low, high, size)
        return np.exp(value) if log else value

    tau_m = 10.0 if rng.random() < 0.4 else tau_scale * parameter(0.5, 2.0, log=True)
    t_ref = 0.0 if rng.random() < 0.6 else parameter(0.01, 3.0, log=True)
    if rng.random() < 0.5:
        V_th, V_reset = parameter(0.9, 1.1), parameter(-1.0, 0.5)
        drive = rng.choice(["above", "mixed", "at", "below"])
        I_e = {
            "above": lambda: parameter(1.2, 3.0),
            "mixed": lambda: rng.uniform(0.5, 2.0, n),
            "at": lambda: V_th,
            "below": lambda: parameter(0.3, 0.89),
        }[drive]()
        model = sp.LIF(tau_m=tau_m, V_th=V_th, V_reset=V_reset, I_e=I_e, t_ref=t_ref)
        return with_currents(rng.spawn(1)[0], n, model)
    drive = rng.choice(["above", "mixed", "zero", "tiny", "below"])
    I_e = {
        "above": lambda: parameter(0.01, 2.0),
        "mixed": lambda: rng.uniform(-0.5, 1.0, n),
        "zero": lambda: 0.0,
        "tiny": lambda: rng.choice([-1.0, 1.0]) * parameter(1e-12, 1e-3, log=True),
        "below": lambda: -parameter(0.001, 2.0),
    }[drive]()
    if rng.random() < 0.3:
        return sp.Theta(tau_m=tau_m, I_e=I_e)
    V_peak = math.inf if rng.random() < 0.5 else parameter(2.0, 30.0)
    V_reset = -math.inf if rng.random() < 0.5 else parameter(-30.0, 1.5)
    return sp.QIF(tau_m=tau_m, I_e=I_e, V_peak=V_peak, V_reset=V_reset, t_ref=t_ref)


def with_currents(rng, n, model):
    """The LIF model, or one with synaptic currents: slower, faster, nearly as fast or as fast as the membrane."""
    if rng.random() < 0.4:
        return model

    def time_constant():
        factor = {
            "any": lambda size: np.exp(rng.uniform(-2.5, 1.5, size)),
            "near": lambda size: 1.0 + rng.uniform(-0.12, 0.12, size),
            "nearer": lambda size: 1.0 + rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-16.0, -2.0, size),
            "equal": lambda size: 1.0,
        }[rng.choice(["any", "any", "near", "nearer", "equal"])](n if rng.random() < 0.2 else None)
        return np.asarray(model.tau_m * factor)[()]

    ports = tuple(time_constant() for _ in range(rng.integers(1, 5)))
    parameters = {name: getattr(model, name) for name in model.table}
    return sp.LIFExp(**parameters, tau_syn=ports if len(ports) > 1 or rng.random() < 0.5 else ports[0])


def random_currents(seed, n, model):
    """Initial synaptic currents: none, the same for all neurons, or random. They have a generator of their own."""
    if not isinstance(model, sp.LIFExp):
        return None
    rng = np.random.default_rng([seed, n, model.n_ports])
    kind = rng.choice(["none", "equal", "random"])
    shape = {"none": (), "equal": (model.n_ports,), "random": (n, model.n_ports)}[kind]
    if kind == "none":
        return None
    I_syn = 0.3 * rng.normal(size=shape)
    return I_syn if model.n_ports > 1 else I_syn.ravel() if kind == "random" else float(I_syn[0])


def random_voltage(rng, n, model):
    """Initial voltages: the default, all equal (many ties), or random."""
    kind = rng.choice(["default", "equal", "random"])
    if kind == "default":
        return None
    highest = min(float(np.min(model.threshold())), 1.0) - 0.05
    if kind == "equal":
        return float(rng.uniform(-1.0, highest))
    return rng.uniform(-1.0, highest, n)


def random_delay(rng, n_synapses, scale):
    """None, one delay, or one per synapse, on a coarse grid (so that many arrive together) or not."""
    kind = rng.choice(["none", "one", "tiny", "grid", "each", "distribution"])
    if kind == "none" or n_synapses is None and kind in ("grid", "each", "distribution"):
        return 0.0
    if kind == "tiny":
        return scale * 1e-18
    if kind == "one":
        return float(scale * rng.choice([0.125, 1.0, rng.exponential()]))
    if kind == "grid":
        return lambda n: scale * rng.integers(0, 4, n) / 4.0
    if kind == "each":
        return lambda n: scale * rng.exponential(1.0, n)
    return sp.uniform(0.0, scale) if rng.random() < 0.5 else sp.normal(scale, scale, low=0.0)


def random_positive_delay(rng, n_synapses, smallest):
    """At least `smallest`: that, an ulp more, many times that; or one per synapse, on a coarse grid or not."""
    kind = rng.choice(["smallest", "above", "many", "grid", "each", "distribution"])
    if kind == "smallest" or n_synapses is None and kind in ("grid", "each", "distribution"):
        return smallest
    if kind == "above":
        return math.nextafter(smallest, math.inf)
    if kind == "many":
        return float(smallest * rng.uniform(2.0, 20.0))
    if kind == "grid":
        return lambda n: smallest * (1.0 + rng.integers(0, 4, n) / 2.0)
    if kind == "each":
        return lambda n: smallest + smallest * rng.exponential(1.0, n)
    return sp.uniform(smallest, 3.0 * smallest)


def add_sources(rng, net, targets, duration):
    """Up to two populations of sources."""
    sources = []
    for k in range(int(rng.integers(0, 3))):
        n = int(rng.integers(1, 5))
        if rng.random() < 0.5:
            times = duration * rng.random(int(rng.integers(0, 40)))
            if rng.random() < 0.5:
                times = np.round(times)
            source = sp.SpikeSource(times, rng.integers(0, n, times.size))
        else:
            source = random_process(rng, n, duration, sp.PoissonSource)
        sources.append(net.add(n, source, name=f"s{k}"))
    return sources


def random_process(rng, n, duration, make):
    """About 20 events per neuron; one rate, one per neuron, changing rates."""
    rate = 2e4 / duration
    kind = rng.choice(["one", "each", "changing", "both"])
    if kind == "one":
        return make(rate)
    if kind == "each":
        return make(rate * rng.random(n))
    times = np.sort(duration * rng.random(3))
    return make(rate * rng.integers(0, 3, (3, n) if kind == "both" else 3), times)


def add_drives(rng, net, populations, duration, strength):
    """Poisson kicks and steps of the current."""
    for p in populations:
        if rng.random() < 0.3:
            weight = strength * (rng.choice([-1.0, 1.0]) if rng.random() < 0.7 else rng.normal(size=p.n))
            port = random_port(rng, p)
            net.drive(p, random_process(rng, p.n, duration, sp.poisson), weight=weight, port=port)
        if rng.random() < 0.3:
            times = np.unique(np.round(duration * rng.random(3), 1))
            values = rng.normal(0.0, 0.5, (times.size, p.n) if rng.random() < 0.3 else times.size)
            net.drive(p, sp.steps(times, few_values(p, values)))


def few_values(population, values):
    """Steps for a population; for one with tables such as they are made for."""
    return np.where(values > 0.0, 0.25, -0.25) if population.model.kernel == "Tabulated" else values


def random_port(rng, population):
    """A port of the population's neurons, without a draw from `rng`."""
    return int(rng.spawn(1)[0].integers(population.model.n_ports))


def random_network(seed, tables=True, repetitions=True, delayed=False):
    """A network of 1 to 200 neurons in 1 to 3 populations with random projections, in half of the cases with delays
    and input from outside; perhaps without neurons with tables, which are slow at 50 digits, without
    `add_repetitions`, or with a delay of every synapse between neurons."""
    rng = np.random.default_rng(seed)
    net = sp.Network(seed=int(rng.integers(2**32)))
    tau_scales = [10.0] if rng.random() < 0.6 else 10.0 ** rng.uniform(-0.5, 2.5, 3)
    total = int(np.exp(rng.uniform(0.0, math.log(200.0))))
    n_populations = int(min(rng.integers(1, 4), total))
    sizes = np.full(n_populations, total // n_populations)
    sizes[0] += total - sizes.sum()
    populations = []
    for k, n in enumerate(sizes):
        model = random_model(rng, int(n), rng.choice(tau_scales), tables)
        V, I_syn = random_voltage(rng, int(n), model), random_currents(seed, int(n), model)
        populations.append(net.add(int(n), model, name=f"p{k}", V=V, I_syn=I_syn))
    driven = rng.random() < 0.5
    duration = longest_period(net)
    sources = add_sources(rng, net, populations, duration) if driven else []
    sign = rng.choice(["inhibitory", "excitatory", "mixed"])
    dyadic = rng.random() < 0.5  # sums of weights are exact
    smallest = 0.1 * max(tau_scales) * float(rng.choice([0.03, 0.25, 1.0, 5.0])) if delayed else 0.0
    for pre in populations + sources:
        for post in populations:
            if rng.random() < 0.3:
                continue
            autapses, multapses = bool(rng.random() < 0.3), bool(rng.random() < 0.3)
            available = post.n if autapses or pre is not post else post.n - 1
            k = int(rng.integers(0, min(available, 20) + 1))
            procedural = bool(rng.random() < 0.3)
            rule = (
                sp.fixed_outdegree(k, procedural) if rng.random() < 0.5 else sp.pairwise_bernoulli(min(1.0, k / post.n))
            )
            strength = rng.exponential(0.15) / math.sqrt(k + 1.0)
            if dyadic:
                strength = math.ldexp(max(1.0, round(strength * 256.0)), -8)
            signed = -strength if sign == "inhibitory" or (sign == "mixed" and rng.random() < 0.5) else strength
            options = {"weight": signed, "allow_autapses": autapses, "allow_multapses": multapses}
            options["port"] = random_port(rng, post)
            if delayed and pre in populations:
                delay = random_positive_delay(rng, None if procedural else 1, smallest)
            else:
                delay = random_delay(rng, None if procedural else 1, 0.1 * tau_scales[0]) if driven else 0.0
            if callable(delay):  # one value per synapse: their number must be known
                delay = delay(copy.copy(net).connect(pre.name, post.name, rule, **options).n_synapses)
            p = net.connect(pre, post, rule, delay=delay, **options)
            if rng.random() < 0.3 and not dyadic and p.nbytes:  # one value per synapse
                p.weight = signed * rng.uniform(0.2, 2.0, p.n_synapses)
    if driven:
        add_drives(rng, net, populations, duration, 0.05 * rng.random())
        if repetitions:
            add_repetitions(seed, net, populations, duration, 0.1 * tau_scales[0])
    return net


def add_repetitions(seed, net, populations, duration, scale):
    """In half of the cases a source that spikes several times at once, or so that arrivals coincide, with multapses of
    unequal weight and one delay or many; with a generator of its own, so that nothing else changes."""
    rng = np.random.default_rng([seed, 14])
    if rng.random() < 0.5:
        return
    n, post, delay = 2, populations[int(rng.integers(len(populations)))], scale * rng.integers(0, 3) / 4.0
    times = np.repeat(np.round(duration * rng.random(12), 1), rng.integers(1, 4, 12))
    ids = np.repeat(rng.integers(0, n, times.size // 2 + 1), 2)[: times.size]
    source = net.add(n, sp.SpikeSource(times, ids), name="repeated")
    targets = rng.integers(0, post.n, 3 * n)
    rule = sp.edges(np.repeat(np.arange(n), 9), np.concatenate([np.tile(row, 3) for row in targets.reshape(n, 3)]))
    if rng.random() < 0.3:
        delay = delay + scale * rng.integers(0, 2, 9 * n) / 4.0
    net.connect(
        source, post, rule, weight=0.1 * rng.normal(size=9 * n), delay=delay, allow_multapses=True,
        port=random_port(rng, post),
    )  # fmt: skip


def longest_period(net):
    """A time in ms in which neurons of the network that oscillate fire a few times."""
    return 20.0 * max(float(np.max(p.model.tau_m)) for p in net.populations if not p.is_source)


def outcome(net, engine, duration, **stops):
    """Times, ids and end of a run; an error counts as an outcome, with its message."""
    try:
        result = net.run(duration, engine=engine, progress=False, **stops)
    except (sp.errors.RunawayError, sp.errors.NumericalError) as error:
        return type(error).__name__, str(error)
    seen = [str(result.stop_reason), result.t_stop, result.n_spikes, result.n_synaptic_events]
    seen += [(result.n_drive_events, result.n_close_calls)]
    if result.V is not None:
        seen += [result.V_times.tobytes(), result.V.tobytes()]
    if result.counts is not None:
        seen += [result.counts[name].tobytes() for name in sorted(result.counts)]
    return result.times.tobytes(), result.ids.tobytes(), *seen


def random_record(seed, net, duration):
    """Spikes of all or of some, with or without those of sources; potentials; counts."""
    rng = np.random.default_rng([seed, 1])
    chosen = [p.name for p in net.populations if rng.random() < 0.7]
    ids = rng.integers(0, sum(p.n for p in net.populations), 3)
    times = duration * (rng.uniform(0.005, 0.3) if rng.random() < 0.5 else np.unique(rng.random(20)))
    return sp.Record(
        spikes=True if rng.random() < 0.7 else chosen,
        record_sources=bool(rng.random() < 0.5),
        bins=duration / 30.0 if rng.random() < 0.5 else None,
        **({"V": ids, "V_times": times} if rng.random() < 0.8 else {}),
    )


def random_smooth_network(seed):
    """A small random network in which no two independent things happen at one time, for gradients; and its duration."""
    rng = np.random.default_rng(seed)
    net = sp.Network(seed=int(rng.integers(2**32)))
    tau_scales = [10.0] if rng.random() < 0.6 else 10.0 ** rng.uniform(-0.5, 1.5, 3)
    populations = []
    for k in range(int(rng.integers(1, 4))):
        n = int(rng.integers(1, 7))
        model = random_model(rng, n, rng.choice(tau_scales))
        highest = min(float(np.min(model.threshold())), 1.0) - 0.05
        V, I_syn = rng.uniform(-1.0, highest, n), random_currents(seed, n, model)
        populations.append(net.add(n, model, name=f"p{k}", V=V, I_syn=I_syn))
    duration = longest_period(net) * rng.uniform(0.05, 0.5)
    sources = []
    for k in range(int(rng.integers(0, 3))):
        n = int(rng.integers(1, 4))
        times = duration * rng.random(int(rng.integers(1, 30)))
        source = sp.SpikeSource(times, rng.integers(0, n, times.size))
        if rng.random() < 0.2:
            source = random_process(rng, n, duration, sp.PoissonSource)
        sources.append(net.add(n, source, name=f"s{k}"))
    sign = rng.choice(["inhibitory", "excitatory", "mixed"])
    strength = 0.15 * rng.exponential(1.0) if rng.random() < 0.7 else 1.2  # strong ones drive over threshold
    for pre in populations + sources:
        for post in populations:
            if rng.random() < 0.3:
                continue
            autapses = bool(rng.random() < 0.3)
            k = int(rng.integers(0, max(min(4, post.n - (pre is post and not autapses)), 0) + 1))
            procedural = bool(rng.random() < 0.2)
            signed = -strength if sign == "inhibitory" or (sign == "mixed" and rng.random() < 0.5) else strength
            p = net.connect(
                pre,
                post,
                sp.fixed_outdegree(k, procedural),
                weight=signed
                if procedural or rng.random() < 0.5
                else sp.uniform(*sorted((0.3 * signed, 1.5 * signed))),
                delay=_smooth_delay(rng, procedural, 0.2 * duration),
                port=random_port(rng, post),
                allow_autapses=autapses,
                allow_multapses=bool(rng.random() < 0.3),
            )
            assert p.n_synapses == k * pre.n
    for p in populations:
        if rng.random() < 0.3:
            weight = 0.05 * rng.normal(size=p.n) if rng.random() < 0.5 else 0.05
            net.drive(p, random_process(rng, p.n, duration, sp.poisson), weight=weight, port=random_port(rng, p))
        if rng.random() < 0.3:
            times = np.sort(duration * rng.random(int(rng.integers(1, 4))))
            values = rng.normal(0.0, 0.1, (times.size, p.n) if rng.random() < 0.3 else times.size)
            net.drive(p, sp.steps(times, few_values(p, values)))
    return net, duration


def _smooth_delay(rng, procedural, scale):
    """None, one, one for each synapse, or one that is too short to move a time."""
    kind = rng.choice(["none", "one", "each", "tiny"], p=[0.4, 0.3, 0.25, 0.05])
    if kind == "tiny":
        return 1e-22
    if kind == "none" or (procedural and kind == "each"):
        return 0.0
    return float(scale * rng.random()) if kind == "one" else sp.uniform(0.0, scale)

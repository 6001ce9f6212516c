COMMENT
The LIF neuron of the benchmark network as an artificial cell of NEURON, which has none with a constant drive and delta
synapses: V between events from its closed form, the next spike as an event to itself. For drive > V_th. peers.py
compiles it.
ENDCOMMENT

NEURON {
    ARTIFICIAL_CELL DrivenLIF
    RANGE tau, drive, V_th, V_reset, V_start
}

PARAMETER {
    tau = 10 (ms)
    drive = 2
    V_th = 1
    V_reset = 0
    V_start = 0
}

ASSIGNED {
    V
    since (ms)
}

INITIAL {
    V = V_start
    since = t
    net_send(time_to_spike(), 1)
}

FUNCTION time_to_spike() (ms) {
    time_to_spike = tau * log((drive - V) / (drive - V_th))
}

NET_RECEIVE (weight) {
    INITIAL {}
    if (flag == 1) {
        net_event(t)
        V = V_reset
        since = t
        net_send(time_to_spike(), 1)
    } else {
        V = drive + (V - drive) * exp(-(t - since) / tau) + weight
        since = t
        if (V >= V_th) {
            net_event(t)
            V = V_reset
        }
        net_move(t + time_to_spike())
    }
}

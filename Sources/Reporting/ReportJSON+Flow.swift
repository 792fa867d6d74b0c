import MastLinkInference

// A capture has tens of thousands of flows, of some ninety values each: a general encoder takes a second for 10,000 of them.
// Keys are in order; what is unknown is null rather than left out, so that a script finds every key.
extension ReportJSON {
    package mutating func flow(_ flow: CaptureSummary.Flow) {
        object { json in
            json.member("client", flow.client)
            json.member("clientKnownBy", flow.clientKnownBy)
            json.key("down")
            json.side(flow.down)
            json.exact("firstS", flow.firstS)
            json.exact("lastS", flow.lastS)
            json.member("protocol", flow.protocolName)
            json.key("rttMs")
            json.roundTrips(flow.rttMs)
            json.member("server", flow.server)
            json.member("serverName", flow.serverName)
            json.member("serverNameBasis", flow.serverNameBasis)
            json.member("state", flow.state)
            json.key("up")
            json.side(flow.up)
        }
    }

    private mutating func side(_ side: CaptureSummary.FlowSide) {
        object { json in
            json.member("bytes", side.bytes)
            json.count("duplicateAcks", side.duplicateAcks)
            json.count("fastRetransmissions", side.fastRetransmissions)
            json.count("finRetransmissions", side.finRetransmissions)
            json.quantiles("goodputMbps", side.goodputMbps)
            json.count("inFlightBytesMax", side.inFlightBytesMax)
            json.count("inFlightBytesP50", side.inFlightBytesP50)
            json.member("ipBytes", side.ipBytes)
            json.exact("jitterMs", side.jitterMs)
            json.count("keepAlives", side.keepAlives)
            json.count("lost", side.lost)
            json.exact("meanBurst", side.meanBurst)
            json.count("outOfOrder", side.outOfOrder)
            json.member("packets", side.packets)
            json.count("payloadBytes", side.payloadBytes)
            json.count("retransmissions", side.retransmissions)
            json.count("spuriousRetransmissions", side.spuriousRetransmissions)
            json.count("synRetransmissions", side.synRetransmissions)
            json.count("tailRetransmissions", side.tailRetransmissions)
            json.throughput("throughputMbps", side.throughputMbps)
            json.count("timeoutRetransmissions", side.timeoutRetransmissions)
            json.count("unexplainedRetransmissions", side.unexplainedRetransmissions)
            json.count("unrecordedBytes", side.unrecordedBytes)
            json.count("windowProbes", side.windowProbes)
            json.count("zeroWindows", side.zeroWindows)
        }
    }

    private mutating func roundTrips(_ rtt: CaptureSummary.RTT) {
        object { json in
            json.member("basis", rtt.basis)
            json.exact("handshake", rtt.handshake)
            json.exact("min", rtt.min)
            json.exact("p50", rtt.p50)
            json.exact("p95", rtt.p95)
            json.exact("queueDelayP95", rtt.queueDelayP95)
            json.exact("toClientMin", rtt.toClientMin)
            json.exact("toServerMin", rtt.toServerMin)
        }
    }

    private mutating func throughput(_ name: String, _ throughput: CaptureSummary.Throughput?) {
        key(name)
        guard let throughput else { return null() }
        object { json in
            json.quantiles("per100ms", throughput.per100ms)
            json.quantiles("per10ms", throughput.per10ms)
            json.quantiles("per1s", throughput.per1s)
        }
    }

    private mutating func quantiles(_ name: String, _ quantiles: CaptureSummary.Quantiles?) {
        key(name)
        guard let quantiles else { return null() }
        object { json in
            json.exact("max", quantiles.max)
            json.exact("p50", quantiles.p50)
            json.exact("p95", quantiles.p95)
        }
    }

    private mutating func count(_ name: String, _ value: (some FixedWidthInteger)?) {
        key(name)
        if let value { integer(Int64(clamping: value)) } else { null() }
    }

    private mutating func exact(_ name: String, _ value: Double?) {
        key(name)
        if let value { exact(value) } else { null() }
    }
}
